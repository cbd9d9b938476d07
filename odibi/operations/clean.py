"""The vocabulary of cleaning: nulls, names, duplicates, formats, constraints.

What is missing is NULL, and NaN too: a column of numbers has NaN where a text file says so.
"""

from __future__ import annotations

from typing import Annotated, Literal

from sqlglot import exp

from odibi.operations.columns import (
    Names,
    Value,
    column,
    family,
    find,
    find_all,
    literal,
    query,
    refuse_twins,
    with_columns,
)
from odibi.operations.errors import OperationError
from odibi.operations.expressions import Expression, expression
from odibi.operations.rows import deduplicate
from odibi.relational.schema import Column, Relation

__all__ = [
    "handle_missing_values",
    "normalize_formats",
    "remove_duplicates",
    "remove_nulls",
    "standardize_fields",
    "validate_constraints",
]

Change = Literal["trim", "uppercase", "lowercase"]
_CHANGES: dict[Change, type[exp.Func]] = {"trim": exp.Trim, "uppercase": exp.Upper, "lowercase": exp.Lower}


def remove_nulls(
    table: Relation, *, drop: Literal["rows", "fields", "columns"] = "rows", of: Names | None = None
) -> exp.Query:
    """Remove what is missing: NULL, and NaN in a column of numbers.

    Args:
        table: the table to transform.
        drop: ``rows`` removes the rows in which a value is missing; ``fields`` removes the value alone,
            which a table shows as NULL, so that NaN becomes NULL. ``columns`` is refused: which ones
            stay would be known only when the rows have been read.
        of: the columns to look at, all if not given.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - remove_nulls: {drop: rows, of: [quantity]}
        ```
    """
    if drop == "columns":
        raise OperationError(
            "which columns hold nulls is known only when the rows have been read",
            ("drop",),
            hint="name them in the operation drop, or write remove_nulls: rows",
        )
    chosen = table.columns if of is None else find_all(table, of, ("of",))
    if drop == "rows":
        return _all(table).where(_present(chosen), copy=False)
    known = [each for each in chosen if _may_be_nan(each)]
    made = {each.name: _null_for_nan(each) for each in known}
    return with_columns(table, made, ("of",)) if made else _all(table)


def standardize_fields(table: Relation) -> exp.Query:
    """Give columns names in lower case, with ``_`` for spaces and for ``-``.

    Two columns that would be called the same are an error.

    Args:
        table: the table to transform.

    Example:
        ```yaml
        inputs: [customers]
        transform:
          - rename: {customer_id: Customer ID, country: Home-Country}
          - standardize_fields:
        ```
    """
    names = [name.lower().replace(" ", "_").replace("-", "_") for name in table.names]
    refuse_twins(names, (), hint="rename one of them before")
    return query(table, [(name, column(old)) for old, name in zip(table.names, names, strict=True)])


def remove_duplicates(
    table: Relation, *, keys: Names | None = None, order_by: Names | None = None
) -> exp.Query:
    """Keep one row of those that are equal.

    Args:
        table: the table to transform.
        keys: the columns by which rows are equal, all if not given.
        order_by: which row is kept, as in ``deduplicate``.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - remove_duplicates: {keys: [order_id]}
        ```
    """
    return deduplicate(table, keys=list(table.names) if keys is None else keys, order_by=order_by)


def handle_missing_values(
    table: Relation, *, fill: dict[str, Value] | None = None, drop_rows: Names | None = None
) -> exp.Query:
    """Put values where they are missing, and remove rows in which they must not be. NaN is missing.

    Args:
        table: the table to transform.
        fill: ``{column: value}``, which is of the column's type.
        drop_rows: the columns that must not miss a value.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - handle_missing_values: {fill: {note: none}, drop_rows: [quantity]}
        ```
    """
    if not fill and not drop_rows:
        raise OperationError("nothing is done", (), hint="give fill: {column: value} or drop_rows: [column]")
    made: dict[str, exp.Expr] = {}
    for name, value in (fill or {}).items():
        of = find(table, name, ("fill", name))
        present = _null_for_nan(of) if _may_be_nan(of) else column(of.name)
        made[of.name] = exp.func("COALESCE", present, literal(value, of, ("fill", name)))
    kept = with_columns(table, made, ("fill",)) if made else _all(table)
    if drop_rows:
        chosen = find_all(table, drop_rows, ("drop_rows",))
        if twice := [of.name for of in chosen if of.name in made]:
            raise OperationError(f"{twice[0]!r} is filled, so no row misses it", ("drop_rows",))
        kept = kept.where(_present(chosen), copy=False)
    return kept


def normalize_formats(
    table: Relation,
    *,
    columns: Annotated[
        dict[str, Change | list[Change]], "a mapping of columns to trim, uppercase or lowercase"
    ],
) -> exp.Query:
    """Write text in one way. Columns that hold no text stay as they are.

    Args:
        table: the table to transform.
        columns: ``{column: change}`` or ``{column: [changes]}``, in order: ``trim`` takes spaces off both
            ends, ``uppercase`` and ``lowercase`` change letters.

    Example:
        ```yaml
        inputs: [customers]
        transform:
          - normalize_formats: {name: [trim, uppercase], country: lowercase}
        ```
    """
    made: dict[str, exp.Expr] = {}
    for name, given in columns.items():
        of = find(table, name, ("columns", name))
        made[of.name] = column(of.name)
        for change in (given if isinstance(given, list) else [given]) if family(of.type) == "text" else ():
            made[of.name] = _CHANGES[change](this=made[of.name])
    return with_columns(table, made, ("columns",))


def validate_constraints(table: Relation, *, constraints: list[Expression]) -> exp.Query:
    """Remove the rows that break a constraint. As in a database, NULL breaks none.

    To keep such rows for a second look use the step's ``checks``.

    Args:
        table: the table to transform.
        constraints: conditions over the table's columns.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - validate_constraints: [quantity > 1, price < 10]
        ```
    """
    if not constraints:
        raise OperationError("no constraint is named", ("constraints",), hint="such as [quantity > 0]")
    kept = _all(table)
    for number, text in enumerate(constraints):
        test = expression(text, table, ("constraints", number))
        broken = exp.Is(this=exp.paren(test), expression=exp.false())
        kept = kept.where(exp.Not(this=exp.paren(broken)), copy=False)
    return kept


def _all(table: Relation) -> exp.Select:
    return query(table, [(name, column(name)) for name in table.names])


def _may_be_nan(of: Column) -> bool:
    return of.type in ("DOUBLE", "FLOAT")


def _null_for_nan(of: Column) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=exp.Not(this=exp.IsNan(this=column(of.name))), true=column(of.name))])


def _present(columns: tuple[Column, ...]) -> exp.Expr:
    """Whether no value is missing."""
    tests: list[exp.Expr] = []
    for of in columns:
        tests.append(exp.Not(this=exp.Is(this=column(of.name), expression=exp.null())))
        if _may_be_nan(of):
            tests.append(exp.Not(this=exp.IsNan(this=column(of.name))))
    return exp.and_(*tests, copy=False)
