"""Expressions people write in YAML, parsed in DuckDB's spelling.

Text that is exactly a column's name is that column, whatever characters it has; all other text is
SQL. Names of columns come out quoted and spelled as the table spells them. Types, unknown columns
and unknown functions are DuckDB's binder's business, not ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

from sqlglot import exp

from odibi.errors import nearest
from odibi.operations.columns import Names, column, constant, find, refuse_twins
from odibi.operations.errors import OperationError, Path
from odibi.operations.syntax import parsed
from odibi.relational.functions import is_aggregate
from odibi.relational.schema import Relation

__all__ = [
    "Expression",
    "Named",
    "aggregates",
    "checked",
    "expression",
    "named",
    "ordering",
    "see_only",
    "ties",
    "type_of",
]

Expression = Annotated[str | bool | int | float, "an expression"]
"""An expression in YAML: SQL text, or a constant that is no text."""

Named = Annotated[
    str | list[str | dict[str, Expression]] | dict[str, Expression], "columns or named expressions"
]
"""Named expressions in YAML: ``expr AS name``, ``{name: expr}``, or a list of both."""


def expression(given: Expression, table: Relation, path: Path) -> exp.Expr:
    """One expression over the table's columns.

    Raises OperationError for a syntax error, a second statement, a subquery and a star.
    """
    if not isinstance(given, str):
        return constant(given)
    exact = _column_of(table, given)
    return exact or checked(parsed(exp.Condition, given, path, names=table.names), path, table)


def named(given: Named, table: Relation, path: Path) -> dict[str, exp.Expr]:
    """Named expressions in order; a plain column keeps its name, ``*`` is every column.

    Raises OperationError as ``expression`` does, for an expression without a name, and for a name
    given twice.
    """
    pairs: list[tuple[str, exp.Expr]] = []
    for item, place in _items(given, path):
        if isinstance(item, Mapping):
            pairs += [(name, expression(text, table, (*place, name))) for name, text in item.items()]
        elif item.strip() == "*":
            pairs += [(name, column(name)) for name in table.names]
        else:
            pairs.append(_named(item, table, place))
    if not pairs:
        raise OperationError("no column is named", path, hint="name at least one column")
    refuse_twins([name for name, _ in pairs], path)
    return dict(pairs)


def _items(given: Named, path: Path) -> Iterator[tuple[str | dict[str, Expression], Path]]:
    if isinstance(given, list):
        yield from ((item, (*path, index)) for index, item in enumerate(given))
    else:
        yield given, path


def _named(text: str, table: Relation, path: Path) -> tuple[str, exp.Expr]:
    exact = _column_of(table, text)
    if exact:
        return exact.name, exact
    tree = checked(parsed(exp.Expr, text, path, names=table.names), path, table)
    if isinstance(tree, exp.Alias):
        return tree.alias, tree.this
    if isinstance(tree, exp.Column):
        return (tree.name if tree.table else find(table, tree.name, path).name), tree
    raise OperationError(f"{text!r} has no name", path, hint=f"name it: {text} AS name")


def ordering(given: Names, table: Relation, path: Path) -> list[exp.Ordered]:
    """The terms of an ORDER BY: ``col``, ``col desc``, ``lower(col) nulls first``.

    Every term states where its NULLs go: last, unless it says first.

    Raises OperationError as ``expression`` does, for an unknown column, and for a term without one.
    """
    terms: list[exp.Ordered] = []
    for index, text in enumerate([given] if isinstance(given, str) else given):
        place = path if isinstance(given, str) else (*path, index)
        exact = _column_of(table, text)
        if exact:
            terms.append(exp.Ordered(this=exact, nulls_first=False))
            continue
        order = parsed(exp.Order, text, place, before="ORDER BY ", names=table.names)
        for term in order.expressions:
            checked(term, place, table)
            if not term.find(exp.Column):
                raise OperationError(f"{term.this.sql('duckdb')} orders nothing", place, hint="name a column")
            if isinstance(term.this, exp.Column) and not term.this.table:
                find(table, term.this.name, place)
            terms.append(term)
    if not terms:
        raise OperationError("no column is named", path, hint="name at least one column")
    return terms


def ties(table: Relation, terms: Iterable[exp.Ordered], constant: Iterable[str] = ()) -> list[exp.Ordered]:
    """The terms, and after them every column they do not hold, so that only equal rows tie.

    Columns named in ``constant`` are equal wherever the order matters and stay out.
    """
    out = list(terms)
    used = {term.this.name.lower() for term in out if isinstance(term.this, exp.Column)}
    used |= {name.lower() for name in constant}
    rest = (name for name in table.names if name.lower() not in used)
    return out + [exp.Ordered(this=column(name), nulls_first=False) for name in rest]


def see_only(
    table: Relation, columns: Mapping[str, exp.Expr], path: Path, beside: Iterable[str] = ()
) -> None:
    """Raises OperationError where an expression uses a column that is made with it or ``beside`` it.

    Engines differ in what such a name means; the next operation sees it on all of them.
    """
    made = {name.lower() for name in (*columns, *beside)} - {name.lower() for name in table.names}
    for name, tree in columns.items():
        for used in tree.find_all(exp.Column):
            if not used.table and used.name.lower() in made:
                raise OperationError(
                    f"{name!r} uses {used.name!r}, which is made in the same place",
                    (*path, name),
                    hint="make it in an operation before this one",
                )


def aggregates(tree: exp.Expr, path: Path) -> list[exp.Expr]:
    """The outermost aggregate and window calls, each with its FILTER or IGNORE NULLS.

    Raises OperationError where there is none, and for an OVER.
    """
    found: list[exp.Expr] = []
    for node in tree.walk(bfs=False, prune=lambda node: isinstance(node, _WRAPPERS) or is_aggregate(node)):
        if isinstance(node, exp.Window):
            raise OperationError("OVER has no place here", path, hint="leave it out: the operation adds it")
        if isinstance(node, _WRAPPERS) or is_aggregate(node):
            found.append(node)
    if not found:
        raise OperationError(
            f"{tree.sql('duckdb')} has no aggregate or window function", path, hint="such as sum(amount)"
        )
    return found


_WRAPPERS = (exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.WithinGroup)


def type_of(text: str, path: Path) -> exp.DataType:
    """A type in DuckDB's spelling. Raises OperationError with the nearest type for an unknown one."""
    tree = parsed(exp.Condition, text, path, before="CAST(x AS ", after=")")
    if not isinstance(tree, exp.Cast):
        raise OperationError(f"{text!r} is not a type", path)
    for part in tree.to.find_all(exp.DataType):
        if part.this == exp.DataType.Type.USERDEFINED:
            raise OperationError(
                f"unknown type {str(part.args.get('kind') or text)!r}",
                path,
                hint=nearest(text.upper(), _TYPES),
            )
    return tree.to


