"""The operation that gives rows a key of their own, the same wherever and whenever it is computed."""

from __future__ import annotations

from sqlglot import exp

from odibi.operations.columns import Names, column, family, find_all, refuse_twins, with_columns
from odibi.operations.errors import OperationError
from odibi.relational.schema import Relation

__all__ = ["surrogate_key"]


def surrogate_key(table: Relation, *, name: str, columns: Names) -> exp.Query:
    """Add a key made of the columns that identify a row, for the tables of a star schema.

    It is a hash (MD5, 32 characters) of their values: equal values have the same key in every table, on
    every engine and in every run, so a fact finds its dimension without a lookup. Values that are written
    otherwise are other values: give both tables the same types. Where all the columns are NULL the key is
    NULL.

    Args:
        table: the table to transform.
        name: what the key is called; the table has no such column yet.
        columns: the columns that identify a row: whole numbers, decimals, text, booleans, dates, times.

    Example:
        ```yaml
        inputs: [customers]
        transform:
          - surrogate_key: {name: customer_key, columns: [customer_id]}
        ```
    """
    refuse_twins([*table.names, name], ("name",), hint="give the key another name")
    chosen = find_all(table, columns, ("columns",))
    parts: list[exp.Expr] = []
    for number, of in enumerate(chosen):
        if family(of.type) not in ("number", "text", "boolean", "date") or of.type in ("DOUBLE", "FLOAT"):
            path = ("columns",) if isinstance(columns, str) else ("columns", number)
            raise OperationError(
                f"column {of.name!r} is {of.type}, which is not written the same everywhere",
                path,
                hint="cast it before, a DOUBLE to DECIMAL",
            )
        text: exp.Expr = exp.cast(column(of.name), "VARCHAR", dialect="duckdb")
        for plain, escaped in (("\\", "\\\\"), ("|", "\\|")):  # so that ('a|b') and ('a', 'b') are two keys
            text = exp.func("REPLACE", text, exp.Literal.string(plain), exp.Literal.string(escaped))
        parts += [exp.Literal.string("|")] if parts else []
        parts.append(exp.func("COALESCE", text, exp.Literal.string("\\N")))
    whole = exp.Concat(expressions=parts, safe=True, coalesce=True) if len(parts) > 1 else parts[0]
    known = exp.or_(
        *[exp.Not(this=exp.Is(this=column(of.name), expression=exp.null())) for of in chosen], copy=False
    )
    key = exp.Case(ifs=[exp.If(this=known, true=exp.MD5(this=whole))])
    return with_columns(table, {name: key}, ("name",))
