"""A query in which every name is resolved: stars, aliases and USING written out, every column with its table."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.qualify import qualify

from odibi.relational.bind import BindError
from odibi.relational.parse import tables_in
from odibi.relational.schema import Schema
from odibi.relational.spark.kinds import columns_of
from odibi.relational.spark.pivots import ctes_in_sight, without_pivots
from odibi.relational.spark.refusal import NotPortable, refuse

__all__ = ["resolved"]


def resolved(query: exp.Query, tables: Mapping[str, Schema]) -> exp.Query:
    """A copy of the query with all names written out, its tables called as they are given.

    Raises:
        NotPortable: a name that cannot be placed.
    """
    copy = query.copy()
    _refuse_twins(tables)
    without_pivots(copy, tables)
    _write_out_comprehensions(copy)
    _name_windows(copy)
    _name_outputs(copy, tables)
    schema: dict[str, object] = {
        name: {column.name: column.type for column in columns} for name, columns in tables.items()
    }
    try:
        made = qualify(copy, schema=schema, dialect="duckdb")
    except OptimizeError as error:
        said = str(error).split(" Line:")[0].rstrip(".")
        raise NotPortable(
            f"{said[:1].lower()}{said[1:]} for Spark", hint="name columns with AS, and their tables"
        ) from error
    _count_from_one(made)
    given = {name.lower(): name for name in tables}
    for table in list(tables_in(made)):
        table.set("this", exp.to_identifier(given.get(table.name.lower(), table.name), quoted=True))
    return made if isinstance(made, exp.Query) else copy


def _count_from_one(query: exp.Expr) -> None:
    """Positions in brackets as they are written: sqlglot keeps them from 0."""
    generator = DuckDB().generator()
    for bracket in query.find_all(exp.Bracket):
        bracket.set("expressions", generator.bracket_offset_expressions(bracket))
        bracket.set("offset", 1)


def _refuse_twins(tables: Mapping[str, Schema]) -> None:
    """Names that DuckDB tells apart by the case of an accented letter are one to Spark."""
    for name, columns in tables.items():
        seen: set[str] = set()
        for column in columns:
            if column.name.lower() in seen:
                refuse(
                    f"column {column.name!r} of {name!r}",
                    "another differs in the case of a letter only",
                    "rename it",
                )
            seen.add(column.name.lower())


def _write_out_comprehensions(query: exp.Query) -> None:
    """``[f(x) for x in list if g(x)]`` as list_transform and list_filter."""
    for node in reversed(list(query.find_all(exp.Comprehension))):
        name, values = exp.to_identifier(node.expression.name), node.args["iterator"]
        if node.args.get("condition") is not None:
            values = exp.ArrayFilter(this=values, expression=_lambda(name, node.args["condition"]))
        whole = node.parent if isinstance(node.parent, exp.Array) else node
        whole.replace(exp.Transform(this=values, expression=_lambda(name, node.this)))


def _lambda(name: exp.Identifier, body: exp.Expr) -> exp.Lambda:
    """A lambda; its parameter is a bare name in the body."""
    for column in list(body.find_all(exp.Column)):
        if not column.table and column.name.lower() == name.name.lower():
            if column is body:
                body = column.this
            column.replace(column.this)
    return exp.Lambda(this=body, expressions=[name.copy()])


def _name_windows(query: exp.Query) -> None:
    """``OVER w`` written out."""
    for select in query.find_all(exp.Select):
        named = {window.name.lower(): window for window in select.args.get("windows") or ()}
        for window in list(select.find_all(exp.Window)) if named else ():
            of = named.get(window.alias.lower()) if window.alias else None
            if of is None or window.args.get("over") is None:
                continue
            for part in ("partition_by", "order", "spec"):
                if window.args.get(part):
                    refuse("a window that adds to a named one", "Spark has none", "write it out", window)
                value = of.args.get(part)
                window.set(
                    part,
                    [each.copy() for each in value] if isinstance(value, list) else value and value.copy(),
                )
            window.set("alias", None)
        if named:
            select.set("windows", None)


def _name_outputs(query: exp.Query, tables: Mapping[str, Schema]) -> None:
    """Columns of subqueries that have no alias get the name DuckDB makes up, because others may use it."""
    for nested in list(query.find_all(exp.Subquery, exp.CTE)):
        inner = nested.this
        if not isinstance(inner, exp.Select) or all(map(_has_name, inner.expressions)):
            continue
        whole = inner.copy()
        for outer in ctes_in_sight(nested):
            whole.set("with_", exp.With(expressions=[*outer, *(whole.ctes or ())]))
        try:
            names = [column.name for column in columns_of(whole.sql("duckdb"), tables)]
        except BindError:
            continue  # it needs what is outside; nobody calls such a column by a name
        if len(names) == len(inner.expressions):
            for made, name in zip(list(inner.expressions), names, strict=True):
                if not _has_name(made):
                    made.replace(exp.alias_(made.copy(), name, quoted=True))


def _has_name(made: exp.Expr) -> bool:
    return isinstance(made, exp.Alias | exp.Column | exp.Star) or made.is_star
