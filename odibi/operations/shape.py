"""Operations on columns: which there are, what they are called, what they hold."""

from __future__ import annotations

from typing import Annotated, Literal

from sqlglot import exp

from odibi.operations.columns import (
    Names,
    Value,
    column,
    find,
    find_all,
    literal,
    query,
    refuse_twins,
    with_columns,
)
from odibi.operations.errors import OperationError, Path
from odibi.operations.expressions import Expression, Named, expression, named, see_only, type_of
from odibi.relational.schema import Relation

Computed = Annotated[dict[Literal["expr"], Expression], "{expr: an expression}"]

__all__ = ["cast", "derive", "drop", "fill", "rename", "select"]


def select(table: Relation, *, columns: Named) -> exp.Query:
    """Keep only these columns, in this order, and compute new ones.

    Args:
        table: the table to transform.
        columns: column names, ``expression AS name``, or ``{name: expression}``; ``*`` stands for all
            columns. Expressions see the input's columns.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - select: [order_id, price * quantity AS amount, status: upper(status)]
        ```
    """
    chosen = named(columns, table, ("columns",))
    see_only(table, chosen, ("columns",))
    return query(table, chosen.items())


def rename(table: Relation, *, columns: dict[str, str]) -> exp.Query:
    """Give columns other names; order and values stay. Two columns may exchange their names.

    Args:
        table: the table to transform.
        columns: ``{old name: new name}``.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - rename: {order_id: id, ordered_at: time}
        ```
    """
    refuse_twins(list(columns), ("columns",), hint="rename a column once")
    new = {find(table, old, ("columns", old)).name: name for old, name in columns.items()}
    names = [new.get(name, name) for name in table.names]
    refuse_twins(names, ("columns",))
    return query(table, [(name, column(old)) for old, name in zip(table.names, names, strict=True)])


def drop(table: Relation, *, columns: Names) -> exp.Query:
    """Leave columns out.

    Args:
        table: the table to transform.
        columns: the names of the columns.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - drop: [note, ordered_at]
        ```
    """
    gone = {found.name for found in find_all(table, columns, ("columns",))}
    kept = [(name, column(name)) for name in table.names if name not in gone]
    if not kept:
        raise OperationError("no column would be left", ("columns",))
    return query(table, kept)


def cast(table: Relation, *, columns: dict[str, str]) -> exp.Query:
    """Change the types of columns; a value that does not fit is an error of the run.

    Args:
        table: the table to transform.
        columns: ``{column: type}`` with types as DuckDB spells them, such as ``DECIMAL(18,2)``. For
            NULL instead of an error, derive the column with ``try_cast(column AS type)``.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - cast: {order_id: VARCHAR, price: DOUBLE}
        ```
    """
    changed: dict[str, exp.Expr] = {}
    for name, kind in columns.items():
        old = column(find(table, name, ("columns", name)).name)
        changed[name] = exp.cast(old, type_of(kind, ("columns", name)))
    return with_columns(table, changed, ("columns",))


def derive(table: Relation, *, columns: dict[str, Expression]) -> exp.Query:
    """Add computed columns at the end, or replace columns in their place.

    Args:
        table: the table to transform.
        columns: ``{name: expression}``. Expressions see the input's columns, also those that are
            replaced here; what is made here is seen by the next operation. Text in an expression
            stands in single quotes.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - derive: {amount: price * quantity, status: upper(status), source: "'shop'"}
        ```
    """
    made = {name: expression(text, table, ("columns", name)) for name, text in columns.items()}
    see_only(table, made, ("columns",))
    return with_columns(table, made, ("columns",))


def fill(table: Relation, *, columns: dict[str, Value | Computed]) -> exp.Query:
    """Replace NULL. NaN is a number and stays.

    Args:
        table: the table to transform.
        columns: ``{column: value}``. Text is a value as it stands, not an expression; the column
            keeps its type, and a value it cannot hold is an error. ``{column: {expr: expression}}``
            computes the value.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - fill: {note: none, quantity: 1, price: {expr: quantity * 2.5}}
        ```
    """
    filled: dict[str, exp.Expr] = {}
    for name, value in columns.items():
        path: Path = ("columns", name)
        of = find(table, name, path)
        if not isinstance(value, dict):
            new = literal(value, of, path)
        elif "expr" in value:
            new = expression(value["expr"], table, (*path, "expr"))
        else:
            raise OperationError("nothing to fill with", path, hint="{expr: expression}")
        filled[name] = exp.func("COALESCE", column(of.name), new)
    return with_columns(table, filled, ("columns",))
