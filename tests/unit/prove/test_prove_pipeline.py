"""Steps of a pipeline proved: each kind, each verdict, on the rows a run would see, and nothing written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from odibi import orchestrator
from odibi.engines import ENGINES
from odibi.engines.database import Database
from odibi.errors import MissingExtra, Permanent
from odibi.prove import StepProof, Verdict
from odibi.prove.compare import rows_of
from odibi.prove.engines import bench_of, named
from odibi.prove.model import Proof
from odibi.prove.pipeline import prove
from odibi.prove.pools import hints
from odibi.prove.samples import Samples
from odibi.prove.steps import StepProver
from odibi.relational.bind import Binder
from tests.unit.run.project import KEPT, Project

Register = Callable[..., None]
Steps = Sequence[Mapping[str, Any]]

READ = {
    "name": "raw",
    "layer": "bronze",
    "read": {
        "from": "in",
        "path": "*.csv",
        "schema": {"id": "INTEGER", "name": "VARCHAR", "amount": "DOUBLE"},
    },
    "write": KEPT,
}
CLEAN = {"name": "clean", "layer": "silver", "inputs": ["raw"], "transform": [{"filter": "id > 0"}]}
TOTAL = {
    "name": "total",
    "layer": "gold",
    "sql": "SELECT name, sum(amount) AS total FROM clean GROUP BY name",
}


@pytest.fixture
def shop(project: Project) -> Project:
    """A project with two small files."""
    project.csv("in/a.csv", "id,name,amount", (1, "Ada", 1.5), (2, "Ben", 2.5), (3, "Ada", ""))
    project.csv("in/b.csv", "id,name,amount", (4, "Zo\u00e9", 0.1))
    return project


def line(project: Project, text: str) -> int:
    """The line of the config that holds the text."""
    lines = (project.root / "shop.yaml").read_text("utf-8").splitlines()
    return next(number for number, each in enumerate(lines, 1) if text in each)


def proved(
    project: Project, steps: Steps, *chosen: str, engines: Sequence[str] = ("other",), **given: Any
) -> Proof:
    loaded = project.load(steps)
    return prove(loaded, orchestrator.plan(loaded), engines=engines, chosen=frozenset(chosen), **given)


def one(project: Project, steps: Steps, **given: Any) -> StepProof:
    """The proof of the last step."""
    return proved(project, steps, **given).steps[-1]


def test_every_kind_of_step_is_proved(shop: Project, other_engine: Register) -> None:
    other_engine()
    shop.write(
        "steps/code.py",
        """
        import pandas as pd

        def tagged(total: pd.DataFrame, *, tag: str) -> pd.DataFrame:
            return total.assign(tag=tag)
        """,
    )
    function = {
        "name": "tagged", "layer": "gold", "function": "steps.code:tagged", "inputs": ["total"],
        "params": {"tag": "x"},
    }  # fmt: skip
    told: list[str] = []
    proof = proved(shop, [READ, CLEAN, TOTAL, function], told=lambda step: told.append(step.name))
    assert proof.holds
    assert [step.verdict for step in proof.steps] == [Verdict.PROVED] * 4
    assert told == [step.name for step in proof.steps] == ["raw", "clean", "total", "tagged"]
    raw, clean, total, tagged = proof.steps
    assert (raw.rows, raw.edges) == (4, 0)
    assert clean.rows - clean.edges == 4  # what the step before gave
    assert total.edges > 50
    assert tagged.rows - tagged.edges > 4
    assert proof.versions["duckdb"]


def test_nothing_is_written(shop: Project, other_engine: Register) -> None:
    other_engine()
    loaded = shop.load([READ, CLEAN, TOTAL])
    before = shop.tree()
    prove(loaded, orchestrator.plan(loaded), engines=["other"])
    assert shop.tree() == before


def test_pandas_agrees(shop: Project) -> None:
    assert proved(shop, [READ, CLEAN, TOTAL], engines=["pandas"]).holds


def test_a_difference_stops_no_other_step(shop: Project, other_engine: Register) -> None:
    other_engine("default_collation = 'NOCASE'")
    proof = proved(shop, [READ, CLEAN, TOTAL])
    assert [step.verdict for step in proof.steps] == [Verdict.PROVED, Verdict.PROVED, Verdict.DIFFERENT]
    assert not proof.holds
    total = proof.steps[-1]
    assert total.where == f"{shop.root}/shop.yaml:{line(shop, 'name: total')}"
    (found,) = total.differences
    assert sum(map(len, found.inputs.values())) <= 3


def test_the_committed_table_is_what_is_sampled(shop: Project, other_engine: Register) -> None:
    other_engine()
    kept = {**CLEAN, "write": KEPT}
    assert shop.run([READ, kept]).success
    (shop.root / "in" / "a.csv").unlink()
    clean = proved(shop, [READ, kept, TOTAL], "total").steps
    assert [(step.name, step.rows - step.edges) for step in clean] == [("total", 4)]


def test_steps_before_are_computed_where_nobody_kept_them(shop: Project, other_engine: Register) -> None:
    other_engine()
    proof = proved(shop, [READ, CLEAN, TOTAL], "total")
    assert [step.name for step in proof.steps] == ["total"]
    assert proof.steps[0].rows - proof.steps[0].edges > 4  # edges that came through the filter are its rows


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT o.id, c.name FROM orders o JOIN customers c ON o.customer = c.code",
        "SELECT o.id FROM orders o JOIN customers c ON c.code = o.customer AND c.region = o.region",
        "SELECT id FROM orders JOIN customers USING (region)",
    ],
)
def test_what_is_joined_is_sampled_so_that_it_matches(
    project: Project, other_engine: Register, sql: str
) -> None:
    other_engine()
    project.csv("in/orders.csv", "id,customer,region", *((n, n * 1000, f"r{n * 1000}") for n in range(400)))
    project.csv(
        "in/customers.csv", "code,region,name", *((n, f"r{n}", f"c{n}") for n in range(0, 400_000, 50))
    )
    reads = [
        {"name": name, "layer": "bronze", "read": {"from": "in", "path": f"{name}.csv"}}
        for name in ("orders", "customers")
    ]
    joined = {"name": "joined", "layer": "gold", "sql": sql}
    loaded = project.load([*reads, joined])
    plan = orchestrator.plan(loaded)
    with (
        Database(project.root / "scratch", threads=1) as database,
        bench_of(database, ["other"]) as (bench, _),
    ):
        samples = Samples(loaded, plan, bench, {}, 20, 1)
        binder = Binder()
        prover = StepProver(loaded, plan, bench, binder, samples, 1)
        proofs = [prover.prove(step) for step in plan.steps]
        compiled = plan["joined"].compiled
        assert compiled is not None
        found = samples.of(plan["joined"].inputs, hints(compiled["joined"].meaning))
        binder.close()
    assert found is not None
    orders, customers = (rows_of(found[name]) for name in ("orders", "customers"))
    assert (len(orders), len(customers)) == (20, 20)
    assert len({row[1] for row in orders} & {row[0] for row in customers}) >= 10
    assert proofs[-1].verdict is Verdict.PROVED


def test_a_table_that_cannot_be_read_fails_its_readers_only(shop: Project, other_engine: Register) -> None:
    other_engine()
    kept = {**CLEAN, "write": KEPT}
    assert shop.run([READ, kept]).success
    for file in (shop.root / "lake/silver/clean").rglob("*.parquet"):
        file.write_bytes(b"no parquet")
    steps = proved(shop, [READ, kept, TOTAL]).steps
    assert [step.verdict for step in steps] == [Verdict.PROVED, Verdict.PROVED, Verdict.FAILED]
    assert "parquet" in steps[-1].reason.lower()


def test_the_date_that_an_append_adds_is_there(shop: Project, other_engine: Register) -> None:
    other_engine()
    appended = {**READ, "write": {**KEPT, "mode": "append"}}
    dated = {"name": "dated", "layer": "gold", "sql": "SELECT max(_logical_date) AS day FROM raw"}
    assert one(shop, [appended, dated]).verdict is Verdict.PROVED


def test_reads_differ_where_the_engine_reads_otherwise(shop: Project, other_engine: Register) -> None:
    def upper(query: Any) -> Any:
        from sqlglot import exp

        if query.find(exp.Column) and query.expressions and query.expressions[-1].alias_or_name == "name":
            query.expressions[-1].replace(
                exp.alias_(exp.func("upper", exp.column("name")), "name", quoted=True)
            )
        return query

    other_engine(rewrite=upper)
    read = {
        **READ,
        "read": {**READ["read"], "schema": {"id": "INTEGER", "amount": "DOUBLE", "name": "VARCHAR"}},
    }  # type: ignore[dict-item]
    shop.csv("in/a.csv", "id,amount,name", (1, 1.5, "ADA"))
    shop.csv("in/b.csv", "id,amount,name", (4, 0.1, "Zo\u00e9"), (5, 0.2, "BEN"))
    step = one(shop, [read])
    assert step.verdict is Verdict.DIFFERENT
    (found,) = step.differences
    assert found.said == "lacks 1 of 2 rows and has 1 other, in in/b.csv"
    assert [rows_of(answer)[0][2] for answer in found.answers.values()] == ["Zo\u00e9", "ZO\u00c9"]  # type: ignore[arg-type]


LEFT_OUT = [
    ({"name": "n", "layer": "gold", "sql": "SELECT now() AS at FROM raw"}, "depends on the clock"),
    ({"name": "n", "layer": "gold", "inputs": ["raw"], "type": "config_op", "value": "out.csv", "params": {"to": "lake"}}, "only writes"),
    ({"name": "n", "layer": "bronze", "function": "steps.code:made"}, "up to the world outside"),
    ({"name": "n", "layer": "gold", "function": "steps.code:random", "inputs": ["raw"]}, "answers otherwise each time"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "why"), LEFT_OUT)
def test_what_cannot_be_proved_is_left_out(
    shop: Project, other_engine: Register, step: dict[str, Any], why: str
) -> None:
    other_engine()
    shop.write(
        "steps/code.py",
        """
        import random as chance
        import pandas as pd

        def made() -> pd.DataFrame:
            return pd.DataFrame({"x": [1]})

        def random(raw: pd.DataFrame) -> pd.DataFrame:
            return raw.assign(x=chance.random())
        """,
    )
    proof = proved(shop, [READ, step])
    assert proof.steps[-1].verdict is Verdict.LEFT_OUT
    assert why in proof.steps[-1].reason
    assert proof.holds


def test_what_one_engine_only_knows_is_refused(shop: Project, other_engine: Register) -> None:
    other_engine()
    bound = {
        "name": "b",
        "layer": "gold",
        "sql": "SELECT name,\n  any_value(id) AS id\nFROM raw GROUP BY name",
    }
    step = one(shop, [READ, bound])
    assert step.verdict is Verdict.REFUSED
    (problem,) = step.problems
    assert (problem.file, problem.line) == (f"{shop.root}/shop.yaml", line(shop, "any_value"))
    assert problem.message.startswith("any_value() is none of")


def test_what_waits_for_its_inputs_is_compiled_for_what_they_are(
    shop: Project, other_engine: Register
) -> None:
    other_engine()
    shop.write(
        "steps/code.py",
        """
        import pandas as pd

        def doubled(raw: pd.DataFrame) -> pd.DataFrame:
            return raw.assign(twice=raw["amount"] * 2)
        """,
    )
    made = {"name": "made", "layer": "silver", "function": "steps.code:doubled", "inputs": ["raw"]}
    good = {"name": "n", "layer": "gold", "sql": "SELECT twice FROM made"}
    assert one(shop, [READ, made, good]).verdict is Verdict.PROVED
    bound = {"name": "n", "layer": "gold", "sql": "SELECT first(twice) AS t FROM made"}
    assert one(shop, [READ, made, bound]).verdict is Verdict.REFUSED
    wrong = {"name": "n", "layer": "gold", "sql": "SELECT thrice FROM made"}
    step = one(shop, [READ, made, wrong])
    assert (step.verdict, "thrice" in step.reason) == (Verdict.FAILED, True)


def test_a_function_that_fails_on_everything_has_failed(shop: Project, other_engine: Register) -> None:
    other_engine()
    shop.write(
        "steps/code.py",
        """
        import pandas as pd

        def bad(raw: pd.DataFrame) -> pd.DataFrame:
            raise ValueError("no way")
        """,
    )
    step = one(
        shop, [READ, {"name": "bad", "layer": "gold", "function": "steps.code:bad", "inputs": ["raw"]}]
    )
    assert (step.verdict, step.reason) == (Verdict.FAILED, "ValueError: no way")
    after = {"name": "after", "layer": "gold", "sql": "SELECT * FROM bad"}
    proof = proved(
        shop, [READ, {"name": "bad", "layer": "gold", "function": "steps.code:bad", "inputs": ["raw"]}, after]
    )
    assert proof.steps[-1].reason == "the rows of its inputs are nowhere to be had yet"
    assert not proof.holds


def test_a_function_sees_its_engine_where_it_asks_for_no_type(shop: Project) -> None:
    """A real difference between DuckDB and pandas: what is not annotated is the engine's own table."""
    shop.write(
        "steps/code.py",
        """
        import pandas as pd

        def kinds(raw):
            return pd.DataFrame({"kind": [type(raw).__name__]})
        """,
    )
    kinds = {"name": "kinds", "layer": "gold", "function": "steps.code:kinds", "inputs": ["raw"]}
    (found,) = one(shop, [READ, kinds], engines=["pandas"]).differences
    assert sum(map(len, found.inputs.values())) == 0  # it takes no row to see it
    assert [rows_of(answer) for answer in found.answers.values()] == [  # type: ignore[arg-type]
        [("DuckDBPyRelation",)], [("DataFrame",)],
    ]  # fmt: skip


