"""``odibi why``: the input rows that made rows of a table, down to the files; or why a row is not there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from odibi.cli.config import find_config, of_last_run
from odibi.cli.exits import Exit, UsageError
from odibi.cli.runs import run_of
from odibi.cli.terminal import clean, paint, say, say_json
from odibi.config.load import load
from odibi.errors import OdibiError
from odibi.home import Home, typed

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.why.model import Lost, Made, Place, Rows

__all__ = ["why"]

Text = tuple[tuple[str | None, ...], ...]


def why(
    *, table: str, where: str | None, why_not: str | None, config: str | None, target: str | None, run: str | None,
    depth: int | None, to: str | None, rows: int, output: str,
) -> int:  # fmt: skip
    """Print what made the rows, or why none is there.

    Raises:
        UsageError: it is not said which rows, or no condition is given, or a run for rows that are not there.
        NotFound: there is no such table, step, run or row.
    """
    if (where is None) == (why_not is None):
        hint = "--where \"day = '2026-01-05'\", or --why-not for a row that is not there"
        raise UsageError("say which rows", hint=hint)
    if why_not is not None and run is not None:
        raise UsageError(
            "--run is for --where: --why-not asks about the table as it is now", hint="leave it out"
        )
    config, target = of_last_run(config, target)
    from odibi.why.ask import Asked, BadCondition, missing
    from odibi.why.ask import why as ask
    from odibi.why.trace import Limits

    limits = Limits(rows, depth, to or "")
    ended = run_of(run, "odibi why").ended_at if run is not None else None
    when = int(ended.timestamp() * 1000) if ended is not None else None
    asked = Asked(table, where or why_not or "", run or "", when, limits)
    loader = _loader(find_config(config), target)
    try:
        if where is not None:
            found = ask(asked, loader, Home.find())
            data, lines = dataclasses.asdict(found), _rows(found)
        else:
            lost = missing(asked, loader, Home.find())
            data, lines = dataclasses.asdict(lost), _lost(lost)
    except BadCondition as error:
        raise UsageError(error.message, hint=error.hint) from error
    if output == "json":
        say_json(data)
    else:
        say("\n".join(lines))
    return Exit.SUCCESS


def _loader(config: str, target: str | None) -> Callable[[str, str], Loaded]:
    """The config for a date and a run, with the parameters that the run had."""

    def loaded(date: str, run: str) -> Loaded:
        params = {}
        if run:
            try:
                params = run_of(run, "odibi why").params
            except OdibiError:  # recorded elsewhere, or pruned: the config's own values
                params = {}
        return load(config, date=date or None, target=target, params=params)

    return loaded


def _rows(rows: Rows) -> Iterator[str]:
    """The tree below some rows: what they are, where they stand, what made them."""
    version = "" if rows.version is None else f" version {rows.version}"
    counted = f"{rows.count:,} row{'s' * (rows.count != 1)}"
    if rows.layer == "source":
        for place in rows.places:
            yield paint(_place(place), "cyan")
        if not rows.places:
            yield f"{typed(rows.url)}: {counted}"
    else:
        yield f"{paint(f'{rows.layer}/{rows.name}'.lstrip('/') + version, 'bold')}: {counted}"
    yield from (f"    {line}" for line in _table(rows.columns, rows.shown, rows.count))
    yield from (f"    {paint(remark, 'yellow')}" for remark in rows.remarks)
    for number, made in enumerate(rows.made):
        last = number == len(rows.made) - 1
        for line_number, line in enumerate(_made(made)):
            lead = ("└─ " if last else "├─ ") if line_number == 0 else ("   " if last else "│  ")
            yield f"{lead}{line}"


def _made(made: Made) -> Iterator[str]:
    if made.step:
        by = f"made by {made.step} ({made.operation})"
        told = [
            f"{made.count:,} row{'s' * (made.count != 1)}",
            f"version {made.version}" * (made.version is not None),
        ]
        told += [f"date {made.date}" * bool(made.date), f"run {made.run[:8]}" * bool(made.run)]
        yield f"{by}: {', '.join(filter(None, told))}"
    else:
        yield f"written at version {made.version}"
    yield from (f"   {paint(remark, 'yellow')}" for remark in made.remarks)
    yield from (f"   {paint('compared with ' + clean(each), 'dim')}" for each in made.compared[:5])
    for number, rows in enumerate(made.inputs):
        last = number == len(made.inputs) - 1
        for line_number, line in enumerate(_rows(rows)):
            lead = ("└─ " if last else "├─ ") if line_number == 0 else ("   " if last else "│  ")
            yield f"{lead}{line}"


def _place(place: Place) -> str:
    """Such as ``data/orders.csv lines 2-4, 9``."""
    word = "line" if place.lines else "row"
    spans: list[list[int]] = []
    for number in place.numbers:
        if spans and spans[-1][1] + 1 == number:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    listed = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans[:12])
    told = sum(high - low + 1 for low, high in spans[:12])
    more = f" and {place.count - told:,} more" if place.count > told else ""
    return f"{typed(place.file)} {word}{'s' * (place.count != 1)} {listed}{more}"


def _table(columns: Sequence[str], shown: Text, count: int) -> Iterator[str]:
    """Rows below their columns, cut to a width that a terminal shows."""
    if not shown:
        return
    cells = [[_cut(name) for name in columns], *([_cut(value) for value in row] for row in shown)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield paint(line, "dim") if number == 0 else line
    if count > len(shown):
        yield paint(f"and {count - len(shown):,} more", "dim")


def _cut(value: str | None) -> str:
    text = "NULL" if value is None else clean(value)
    return text if len(text) <= 32 else f"{text[:31]}…"


def _lost(lost: Lost) -> Iterator[str]:
    """What became of a row, from the table down to where it was seen last."""
    yield f"{paint(lost.step or lost.dataset, 'bold')}: {clean(lost.verdict)}"
    yield from (f"    {line}" for line in _table(lost.columns, lost.shown, len(lost.shown)))
    for before in lost.before:
        for number, line in enumerate(_lost(before)):
            yield f"{'└─ ' if number == 0 else '   '}{line}"
