"""One look at everything: what is found, what is wrong, and that looking changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from odibi.config.load import from_steps, load
from odibi.config.models import Step
from odibi.engines.database import Database
from odibi.errors import ConfigError, Problem
from odibi.home import Home, typed
from odibi.observe import Observation, observe
from odibi.orchestrator import plan, run
from tests.unit.run.project import Project, read, sql


def looked(project: Project, steps: list[dict[str, Any]], **fields: Any) -> Observation:
    loaded = project.load(steps, **fields)
    with Database(Home.find().scratch(loaded.run_id)) as db:
        return observe(loaded, db)


def told(project: Project, steps: list[dict[str, Any]], **fields: Any) -> list[Problem]:
    return sorted(looked(project, steps, **fields).problems)


def test_a_step_is_found_with_its_source_targets_and_last_commit(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 2))
    steps = [read("raw", "a.csv"), sql("kept", "SELECT id FROM raw", write={"to": "lake", "mode": "append"})]
    first = looked(project, steps)
    raw, kept = first.steps
    assert first.problems == ()
    assert raw.source is not None
    assert raw.source.url == f"{project.root}/in/a.csv"
    assert raw.seen is not None
    assert [(c.name, c.type) for c in raw.seen.schema or ()] == [("id", "BIGINT"), ("v", "BIGINT")]
    assert (raw.commits, raw.standing, kept.inputs) == ({"raw": None}, {}, {"raw": "raw"})
    assert run(project.load(steps)).success
    again = looked(project, steps)
    raw, kept = again.steps
    commit = kept.commits["kept"]
    assert commit is not None
    assert (commit.version, commit.note["rows"]) == (0, 1)
    assert [c.name for c in kept.standing["kept"].schema or ()] == ["id", "_logical_date"]
    assert kept.standing["kept"].version == commit.note["digest"]


def test_the_ledger_of_an_append_is_that_of_its_date_and_what_stands_is_the_whole(project: Project) -> None:
    steps = [sql("kept", "SELECT 1 AS id", write={"to": "lake", "mode": "append"})]
    for date in ("2026-01-01", "2026-01-02"):
        project.run(steps, date=date)
    loaded = project.load(steps, date="2026-01-01")
    with Database(Home.find().scratch(loaded.run_id)) as db:
        (kept,) = observe(loaded, db).steps
    commit = kept.commits["kept"]
    assert commit is not None
    assert commit.note["logical_date"] == "2026-01-01"
    assert kept.standing["kept"].version != commit.note["digest"]


def test_a_table_that_somebody_else_made_stands_without_a_ledger(project: Project) -> None:
    url = str(project.root / "lake/silver/kept")
    write_deltalake(url, pa.table({"x": [1]}))
    (kept,) = looked(project, [sql("kept", "SELECT 1 AS x")]).steps
    commit = kept.commits["kept"]
    assert commit is not None
    assert commit.note == {}
    assert kept.standing["kept"].version == f"{url}@0"
    assert kept.standing["kept"].schema is None


def test_looking_changes_nothing(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 2))
    steps = [read("raw", "a.csv"), sql("kept", "SELECT id FROM raw")]
    project.run(steps)
    loaded = project.load(steps)
    home = Home.find().path
    before = project.tree(), sorted(home.rglob("*"))
    with Database(Home.find().scratch(loaded.run_id)) as db:
        observe(loaded, db)
    assert (project.tree(), sorted(home.rglob("*"))) == before


@pytest.mark.parametrize(
    ("step", "message", "hint"),
    [
        (read("raw", "b.csv"), "there is nothing to read at", "did you mean 'a.csv'"),
        (read("raw", "x/b.csv"), "there is nothing to read at", "does not exist"),
        (read("raw", "a.csv", read={"from": "in", "path": "a.csv", "delimeter": ";"}), "unknown key 'delimeter'", "delimiter"),
        (read("raw", "a.csv", read={"from": "in", "path": "a.csv", "skip": -1}), "skip: ", ""),
        (read("raw", "a.csv", read={"from": "in", "path": "${env:NOT_SET_ANYWHERE}.csv"}), "'NOT_SET_ANYWHERE' is not set", ""),
        (read("raw", "a.dat"), "the format of 'a.dat' is not clear", "format"),
        (sql("kept", "SELEC 1"), "SQL", ""),
        (sql("kept", "SELECT * FROM read_csv('x.csv')"), "read_csv", "read step"),
        (sql("kept", "SELECT 1 AS x", write={"to": "lake", "path": "${env:NOT_SET_ANYWHERE}/x"}), "'NOT_SET_ANYWHERE' is not set", ""),
        ({"name": "op", "layer": "silver", "inputs": ["raw"], "transform": [{"filtre": "x"}]}, "unknown operation 'filtre'", "filter"),
        ({"name": "f", "layer": "silver", "function": "steps.nothing:f"}, "there is no Python module", ""),
        (sql("kept", "steps/latin.sql"), "UTF-8", ""),
        (sql("kept", "steps/template.sql"), "Unresolved template placeholders found: nobody", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_at_is_a_problem_at_its_place(
    project: Project, step: dict[str, Any], message: str, hint: str
) -> None:
    project.csv("in/a.csv", "id,v", (1, 2))
    project.write("steps/template.sql", "SELECT {{ nobody }} AS x")
    (project.root / "steps/latin.sql").write_bytes("SELECT 'ä' AS x".encode("latin-1"))
    found = looked(project, [sql("raw", "SELECT 1 AS x"), step] if step["name"] != "raw" else [step])
    problems = [*found.problems, *(s.missing for s in found.steps if s.missing)]
    (problem,) = problems
    assert message in problem.message
    assert hint in problem.hint
    assert problem.line > 1 or problem.file.endswith(".sql")


def test_every_problem_of_every_step_is_told_at_once(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 2))
    steps = [
        read("raw", "a.csv", read={"from": "in", "path": "a.csv", "delimeter": ";"}),
        sql("kept", "SELEC 1"),
        {"name": "f", "layer": "silver", "function": "steps.nothing:f"},
    ]
    assert len(told(project, steps)) == 3


def test_references_in_paths_and_options_are_resolved(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", str(project.root / "in"))
    monkeypatch.setenv("NAME", "a")
    monkeypatch.setenv("SIGN", ";")
    project.write("in/a.csv", "id;v\n1;2\n")
    steps = [
        {"name": "raw", "layer": "bronze", "read": {"from": "place", "path": "${env:NAME}.csv", "delimiter": "${env:SIGN}"}, "write": {"to": "place", "path": "${NAME}/${NONE:-x}"}},
        {"name": "out", "layer": "store", "type": "config_op", "value": "${env:PLACE}/o.csv", "inputs": {"data": "raw"}},
    ]  # fmt: skip
    result = project.run(steps, connections={"place": {"url": "${env:PLACE}"}})
    assert result.success, result.error
    assert (project.root / "in/a/x/_delta_log").is_dir()
    assert (project.root / "in/o.csv").read_text() == "id,v\n1,2\n"


def test_a_broken_file_is_no_problem_of_the_plan_but_of_its_step(project: Project) -> None:
    project.write("in/a.csv", "id,v\n1,2\n3\n")
    found = looked(project, [read("raw", "a.csv")])
    assert found.problems == ()
    assert found.steps[0].seen is not None


def test_a_log_that_cannot_be_read_is_a_problem_once(project: Project) -> None:
    project.csv("in/a.csv", "id", (1,))
    log = project.root / "in/table/_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("nonsense\n")
    (problem,) = told(
        project, [read("raw", "table", read={"from": "in", "path": "table", "format": "delta"})]
    )
    assert "cannot be opened" in problem.message


def test_a_folder_where_a_file_should_be_readable(project: Project) -> None:
    (project.root / "steps/x.sql").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"there is no file 'steps/x.sql'"):
        project.load([sql("kept", "steps/x.sql")])


def test_a_pipeline_built_in_python_is_looked_at_in_the_current_folder(project: Project) -> None:
    project.csv("a.csv", "id", (1,))
    loaded = from_steps([Step(name="raw", layer="bronze", read="a.csv")])
    with Database(Home.find().scratch("x")) as db:
        (raw,) = observe(loaded, db).steps
    assert raw.seen is not None
    assert raw.source is not None
    assert raw.source.url == "a.csv"


def test_a_home_is_here_or_where_the_environment_says(tmp_path: Path) -> None:
    assert Home.find({}) == Home(Path(".odibi"), "sqlite:///.odibi/state.db")
    there = Home.find({"ODIBI_HOME": str(tmp_path), "ODIBI_STATE": "postgresql://x"})
    assert (there.path, there.state) == (tmp_path, "postgresql://x")
    assert Home.find({"ODIBI_HOME": ""}).path == Path(".odibi")
    assert there.scratch("r") == tmp_path / "tmp/r"
    assert there.stories.parent == there.intents.parent == tmp_path


def test_a_place_is_told_as_a_person_would_type_it(project: Project) -> None:
    assert typed(f"{project.root}/steps/code.py:3") == "steps/code.py:3"
    assert typed("/elsewhere/code.py:3") == "/elsewhere/code.py:3"
    assert typed(f"{project.root}x/code.py") == f"{project.root}x/code.py"


def test_a_local_folder_has_no_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("x\n1\n")
    Path("p.yaml").write_text(
        "pipeline: p\nconnections:\n  here: {url: ., options: {key: k}}\nsteps:\n"
        "  - {name: raw, layer: bronze, read: {from: here, path: a.csv}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        plan(load("p.yaml"))
    assert [(p.line, p.message) for p in caught.value.problems] == [
        (3, "connection 'here' is a local folder, which has no options")
    ]
