"""TPC-H's 22 queries as gold steps: on each engine the reference answers, and the same tables."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from tests.flow.helpers import odibi
from tests.parity.tpch.compare import QUERIES, Columns, Contents, Row, contents, differences, expected

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Run = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder with TPC-H's tables of a scale factor, made once."""

    @cache
    def made(factor: str) -> Path:
        folder = tmp_path_factory.mktemp(f"tpch-{factor}")
        generator = Path(sys.executable).with_name("tpchgen-cli")
        subprocess.run([generator, "parquet", "-s", factor, "-q", f"--output-dir={folder}"], check=True)
        return folder

    return made


@pytest.fixture(scope="session")
def run(data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The gold tables of an engine at a scale factor, computed once by ``odibi run``."""

    @cache
    def made(engine: str, factor: str) -> Path:
        folder = tmp_path_factory.mktemp(f"{engine}-{factor}")
        env = {"ODIBI_HOME": str(folder), "TPCH_LAKE": str(folder / "lake"), "TPCH_DATA": str(data(factor))}
        config = HERE / "tpch/tpch.yaml"
        done = odibi("run", config, "--engine", engine, cwd=ROOT, env=env, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder / "lake/gold"

    return made


def wrong(found: dict[str, Contents], other: dict[str, Contents]) -> dict[str, list[str]]:
    """By query, what is not equal."""
    compared = {query: differences(found[query], other[query]) for query in QUERIES}
    return {query: said for query, said in compared.items() if said}


def tables(gold: Path) -> dict[str, Contents]:
    return {query: contents(gold / query) for query in QUERIES}


@pytest.fixture(params=["duckdb", "pandas", pytest.param("spark", marks=pytest.mark.xdist_group("spark"))])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "spark":
        request.getfixturevalue("needs_spark")
    return str(request.param)


@pytest.mark.parametrize("factor", ["0.01", "0.1"])
def test_gold_tables(engine: str, factor: str, run: Run, data: Callable[[str], Path]) -> None:
    found = tables(run(engine, factor))
    answers = HERE / f"tpch/answers_{factor}.tbl"
    right = {query: expected(query, answers, data(factor), found[query].columns) for query in QUERIES}
    assert wrong(found, right) == {}
    assert wrong(found, tables(run("duckdb", factor))) == {}


COLUMNS = (("day", "date"), ("share", "double"), ("price", "decimal(38,2)"))
ROW = (date(1995, 3, 15), 0.123456789012345, Decimal("1.20"))


@pytest.mark.parametrize(
    ("columns", "rows", "seen"),
    [
        (COLUMNS, [(*ROW[:1], 0.123456789012391, Decimal("1.2"))], False),
        (COLUMNS, [(*ROW[:1], 0.123456789013345, ROW[2])], True),
        (COLUMNS, [(*ROW[:1], None, ROW[2])], True),
        (COLUMNS, [(*ROW[:2], Decimal("1.21"))], True),
        (COLUMNS, [(*ROW[:2], 1)], True),
        (COLUMNS, [ROW, ROW], True),
        (COLUMNS, [], True),
        ((*COLUMNS[:2], ("price", "decimal(38,4)")), [ROW], True),
        ((*COLUMNS[:2], ("cost", "decimal(38,2)")), [ROW], True),
    ],
)
def test_the_comparison_sees_what_differs(columns: Columns, rows: list[Row], seen: bool) -> None:
    assert bool(differences(Contents(columns, tuple(rows)), Contents(COLUMNS, (ROW,)))) is seen
