"""Printing: tables, colours where they are wanted, and streams that may be closed or not UTF-8."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

__all__ = [
    "Cell",
    "ClosedPipe",
    "clean",
    "close_streams",
    "coloured",
    "complain",
    "is_live",
    "open_streams",
    "paint",
    "say",
    "say_json",
    "table",
]

Cell = str | tuple[str, str]
"""Text, or text and the name of its colour."""

_STYLES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}

_NO_LIMIT = 100_000
"""The width of a table that does not go to a terminal."""


class ClosedPipe(Exception):
    """Whoever read the output has gone, as in ``odibi status | head -1``."""


def open_streams() -> None:
    """Let characters that the terminal's encoding does not have become question marks, not errors."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us, as in ``odibi run >&-``
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def close_streams() -> None:
    """Write out what is left; a reader that has gone is no error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _discard(stream)


def _discard(stream: IO[str]) -> None:
    """Send what the stream still holds nowhere, or Python complains about it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def say(text: str = "", stream: IO[str] | None = None, end: str = "\n") -> None:
    """A line on stdout, or on ``stream``.

    Raises:
        ClosedPipe: nobody reads it.
    """
    stream = stream or sys.stdout
    try:
        stream.write(f"{text}{end}")
        stream.flush()
    except BrokenPipeError as error:
        _discard(stream)
        raise ClosedPipe from error


def complain(text: str) -> None:
    """A line on stderr, whoever reads it."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        _discard(sys.stderr)


def say_json(value: Any) -> None:
    """A JSON document on stdout."""
    say(json.dumps(value, ensure_ascii=False, default=str, indent=2))


def coloured() -> bool:
    """Whether stdout wants colours: a terminal does unless NO_COLOR is set, FORCE_COLOR asks for them."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")


def is_live() -> bool:
    """Whether stdout is a terminal that can be drawn over."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def paint(text: str, style: str) -> str:
    """The text in a colour (or bold, dim), plain where colours are not wanted or ``style`` is empty."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and coloured() else text


def clean(text: str) -> str:
    """The text on one line: line breaks and control characters as escapes, so that data cannot drive a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Iterable[str] = ()) -> str:
    """Rows below their headers, columns two blanks apart; folded where the terminal is narrow.

    ``right`` names the headers whose columns are numbers.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    numbers = set(right)
    colours = coloured()
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        drawn.add_column(
            Text(clean(header)),
            justify="right" if header in numbers else "left",
            overflow="fold",
            no_wrap=False,
        )
    for row in rows:
        pairs = ((cell, "") if isinstance(cell, str) else cell for cell in row)
        drawn.add_row(*(Text(clean(text), style=style) for text, style in pairs))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _NO_LIMIT
    console = Console(
        width=width,
        color_system="standard" if colours else None,
        force_terminal=colours,
        no_color=not colours,
    )
    with console.capture() as captured:
        console.print(drawn)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