_TYPES = (
    "BIGINT", "BLOB", "BOOLEAN", "DATE", "DECIMAL(18,2)", "DOUBLE", "FLOAT", "INTEGER", "SMALLINT",
    "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TINYINT", "VARCHAR",
)  # fmt: skip


def checked(tree: exp.Expr, path: Path, table: Relation | None = None) -> exp.Expr:
    """The tree with the table's columns quoted. Raises OperationError for what an expression cannot hold."""
    for node in list(tree.walk()):
        if isinstance(node, exp.Query | exp.Exists):
            raise OperationError("a subquery has no place here", path, hint="use join, or a sql step")
        if isinstance(node, exp.Columns) or (
            isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count)
        ):
            raise OperationError(f"{node.sql('duckdb')} has no place here", path, hint="name the columns")
        if isinstance(node, exp.Placeholder | exp.Parameter):
            raise OperationError(f"{node.sql('duckdb')} has no value here", path, hint="write the value")
        if table is not None and isinstance(node, exp.Column) and not node.table:
            exact = _column_of(table, node.name)
            if exact:
                node.set("this", exact.this)
    return tree


def _column_of(table: Relation, name: str) -> exp.Column | None:
    """The column whose name is exactly the text, or is but for case."""
    names = table.names
    if name in names:
        return column(name)
    same = [each for each in names if each.lower() == name.lower()]
    return column(same[0]) if len(same) == 1 else None
