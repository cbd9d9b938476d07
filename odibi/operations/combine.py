"""Operations on several tables: beside each other, and one below the other."""

from __future__ import annotations

from typing import Annotated, Literal

from sqlglot import exp

from odibi.operations.columns import column, family, find, identifier, query, refuse_twins
from odibi.operations.errors import OperationError
from odibi.operations.expressions import checked
from odibi.operations.syntax import parsed
from odibi.relational.schema import Relation

__all__ = ["join", "union"]

Keys = Annotated[str | list[str], "a column, a list of columns or a condition"]

LEFT, RIGHT = "left", "right"


def join(
    table: Relation,
    *,
    with_: Relation,
    on: Keys | None = None,
    how: Literal["inner", "left", "right", "full", "semi", "anti", "cross"] = "inner",
    suffix: str = "_right",
) -> exp.Query:
    """Put the rows of two tables beside each other where they match.

    Columns named in ``on`` appear once; NULL matches nothing. Other columns of the right table that are
    called as one of the left get a suffix. ``semi`` keeps the rows of the left table that match and
    ``anti`` those that do not, with the columns of the left only.

    Args:
        table: the table to transform, ``left`` in a condition.
        with_: the dataset to join, ``right`` in a condition.
        on: the columns both have, or a condition such as ``left.id = right.order_id``.
        how: which rows without a match stay: none (inner), those of the left, right, or both (full).
        suffix: what is put after the name of a column that both have.

    Example:
        ```yaml
        inputs: [orders, customers]
        transform:
          - select: [order_id, customer_id, price]
          - join: {with: customers, on: customer_id, how: left}
        ```
    """
    keys = _keys(table, with_, on)
    if (how == "cross") != (on is None):
        message = "a cross join has no on" if how == "cross" else f"a join that is {how} needs on"
        raise OperationError(message, ("on",) if how == "cross" else (), hint="name the columns both have")
    condition = _all_equal(keys) if keys else None
    if on is not None and not keys:
        condition = _condition(str(on), table, with_)
    merged = {left: right for left, right in keys if how in ("right", "full")}
    columns: list[tuple[str, exp.Expr]] = [(name, column(name, LEFT)) for name in table.names]
    for index, (name, of_left) in enumerate(columns):
        if name in merged:
            columns[index] = (name, exp.func("COALESCE", of_left, column(merged[name], RIGHT)))
    if how not in ("semi", "anti"):
        taken = {name.lower() for name in table.names}
        shared = {right for _, right in keys}
        columns += [
            (name + suffix if name.lower() in taken else name, column(name, RIGHT))
            for name in with_.names
            if name not in shared
        ]
        refuse_twins([name for name, _ in columns], ("suffix",), hint="give another suffix")
    right = exp.table_(identifier(with_.name), alias=identifier(RIGHT))
    side = how.upper() if how in ("left", "right", "full") else None
    joined = query(table, columns, LEFT)
    joined.append("joins", exp.Join(this=right, side=side, kind=None if side else how.upper(), on=condition))
    return joined


def _keys(table: Relation, with_: Relation, on: str | list[str] | None) -> list[tuple[str, str]]:
    """The columns to compare, as the left and as the right spells them; none for a condition."""
    if isinstance(on, str):
        shared = {name.lower() for name in table.names} & {name.lower() for name in with_.names}
        if on.lower() not in shared and not on.isidentifier():
            return []
    names = [on] if isinstance(on, str) else on or []
    if isinstance(on, list) and not on:
        raise OperationError("no column is named", ("on",), hint="name the columns both have")
    refuse_twins(names, ("on",), hint="name a column once")
    paths = [("on",) if isinstance(on, str) else ("on", index) for index in range(len(names))]
    return [
        (find(table, name, path, LEFT).name, find(with_, name, path, RIGHT).name)
        for name, path in zip(names, paths, strict=True)
    ]


def _all_equal(keys: list[tuple[str, str]]) -> exp.Expr:
    return exp.and_(
        *(exp.EQ(this=column(left, LEFT), expression=column(right, RIGHT)) for left, right in keys)
    )


def _condition(text: str, table: Relation, with_: Relation) -> exp.Expr:
    """The condition with every column it can place marked as the left's or the right's."""
    tree = parsed(exp.Condition, text, ("on",), names=(LEFT, RIGHT, *table.names, *with_.names))
    checked(tree, ("on",))
    sides = {LEFT: table, RIGHT: with_}
    named = {LEFT: LEFT, RIGHT: RIGHT}
    if table.name.lower() != with_.name.lower():
        named |= {table.name.lower(): LEFT, with_.name.lower(): RIGHT}
    for node in list(tree.find_all(exp.Column)):
        if node.table:
            found = [named[node.table.lower()]] if node.table.lower() in named else []
        else:
            found = [side for side, of in sides.items() if node.name.lower() in map(str.lower, of.names)]
        if len(found) == 2:
            hint = f"left.{node.name} or right.{node.name}"
            raise OperationError(f"both tables have a column {node.name!r}", ("on",), hint=hint)
        if found:
            node.set("this", identifier(find(sides[found[0]], node.name, ("on",), found[0]).name))
            node.set("table", identifier(found[0]))
    return tree


def union(table: Relation, *, with_: list[Relation], distinct: bool = False) -> exp.Query:
    """Put the rows of several tables below each other, columns matched by name.

    A column that a table does not have is NULL there. Columns of the same name must hold the same kind
    of thing: numbers, text, dates.

    Args:
        table: the table to transform.
        with_: the datasets whose rows are added.
        distinct: whether equal rows are kept once instead of all.

    Example:
        ```yaml
        inputs: [customers, prospects]
        transform:
          - union: prospects
        ```
    """
    tables = [table, *with_]
    names: dict[str, str] = {}
    for each in tables:
        for name in each.names:
            names.setdefault(name.lower(), name)
    for name in names.values():
        _same_family(name, tables)
    selects = []
    for each in tables:
        own = {name.lower(): column(name) for name in each.names}
        selects.append(query(each, [(name, own.get(key, exp.null())) for key, name in names.items()]))
    return exp.union(*selects, distinct=distinct, copy=False)


def _same_family(name: str, tables: list[Relation]) -> None:
    """Raises OperationError where a column is of one kind in one table and of another in another."""
    first: tuple[str, str] | None = None
    for index, table in enumerate(tables):
        for of in table.columns:
            if of.name.lower() != name.lower():
                continue
            if first is not None and family(first[0]) != family(of.type):
                raise OperationError(
                    f"column {name!r} is {first[0]} {first[1]} and {of.type} in {table.name!r}",
                    ("with_", index - 1),
                    hint="cast one of them before",
                )
            first = first or (of.type, f"in {table.name!r}" if index else "here")
