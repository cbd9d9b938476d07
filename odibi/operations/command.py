"""Programs as steps: rows go over as Parquet files whose places stand in the environment.

A command is a list of arguments, and no shell ever reads it. It is started by a worker process in that
process's group, so it ends with the attempt and with the run, however these end.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.errors import Elsewhere, NotFound, OdibiError, Permanent, nearest
from odibi.operations.python import Context

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.operations.process import Aside

__all__ = ["Command", "CommandFailed", "inspect", "run", "variable"]

OUTPUT = "ODIBI_OUTPUT"
"""The variable that says where the command writes its rows."""

_PYTHON = ("python", "python3")


class CommandFailed(OdibiError):
    """A command ended with another exit code than 0; ``retry_rules`` may say what that means."""

    returncode: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it will be started: ``written`` is what the config says, ``argv`` what is run.

    ``files`` are the files of the project among its arguments, by what the config calls them: hashes of
    what they say.
    """

    written: tuple[str, ...]
    argv: tuple[str, ...]
    files: Mapping[str, str]


def inspect(value: str, roots: Sequence[Path]) -> Command:
    """The command that a text such as ``python analyze.py --top 5`` means; nothing is started.

    Arguments with a dot or slash that name a file below ``roots``, or in a folder ``steps`` there, are that file.

    Raises:
        Permanent: it is empty, its quotes do not match, or there is no such program or Python file.
    """
    try:
        written = tuple(shlex.split(value))
    except ValueError as error:
        raise Permanent(f"{value!r} is no command: {str(error).lower()}") from error
    if not written:
        raise Permanent("there is no command here", hint="such as command: [python, analyze.py]")
    found = {each: file for each in written if (file := _file(each, roots)) is not None}
    argv = [str(found.get(each, each)) for each in written]
    if written[0] in _PYTHON:
        argv[0] = sys.executable  # the Python that has odibi, whatever comes first on the PATH
        script = next((each for each in written[1:] if not each.startswith("-")), "")
        if script.endswith(".py") and script not in found:
            known = [file.name for root in roots for file in (root / "steps").glob("*.py")]
            raise Permanent(f"there is no file {script!r}", hint=nearest(script, known, "in steps/"))
    elif written[0] not in found and shutil.which(written[0]) is None:
        raise Permanent(f"there is no program {written[0]!r}", hint="install it, or give its path")
    return Command(written, tuple(argv), {each: _hash(file) for each, file in found.items()})


def _file(argument: str, roots: Sequence[Path]) -> Path | None:
    if argument.startswith("-") or not {".", "/"} & set(argument):
        return None  # an option, or a word such as the "build" of make, whatever files there are
    places = [place for root in roots for place in (root / argument, root / "steps" / argument)]
    return next((place.resolve() for place in places if place.is_file()), None)


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()


def variable(alias: str) -> str:
    """The variable that says where an input's rows are."""
    return "ODIBI_INPUT_" + re.sub(r"\W", "_", alias).upper()


def run(
    command: Command,
    params: Mapping[str, Any],
    context: Context,
    tables: Mapping[str, pa.RecordBatchReader],
    folder: Path,
    aside: Aside,
) -> Path:
    """Run the command to its end; the Parquet file that it wrote.

    Args:
        command: what to run.
        params: of the step; the command finds them in ``ODIBI_PARAMS``, as JSON.
        context: what it may know of the run.
        tables: its input, by alias.
        folder: for the files, on this machine.
        aside: the process to start it in.

    Raises:
        CommandFailed: it ended with an exit code.
        NotFound: it ended well and wrote no rows.
        InterruptException: it was ended.
    """
    folder = folder.absolute()  # wherever the command goes
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "out.parquet"
    environ = {
        OUTPUT: str(output),
        "ODIBI_RUN_ID": context.run_id,
        "ODIBI_LOGICAL_DATE": context.logical_date,
        "ODIBI_STEP": context.step,
        "ODIBI_PARAMS": json.dumps(dict(params), default=str),
    }
    handed = {variable(alias): folder / f"in-{number}.parquet" for number, alias in enumerate(tables)}
    try:
        for rows, file in zip(tables.values(), handed.values(), strict=True):
            _write(rows, file)
        aside.run(_Running(command.argv, environ | {name: str(file) for name, file in handed.items()}))
    except CommandFailed as error:
        if log := Elsewhere.of(error).log:
            error.message = f"{error.message}: {log[-1]}"
        raise
    finally:
        for file in handed.values():
            file.unlink(missing_ok=True)
    if not output.is_file():
        message = f"{shlex.join(command.written)} wrote no rows"
        raise NotFound(message, hint=f"write a Parquet file where the variable {OUTPUT} says")
    return output


def _write(rows: pa.RecordBatchReader, file: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, rows.schema) as writer:
        for batch in rows:
            writer.write_batch(batch)


@dataclass(frozen=True, slots=True)
class _Running:
    """A command to be run to its end in the process that this is called in."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]

    def __call__(self) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - what the config asks for, and no shell
                self.argv, env={**os.environ, **self.environ}, stdin=subprocess.DEVNULL, check=False
            )
        except OSError as error:
            raise Permanent(f"{self.argv[0]} cannot be started: {error.strerror}") from error
        if done.returncode:
            name = Path(self.argv[0]).name
            how = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
            failed = CommandFailed(f"{name} ended with {how}")
            failed.returncode = done.returncode
            raise failed