def test_a_script_that_makes_several_tables_is_one_step(shop: Project, other_engine: Register) -> None:
    other_engine("default_collation = 'NOCASE'")
    script = {
        "name": "both", "layer": "gold",
        "sql": "CREATE TABLE a AS SELECT id FROM raw; CREATE TABLE b AS SELECT DISTINCT name FROM raw",
        "outputs": {"a": "ids", "b": "names"},
    }  # fmt: skip
    step = one(shop, [READ, script])
    assert step.verdict is Verdict.DIFFERENT
    assert len(step.differences) == 1
    assert step.trials > 8


def test_engines_are_those_that_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    assert named(["pandas", "duckdb", "pandas"]) == (("duckdb", "pandas"), {})
    with pytest.raises(Permanent, match=r"unknown engine 'panda'.*did you mean 'pandas'"):
        named(["panda"])
    with pytest.raises(Permanent, match=r"no engine to hold DuckDB against.*--engines"):
        named(["duckdb"])
    monkeypatch.setitem(sys.modules, "pyspark", None)
    assert named([]) == (
        ("duckdb", "pandas"),
        {"spark": "pyspark is not installed: pip install 'odibi[spark]'"},
    )
    with pytest.raises(MissingExtra, match=r"pip install 'odibi\[spark\]'"):
        named(["spark"])


