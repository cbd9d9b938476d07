"""Killed at any instant: the old table is readable, and the next sweep takes what was never committed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from odibi.datasets.delta import open_table
from odibi.datasets.staging import Intents, discard, noted, sweep
from odibi.errors import Permanent
from tests.unit.datasets.lake import Lake, lake

ROOT = Path(__file__).parents[3]

WRITER = """
import os, signal, subprocess, sys, uuid
from pathlib import Path
import odibi.datasets.delta as delta, odibi.datasets.export as export, odibi.datasets.writing as writing
from odibi.datasets.staging import Intents
from odibi.engines.database import Database
from tests.unit.datasets.lake import Lake
folder, moment = Path(sys.argv[1]), sys.argv[2]

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "with a child":
    child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (folder / "child").write_text(str(child.pid))
if moment in ("before the commit", "with a child"):
    delta.Table.commit = writing.create_table = die
elif moment == "after the commit":
    writing.open_table = lambda url, version=None, found=writing.open_table: die() if version is not None else found(url)
elif moment == "before the rename":
    export.publish = die
elif moment == "between the renames":
    Path.rename, renamed = (lambda self, to: (renamed(self, to), die())), Path.rename
db = Database(folder / f"scratch{uuid.uuid4()}", threads=1)
intents = Intents(folder / "intents", "deadbeef-dead").__enter__()
options = eval(sys.argv[3])
Lake(db, intents, folder / "lake").write("SELECT 2 AS a, 'x' AS k", date="2024-01-02", **options)
"""


def killed(tmp_path: Path, moment: str, **options: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path), moment, repr(options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("mode", ["append", "overwrite"])
@pytest.mark.parametrize("exists", [True, False])
def test_killed_before_the_commit_the_table_is_as_it_was_and_the_parts_are_swept(
    at: Lake, tmp_path: Path, mode: str, exists: bool
) -> None:
    if exists:
        at.write("SELECT 1 AS a, 'x' AS k", mode=mode)
    before, log = at.files(), tmp_path / "lake/t/_delta_log"
    killed(tmp_path, "before the commit", mode=mode)
    assert len(at.files()) == len(before) + 1
    assert log.is_dir() == exists
    if exists:
        assert at.rows(columns="a") == [(1,)]
    (swept,) = sweep(tmp_path / "intents")
    assert Path(swept).parent == tmp_path / "lake/t/parts"
    assert at.files() == before
    assert sweep(tmp_path / "intents") == ()
    at.write("SELECT 2 AS a, 'x' AS k", mode=mode, date="2024-01-02")
    assert (2, "x") in at.rows(columns="a, k")


def test_killed_after_the_commit_the_parts_stay(at: Lake, tmp_path: Path) -> None:
    at.write("SELECT 1 AS a, 'x' AS k", mode="append")
    killed(tmp_path, "after the commit", mode="append")
    assert sweep(tmp_path / "intents") == ()
    assert at.rows(columns="a") == [(1,), (2,)]


def test_committed_parts_stay_when_the_log_that_named_them_was_cleaned_up(at: Lake, tmp_path: Path) -> None:
    at.write("SELECT 1 AS a, 'x' AS k", mode="append")
    killed(tmp_path, "after the commit", mode="append")
    table = open_table(str(tmp_path / "lake/t"))
    assert table is not None
    table.handle.create_checkpoint()
    for entry in (tmp_path / "lake/t/_delta_log").glob("*.json"):
        entry.unlink()
    (tmp_path / "lake/t/_delta_log/00000000000000000002.json").write_text('{"commitInfo":{}}\n')
    assert sweep(tmp_path / "intents") == ()
    assert at.rows(columns="a") == [(1,), (2,)]


@pytest.mark.parametrize("partition_by", [(), ("k",)], ids=["file", "folder"])
def test_a_plain_file_is_whole_or_as_it_was(at: Lake, tmp_path: Path, partition_by: tuple[str, ...]) -> None:
    at.write("SELECT 1 AS a, 'x' AS k", "out", format="csv", partition_by=partition_by)
    before = {file: (at.folder / file).read_text() for file in at.files()}
    killed(tmp_path, "before the rename", name="out", format="csv", partition_by=partition_by)
    assert len(list(at.folder.iterdir())) == 2
    sweep(tmp_path / "intents")
    assert {file: (at.folder / file).read_text() for file in at.files()} == before


def test_a_folder_moved_aside_by_a_killed_run_comes_back(at: Lake, tmp_path: Path) -> None:
    at.write("SELECT 1 AS a, 'x' AS k", "out", format="csv", partition_by="k")
    before = at.files()
    killed(tmp_path, "between the renames", name="out", format="csv", partition_by=("k",))
    assert not (at.folder / "out.csv").exists()
    sweep(tmp_path / "intents")
    assert at.files() == before
    assert (at.folder / "out.csv/k=x/part-0.csv").read_text() == "a\n1\n"
    killed(tmp_path, "between the renames", name="out", format="csv", partition_by=("k",))
    at.write("SELECT 3 AS a, 'x' AS k", "out", format="csv", partition_by="k")
    sweep(tmp_path / "intents")
    assert at.files() == before
    assert (at.folder / "out.csv/k=x/part-0.csv").read_text() == "a\n3\n"


def test_what_a_living_run_staged_is_left_alone(at: Lake, tmp_path: Path) -> None:
    folder = Path(at.intents.folder(str(at.folder / "t")))
    folder.mkdir(parents=True)
    assert sweep(tmp_path / "intents") == ()
    assert folder.is_dir()


def test_a_run_that_ended_leaves_no_note(tmp_path: Path) -> None:
    with lake(tmp_path) as at:
        at.write("SELECT 1 AS a")
        assert len(list((tmp_path / "intents").iterdir())) == 1
    assert list((tmp_path / "intents").iterdir()) == []


def test_a_note_that_was_being_written_and_places_that_are_gone_do_not_stop_the_sweep(tmp_path: Path) -> None:
    folder = tmp_path / "lake/t/parts/1"
    folder.mkdir(parents=True)
    notes = tmp_path / "intents"
    notes.mkdir()
    note = {"target": str(tmp_path / "lake/t"), "folder": str(folder), "final": ""}
    gone = {**note, "folder": str(tmp_path / "gone")}
    (notes / "dead.jsonl").write_text(f'{json.dumps(gone)}\n{json.dumps(note)}\n{{"target": "/x", "fol')
    assert sweep(notes) == (str(folder),)
    assert list(notes.iterdir()) == []
    assert sweep(tmp_path / "nowhere") == ()


def test_log_entries_that_dead_writers_wrote_aside_go_and_those_of_living_ones_stay(
    at: Lake, tmp_path: Path
) -> None:
    at.write("SELECT 1 AS a")
    log, notes = tmp_path / "lake/t/_delta_log", tmp_path / "notes"
    old, young, written, done = (log / f"{1:020}.json#{number}" for number in range(1, 5))
    for path in (old, young, written, done):
        path.write_text("{")
    os.utime(old, (0, 0))
    notes.mkdir()
    note = {"target": str(log.parent), "folder": str(tmp_path / "gone"), "final": ""}
    (notes / "dead.jsonl").write_text(json.dumps(note))

    def write() -> None:
        written.write_text("{}")
        os.utime(written, (0, time.time() + 0.5))
        done.unlink()

    writer = threading.Timer(0.3, write)
    writer.start()
    sweep(notes)
    writer.join()
    assert [path.exists() for path in (old, young, written, done)] == [False, False, True, False]
    assert not list(notes.iterdir())


def test_a_note_stays_until_all_that_it_names_is_gone(tmp_path: Path) -> None:
    """What a JVM that outlives its run adds to a folder while it is swept is swept the next time."""
    notes, folder = tmp_path / "notes", tmp_path / "parts"
    notes.mkdir()
    (notes / "dead.jsonl").write_text(json.dumps({"target": "", "folder": str(folder), "final": ""}))
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]
    folder.mkdir()
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip(
            "NOT TESTED: a folder that cannot be removed; only root may mount one, run the tests as root"
        )
    try:
        sweep(notes)
        assert list(notes.iterdir())
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    sweep(notes)
    assert list(notes.iterdir()) == []
    assert not folder.exists()


def test_notes_of_a_run_started_elsewhere_name_the_same_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Intents(tmp_path / "intents", "12345678-abcd") as intents:
        folder = Path(intents.folder("lake/t"))
        folder.mkdir(parents=True)
        (text,) = (tmp_path / "intents/12345678-abcd.jsonl").read_text().splitlines()
        (tmp_path / "intents/dead.jsonl").write_text(text + "\n")
    monkeypatch.chdir("/")
    assert sweep(tmp_path / "intents") == (str(tmp_path / folder),)


def test_sweeps_at_the_same_time_take_each_folder_once(tmp_path: Path) -> None:
    notes = tmp_path / "intents"
    notes.mkdir()
    for number in range(60):
        folder = tmp_path / f"lake/t/parts/{number}"
        folder.mkdir(parents=True)
        (notes / f"{number}.jsonl").write_text(
            json.dumps({"target": str(tmp_path / "lake/t"), "folder": str(folder), "final": ""}) + "\n"
        )
    swept: list[str] = []
    threads = [threading.Thread(target=lambda: swept.extend(sweep(notes))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(swept) == len(set(swept)) == 60
    assert list(notes.iterdir()) == []


def test_a_run_whose_empty_note_was_swept_makes_another(tmp_path: Path) -> None:
    notes = tmp_path / "intents"
    stop = threading.Event()

    def sweeping() -> None:
        while not stop.is_set():
            sweep(notes)

    thread = threading.Thread(target=sweeping)
    thread.start()
    try:
        for number in range(150):
            with Intents(notes, f"run{number}") as intents:
                folder = Path(intents.folder(str(tmp_path / "t")))
                folder.mkdir(parents=True)
                assert (notes / f"run{number}.jsonl").exists()
                assert folder.is_dir()
    finally:
        stop.set()
        thread.join()


def test_the_lock_ends_with_the_process_not_with_its_children(at: Lake, tmp_path: Path) -> None:
    killed(tmp_path, "with a child")
    child = int((tmp_path / "child").read_text())
    os.kill(child, 0)  # it lives
    assert len(sweep(tmp_path / "intents")) == 1
    os.kill(child, signal.SIGKILL)
    assert at.files() == []


def test_discard_spares_what_a_commit_names(at: Lake) -> None:
    at.write("SELECT 1 AS a")
    (part,) = at.table().location().files
    assert discard(str(at.folder / "t"), str(Path(part).parent)) is False
    assert at.rows() == [(1,)]
    assert discard("", str(at.folder / "nothing")) is False


# --- places that cannot be written ---------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"NO SMALL FILE SYSTEM CAN BE MOUNTED HERE: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "append"}, {"format": "csv"}, {"format": "parquet", "partition_by": "k"}],
    ids=str,
)
def test_a_full_disk_is_one_clear_error_and_leaves_the_old_version(
    small: Path, tmp_path: Path, options: dict[str, object]
) -> None:
    with lake(tmp_path) as at:
        at.folder = small
        at.write("SELECT 1 AS a, 'x' AS k", **options)
        before = at.files()
        with pytest.raises(Permanent, match=r"cannot write|cannot be written") as caught:
            at.write(
                "SELECT (hash(i) % 2147483647)::INTEGER AS a, i % 3 || 'x' AS k FROM range(400000) r(i)",
                date="2024-01-02",
                **options,
            )
        assert "\n" not in caught.value.message
        assert at.files() == before
        if "format" not in options:
            assert at.rows(columns="a") == [(1,)]
            at.write("SELECT 2 AS a, 'x' AS k", **options, date="2024-01-03")
            assert (2,) in at.rows(columns="a")


@pytest.mark.parametrize("options", [{}, {"format": "csv"}], ids=str)
def test_a_place_that_is_no_folder_is_said(at: Lake, options: dict[str, object]) -> None:
    (at.folder / "file").write_text("x")
    with pytest.raises(Permanent, match=r"cannot write .*file"):
        at.write("SELECT 1 AS a", "file/t", **options)
    assert at.files() == ["file"]


def test_a_read_only_place_is_said(small: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    with lake(tmp_path) as at:
        at.folder = small
        for options in ({}, {"format": "csv"}):
            with pytest.raises(Permanent, match=r"cannot write .*Read-only file system"):
                at.write("SELECT 1 AS a", **options)


def test_the_folders_that_runs_have_noted(tmp_path: Path) -> None:
    assert noted(tmp_path / "none") == frozenset()
    with Intents(tmp_path, "0123abcd-one") as one, Intents(tmp_path, "0123abcd-two") as two:
        folders = {one.folder(str(tmp_path / "t")), two.folder(str(tmp_path / "t"))}
        with (tmp_path / "0123abcd-two.jsonl").open("a") as file:
            file.write('{"target": "hal')  # as it is being written
        assert noted(tmp_path) == folders
    assert noted(tmp_path) == frozenset()
