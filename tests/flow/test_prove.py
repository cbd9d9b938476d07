"""``odibi prove`` and ``odibi validate --portable`` as people run them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.flow.helpers import odibi, project

CONFIG = """
    pipeline: sales
    date: "2026-03-01"
    sensitive: [customer]
    connections:
      landing: {url: data}
      lake: {url: .odibi/lake}
    steps:
      - name: raw_sales
        layer: bronze
        read: {from: landing, path: sales.csv}
        write: {to: lake}
      - name: sales
        layer: silver
        inputs: [raw_sales]
        transform:
          - filter: amount > 10
        write: {to: lake}
      - name: totals
        layer: gold
        sql: steps/totals.sql
        write: {to: lake}
"""
FILES = {
    "configs/sales.yaml": CONFIG,
    "data/sales.csv": "customer,amount\nAda,12\nBen,8\nAda,30\n",
    "steps/totals.sql": "select customer, sum(amount) as total\nfrom sales\ngroup by customer\n",
}
# What is not annotated is the engine's own table: a function that truly differs from engine to engine.
OWN = """
    import pandas as pd

    def counted(sales):
        rows = sales.fetchall() if hasattr(sales, "fetchall") else sales.to_numpy().tolist()
        big = sum(row[1] is not None and row[1] > 11 for row in rows)
        return pd.DataFrame({"engine_sees": [big if hasattr(sales, "fetchall") else min(big, 1)]})
"""
COUNTED = """
      - {name: counted, layer: gold, function: "steps.own:counted", inputs: [sales]}
"""


def shop(folder: Path, **more: str) -> Path:
    return project(folder, {**FILES, **more})


def test_a_proof_is_kept_and_cited(tmp_path: Path) -> None:
    folder = shop(tmp_path)
    done = odibi("prove", "--engines", "pandas", cwd=folder)
    assert done.returncode == 0, done.stderr
    first, *steps, _, summary, versions, certificate = done.stdout.splitlines()
    assert first == "Proving sales on duckdb and pandas (date 2026-03-01, target dev)"
    assert [line.split()[:2] for line in steps] == [
        ["proved", "raw_sales"], ["proved", "sales"], ["proved", "totals"],
    ]  # fmt: skip
    assert steps[0].endswith("  3 rows")
    assert "of them edges" in steps[1]
    assert summary.endswith(" on duckdb and pandas: 3 proved")
    assert "duckdb 2" in versions or "duckdb 1.5" in versions
    assert certificate == "Certificate: .odibi/certificates/sales.json"
    assert not (folder / ".odibi/lake").exists()
    assert not (folder / ".odibi/state.db").exists()
    assert odibi("run", "-q", cwd=folder).returncode == 0
    record = json.loads(odibi("story", "--json", "-", cwd=folder).stdout)["run"]
    assert record["proof"]["engines"] == ["duckdb", "pandas"]
    (page,) = (folder / ".odibi/stories/sales").glob("*.html")
    assert "equal on duckdb and pandas: all 3 steps with" in page.read_text("utf-8")
    (folder / "steps/totals.sql").write_text("select 1 as total from sales", "utf-8")
    assert odibi("run", "-q", cwd=folder).returncode == 0
    assert json.loads(odibi("story", "--json", "-", cwd=folder).stdout)["run"]["proof"] is None


def test_a_difference_is_shown_on_few_rows(tmp_path: Path) -> None:
    folder = shop(tmp_path, **{"configs/sales.yaml": CONFIG + COUNTED, "steps/own.py": OWN})
    done = odibi("prove", "--engines", "pandas", "--step", "counted", cwd=folder)
    assert done.returncode == 1
    assert "different  counted  pandas lacks 1 of 1 rows and has 1 other" in done.stdout
    assert "steps/own.py:3: step 'counted': pandas lacks 1 of 1 rows and has 1 other" in done.stdout
    _, _, shown = done.stdout.partition("\n  sales")
    assert shown.splitlines()[1].split() == ["BIGINT"]  # the other column does not matter
    assert "Certificate" not in done.stdout
    assert not (folder / ".odibi/certificates").exists()
    data = json.loads(odibi("prove", "--engines", "pandas", "-s", "counted", "--json", cwd=folder).stdout)
    (step,) = data["steps"]
    (found,) = step["differences"]
    assert (data["holds"], data["certificate"], step["verdict"]) == (False, None, "different")
    assert (step["where"], found["engine"], found["reference"]) == ("steps/own.py:3", "pandas", "duckdb")
    assert len(found["inputs"]["sales"]["rows"]) <= 3
    assert [answer["rows"] for answer in found["answers"].values()] == [[["2"]], [["1"]]]


def test_steps_before_are_computed_but_not_proved(tmp_path: Path) -> None:
    folder = shop(tmp_path)
    done = odibi("prove", "configs/sales.yaml", "--engines", "pandas", "-s", "totals", "-n", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "1 step tried" in done.stdout
    certificate = json.loads((folder / ".odibi/certificates/sales.json").read_text("utf-8"))
    assert (list(certificate["steps"]), certificate["total"]) == (["totals"], 3)


def test_what_is_not_portable_is_refused_and_told_where(tmp_path: Path) -> None:
    folder = shop(tmp_path, **{"steps/totals.sql": "select\n  any_value(customer) as who\nfrom sales\n"})
    place = "steps/totals.sql:2:"
    done = odibi("prove", "--engines", "pandas", cwd=folder)
    assert done.returncode == 1
    assert "refused    totals" in done.stdout
    assert place in done.stdout
    assert "2 proved, 1 refused" in done.stdout
    done = odibi("validate", "--portable", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith(place)
    assert "any_value() is none of the functions that mean the same on every engine" in done.stderr
    assert "arg_min(value, order)" in done.stderr
    assert odibi("validate", cwd=folder).returncode == 0
    (folder / "steps/totals.sql").write_text(FILES["steps/totals.sql"], "utf-8")
    done = odibi("validate", "--portable", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "configs/sales.yaml is valid on every engine: 3 steps\n")


ASKED = [
    (["--engines", "panda"], 2, "error: unknown engine 'panda' (did you mean 'pandas'?)\n"),
    (["--engines", "duckdb"], 2, "error: there is no engine to hold DuckDB against (name another: --engines pandas,spark)\n"),
    (["--engines", "pandas", "-s", "total"], 2, "error: nothing matches the selector 'total' (did you mean 'totals'?)"),
    (["--engines", "spark"], 3, "error: pyspark (for engine 'spark') is not installed (pip install 'odibi[spark]')\n"),
    (["nothing.yaml"], 2, "nothing.yaml"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "code", "said"), ASKED)
def test_what_cannot_be_asked_is_told_before_anything_runs(
    tmp_path: Path, args: list[str], code: int, said: str
) -> None:
    folder = shop(tmp_path)
    done = odibi("prove", *args, cwd=folder, env=without_spark(folder))
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_engines_that_are_not_installed_are_left_out_and_named(tmp_path: Path) -> None:
    folder = shop(tmp_path)
    done = odibi("prove", "-s", "sales", cwd=folder, env=without_spark(folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        "Proving sales on duckdb and pandas (date 2026-03-01, target dev)",
        "without spark: pyspark is not installed: pip install 'odibi[spark]'",
    ]


def without_spark(folder: Path) -> Mapping[str, str]:
    """An environment in which pyspark is not installed."""
    import odibi as package

    hidden = project(folder / "hidden", {"sitecustomize.py": "import sys\nsys.modules['pyspark'] = None\n"})
    return {"PYTHONPATH": f"{hidden}:{Path(package.__file__).parents[1]}"}
