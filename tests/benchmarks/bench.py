"""How fast odibi is, against scripts written by hand, on this machine and in the same minutes.

Six measurements, each of cold processes, all figures medians:

- ``medallion`` runs 22 TPC-H-like models with odibi and with tpch/by_hand*.py in turn and compares their tables;
- ``merge`` merges 250,000 changes into a table of 2,000,000 rows, against merge/merge_by_hand.py, and compares them;
- ``checks`` writes 6,000,000 rows with and without checks; what they cost is a share of the time without them,
  start-up aside;
- ``telling`` runs the medallion and 1,000 one-row steps with all that tells of a run (story, lineage, OpenLineage,
  metrics, log, a hook for each event) and with nothing of it;
- ``steps`` runs 1,000 one-row steps with odibi and with steps_by_hand.py;
- ``startup`` times commands that should answer at once.

``--engine`` runs the first two on another engine, against a script for that engine: on pandas and Spark both
sides write Delta tables; on Spark both count the start of the session and the memory of the JVM. Nothing
fails for being slow; the exit code is 1 if a command fails or the tables differ.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from process import Measure, in_turn, timed

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
ODIBI = [sys.executable, "-m", "odibi"]
BY_HAND = {"duckdb": "by_hand.py", "pandas": "by_hand_pandas.py", "spark": "by_hand_spark.py"}


class Row(NamedTuple):
    """A line of the printed table; None leaves a cell empty."""

    what: str
    odibi: float
    by_hand: float | None
    compared: float | None  # a ratio, or a difference where the unit says so
    target: float | None


def tpch(sf: str) -> Path:
    """The folder with the TPC-H tables of a scale factor as CSV, made the first time."""
    folder = DATA / f"sf{sf}"
    if not folder.exists():
        generator = Path(sys.executable).with_name("tpchgen-cli")
        partial = Path(tempfile.mkdtemp(dir=DATA))
        subprocess.run([generator, "csv", "-s", sf, "-q", f"--output-dir={partial}"], check=True)
        partial.rename(folder)
    return folder


def medallion(args: argparse.Namespace, scratch: Path) -> Iterator[Row]:
    data = tpch(args.sf)
    pipeline = [*ODIBI, "run", "tests/benchmarks/tpch/tpch.yaml", "--engine", args.engine]
    script = [sys.executable, str(HERE / "tpch" / BY_HAND[args.engine]), str(data)]

    def odibi(folder: Path) -> Measure:
        return timed(pipeline, folder, {"TPCH_DATA": str(data), "TPCH_LAKE": str(folder / "lake")})

    def by_hand(folder: Path) -> Measure:
        return timed([*script, str(folder / "lake"), *(["--delta"] if args.delta else [])], folder)

    ours, theirs = in_turn(args.repeat, scratch, odibi, by_hand)
    yield from ratios(ours, theirs)
    compare(args, scratch / "odibi/lake", scratch / "by_hand/lake")


def merge(args: argparse.Namespace, scratch: Path) -> Iterator[Row]:
    data = scratch / "data"
    data.mkdir()
    script = [sys.executable, str(HERE / "merge/merge_by_hand.py")]
    subprocess.run([*script, "make", data], check=True)
    pipeline = [*ODIBI, "run", "tests/benchmarks/merge/merge.yaml"]
    env = {"MERGE_DATA": str(data), "MERGE_LAKE": str(scratch / "lake")}
    timed([*pipeline, "--date", "2026-01-01"], scratch, env)  # the table that is there, for both

    def odibi(folder: Path) -> Measure:
        shutil.copytree(scratch / "lake", folder / "lake")
        command = [*pipeline, "--date", "2026-01-02", "--engine", args.engine]
        return timed(command, folder, {**env, "MERGE_LAKE": str(folder / "lake")})

    def by_hand(folder: Path) -> Measure:
        shutil.copytree(scratch / "lake", folder / "lake")
        changes, table = str(data / "2026-01-02.parquet"), str(folder / "lake/silver/orders")
        return timed([*script, args.engine, changes, table], folder)

    ours, theirs = in_turn(args.repeat, scratch, odibi, by_hand)
    yield from ratios(ours, theirs)
    compare(args, scratch / "odibi/lake", scratch / "by_hand/lake")


def ratios(ours: Measure, theirs: Measure) -> Iterator[Row]:
    yield Row("wall time [s]", ours.seconds, theirs.seconds, ours.seconds / theirs.seconds, 1.10)
    yield Row("peak memory [MB]", ours.megabytes, theirs.megabytes, ours.megabytes / theirs.megabytes, 1.10)


def compare(args: argparse.Namespace, *lakes: Path) -> None:
    """Print whether both lakes have the same tables, and remember if not."""
    compared = subprocess.run([sys.executable, HERE / "tpch/compare.py", *lakes], check=False)
    args.failed |= compared.returncode != 0


def many_steps(count: int, file: Path, *, linked: bool) -> Path:
    """Write a config of ``count`` one-row steps, alone or each reading one before it as in a tree."""
    lines = [
        "pipeline: many",
        "connections:",
        f"  lake: {{url: '{file.parent / 'lake'}', format: delta}}",
        "steps:",
    ]
    for number in range(count):
        query = f"select {number} as id, 'step {number}' as label"
        if linked and number:
            query = f"select id + 1 as id, label from step_{(number - 1) // 2}"
        lines += [
            f"  - name: step_{number}",
            "    layer: silver",
            f'    sql: "{query}"',
            "    write: {to: lake}",
        ]
    file.write_text("\n".join(lines) + "\n")
    return file


def steps(args: argparse.Namespace, scratch: Path) -> Iterator[Row]:
    def odibi(folder: Path, count: int = args.steps) -> Measure:
        config = many_steps(count, folder / "many.yaml", linked=False)
        return timed([*ODIBI, "run", str(config)], folder)

    def by_hand(folder: Path, count: int = args.steps) -> Measure:
        return timed(
            [sys.executable, str(HERE / "steps_by_hand.py"), str(count), str(folder / "lake")], folder
        )

    def odibi_one(folder: Path) -> Measure:
        return odibi(folder, 1)

    def by_hand_one(folder: Path) -> Measure:
        return by_hand(folder, 1)

    ours, theirs, our_one, their_one = in_turn(args.repeat, scratch, odibi, by_hand, odibi_one, by_hand_one)
    yield Row("wall time [s]", ours.seconds, theirs.seconds, ours.seconds / theirs.seconds, None)
    yield Row(
        "one step alone [s]", our_one.seconds, their_one.seconds, our_one.seconds / their_one.seconds, None
    )
    a, b = (1000 * m.seconds / args.steps for m in (ours, theirs))
    yield Row("per step, difference [ms]", a, b, a - b, 2.0)
    a, b = (
        1000 * (m.seconds - o.seconds) / (args.steps - 1) for m, o in ((ours, our_one), (theirs, their_one))
    )
    yield Row("same without start-up, difference [ms]", a, b, a - b, None)


def startup(args: argparse.Namespace, scratch: Path) -> Iterator[Row]:
    config = many_steps(args.steps, scratch / "many.yaml", linked=True)
    for what, command, target in (
        ("odibi --help [s]", ["--help"], 0.15),
        ("odibi validate configs/daily.yaml [s]", ["validate", "configs/daily.yaml"], 0.8),
        (f"odibi plan, {args.steps:,} steps [s]", ["plan", str(config)], 2.5),
    ):

        def odibi(folder: Path, command: list[str] = command) -> Measure:
            return timed([*ODIBI, *command], folder)

        (found,) = in_turn(5, scratch, odibi)
        yield Row(what, found.seconds, None, None, target)


ASKED = {
    "rows": "[{not_null: [id, customer, day]}, {between: {column: amount, min: 0, max: 20000}}, "
    "{accepted: {column: quantity, values: [" + ", ".join(map(str, range(100))) + "]}}, "
    "{matches: {column: customer, pattern: '^customer '}}, {expression: quantity >= 0 or amount > 0}]",
    "unique": "[{unique: id}]",
}
"""The checks of 6,000,000 rows, all of which keep them."""


def checks(args: argparse.Namespace, scratch: Path) -> Iterator[Row]:
    make = [sys.executable, str(HERE / "merge/merge_by_hand.py"), "make", str(scratch), "6000000"]
    subprocess.run(make, check=True)

    def run(folder: Path, asked: str) -> Measure:
        config = folder / "checks.yaml"
        config.write_text(
            f"pipeline: checks\nconnections:\n  in: {{url: '{scratch}'}}\n"
            f"  lake: {{url: '{folder / 'lake'}', format: delta}}\nsteps:\n  - name: rows\n    layer: bronze\n"
            f"    read: {{from: in, path: 2026-01-01.parquet}}\n    checks: {asked}\n    write: {{to: lake}}\n"
        )
        return timed([*ODIBI, "run", str(config)], folder)

    def without(folder: Path) -> Measure:
        return run(folder, "[]")

    def one_row(folder: Path) -> Measure:
        return timed([*ODIBI, "run", str(many_steps(1, folder / "many.yaml", linked=False))], folder)

    def with_rows(folder: Path) -> Measure:
        return run(folder, ASKED["rows"])

    def with_unique(folder: Path) -> Measure:
        return run(folder, ASKED["unique"])

    plain, start, rows, unique = in_turn(args.repeat, scratch, without, one_row, with_rows, with_unique)
    write = plain.seconds - start.seconds
    for what, found, target in (("row rules", rows, 0.15), ("a uniqueness rule", unique, 0.30)):
        cost = (found.seconds - plain.seconds) / write
        yield Row(f"{what}: with and without [s], share of write", found.seconds, plain.seconds, cost, target)


TOLD = """
logging: {format: json, file: FOLDER/run.log}
metrics: {file: FOLDER/metrics.json, prometheus: FOLDER/odibi.prom}
lineage: {openlineage: {file: FOLDER/events.ndjson}}
hooks:
  - {type: log, path: FOLDER/hooks.ndjson, on: [pipeline_start, pipeline_complete, node_start, node_complete, layer_complete]}
