"""Delta tables in object stores, through the command line: every write mode, equal to what a disk holds.

The stores are real servers: S3's protocol by moto, Azure's by Microsoft's Azurite. The project has no
folder for tables, only for what comes in and for odibi's own files.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from odibi.errors import Permanent
from odibi.places import Url
from odibi.stores import delta_options
from tests import services
from tests.flow.helpers import odibi as command
from tests.flow.helpers import start

ENGINES = ("duckdb", "pandas")

PATIENCE = 900.0
"""Seconds for a command: a busy machine is no failure."""

odibi = partial(command, timeout=PATIENCE)


@dataclass(frozen=True)
class Store:
    """Where tables are: a url, the options of its connection, what the environment must hold for those."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def resolved(self) -> dict[str, Any]:
        text = json.dumps(dict(self.options))
        for name, value in self.environ.items():
            text = text.replace(f"${{env:{name}}}", value)
        found: dict[str, Any] = json.loads(text)
        return found

    def below(self, name: str) -> Store:
        return Store(f"{self.url}/{name}", self.options, self.environ)

    def system(self) -> tuple[Any, str]:
        found, path = fsspec.core.url_to_fs(self.url, **self.resolved)
        found.invalidate_cache()
        return found, path

    def files(self, name: str = "") -> list[str]:
        """Every file below, as paths from here."""
        system, path = self.system()
        return sorted(each[len(path) + 1 :] for each in system.find(f"{path}/{name}".rstrip("/")))

    def storage(self) -> dict[str, str] | None:
        return delta_options(Url(self.url, self.resolved)) if self.options else None

    def table(self, name: str) -> DeltaTable:
        return DeltaTable(f"{self.url}/{name}", storage_options=self.storage())

    def rows(self, name: str, *columns: str) -> list[tuple[Any, ...]]:
        table = pa.table(self.table(name).scan())
        return sorted(
            (tuple(row[c] for c in columns or table.column_names) for row in table.to_pylist()), key=repr
        )


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    with services.s3() as endpoint:
        options = {
            "key": "${env:LAKE_KEY}",
            "secret": "${env:LAKE_SECRET}",
            "endpoint_url": endpoint,
            "client_kwargs": {"region_name": "eu-west-1"},
        }
        store = Store("s3://lake", options, {"LAKE_KEY": "AKIA-TEST", "LAKE_SECRET": "s3-S3NT1NEL"})
        store.system()[0].mkdir("lake")
        yield store


@pytest.fixture(scope="module")
def azure() -> Iterator[Store]:
    with services.azurite() as connection:
        url = f"abfss://lake@{services.ACCOUNT}.dfs.core.windows.net"
        store = Store(url, {"connection_string": "${env:LAKE_CONNECTION}"}, {"LAKE_CONNECTION": connection})
        store.system()[0].mkdir("lake")
        _refuse_old(store)
        yield store


def _refuse_old(store: Store) -> None:
    """Skips the tests, loudly, where Azurite lists from the beginning whatever ``startFrom`` says."""
    for _ in range(3):
        try:
            rows = pa.table({"a": [1]})
            write_deltalake(f"{store.url}/tried", rows, mode="append", storage_options=store.storage())
        except DeltaError as error:
            if "Invalid table version" not in str(error):
                raise
            pytest.skip("AZURITE IS TOO OLD FOR DELTA: npm install --prefix tests/.azurite azurite@3.37.0")


