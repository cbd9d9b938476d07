"""How fast odibi is, against scripts written by hand, on this machine and in the same minutes.

Three measurements, each of cold processes: ``medallion`` runs 22 TPC-H-like models with odibi and with
tpch/by_hand.py in turn and compares their tables, ``steps`` runs 1,000 one-row steps with odibi and with
steps_by_hand.py, ``startup`` times commands that should answer at once. All figures are medians. Nothing
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
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = HERE / "data"
ODIBI = [sys.executable, "-m", "odibi"]


class Measure(NamedTuple):
    """Wall time and peak resident memory of one process."""

    seconds: float
    megabytes: float


class Row(NamedTuple):
    """A line of the printed table; None leaves a cell empty."""

    what: str
    odibi: float
    by_hand: float | None
    compared: float | None  # a ratio, or a difference where the unit says so
    target: float | None


def timed(command: list[str], scratch: Path, env: dict[str, str] | None = None) -> Measure:
    """Run a command to its end. Stops everything with the end of its output if it fails."""
    log = scratch / "output.log"
    full = {**os.environ, "NO_COLOR": "1", "ODIBI_HOME": str(scratch / "home"), **(env or {})}
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=full, stdout=output, stderr=subprocess.STDOUT)
        # This process imports no engine, because Linux lets a child's peak begin at its parent's.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = log.read_text(errors="replace").splitlines()[-20:]
        sys.exit("\n".join([f"failed with {process.returncode}: {' '.join(command)}", *tail]))
    return Measure(seconds, usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024))


def in_turn(repeat: int, scratch: Path, *runs: Callable[[Path], Measure]) -> list[Measure]:
    """The medians of each run, measured in turn ``repeat`` times, each time in a clean folder."""
    measures: list[list[Measure]] = [[] for _ in runs]
    for _ in range(repeat):
        for run, found in zip(runs, measures, strict=True):
            folder = scratch / run.__name__
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            found.append(run(folder))
    return [
        Measure(median(m.seconds for m in found), median(m.megabytes for m in found)) for found in measures
    ]


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
    pipeline = [*ODIBI, "run", "tests/benchmarks/tpch/tpch.yaml"]
    script = [sys.executable, str(HERE / "tpch/by_hand.py"), str(data)]

    def odibi(folder: Path) -> Measure:
        return timed(pipeline, folder, {"TPCH_DATA": str(data), "TPCH_LAKE": str(folder / "lake")})

    def by_hand(folder: Path) -> Measure:
        return timed([*script, str(folder / "lake"), *(["--delta"] if args.delta else [])], folder)

    ours, theirs = in_turn(args.repeat, scratch, odibi, by_hand)
    lakes = [str(scratch / name / "lake") for name in ("odibi", "by_hand")]
    compared = subprocess.run([sys.executable, HERE / "tpch/compare.py", *lakes], check=False)
    yield Row("wall time [s]", ours.seconds, theirs.seconds, ours.seconds / theirs.seconds, 1.10)
    yield Row("peak memory [MB]", ours.megabytes, theirs.megabytes, ours.megabytes / theirs.megabytes, 1.10)
    if compared.returncode:
        args.failed = True


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


MEASUREMENTS = {"medallion": medallion, "steps": steps, "startup": startup}


def show(title: str, rows: list[Row]) -> None:
    def cell(value: float | None) -> str:
        return f"{'' if value is None else f'{value:.2f}':>10}"

    print(f"\n{title:<42}{'odibi':>10}{'by hand':>10}{'compared':>10}{'target':>10}")
    for row in rows:
        print(f"  {row.what:<40}{''.join(cell(value) for value in row[1:])}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sf", default="0.1", help="TPC-H scale factor (default 0.1; 1 is 1 GB of CSV)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of medallion and steps (default 3)")
    parser.add_argument("--steps", type=int, default=1000, help="how many one-row steps (default 1000)")
    parser.add_argument("--delta", action="store_true", help="commit by_hand.py's tables to Delta too")
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="which measurements (default: all)")
    args = parser.parse_args(namespace=argparse.Namespace(failed=False))
    wanted = args.only.split(",")
    if unknown := set(wanted) - set(MEASUREMENTS):
        parser.error(f"--only knows {', '.join(MEASUREMENTS)}, not {', '.join(sorted(unknown))}")
    libraries = " ".join(f"{name} {version(name)}" for name in ("duckdb", "deltalake"))
    print(f"{libraries}, Python {platform.python_version()}, {os.cpu_count()} cores")
    titles = {
        "medallion": f"TPC-H medallion SF {args.sf}, by hand to {'Delta' if args.delta else 'Parquet'}",
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
