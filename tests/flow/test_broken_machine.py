"""The machine fails, not the data: killed processes, full and read-only disks, two runs at once, closed pipes."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.flow.helpers import COMMAND, environment, odibi, project, start

DAY = "2026-01-05"
SHOP = {
    "configs/shop.yaml": f"""
        pipeline: shop
        date: "{DAY}"
        connections: {{data: {{url: configs/data}}, lake: {{url: .odibi/lake}}}}
        steps:
          - {{name: raw_orders, layer: bronze, read: {{from: data, path: "orders-{{{{ date }}}}.csv"}},
             write: {{to: lake, mode: append}}}}
          - {{name: raw_prices, layer: bronze, read: {{from: data, path: prices.csv}}, write: {{to: lake}}}}
          - name: priced
            layer: silver
            inputs: [raw_orders, raw_prices]
            transform: [{{join: {{with: raw_prices, on: [product]}}}}, {{derive: {{total: quantity * price}}}}]
            write: {{to: lake, partition_by: [product]}}
          - {{name: handed_on, layer: silver, inputs: [priced], transform: [{{filter: total > 0}}]}}
          - {{name: by_product, layer: gold, write: {{to: lake, format: [delta, csv, parquet]}},
             sql: "SELECT product, count(*) AS n, sum(total) AS total FROM handed_on GROUP BY product"}}
          - {{name: by_day, layer: gold, write: {{to: lake}},
             sql: "SELECT _logical_date AS day, sum(total) AS total FROM priced GROUP BY ALL"}}
          - {{name: ranked, layer: gold, write: {{to: lake}},
             sql: "SELECT *, row_number() OVER (ORDER BY total DESC, product) AS place FROM by_product"}}
          - {{name: history, layer: gold, write: {{to: lake, mode: append}},
             sql: "SELECT sum(total) AS total FROM by_day"}}
    """
}


def put(folder: Path, number: int, day: str = DAY) -> None:
    """The source files, in the state that has that number."""
    orders = "".join(f"{day}-{i},p{i % 5},{(i * 7 + number) % 11}\n" for i in range(200 + number))
    prices = "".join(f"p{i},{i + number}.5\n" for i in range(5))
    data = folder / "configs/data"
    data.mkdir(parents=True, exist_ok=True)
    (data / f"orders-{day}.csv").write_text(f"order_id,product,quantity\n{orders}")
    (data / "prices.csv").write_text(f"product,price\n{prices}")


def tables(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every table of the lake and the text of every file in it, read without odibi."""
    lake = folder / ".odibi/lake"
    found: dict[str, list[tuple[Any, ...]]] = {}
    for log in lake.glob("*/*/_delta_log"):
        files = DeltaTable(str(log.parent)).file_uris()
        rows = duckdb.sql(f"SELECT * FROM read_parquet({files!r}, hive_partitioning=true)").fetchall()
        found[log.parent.name] = sorted(rows, key=str)
    for file in lake.glob("*/[!.]*.*"):
        rows = duckdb.sql(f"SELECT * FROM '{file}'").fetchall()
        found[file.name] = sorted(rows, key=str)
    return found


def orphans(folder: Path) -> list[str]:
    """Files that no table knows, and what runs should have taken away with them."""
    left = [*(folder / ".odibi/intents").iterdir(), *(folder / ".odibi/tmp").iterdir()]
    return [*orphans_of(folder / ".odibi/lake"), *map(str, left)]


def orphans_of(lake: Path) -> list[str]:
    """Files that no table of the lake knows."""
    known = set()
    for entry in lake.glob("*/*/_delta_log/*.json"):
        actions = [json.loads(line) for line in entry.read_text().splitlines()]
        known |= {entry.parents[1] / action["add"]["path"] for action in actions if "add" in action}
    parts = {file for file in lake.glob("*/*/**/*") if file.is_file() and file.parent.name != "_delta_log"}
    aside = {*lake.rglob(".*"), *lake.rglob("*#*")}
    unknown = parts - {Path(str(file).replace("%3D", "=")) for file in known}
    return sorted(str(file.relative_to(lake)) for file in {*unknown, *aside})


