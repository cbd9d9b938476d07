"""odibi as people run it: a process of its own, in a project of its own."""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from fcntl import ioctl
from pathlib import Path
from subprocess import CompletedProcess
from termios import TIOCSWINSZ
from textwrap import dedent
from typing import Any

import odibi as package

__all__ = ["environment", "events", "in_terminal", "odibi", "project", "start"]

COMMAND = (sys.executable, "-m", "odibi")


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment with ``changes``: no setting of the machine reaches the test."""
    names = (
        "PATH",
        "HOME",
        "TMPDIR",
        "JAVA_HOME",
        "XDG_CACHE_HOME",
        "ODIBI_SPARK_JARS",
        "PYSPARK_SUBMIT_ARGS",
    )
    kept = {name: os.environ[name] for name in names if name in os.environ}
    kept["PYTHONPATH"] = str(Path(package.__file__).parents[1])  # the odibi that is being tested
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        # Compiling every library again would take longer than the test.
        kept["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "odibi-tests-bytecode")
    return {**kept, "LANG": "C.UTF-8", "TERM": "xterm", "PYTHONWARNINGS": "error", **(changes or {})}


def odibi(
    *args: object,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
    timeout: float = 120,
) -> CompletedProcess[str]:
    """Run ``odibi args`` in the folder ``cwd`` and wait for it; ``env`` is added to a clean environment."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env=environment(env),
        input=input,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )


def start(*args: object, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start ``odibi args`` with pipes for its output; the caller waits for it."""
    return subprocess.Popen(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def in_terminal(
    *args: object, cwd: Path, env: Mapping[str, str] | None = None, columns: int = 100
) -> tuple[int, str]:
    """Run ``odibi args`` on a terminal of that width: its exit code and everything it showed."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env=environment(env),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65_536):
            shown += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    finally:
        os.close(ours)
    return process.wait(timeout=60), shown.decode("utf-8", errors="replace")


def project(folder: Path, files: Mapping[str, str]) -> Path:
    """Write ``files`` (path to text, indentation removed) below ``folder``, and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).removeprefix("\n"), encoding="utf-8")
    return folder


def events(stdout: str) -> list[dict[str, Any]]:
    """The objects of ``--output json``, one per line."""
    return [json.loads(line) for line in stdout.splitlines()]
