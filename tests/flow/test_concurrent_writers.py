"""Several processes write one Delta table at the same moment: no row is lost, none doubled.

Three runs of odibi, on engines of their own, and a writer that knows only the deltalake package merge into and
append to the same tables, with keys in common. Each opens the table, then waits until all have, so that
whoever commits second has read what is not there any more. The log tells in which order they came through in
the end; replayed in that order, one write after the other, the table must hold just these rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.flow.helpers import environment, project, start

Row = tuple[int, str]

SHARED = [1, 2, 3]
OWN = {"a": [10, 11], "b": [20, 21], "c": [30], "native": [40]}
KEYS = {writer: SHARED + own for writer, own in OWN.items()}
SEED: list[Row] = [(1, "seed"), (10, "seed"), (90, "seed")]

# Table by table, what each run does with it; the native writer merges.
MODES = {
    "created_in_turn": {"a": "merge", "b": "append", "c": "merge"},
    "created_at_once": {"a": "append", "b": "merge", "c": "merge"},
    "seeded_in_turn": {"a": "merge", "b": "append", "c": "merge"},
    "seeded_at_once": {"a": "append", "b": "merge", "c": "merge"},
}
TURNS = ["b", "a", "native", "c"]
"""Rows that were appended meanwhile are what a merge overlooks most easily."""

WRITE = {
    "merge": "{to: lake, path: %s, mode: merge, keys: [id]}",
    "append": "{to: lake, path: %s, mode: append, logical_date_column: null}",
}

GATE = """
import os
import time
from pathlib import Path


def pass_gate(table, after):
    # Go on when all four writers have opened the table, and it has that many commits.
    folder, log = Path("gates", table), Path("lake", table, "_delta_log")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 200
    while len(list(folder.iterdir())) < 4 or len(list(log.glob("*.json"))) < after:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{table}: {len(list(folder.iterdir()))} of 4 writers came")
        time.sleep(0.01)


def rows(changes, *, table: str, after: int):
    pass_gate(table, after)
    return changes
"""

NATIVE = """
import json
import sys

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from steps.gate import pass_gate

keys = json.loads(sys.argv[1])
rows = pa.table({"id": pa.array(keys, pa.int64()), "writer": ["native"] * len(keys)})
once = CommitProperties(custom_metadata={"native": "yes"}, max_commit_retries=0)
for name, after in json.loads(sys.argv[2]).items():
    path = f"lake/{name}"
    table = DeltaTable(path) if DeltaTable.is_deltatable(path) else None
    pass_gate(name, after)
    while True:
        try:
            if table is None:
                write_deltalake(path, rows, mode="error", commit_properties=once)
            else:
                merge = table.merge(rows, "t.id = s.id", "s", "t", commit_properties=once)
                merge.when_matched_update_all().when_not_matched_insert_all().execute()
            break
        except DeltaError:
            table = DeltaTable(path)
"""


def after(table: str, writer: str) -> int:
    """How many commits a writer waits for: its own, made of what it saw before, cannot be the next."""
    if table.endswith("at_once"):
        return 0
    return TURNS.index(writer) + table.startswith("seeded")


def config(writer: str, engine: str) -> str:
    lines = [
        f"pipeline: {writer}",
        f"engine: {engine}",
        "connections: {lake: {url: lake, format: delta}}",
        "steps:",
        "  - name: changes",
        "    layer: bronze",
        f"    read: {{path: in/{writer}.csv, schema: {{id: BIGINT, writer: VARCHAR}}}}",
    ]
    before = "changes"
    for table, modes in MODES.items():
        lines += [
            f"  - name: {table}",
            "    layer: silver",
            "    inputs: [changes]",
            "    function: steps.gate:rows",
            f"    params: {{table: {table}, after: {after(table, writer)}}}",
            f"    depends_on: [{before}]",
            f"    write: {WRITE[modes[writer]] % table}",
        ]
        before = table
    return "\n".join(lines) + "\n"


@pytest.fixture(
    params=[
        ("duckdb", "duckdb", "duckdb"),
        ("pandas", "pandas", "pandas"),
        pytest.param(("spark", "duckdb", "pandas"), marks=pytest.mark.xdist_group("spark")),
    ],
    ids="-".join,
)
def engines(request: pytest.FixtureRequest) -> dict[str, str]:
    if "spark" in request.param:
        request.getfixturevalue("needs_spark")
    return dict(zip("abc", request.param, strict=True))


def test_the_table_is_what_the_writes_make_one_after_the_other(
    engines: dict[str, str], tmp_path: Path
) -> None:
    files = {"steps/__init__.py": "", "steps/gate.py": GATE, "native.py": NATIVE}
    for writer, engine in engines.items():
        files[f"{writer}.yaml"] = config(writer, engine)
        files[f"in/{writer}.csv"] = "id,writer\n" + "".join(f"{key},{writer}\n" for key in KEYS[writer])
    project(tmp_path, files)
    for table in MODES:
        if table.startswith("seeded"):
            write_deltalake(str(tmp_path / "lake" / table), arrow(SEED))
    runs = [
        start("run", f"{writer}.yaml", cwd=tmp_path, env={"ODIBI_HOME": f"home-{writer}"})
        for writer in engines
    ]
    runs.append(native(tmp_path))
    try:
        said = [process.communicate(timeout=300) for process in runs]
    finally:
        for process in runs:
            process.kill()
    assert [process.returncode for process in runs] == [0, 0, 0, 0], said
    for table, modes in MODES.items():
        order = writers(tmp_path / "lake" / table)
        assert (order if table.endswith("in_turn") else sorted(order, key=TURNS.index)) == TURNS, table
        found = Counter(rows(tmp_path / "lake" / table))
        assert found == Counter(replayed(SEED if table.startswith("seeded") else [], order, modes)), table
        assert {key for keys in KEYS.values() for key in keys} <= {key for key, _ in found}, table


def arrow(rows: Iterable[Row]) -> pa.Table:
    ids, writers = zip(*rows, strict=True)
    return pa.table({"id": pa.array(ids, pa.int64()), "writer": pa.array(writers)})


def native(folder: Path) -> subprocess.Popen[str]:
    turns = {table: after(table, "native") for table in MODES}
    return subprocess.Popen(
        [sys.executable, "native.py", json.dumps(KEYS["native"]), json.dumps(turns)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def rows(table: Path) -> list[Row]:
    return [tuple(row.values()) for row in pa.table(DeltaTable(str(table)).scan()).to_pylist()]


def writers(table: Path) -> list[str]:
    """Who made the commits that brought rows, in the order of the log, but for the seed."""
    found = []
    for entry in sorted((table / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in entry.read_text("utf-8").splitlines()]
        (info,) = (action["commitInfo"] for action in actions if "commitInfo" in action)
        apps = [action["txn"]["appId"] for action in actions if "txn" in action]
        if apps:
            found.append(apps[0].split("/")[0])
        elif "native" in info:
            found.append("native")
        else:
            assert entry.stem.strip("0") == "", "only the seed was written by nobody else"
    return found


def replayed(table: list[Row], order: list[str], modes: dict[str, str]) -> list[Row]:
    """The rows after the writes of all, one after the other."""
    for writer in order:
        new = {key: (key, writer) for key in KEYS[writer]}
        if modes.get(writer) == "append":
            table = [*table, *new.values()]
        else:
            known = {key for key, _ in table}
            table = [new.get(key, (key, by)) for key, by in table]
            table += [row for key, row in new.items() if key not in known]
    return table
