"""The condition that a question is asked with: one expression of a table's columns, that can reach nothing else."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from odibi.errors import Permanent
from odibi.relational.parse import Plain

__all__ = ["BadCondition", "condition_of"]

_REACHING = (exp.Query, exp.Table, exp.DerivedTable, exp.DDL, exp.DML, exp.Command)
"""What reads from elsewhere, or changes something."""

_ESCAPED = (exp.ByteString, exp.RawString, exp.UnicodeString, exp.National)
"""Texts that are not written again as they were read: a backslash could end them elsewhere."""

_FUNCTIONS = frozenset(
    {"error", "getvariable", "getenv", "current_setting", "write_log", "nextval", "currval", "setseed", "sleep_ms",
     "pg_sleep", "query", "query_table", "glob", "which_secret"}
)  # fmt: skip
"""Functions that raise, wait, write or tell of the database; those that read files are no scalar functions."""


class BadCondition(Permanent):
    """What is asked for is no condition on the table."""


def condition_of(text: str) -> str:
    """The condition as SQL that is written from its tree, so that it is one expression wherever it is put.

    Raises:
        BadCondition: it is none, or says more than a condition may.
    """
    try:
        found = sqlglot.parse(text, read=Plain)
    except (ParseError, TokenError) as error:
        raise BadCondition(f"{text!r} is no condition: it is not one expression in DuckDB's SQL") from error
    tree = found[0] if len(found) == 1 else None
    if not isinstance(tree, exp.Condition | exp.Query):
        raise BadCondition(f"{text!r} is no condition: it is not one expression in DuckDB's SQL")
    if tree.find(*_REACHING) is not None:
        raise BadCondition(f"{text!r} is no condition on one table: it has a query in it")
    if tree.find(*_ESCAPED) is not None:
        raise BadCondition(f"{text!r}: write its texts in plain quotes, without a letter before them")
    for function in tree.find_all(exp.Func):
        name = function.name if isinstance(function, exp.Anonymous) else function.sql_name()
        if name.lower() in _FUNCTIONS or name.lower().startswith(("read_", "pg_read")):
            raise BadCondition(
                f"{text!r} is no condition: {name.lower()}() is not computed of a row's columns"
            )
    return tree.sql("duckdb", comments=False)