@pytest.fixture(params=["s3", "azure"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    found: Store = request.getfixturevalue(request.param)
    return found.below(f"{tmp_path.name} a")  # with a space: names are spelled in many ways


CONFIG = """
pipeline: shop
engine: {engine}
connections: {{lake: {{url: "{url}", format: delta, options: {options}}}}}
steps:
  - name: changes
    layer: bronze
    read: {{path: "in/{{{{ date }}}}.csv", schema: {{id: BIGINT, at: BIGINT, op: VARCHAR, city: VARCHAR}}}}
    checks: [{{between: {{column: at, min: 1, max: 99, on_fail: quarantine}}}}]
    write: {{to: lake, mode: append}}
  - name: landed
    layer: bronze
    read: {{path: "in/*.csv", files: new, schema: {{id: BIGINT, at: BIGINT, op: VARCHAR, city: VARCHAR}}}}
    write: {{to: lake, mode: append, partition_by: [op]}}
  - name: day_changes
    layer: silver
    sql: SELECT id, at, op, city FROM changes WHERE _logical_date = DATE '{{{{ date }}}}'
  - name: customers
    layer: silver
    inputs: [day_changes]
    transform: [{{derive: {{city: upper(city)}}}}]
    write: {{to: lake, mode: merge, keys: [id], sequence_by: at, delete_when: "op = 'D'", exclude: [op]}}
  - name: history
    layer: silver
    inputs: [day_changes]
    transform: [{{derive: {{city: upper(city)}}}}]
    write: {{to: lake, mode: scd2, keys: [id], sequence_by: at, delete_when: "op = 'D'", exclude: [op, at]}}
  - name: seen
    layer: silver
    inputs: [{{from: changes, rows: new}}]
    transform: [{{select: [id, at, city]}}]
    write: {{to: lake, mode: append}}
  - name: day
    layer: silver
    sql: SELECT DATE '{{{{ date }}}}' AS day, id, city FROM day_changes
    write: {{to: lake, mode: replace_partitions, partition_by: [day]}}
  - name: window_rows
    layer: silver
    sql: SELECT DATE '{{{{ date }}}}' AS day, id FROM day_changes
    write: {{to: lake, mode: replace_where, where: "day = DATE '{{{{ date }}}}'"}}
  - name: by_city
    layer: gold
    sql: SELECT city, count(*) AS customers FROM customers GROUP BY city
    write: {{to: lake}}
  - name: published
    layer: gold
    sql: SELECT * FROM by_city
    write: {{to: lake, formats: [delta, csv]}}
"""
DAYS = {
    "2024-01-01": "1,10,U,oslo\n2,10,U,rome\n3,11,U,bonn\n9,100,U,nowhere\n",
    "2024-01-02": "1,20,U,paris\n2,21,D,\n",
    "2024-01-03": "3,30,U,bonn\n4,30,U,oslo é%\n1,31,U,oslo\n9,101,U,nowhere\n",
}
TABLES = {
    "bronze/changes": ("id", "at", "op", "city", "_logical_date"),
    "bronze/changes_quarantine": ("id", "at", "op", "city", "_odibi_date"),
    "bronze/landed": ("id", "at", "op", "city", "_logical_date"),
    "silver/customers": ("id", "at", "city"),
    "silver/history": ("id", "city", "valid_from", "valid_to", "is_current"),
    "silver/seen": ("id", "at", "city", "_logical_date"),
    "silver/day": ("day", "id", "city"),
    "silver/window_rows": ("day", "id"),
    "gold/by_city": ("city", "customers"),
    "gold/published": ("city", "customers"),
}


def made(folder: Path, store: Store, engine: str = "duckdb", config: str = CONFIG) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    given = {"engine": engine, "url": store.url, "options": json.dumps(dict(store.options))}
    (folder / "c.yaml").write_text(config.format(**given), encoding="utf-8")
    return folder


def come(folder: Path, day: str) -> None:
    """The file of a day comes in."""
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / f"{day}.csv").write_text(f"id,at,op,city\n{DAYS[day]}", encoding="utf-8")


def run(
    folder: Path, store: Store, day: str, *more: str, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    done = odibi(
        "run",
        "c.yaml",
        "--date",
        day,
        "--output",
        "json",
        *more,
        cwd=folder,
        env={**store.environ, **(env or {})},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "S3NT1NEL" not in done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def held(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    return {name: store.rows(name, *columns) for name, columns in TABLES.items()}


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """What the three days make of tables on a disk."""
    folder = tmp_path_factory.mktemp("disk")
    local = Store(str(folder / "lake"))
    made(folder, local)
    for day in DAYS:
        come(folder, day)
        run(folder, local, day)
    found = held(local)
    assert {name: len(found[name]) for name in list(found)[:2]} == {
        "bronze/changes": 8,
        "bronze/changes_quarantine": 2,
    }
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_three_days_in_a_store_are_what_they_are_on_a_disk(
    tmp_path: Path, store: Store, engine: str, on_disk: Mapping[str, list[tuple[Any, ...]]]
) -> None:
    made(tmp_path, store, engine)
    for day in DAYS:
        come(tmp_path, day)
        run(tmp_path, store, day)
    assert held(store) == on_disk
    assert not [name for name in store.files() if "_staging" in name]
    versions = {name: store.table(name).version() for name in TABLES}
    again = run(tmp_path, store, "2024-01-03")
    assert {name: store.table(name).version() for name in TABLES} == versions
    assert set(again["steps"]) <= {"reused", "skipped"}, again


@pytest.mark.xdist_group("spark")
def test_spark_stages_and_reads_by_hadoops_own_connector(
    tmp_path: Path, s3: Store, needs_spark: None, on_disk: Mapping[str, list[tuple[Any, ...]]]
) -> None:
    from odibi.engines.jars import connector_jars

    try:
        connector_jars(["s3"])
    except Permanent as error:
        pytest.skip(f"SPARK HAS NO CONNECTOR FOR S3: {error}")
    store = s3.below("by spark")
    made(tmp_path, store, "spark")
    for day, engine in zip(DAYS, ("spark", "duckdb", "spark"), strict=True):
        come(tmp_path, day)
        run(tmp_path, store, day, "--engine", engine)
    assert held(store) == on_disk
    assert any("part-00000-" in name for name in store.files("silver/customers/parts"))  # Spark's own name
    assert not [name for name in store.files() if "_temporary" in name or "_SUCCESS" in name]


def orphans(store: Store) -> list[str]:
    """Files of tables that no version names."""
    system, root = store.system()
    found = store.files()
    logs = [name for name in found if re.search(r"/_delta_log/\d{20}\.json$", name)]
    known = {name for name in found if "/_delta_log/" in name or name.endswith(".csv")}
    for log in logs:
        table = log.partition("/_delta_log/")[0]
        for line in system.cat_file(f"{root}/{log}").decode().splitlines():
            action = json.loads(line)
            if "add" in action:
                known.add(f"{table}/{unquote(action['add']['path'])}")
            note = json.loads(action.get("commitInfo", {}).get("odibi", "{}"))
            known |= {f"{table}/{name}" for name in note.get("beside", ())}
            for each in note.get("consumed", {}).values():
                known |= {f"{table}/{name}" for one in each.values() for name in one.get("ledger", ())}
    return sorted(set(found) - known)


KILLS = (
    "before intent: {0}/silver/customers #1",
    "after staging: silver/customers/parts #1",
    "before commit: {0}/silver/customers #1",
    "after commit: {0}/silver/customers #1",
    "before creation: {0}/silver/day #1",
    "before commit: {0}/gold/by_city #1",
    "before removal of intents #1",
)


def test_a_run_that_is_killed_and_resumed_leaves_what_one_does_that_is_not(
    tmp_path: Path, s3: Store, on_disk: Mapping[str, list[tuple[Any, ...]]]
) -> None:
    store = s3.below("killed")
    made(tmp_path, store)
    first, second, third = DAYS
    come(tmp_path, first)
    run(tmp_path, store, first)
    come(tmp_path, second)
    died = 0
    for kill in KILLS:
        dead = odibi(
            "run", "c.yaml", "--date", second, cwd=tmp_path,
            env={**store.environ, "ODIBI_CHAOS": f"kill {kill.format('killed')}"},
        )  # fmt: skip
        died += dead.returncode == -signal.SIGKILL
    assert died >= 4  # what was committed by one is not done again by the next, which so does not die there
    run(tmp_path, store, second, "--resume")
    come(tmp_path, third)
    run(tmp_path, store, third)
    assert held(store) == on_disk
    assert orphans(store) == []
    assert "S3NT1NEL" not in "".join(p.read_text(errors="replace") for p in tmp_path.rglob("*.jsonl"))


def test_a_run_on_another_machine_goes_on_where_one_has_died(tmp_path: Path, azure: Store) -> None:
    store = azure.below("moved")
    made(tmp_path, store)
    come(tmp_path, "2024-01-01")
    kill = "kill after creation: moved/silver/customers #1"
    dead = odibi(
        "run", "c.yaml", "--date", "2024-01-01", cwd=tmp_path, env={**store.environ, "ODIBI_CHAOS": kill}
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    version = store.table("silver/customers").version()
    run(tmp_path, store, "2024-01-01", env={"ODIBI_HOME": str(tmp_path / "other machine")})
    assert store.table("silver/customers").version() == version  # what it had committed is not done again
    assert store.rows("silver/customers", "id") == [(1,), (2,), (3,)]
    assert [name for name in store.files() if "/_staging/" in name]  # notes that may be of a living run
    run(tmp_path, store, "2024-01-01")  # the first machine knows that it is dead
    assert orphans(store) == []


def test_two_runs_at_once_lose_nothing(
    tmp_path: Path, store: Store, on_disk: Mapping[str, list[tuple[Any, ...]]]
) -> None:
    made(tmp_path, store)
    come(tmp_path, "2024-01-01")
    run(tmp_path, store, "2024-01-01")
    come(tmp_path, "2024-01-02")
    come(tmp_path, "2024-01-03")
    both = [
        start("run", "c.yaml", "--date", day, cwd=tmp_path, env=store.environ)
        for day in ("2024-01-02", "2024-01-03")
    ]
    for process in both:
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, out + err
    found = held(store)
    for name in ("bronze/changes", "bronze/changes_quarantine", "silver/customers", "silver/history"):
        assert found[name] == on_disk[name], name
    assert sorted(row[:4] for row in found["bronze/landed"]) == sorted(
        row[:4] for row in on_disk["bronze/landed"]
    )
    assert found["silver/day"] == on_disk["silver/day"]


def test_what_somebody_else_commits_is_noticed(tmp_path: Path, store: Store) -> None:
    made(tmp_path, store)
    come(tmp_path, "2024-01-01")
    run(tmp_path, store, "2024-01-01")
    mine = store.rows("gold/by_city")
    write_deltalake(
        f"{store.url}/gold/by_city",
        pa.table({"city": ["LIMA"], "customers": pa.array([9], pa.int64())}),
        mode="append",
        storage_options=store.storage(),
    )
    assert store.rows("gold/by_city") != mine
    run(tmp_path, store, "2024-01-01")
    assert store.rows("gold/by_city") == mine


def test_tables_are_looked_at_and_tended(tmp_path: Path, store: Store) -> None:
    made(tmp_path, store)

    def say(*args: str) -> str:
        done = odibi(*args, cwd=tmp_path, env=store.environ)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "S3NT1NEL" not in done.stdout + done.stderr
        return done.stdout

    for day in list(DAYS)[:2]:
        come(tmp_path, day)
        run(tmp_path, store, day)
    before = store.rows("silver/customers")
    assert [entry["version"] for entry in json.loads(say("history", "customers", "--output", "json"))][
        -1
    ] == 0
    assert "PARIS" in say("show", "customers")
    assert "PARIS" in say("query", "SELECT city FROM silver.customers")
    assert "shop" in say("status")
    assert "2024-01-02.csv" in say("why", "customers", "--where", "id = 1")
    assert "PARIS" in say("diff", "--table", "customers")
    say("optimize")
    assert store.rows("silver/customers") == before
    again = run(tmp_path, store, "2024-01-02")
    assert set(again["steps"]) <= {"reused", "skipped"}  # compaction changed no rows
    gone = json.loads(say("vacuum", "--hours", "0", "--force", "--output", "json"))
    assert gone["customers"]
    assert store.rows("silver/customers") == before
    assert store.rows("bronze/changes", "id") == [(1,), (1,), (2,), (2,), (3,)]
    version = store.table("gold/by_city").version()
    say("rollback", "changes", "--to-version", str(store.table("bronze/changes").version() - 1))
    run(tmp_path, store, "2024-01-02")
    assert store.rows("bronze/changes", "id") == [(1,), (1,), (2,), (2,), (3,)]
    assert store.table("gold/by_city").version() >= version


SMALL = """
pipeline: small
connections: {{lake: {{url: "{url}", format: delta, options: {options}}}}}
steps:
  - {{name: a, layer: bronze, read: {{path: in.csv}}, write: {{to: lake}}}}
  - {{name: b, layer: silver, sql: "select * from a", write: {{to: lake, mode: append}}}}
"""


def refused(folder: Path, store: Store, env: Mapping[str, str] | None = None) -> str:
    """What a run of two small steps says that cannot succeed."""
    made(folder, store, config=SMALL)
    (folder / "in.csv").write_text("a\n1\n")
    done = odibi("run", "c.yaml", "--date", "2024-01-01", cwd=folder, env={**store.environ, **(env or {})})
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "S3NT1NEL" not in done.stdout + done.stderr
    return done.stderr


def test_a_bucket_that_is_not_there(tmp_path: Path, s3: Store) -> None:
    said = refused(tmp_path, Store("s3://nope", s3.options, s3.environ))
    assert said == "error: step 'a': cannot write s3://nope/bronze/a: The specified bucket does not exist\n"


def test_a_container_that_is_not_there(tmp_path: Path, azure: Store) -> None:
    nowhere = Store(azure.url.replace("lake@", "nope@"), azure.options, azure.environ)
    assert f"cannot reach {nowhere.url}/bronze/a: The specified container does not exist" in refused(
        tmp_path, nowhere
    )


def test_no_network(tmp_path: Path, s3: Store) -> None:
    said = refused(tmp_path, Store(s3.url, {**s3.options, "endpoint_url": "http://127.0.0.1:9"}, s3.environ))
    assert "c.yaml:5:" in said
    assert (
        'cannot reach s3://lake/bronze/a: Could not connect to the endpoint URL: "http://127.0.0.1:9/' in said
    )


def test_a_wrong_key(tmp_path: Path, azure: Store) -> None:
    key = azure.environ["LAKE_CONNECTION"].replace(services.ACCOUNT_KEY, "UzNOVDFORUw=")
    said = refused(tmp_path, Store(azure.url, azure.options, {"LAKE_CONNECTION": key}))
    assert f"cannot reach {azure.url}/bronze/a: Server failed to authenticate the request." in said


def test_an_option_that_there_is_not(tmp_path: Path, s3: Store) -> None:
    said = refused(tmp_path, Store(s3.url, {**s3.options, "endpoint_ulr": "http://127.0.0.1:9"}, s3.environ))
    assert "c.yaml:5:" in said
    assert "cannot reach s3://lake/bronze/a: it has no option 'endpoint_ulr'" in said


def test_an_extra_that_is_not_installed(tmp_path: Path, s3: Store) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without/s3fs.py").write_text("raise ImportError('it is not installed')\n")
    root = str(Path(__file__).parents[2])
    said = refused(tmp_path, s3, {"PYTHONPATH": f"{tmp_path / 'without'}:{root}"})
    assert "pip install 'odibi[aws]'" in said


def test_a_scheme_without_delta(tmp_path: Path) -> None:
    assert "there can be no Delta table at memory://" in refused(tmp_path, Store("memory://lake"))
