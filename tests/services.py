"""Real services for tests, started for them and ended with them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "devstoreaccount1"
"""The account of every Azurite; its key is public: https://learn.microsoft.com/azure/storage/common/storage-use-azurite."""
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


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


@contextmanager
def s3(host: str = "127.0.0.1") -> Iterator[str]:
    """The endpoint of an S3 server of one's own (and of every other service of AWS that moto has), at an address."""
    pytest.importorskip("moto", reason="MOTO IS NOT INSTALLED: pip install 'odibi[dev]'")
    port = _free_port()
    code = f"from moto.server import main; main(['-H', '{host}', '-p', '{port}'])"
    with _serving([sys.executable, "-c", code], port, host):
        yield f"http://{host}:{port}"


@contextmanager
def azurite() -> Iterator[str]:
    """The connection string of an Azure Blob Storage of one's own: Microsoft's emulator.

    Skips the test, loudly, where Azurite is not installed.
    """
    here = Path(__file__).parent / ".azurite/node_modules/.bin/azurite-blob"
    found = (
        os.environ.get("ODIBI_TEST_AZURITE") or shutil.which("azurite-blob") or (str(here) * here.exists())
    )
    if not found:
        pytest.skip("AZURITE IS NOT INSTALLED: npm install --prefix tests/.azurite azurite@3.37.0")
    port = _free_port()
    # Its own list of API versions is older than those the client library speaks.
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--blobPort", str(port), "--silent"]
    with _serving([found, *options], port):
        yield (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
        )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _serving(command: list[str], port: int, host: str = "127.0.0.1") -> Iterator[None]:
    """A server that is ended with the test; ready when it listens."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tempfile.gettempdir())
        try:
            for _ in range(600):
                with socket.socket() as client:
                    if client.connect_ex((host, port)) == 0:
                        break
                if process.poll() is not None:
                    break
                time.sleep(0.1)
            else:
                pytest.fail(f"{command[0]} does not listen after a minute")
            if process.poll() is not None:
                log.seek(0)
                pytest.fail(f"{command[0]} has ended: {log.read().decode()[-2000:]}")
            yield
        finally:
            process.kill()  # asked to end, Azurite waits for clients that keep their connections
            process.wait()


def _postgres_programs() -> Path:
    """The folder of ``initdb`` and ``pg_ctl``, of the newest version that is installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    if not folders:
        pytest.skip("PostgreSQL IS NOT INSTALLED: apt-get install postgresql, or set ODIBI_TEST_POSTGRES_URL")
    return folders[-1]
