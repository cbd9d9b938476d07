"""Certificates: written when a proof holds, cited by the runs they are true of, and by no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from odibi import orchestrator
from odibi.config.load import load
from odibi.home import Home
from odibi.prove.certificate import cited, issue, path_of, withdraw
from odibi.prove.model import Difference, Proof, StepProof, Verdict
from odibi.record.model import ProofRecord
from odibi.story.html import render
from odibi.story.text import proved as said
from tests.unit.run.project import KEPT, Project

READ = {"name": "raw", "layer": "bronze", "read": {"from": "in", "path": "a.csv"}, "write": KEPT}
TOTAL = {"name": "total", "layer": "gold", "sql": "steps/total.sql", "write": KEPT}
FUNCTION = {"name": "same", "layer": "gold", "function": "steps.code:same", "inputs": ["raw"], "write": KEPT}
STEPS = [READ, TOTAL, FUNCTION]


@pytest.fixture
def shop(project: Project) -> Project:
    project.csv("in/a.csv", "id,name", (1, "Ada"))
    project.write("steps/total.sql", "SELECT count(*) AS n FROM raw -- all\n")
    project.write("steps/code.py", "import pandas as pd\n\ndef same(raw: pd.DataFrame):\n    return raw\n")
    return project


def proof(*steps: StepProof, engines: tuple[str, ...] = ("duckdb", "pandas"), **versions: str) -> Proof:
    from odibi.prove.engines import versions as current

    return Proof(engines, {}, {**current(engines), **versions}, 1, steps)


def held(*names: str) -> list[StepProof]:
    return [StepProof(Verdict.PROVED, name=name, rows=100, edges=60, dropped=2, trials=7) for name in names]


def citation(shop: Project, steps: Any = STEPS, **given: Any) -> ProofRecord | None:
    loaded = shop.load(steps, **given)
    return cited(Home.find(), loaded, orchestrator.plan(loaded))


def issued(shop: Project, one: Proof) -> Path:
    loaded = shop.load(STEPS)
    return issue(Home.find(), loaded, orchestrator.plan(loaded), one)


def test_a_certificate_says_what_was_proved(shop: Project) -> None:
    left = StepProof(Verdict.LEFT_OUT, name="total", reason="so")
    path = issued(shop, proof(*held("raw", "same"), left))
    assert path == Home.find().path / "certificates" / "shop.json"
    assert [each.name for each in path.parent.iterdir()] == ["shop.json"]  # nothing is left beside it
    data = json.loads(path.read_text("utf-8"))
    assert data["steps"] == {
        name: {"rows": 100, "edges": 60, "dropped": 2, "trials": 7} for name in ("raw", "same")
    }
    assert (data["engines"], data["seed"], data["total"]) == (["duckdb", "pandas"], 1, 3)
    assert set(data["versions"]) == {"odibi", "rules", "sqlglot", "duckdb", "pandas", "pyarrow"}


def test_a_run_of_the_same_config_cites_it(shop: Project) -> None:
    assert citation(shop) is None
    issued(shop, proof(*held("raw", "total", "same")))
    found = citation(shop)
    assert found is not None
    assert (found.engines, found.rows, found.steps, found.total) == (("duckdb", "pandas"), 300, 3, 3)
    assert citation(shop, date="2026-02-01") is not None  # another day is the same proof
    done = shop.run(STEPS)
    assert done.success
    assert done.run.proof == found
    page = render(done.run)
    assert f"<dt>Proved</dt><dd>{said(found)}</dd>" in page
    assert "equal on duckdb and pandas: all 3 steps with 300 rows, 20" in page
    assert "Proved</dt>" not in render(done.run.model_copy(update={"proof": None}))


def test_what_is_no_code_does_not_matter(shop: Project) -> None:
    issued(shop, proof(*held("raw")))
    shop.write(
        "steps/code.py", "import pandas as pd\n\n# why\ndef same(raw: pd.DataFrame):\n    return raw\n"
    )
    assert citation(shop) is not None


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("steps/total.sql", "SELECT count(*) + 1 AS n FROM raw"),
        ("steps/code.py", "import pandas as pd\n\ndef same(raw: pd.DataFrame):\n    return raw.head(1)\n"),
    ],
)
def test_other_code_is_not_proved(shop: Project, file: str, text: str) -> None:
    issued(shop, proof(*held("raw")))
    shop.write(file, text)
    assert citation(shop) is None


def test_another_config_target_or_parameter_is_not_proved(shop: Project) -> None:
    issued(shop, proof(*held("raw")))
    assert citation(shop, [READ, {**TOTAL, "layer": "silver"}, FUNCTION]) is None
    config = shop.config(STEPS, targets={"prod": {}}, variables={"x": 0})
    loaded = load(config, date="2026-01-05")
    issue(Home.find(), loaded, orchestrator.plan(loaded), proof(*held("raw")))
    for other in (load(config, target="prod"), load(config, params={"x": "1"})):
        assert cited(Home.find(), other, orchestrator.plan(other)) is None
    assert cited(Home.find(), loaded, orchestrator.plan(loaded)) is not None


def test_another_version_is_not_proved(shop: Project) -> None:
    issued(shop, proof(*held("raw"), duckdb="1.5.0"))
    assert citation(shop) is None
    issued(shop, proof(*held("raw"), rules="0"))
    assert citation(shop) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"engines": 1}', '"a"'])
def test_what_is_no_certificate_is_not_cited(shop: Project, text: str) -> None:
    path = issued(shop, proof(*held("raw")))
    path.write_text(text, "utf-8")
    assert citation(shop) is None
    issued(shop, proof(*held("raw")))
    assert citation(shop) is not None


def test_a_certificate_of_another_format_is_not_cited(shop: Project) -> None:
    path = issued(shop, proof(*held("raw")))
    data = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**data, "format": 99}), "utf-8")
    assert citation(shop) is None


def test_proofs_of_some_steps_add_up(shop: Project) -> None:
    issued(shop, proof(*held("raw")))
    issued(shop, proof(*held("same")))
    found = citation(shop)
    assert found is not None
    assert (found.steps, found.total) == (2, 3)
    assert said(found).startswith("equal on duckdb and pandas: 2 of 3 steps with 200 rows")
    three = ("duckdb", "pandas", "other")
    issued(shop, proof(*held("raw"), engines=three))  # of fewer steps: the other one says more
    assert citation(shop) == found
    issued(shop, proof(*held("raw", "same"), engines=three))
    again = citation(shop)
    assert again is not None
    assert again.engines == three
    shop.write("steps/total.sql", "SELECT 2 AS n")
    issued(shop, proof(*held("total")))  # nothing of the old code stays
    again = citation(shop)
    assert again is not None
    assert again.steps == 1


def test_a_certificate_that_is_disproved_goes(shop: Project) -> None:
    path = issued(shop, proof(*held("raw")))
    loaded = shop.load(STEPS)

    def differs(engine: str) -> Proof:
        found = Difference("duckdb", engine, "fails", {}, {})
        return proof(StepProof(Verdict.DIFFERENT, name="raw", differences=(found,)))

    withdraw(Home.find(), loaded, differs("spark"))  # it says nothing of Spark
    assert path.exists()
    withdraw(Home.find(), loaded, differs("pandas"))
    assert not path.exists()
    withdraw(Home.find(), loaded, differs("pandas"))
    assert path_of(Home.find(), loaded) == path
