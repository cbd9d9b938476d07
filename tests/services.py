"""Real services for tests, started for them and ended with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of one's own, or of the one in ``ODIBI_TEST_POSTGRES_URL``.

    Skips the test, loudly, where PostgreSQL is not installed.
    """
    if url := os.environ.get("ODIBI_TEST_POSTGRES_URL"):
        yield url
        return
    programs = _postgres_programs()
    # initdb refuses root: the package has made a user for it.
    as_user: dict[str, Any] = (
        {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    )
    folder = Path(tempfile.mkdtemp(prefix="odibi-pg-"))  # short: a socket's path has at most 107 bytes
    try:
        if as_user:
            shutil.chown(folder, "postgres")

        def run(program: str, *arguments: str) -> None:
            # pg_ctl leaves the server its output: into a file, or reading it would never end.
            with (folder.parent / f"{folder.name}.log").open("a") as log:
                command = [str(programs / program), "-D", str(folder / "data"), *arguments]
                subprocess.run(command, check=True, cwd="/", stdout=log, stderr=log, **as_user)

        run("initdb", "-U", "odibi", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        run("pg_ctl", "start", "-w", "-o", f"-c listen_addresses='' -c fsync=off -k {folder}")
        try:
            yield f"postgresql://odibi@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")
    finally:
        shutil.rmtree(folder)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)


def postgres_schema(url: str) -> str:
    """The URL of a new, empty schema in the database of ``url``."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"


def _postgres_programs() -> Path:
    """The folder of ``initdb`` and ``pg_ctl``, of the newest version that is installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    if not folders:
        pytest.skip("PostgreSQL IS NOT INSTALLED: apt-get install postgresql, or set ODIBI_TEST_POSTGRES_URL")
    return folders[-1]