"""
"""All who can be told of a run; its story and lineage are on where nothing is said."""


def telling(args: argparse.Namespace, scratch: Path) -> Iterator[Row]:
    data, bench = tpch(args.sf), HERE / "tpch"

    def run(folder: Path, config: str, *, told: bool) -> Measure:
        file = folder / "config.yaml"
        added = TOLD.replace("FOLDER", str(folder)) if told else "\nenable_tracker: false\n"
        file.write_text(config + added)
        return timed(
            [*ODIBI, "run", str(file)], folder, {"TPCH_DATA": str(data), "TPCH_LAKE": str(folder / "lake")}
        )

    medallion = (bench / "tpch.yaml").read_text()
    for layer in ("silver", "gold"):
        medallion = medallion.replace(f"sql: tests/benchmarks/tpch/{layer}", f"sql: {bench / layer}")

    def tables_told(folder: Path) -> Measure:
        return run(folder, medallion, told=True)

    def tables_silent(folder: Path) -> Measure:
        return run(folder, medallion, told=False)

    def steps_told(folder: Path) -> Measure:
        return run(folder, many_steps(args.steps, folder / "many.yaml", linked=False).read_text(), told=True)

    def steps_silent(folder: Path) -> Measure:
        return run(folder, many_steps(args.steps, folder / "many.yaml", linked=False).read_text(), told=False)

    told, silent, each_told, each_silent = in_turn(
        args.repeat, scratch, tables_told, tables_silent, steps_told, steps_silent
    )
    share = told.seconds / silent.seconds - 1
    yield Row("medallion: told and not [s], share", told.seconds, silent.seconds, share, 0.03)
    a, b = (1000 * m.seconds / args.steps for m in (each_told, each_silent))
    yield Row("per step, difference [ms]", a, b, a - b, 2.0)


MEASUREMENTS = {
    "medallion": medallion, "merge": merge, "checks": checks, "telling": telling, "steps": steps, "startup": startup,
}  # fmt: skip
OF_ENGINES = ("medallion", "merge")


def show(title: str, rows: list[Row]) -> None:
    def cell(value: float | None) -> str:
        return f"{'' if value is None else f'{value:.2f}':>10}"

    print(f"\n{title:<54}{'odibi':>10}{'by hand':>10}{'compared':>10}{'target':>10}")
    for row in rows:
        print(f"  {row.what:<52}{''.join(cell(value) for value in row[1:])}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=BY_HAND, default="duckdb", help="of medallion and merge")
    parser.add_argument("--sf", default="0.1", help="TPC-H scale factor (default 0.1; 1 is 1 GB of CSV)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of all but startup (default 3)")
    parser.add_argument("--steps", type=int, default=1000, help="how many one-row steps (default 1000)")
    parser.add_argument("--delta", action="store_true", help="commit by_hand.py's tables to Delta too")
    parser.add_argument("--only", help="which measurements (default: all that depend on the engine, or all)")
    args = parser.parse_args(namespace=argparse.Namespace(failed=False))
    wanted = args.only.split(",") if args.only else MEASUREMENTS if args.engine == "duckdb" else OF_ENGINES
    if unknown := set(wanted) - set(MEASUREMENTS):
        parser.error(f"--only knows {', '.join(MEASUREMENTS)}, not {', '.join(sorted(unknown))}")
    used = {"duckdb": (), "pandas": ("pandas",), "spark": ("pyspark", "delta-spark")}[args.engine]
    libraries = " ".join(f"{name} {version(name)}" for name in ("duckdb", "deltalake", *used))
    print(f"{libraries}, Python {platform.python_version()}, {os.cpu_count()} cores")
    written = "Parquet" if args.engine == "duckdb" and not args.delta else "Delta"
    titles = {
        "medallion": f"TPC-H medallion SF {args.sf} on {args.engine}, by hand to {written}",
        "merge": f"merge of 250,000 into 2,000,000 rows on {args.engine}",
        "checks": "checks of 6,000,000 rows that are written (by hand: without them)",
        "telling": f"what it costs to tell: medallion SF {args.sf}, {args.steps:,} steps (by hand: nothing told)",
        "steps": f"{args.steps:,} one-row steps",
        "startup": "start-up",
    }
    DATA.mkdir(exist_ok=True)
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="work-", dir=DATA) as scratch:
            show(titles[name], list(MEASUREMENTS[name](args, Path(scratch))))
    return 1 if args.failed else 0


if __name__ == "__main__":
    sys.exit(main())
