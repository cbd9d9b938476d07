"""Text to trees, where DuckDB's own parser has the first word.

sqlglot reads what DuckDB does not, ``a > > 1`` as ``a >> 1``; what the DuckDB shell refuses is refused
here, in its words.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from sqlglot import Dialect, exp
from sqlglot.errors import SqlglotError

from odibi.operations.errors import OperationError, Path

if TYPE_CHECKING:
    import duckdb

__all__ = ["parsed"]


def parsed(
    into: type[exp.Expr], before: str, text: str, path: Path, after: str = "", lead: str = ""
) -> exp.Expr:
    """The tree of a text as one expression, or as what ``into`` says.

    ``before`` and ``after`` stand around the text in what is parsed, and ``lead`` before it all makes
    it a statement.

    Raises OperationError with the place in the text for a syntax error, and for several statements.
    """
    if not text.strip():
        raise OperationError("there is no expression here", path)
    _refuse(lead + before, text, after, path)
    try:
        trees = _sqlglot().parse_into(into, before + text + after)
    except SqlglotError as error:
        raise OperationError(f"{text!r} is not one expression that odibi can read", path) from error
    tree = trees[0] if len(trees) == 1 else None
    if tree is None:
        raise OperationError(f"{text!r} is not one expression", path)
    return tree


def _refuse(before: str, text: str, after: str, path: Path) -> None:
    import duckdb

    try:
        statements = _shell().extract_statements(before + text + after)
    except duckdb.Error as error:
        found = json.loads(str(error)[str(error).index("{") :])
        offset = int(found.get("position") or 0) - len(before.encode())
        until = text.encode()[: max(offset, 0)].decode(errors="ignore")
        line, column = until.count("\n") + 1, len(until) - (until.rfind("\n") + 1) + 1
        message = str(found["exception_message"]).splitlines()[0]
        raise OperationError(message, path, line=line, column=column) from error
    if len(statements) != 1:
        raise OperationError(f"{text!r} is {len(statements)} statements instead of an expression", path)


@cache
def _shell() -> duckdb.DuckDBPyConnection:
    """A database that only parses."""
    import duckdb

    return duckdb.connect(":memory:", config={"errors_as_json": "true", "threads": "1"})


@cache
def _sqlglot() -> Dialect:
    return Dialect.get_or_raise("duckdb")
