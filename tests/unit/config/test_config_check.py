"""What a loaded pipeline may still be warned about, and names that cannot be tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from odibi.config import check, load
from odibi.config.check import RESERVED
from odibi.errors import ConfigError


def pipeline(name: str) -> str:
    return f"pipeline: p\nsteps:\n  - name: '{name}'\n    layer: gold\n    sql: select 1\n"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["step1", "step_2", "Step", "task-3", "tmp", "foo", "untitled1"])
def test_names_that_say_nothing_are_warnings(name: str) -> None:
    Path("c.yaml").write_text(pipeline(name))
    loaded = load("c.yaml")
    text = f"step '{name}': the name does not say what the step does (name it after what it makes)"
    assert [str(problem) for problem in check(loaded)] == [f"c.yaml:3:11: warning: {text}"]
    assert [str(problem) for problem in check(loaded, strict=True)] == [f"c.yaml:3:11: {text}"]


@pytest.mark.parametrize("name", ["revenue", "steps", "stepwise", "store_orders", "first_job", "load-2024"])
def test_names_that_say_something(name: str) -> None:
    Path("c.yaml").write_text(pipeline(name))
    assert check(load("c.yaml"), strict=True) == ()


@pytest.mark.parametrize("name", sorted(RESERVED)[::7])
def test_words_of_sql_are_no_datasets_but_outputs_may_be_named_otherwise(name: str) -> None:
    Path("c.yaml").write_text(pipeline(name))
    with pytest.raises(ConfigError, match="is a word of SQL"):
        load("c.yaml")
    Path("c.yaml").write_text(pipeline(name) + "    outputs: fine\n")
    assert check(load("c.yaml")) == ()


def test_a_sql_file_is_found_beside_the_config_above_it_or_in_the_current_folder() -> None:
    Path("configs").mkdir()
    Path("configs/c.yaml").write_text(pipeline("a").replace("select 1", "q.sql"))
    for place in ("configs/q.sql", "q.sql"):
        Path(place).write_text("select 1")
        assert load("configs/c.yaml").find("q.sql") == Path(place).resolve()
        Path(place).unlink()
    Path("q.sql").mkdir()
    with pytest.raises(ConfigError, match=r"there is no file 'q\.sql'"):
        load("configs/c.yaml")


def test_steps_after_a_broken_one_are_checked_without_false_alarms() -> None:
    Path("c.yaml").write_text(
        "pipeline: p\nsteps:\n"
        "  - {name: a, layer: gold, sql: select 1, type: 5, outputs: [b, c]}\n"
        "  - {name: d, layer: gold, sql: select 1, inputs: [b, c, e], depends_on: [a]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load("c.yaml")
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (3, "step 'a': give either sql or type, not both"),
        (4, "step 'd': unknown input dataset 'e'"),
    ]


def test_many_steps_in_a_row_are_no_recursion() -> None:
    steps = "".join(
        f"  - {{name: made_{n}, layer: gold, sql: select 1, inputs: [made_{n - 1}]}}\n"
        for n in range(1, 1500)
    )
    Path("c.yaml").write_text("pipeline: p\nsteps:\n  - {name: made_0, layer: gold, sql: select 1}\n" + steps)
    assert check(load("c.yaml")) == ()
