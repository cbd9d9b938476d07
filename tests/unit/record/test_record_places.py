"""Where a store can be, and what is said of a place where it cannot."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from odibi.errors import MissingExtra, OdibiError, Permanent, Transient
from odibi.record import open_store
from tests.unit.record.records import a_run

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]


def _python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_does_not_import_sqlalchemy() -> None:
    assert _python("import odibi.record, sys; print('sqlalchemy' in sys.modules)") == "False"


def test_a_path_and_a_url_name_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a b" / "täglich?#%.db"
    with open_store(str(path)) as store:
        store.start_run(a_run())
    assert path.is_file()
    with (
        open_store(f"sqlite:///{tmp_path / 'plain.db'}") as store,
        open_store(str(tmp_path / "plain.db")) as same,
    ):
        store.start_run(a_run())
        assert same.pipelines() == ("daily",)


def test_sqlite_is_set_up_for_several_processes(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "state.db")) as store, store.database.read() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = [connection.scalar(text(f"PRAGMA {pragma}")) for pragma in pragmas]
    assert found == ["wal", 1, 1, 30_000]


def _no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all\n" * 100)


def _damaged(path: Path) -> None:
    with open_store(str(path)) as store:
        for minute in range(50):
            store.start_run(a_run(f"run-{minute}", minute))
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(("spoil", "says"), [(_no_database, "not a SQLite database"), (_damaged, "damaged")])
def test_a_spoilt_file_is_told_with_what_to_do(
    tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    path = tmp_path / "state.db"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(Permanent) as refused, open_store(str(path)) as store:
        store.runs()
    assert re.fullmatch(rf"run store {path}: .*{says} \(move it away, .*\)", str(refused.value))
    assert path.read_bytes() == before


@pytest.mark.parametrize("cut", [0, 100, 512, 4096, 8192, 20_000])
def test_a_half_written_file_never_gives_a_foreign_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "state.db"
    with open_store(str(path)) as store:
        for minute in range(20):
            store.start_run(a_run(f"run-{minute}", minute))
    path.write_bytes(path.read_bytes()[:cut])
    refused = None
    try:
        with open_store(str(path)) as store:
            store.start_run(a_run())
            assert store.run("20260301-aaaa") == a_run()
    except OdibiError as error:
        refused = error
    # Nothing of the file is left, or its first pages happen to be a whole database: else it is told.
    assert refused is None or ("\n" not in str(refused) and refused.hint)


READ_ONLY = """
import os, sys
from pathlib import Path
from odibi.errors import Permanent
from odibi.record import open_store
folder = Path(sys.argv[1])
open_store(str(folder / "there" / "state.db")).close()
(folder / "there").chmod(0o555)
(folder / "empty").mkdir(mode=0o555)
folder.chmod(0o555)
if os.geteuid() == 0:
    os.setuid(65534)  # to root nothing is read-only
for path in ("there/state.db", "empty/state.db", "new/state.db"):
    try:
        open_store(str(folder / path)).close()
    except Permanent as error:
        print(error)
    else:
        print("opened", path)
"""


def test_a_read_only_folder_is_told_with_what_to_do() -> None:
    with tempfile.TemporaryDirectory() as name:  # tmp_path is closed to the user that root becomes
        folder = Path(name)
        folder.chmod(0o755)
        said = _python(READ_ONLY, name).splitlines()
    assert len(said) == 3
    for line, path in zip(said, ("there/state.db", "empty/state.db", "new/state.db"), strict=True):
        assert line.startswith(f"run store {folder / path}: ")
        assert line.endswith(
            "(make the folder and the file writable for this user, or keep the run store elsewhere)"
        )


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="cannot be opened"):
        open_store(str(tmp_path))


def test_a_lock_that_is_never_released_is_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odibi.record.database.LOCK_WAIT", 0.1)
    path = tmp_path / "state.db"
    with open_store(str(path)) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        try:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(Transient, match="locked by another process"):
                store.start_run(a_run())
            assert store.runs() == ()  # readers do not wait
        finally:
            holder.close()
        store.start_run(a_run())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "in memory would forget"),
        ("sqlite:///:memory:", "in memory would forget"),
        ("mysql://root@localhost/odibi", "cannot be kept in 'mysql' .known: postgresql, sqlite"),
        ("sqlit:///state.db", "did you mean 'sqlite'"),
        ("postgresql://user:pass@host:port/db", "URL of the run store cannot be read"),
        ("://", "URL of the run store cannot be read"),
    ],
)
def test_a_url_that_cannot_be_a_store_is_refused(url: str, says: str) -> None:
    with pytest.raises(Permanent, match=says) as refused:
        open_store(url)
    assert "pass" not in str(refused.value)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"psycopg is not installed \(pip install 'odibi\[postgres\]'\)"):
        open_store("postgresql://localhost/odibi")


def test_a_server_that_does_not_answer_is_told_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(OdibiError) as refused:
        open_store(f"postgresql://me:secret@/odibi?host={tmp_path}")
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, Transient)


def test_postgres_rejects_and_says_why(postgres_url: str) -> None:
    with pytest.raises(Permanent, match="nowhere"):
        open_store(postgres_url.replace("/postgres?", "/nowhere?"))