def assert_good(ended: CompletedProcess[str]) -> None:
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def yesterday(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after the run of the day before; tests work on copies."""
    folder = project(tmp_path_factory.mktemp("shop"), SHOP)
    put(folder, 0, "2026-01-04")
    assert_good(odibi("run", "--date", "2026-01-04", cwd=folder))
    return folder


@pytest.fixture(scope="module")
def undisturbed(
    yesterday: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[tuple[Any, ...]]]:
    """The tables after a run that nothing disturbed."""
    folder = shutil.copytree(yesterday, tmp_path_factory.mktemp("undisturbed") / "shop")
    put(folder, 0)
    assert_good(odibi("run", cwd=folder))
    assert orphans(folder) == []
    return tables(folder)


# --- killed --------------------------------------------------------------------------------------


def test_ten_times_killed_is_as_if_never(
    yesterday: Path, undisturbed: dict[str, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    """At random moments between the plan and the end, over files that change each time."""
    folder = shutil.copytree(yesterday, tmp_path / "shop")
    seconds, killed = 0.4, 0
    for number in range(10, 0, -1):
        put(folder, number)
        process = start("run", "--output", "json", cwd=folder)
        assert process.stdout is not None
        assert '"plan"' in process.stdout.readline()
        time.sleep(random.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        stdout, _ = process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        if '"end"' in stdout:
            seconds *= 0.7  # that was too late to hit anything
        assert tables(folder).keys() <= undisturbed.keys()
    assert killed >= 5
    put(folder, 0)
    assert_good(odibi("run", cwd=folder))
    assert tables(folder) == undisturbed
    assert orphans(folder) == []


# --- two at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(2))
def test_two_runs_at_once(
    attempt: int, yesterday: Path, undisturbed: dict[str, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    """One runs; the other says so, or runs after it. No row is there twice."""
    folder = shutil.copytree(yesterday, tmp_path / "shop")
    put(folder, 0)
    processes = [start("run", cwd=folder) for _ in range(2)]
    for process in processes:
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode in (0, 3), stderr
        assert "Traceback" not in stdout + stderr
        if process.returncode:
            assert "is being run by" in stderr
    assert 0 in {process.returncode for process in processes}
    assert tables(folder) == undisturbed
    assert orphans(folder) == []


def test_two_dates_at_once(
    yesterday: Path, undisturbed: dict[str, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    """Each date has its rows once; what sums them up knows of both after the next run at the latest."""
    folder = project(tmp_path, SHOP)
    put(folder, 0, "2026-01-04")
    put(folder, 0)
    processes = [start("run", "--date", day, cwd=folder) for day in ("2026-01-04", DAY)]
    for process in processes:
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stdout + stderr
    assert tables(folder)["raw_orders"] == undisturbed["raw_orders"]
    assert_good(odibi("run", cwd=folder))
    found, expected = tables(folder), dict(undisturbed)
    # The sum of a date is of what there was when its run came to it.
    assert len(found.pop("history")) == len(expected.pop("history")) == 2
    assert found == expected
    assert orphans(folder) == []


# --- what odibi knows is damaged -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut in half", "empty", "garbage"])
def test_a_damaged_run_store_costs_its_history_and_no_row(
    how: str, yesterday: Path, undisturbed: dict[str, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    folder = shutil.copytree(yesterday, tmp_path / "shop")
    put(folder, 0)
    state = folder / ".odibi/state.db"
    whole = state.read_bytes()
    state.write_bytes(
        {"cut in half": whole[: len(whole) // 2], "empty": b"", "garbage": os.urandom(9000)}[how]
    )
    ended = odibi("run", cwd=folder)
    assert_good(ended)
    if how != "empty":  # which SQLite takes for a new one
        said = r"odibi: run store \.odibi/state\.db: .+; it is kept as \.odibi/(state\.db\.damaged-\w+), a new one begins\n"
        told = re.fullmatch(said, ended.stderr)
        assert told is not None, ended.stderr
        assert (folder / ".odibi" / told[1]).is_file()
    assert tables(folder) == undisturbed
    assert orphans(folder) == []


def test_a_log_entry_that_is_cut_off_is_named(
    yesterday: Path, undisturbed: dict[str, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    folder = shutil.copytree(yesterday, tmp_path / "shop")
    put(folder, 0)
    assert_good(odibi("run", cwd=folder))
    entry = max((folder / ".odibi/lake/bronze/raw_orders/_delta_log").glob("*.json"))
    entry.write_bytes(entry.read_bytes()[: entry.stat().st_size // 2])
    ended = odibi("run", cwd=folder)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert f"is damaged: {entry.name} is not whole" in ended.stderr
    assert f"restore {entry.relative_to(folder)}; or remove it" in ended.stderr
    entry.unlink()
    assert_good(odibi("run", cwd=folder))
    assert tables(folder) == undisturbed


# --- clocks ----------------------------------------------------------------------------------------

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("CLOCK"), "r");
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += shift();
    return code;
}
int gettimeofday(struct timeval *now, void *zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int code = real(now, zone);
    now->tv_sec += shift();
    return code;
}
time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
"""


def test_a_clock_that_jumps(undisturbed: dict[str, list[tuple[Any, ...]]], tmp_path: Path) -> None:
    """Ten years ahead, back again, and to and fro while a run is under way."""
    if shutil.which("cc") is None:
        pytest.skip("NOT TESTED: a clock that jumps; there is no C compiler to make one")
    folder = project(tmp_path / "shop", SHOP)
    (tmp_path / "clock.c").write_text(CLOCK)
    command = ["cc", "-shared", "-fPIC", "-o", str(tmp_path / "clock.so"), str(tmp_path / "clock.c"), "-ldl"]
    subprocess.run(command, check=True)
    shift = tmp_path / "shift"
    env = {"LD_PRELOAD": str(tmp_path / "clock.so"), "CLOCK": str(shift)}
    years = 10 * 365 * 86_400
    shift.write_text(str(years))
    put(folder, 0, "2026-01-04")
    assert_good(odibi("run", "--date", "2026-01-04", cwd=folder, env=env))
    (story,) = (folder / ".odibi/stories/shop").glob("*.html")
    moved = datetime.now(UTC) + timedelta(seconds=years)
    assert f"{moved.year}-{moved.month:02}-" in story.read_text(), "the clock is not moved"
    put(folder, 1)
    shift.write_text("0")
    assert_good(odibi("run", cwd=folder, env=env))
    put(folder, 0)
    process = start("run", cwd=folder, env=env)
    while process.poll() is None:
        for seconds in (-years, years):
            shift.write_text(str(seconds))
            time.sleep(0.01)
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stdout + stderr
    assert tables(folder) == undisturbed
    for file in (folder / ".odibi").glob("state.db*"):
        file.unlink()  # and with it what was known of the clock that was ahead
    put(folder, 1)
    assert_good(odibi("run", cwd=folder))
    put(folder, 0)
    assert_good(odibi("run", cwd=folder))
    assert tables(folder) == undisturbed
    assert orphans(folder) == []


# --- disks ---------------------------------------------------------------------------------------

DROP = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what lets root write anywhere
    if os.getuid() == 0 and libc.prctl(24, capability, 0, 0, 0):
        sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def without_root_rights(*args: str, cwd: Path) -> CompletedProcess[str]:
    """odibi as a user for whom the permissions of files hold, as they do not for root."""
    command = [sys.executable, "-c", DROP, *COMMAND, *args]
    ended = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    if ended.returncode == 77:
        pytest.skip(
            "NOT TESTED: a read-only lake; root may not give up its rights here, run the tests as a user"
        )
    return ended


@contextmanager
def read_only(lake: Path) -> Iterator[None]:
    """Nothing can be written below the folder."""
    folders = [lake, *(path for path in lake.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        yield
    finally:
        for path in folders:
            path.chmod(0o755)


def test_a_read_only_lake(
    yesterday: Path, undisturbed: dict[str, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    folder = shutil.copytree(yesterday, tmp_path / "shop")
    put(folder, 0)
    before = tables(folder)
    with read_only(folder / ".odibi/lake"):
        ended = without_root_rights("run", cwd=folder)
    assert ended.returncode == 1, ended.stderr
    assert re.search(
        r"^error: step 'raw_orders': cannot write \.odibi/lake/\S+: .*Permission denied", ended.stderr, re.M
    )
    assert "Traceback" not in ended.stdout + ended.stderr
    assert tables(folder) == before
    assert_good(odibi("run", cwd=folder))
    assert tables(folder) == undisturbed
    assert orphans(folder) == []


def test_a_read_only_lake_cannot_be_cleaned(yesterday: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(yesterday, tmp_path / "shop")
    put(folder, 0)
    assert_good(odibi("run", "--full-refresh", cwd=folder))
    before = tables(folder)
    with read_only(folder / ".odibi/lake"):
        ended = without_root_rights("vacuum", "--hours", "0", "--force", cwd=folder)
    assert ended.returncode == 3, ended.stdout
    said = r"error: \.odibi/lake/\S+ cannot be written: .*Permission denied.*\n"
    assert re.fullmatch(said, ended.stderr)
    assert tables(folder) == before


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 2 MB at the folder."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if (
        os.getuid()
        or shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("NOT TESTED: a full disk; only root may mount a small one, run the tests as root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


FULL = {
    "configs/full.yaml": """
        pipeline: full
        date: "2026-01-05"
        variables: {rows: 100}
        connections: {lake: {url: disk/lake}}
        steps:
          - {name: numbers, layer: silver, write: {to: lake},
             sql: "SELECT range AS n, md5(range::VARCHAR) AS text FROM range({{ rows }})"}
          - {name: total, layer: gold, write: {to: lake}, sql: "SELECT count(*) AS n FROM numbers"}
          - {name: other, layer: gold, write: {to: lake}, sql: "SELECT 1 + {{ rows }} AS n"}
    """
}


def test_a_full_disk(tmp_path: Path) -> None:
    """The step that finds no room fails and takes its parts away again; a smaller one has room."""
    folder = project(tmp_path, FULL)
    with small_disk(folder / "disk"):
        assert_good(odibi("run", cwd=folder))
        ended = odibi("run", "--param", "rows=300000", cwd=folder)
        assert ended.returncode == 1, ended.stderr
        (told,) = (line for line in ended.stderr.splitlines() if "'numbers'" in line)
        assert re.match(r"error: step 'numbers': cannot write disk/lake/\S+: .*No space left on device", told)
        assert "Traceback" not in ended.stderr
        assert len(told) < 400
        assert DeltaTable(str(folder / "disk/lake/silver/numbers")).version() == 0
        assert shutil.disk_usage(folder / "disk").free > 1_000_000
        steps = {
            step["name"]: step["status"]
            for step in json.loads(odibi("story", "--json", "-", cwd=folder).stdout)["run"]["steps"]
        }
        assert steps == {"numbers": "failed", "total": "not_run", "other": "completed"}
        assert_good(odibi("run", "--param", "rows=200", cwd=folder))
        answer = odibi("query", "SELECT n FROM gold.total", "--output", "csv", cwd=folder)
        assert answer.stdout == "n\n200\n"


def test_a_disk_that_is_full_at_any_moment(tmp_path: Path) -> None:
    """With room for so many pages a step fails while it stages, or when it commits; all of it is done again."""
    folder = project(tmp_path, FULL)
    failed = set()
    with small_disk(folder / "disk"):
        assert_good(odibi("run", cwd=folder))
        for pages in range(7):
            before = tables_of(folder / "disk/lake")
            filler = folder / "disk/filler"
            filler.write_bytes(bytes(shutil.disk_usage(folder / "disk").free - pages * 4096))
            ended = odibi("run", "--parallel", "1", "--param", f"rows={200 + pages}", cwd=folder)
            assert ended.returncode in (0, 1), ended.stderr
            errors = [line for line in ended.stderr.splitlines() if line.startswith("error: step")]
            assert bool(errors) == bool(ended.returncode)
            for line in errors:
                assert "No space left on device" in line, line
                failed.add(re.findall(r"cannot write|cannot be written", line)[0])
            if ended.returncode:
                kept = tables_of(folder / "disk/lake")
                names = re.findall(r"^error: step '(\w+)'", ended.stderr, re.M)
                assert {n: kept[n] for n in names} == {n: before[n] for n in names}
            filler.unlink()
        assert failed == {"cannot write", "cannot be written"}
        assert_good(odibi("run", "--param", "rows=300", cwd=folder))
        found = tables_of(folder / "disk/lake")
        assert [len(found["numbers"]), found["total"], found["other"]] == [300, [(300,)], [(301,)]]
        assert orphans_of(folder / "disk/lake") == []


def tables_of(lake: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {log.parent.name: sorted(tables_below(log.parent)) for log in lake.glob("*/*/_delta_log")}


@pytest.mark.parametrize("free", [8_192, 60_000, 120_000, 180_000])
def test_a_full_disk_for_odibi_itself(free: int, tmp_path: Path) -> None:
    """Where the run store has no room at first, or none to go on, one sentence says so."""
    folder = project(tmp_path, FULL)
    home = {"ODIBI_HOME": "disk/home"}
    with small_disk(folder / "disk"):
        filler = folder / "disk/filler"
        filler.write_bytes(bytes(2 * 1024 * 1024 - free))
        ended = odibi("run", cwd=folder, env=home)
        assert ended.returncode == 3, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stdout + ended.stderr
        assert len(ended.stderr.splitlines()) == 1
        filler.unlink()
        assert_good(odibi("run", cwd=folder, env=home))
        assert tables_of(folder / "disk/lake").keys() == {"numbers", "total", "other"}


# --- how it ends ---------------------------------------------------------------------------------

TINY = """
    pipeline: tiny
    enable_tracker: false
    samples: 0
    variables: {text: "1"}
    connections: {lake: {url: lake}}
    steps:
      - {name: numbers, layer: bronze, read: {from: lake, path: given}, write: {to: lake, mode: append}}
      - {name: totals, layer: gold, sql: "SELECT sum(n) AS n, CAST('{{ text }}' AS INTEGER) AS one FROM numbers", write: {to: lake}}
"""


def test_the_exit_code_is_true_fifty_times_in_fifty(tmp_path: Path) -> None:
    """Every run reads and writes Delta tables; every fifth one fails."""
    folders = [project(tmp_path / name, {"configs/tiny.yaml": TINY}) for name in ("a", "b")]
    for folder in folders:
        write_deltalake(str(folder / "lake/given"), pa.table({"n": list(range(100))}))

    def runs(folder: Path) -> list[tuple[int, int, str]]:
        found = []
        for number in range(25):
            bad = number % 5 == 4
            arguments = ["--date", f"2026-01-{number + 1:02}", "--param", f"text={'x' if bad else number}"]
            ended = odibi("run", "-q", *arguments, cwd=folder)
            found.append((ended.returncode, int(bad), "" if bad else ended.stderr))
        return found

    with ThreadPoolExecutor(2) as pool:
        ended = [each for found in pool.map(runs, folders) for each in found]
    assert len(ended) == 50
    assert [each for each in ended if each[0] != each[1] or each[2]] == []
    for folder in folders:
        assert len(tables_below(folder / "lake/bronze/numbers")) == 2500


def tables_below(folder: Path) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT * FROM read_parquet({DeltaTable(str(folder)).file_uris()!r})").fetchall()


@pytest.mark.parametrize(("text", "code"), [("1", 0), ("x", 1)])
def test_a_reader_that_leaves_early_changes_no_exit_code(text: str, code: int, tmp_path: Path) -> None:
    folder = project(tmp_path, {"configs/tiny.yaml": TINY})
    write_deltalake(str(folder / "lake/given"), pa.table({"n": [1, 2]}))
    for reader in ("head -c 1", "true"):
        command = f"{shlex.join([*COMMAND, 'run', '--param', f'text={text}'])} | {reader} >&2; echo ${{PIPESTATUS[0]}}"
        shown = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment(), capture_output=True, text=True, check=True
        )
        assert shown.stdout == f"{code}\n"
        assert "Broken pipe" not in shown.stderr
        assert "Traceback" not in shown.stderr


# --- imports -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "engines"),
    [(("--help",), set()), (("validate", "configs/daily.yaml"), {"duckdb"})],
    ids=["help", "validate"],
)
def test_what_is_imported(args: tuple[str, ...], engines: set[str], tmp_path: Path) -> None:
    for name in ("configs", "steps"):
        shutil.copytree(Path(__file__).parents[2] / name, tmp_path / name)
    command = [sys.executable, "-X", "importtime", "-m", "odibi", *args]
    shown = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    imported = {
        line.rsplit("|", 1)[1].strip().partition(".")[0] for line in shown.stderr.splitlines() if "|" in line
    }
    assert "typer" in imported
    heavy = {"duckdb", "pandas", "numpy", "pyarrow", "pyspark", "deltalake", "sqlalchemy"}
    assert imported & heavy == engines