def test_an_engine_that_cannot_start_is_told_before_anything_is_tried(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(database: object) -> object:
        raise Permanent("Spark needs Java", hint="install one")

    monkeypatch.setattr(ENGINES, "_things", {**ENGINES._things, "spark": broken})
    told: list[Any] = []
    with pytest.raises(Permanent, match=r"'spark' cannot be used: Spark needs Java \(install one\)"):
        proved(shop, [READ], engines=["spark"], told=told.append)
    assert told == []
    proof = proved(shop, [READ], engines=[])  # of those that are installed it is only left out
    assert (proof.engines, proof.absent["spark"]) == (("duckdb", "pandas"), "Spark needs Java (install one)")


def test_a_step_is_where_its_code_stands(shop: Project, other_engine: Register) -> None:
    other_engine()
    shop.write("steps/total.sql", "SELECT count(*) AS n FROM raw")
    shop.write("steps/code.py", "import pandas as pd\n\ndef same(raw: pd.DataFrame):\n    return raw\n")
    sql = {"name": "n", "layer": "gold", "sql": "steps/total.sql"}
    function = {"name": "f", "layer": "gold", "function": "steps.code:same", "inputs": ["raw"]}
    steps = proved(shop, [READ, sql, function], "n", "f").steps
    assert [step.where for step in steps] == ["steps/total.sql:1", "steps/code.py:3"]


def test_the_seed_decides_what_is_tried(shop: Project, other_engine: Register) -> None:
    other_engine("default_collation = 'NOCASE'")

    def found(seed: int) -> object:
        (step,) = proved(shop, [READ, CLEAN, TOTAL], "total", seed=seed).steps
        return {name: rows_of(table) for name, table in step.differences[0].inputs.items()}

    assert found(3) == found(3)
