"""Text to trees, where DuckDB's own parser has the first word.

sqlglot reads what DuckDB does not, ``a > > 1`` as ``a >> 1``; what the DuckDB shell refuses is refused
here, in its words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from sqlglot import Dialect, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError

from odibi.operations.errors import OperationError, Path

if TYPE_CHECKING:
    import duckdb

__all__ = ["parsed"]


def parsed(
    into: type[exp.Expr],
    text: str,
    path: Path,
    *,
    before: str = "",
    after: str = "",
    names: Iterable[str] = (),
) -> exp.Expr:
    """The tree of a text as one expression, or as what ``into`` says.

    ``before`` and ``after`` make a whole of what is parsed; ``names`` are columns, which need no quotes
    here even where they are words that SQL keeps for itself.

    Raises OperationError with the place in the text for a syntax error, and for several statements.
    """
    if not text.strip():
        raise OperationError("there is no expression here", path)
    lead = "SELECT 1 " if into is exp.Order else "SELECT "
    try:
        _refuse(lead + before, text, after, path)
    except OperationError as error:
        quoted = _quoted(text, names)
        if quoted == text:
            raise
        try:
            _refuse(lead + before, quoted, after, path)
        except OperationError:
            raise error from error.__cause__
        text = quoted
    try:
        trees = _sqlglot().parse_into(into, before + text + after)
    except SqlglotError as error:
        raise OperationError(f"{text!r} is not one expression that odibi can read", path) from error
    tree = trees[0] if len(trees) == 1 else None
    if tree is None:
        raise OperationError(f"{text!r} is not one expression", path)
    return tree


def _refuse(before: str, text: str, after: str, path: Path) -> None:
    """Raises OperationError where DuckDB's parser does not take the text, or takes it as several statements."""
    import duckdb

    try:
        with _LOCK:
            statements = _shell().extract_statements(before + text + after)
    except duckdb.Error as error:
        found = json.loads(str(error)[str(error).index("{") :])
        if found.get("error_subtype") != "SYNTAX_ERROR":
            return  # about what is called: an OVER is still to come, and the binder sees the whole
        position = int(found.get("position") or 0)
        if "location" in found:  # DuckDB 2.0 counts bytes, 1.5 characters
            position = len((before + text).encode()[:position].decode(errors="ignore"))
        until = text[: max(position - len(before), 0)]
        line, column = until.count("\n") + 1, len(until) - (until.rfind("\n") + 1) + 1
        message = str(found["exception_message"]).splitlines()[0]
        raise OperationError(message, path, line=line, column=column) from error
    if len(statements) != 1:
        raise OperationError(f"{text!r} is {len(statements)} statements instead of an expression", path)


def _quoted(text: str, names: Iterable[str]) -> str:
    """The text with words that are names in double quotes, unless they are called like functions."""
    known = {name.lower() for name in names}
    try:
        tokens = _sqlglot().tokenize(text)
    except SqlglotError:
        return text
    following = [*(token.text for token in tokens[1:]), ""]
    for token, after in reversed(list(zip(tokens, following, strict=True))):
        word = text[token.start : token.end + 1]
        if word.lower() in known and word.isidentifier() and after != "(":
            text = f'{text[: token.start]}"{word}"{text[token.end + 1 :]}'
    return text


_LOCK = Lock()  # a connection serves one thread at a time


@cache
def _shell() -> duckdb.DuckDBPyConnection:
    """A database that only parses."""
    import duckdb

    return duckdb.connect(":memory:", config={"errors_as_json": "true", "threads": "1"})


class _Plain(DuckDB):
    """DuckDB's dialect as it is: sqlglot reads ``->> 'a.b'`` as a path, DuckDB as one key."""

    def to_json_path(self, path: Any) -> Any:
        return path


@cache
def _sqlglot() -> Dialect:
    return _Plain()
