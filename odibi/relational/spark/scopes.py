"""Which columns are in sight where, so that every expression of a query gets its type.

The query is qualified: every column names its table, stars and aliases are expanded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from odibi.relational.schema import Schema
from odibi.relational.spark.kinds import (
    Question,
    common,
    element,
    is_literal,
    kind,
    known,
    marked,
    meeting,
    together,
)
from odibi.relational.spark.refusal import refuse

__all__ = ["typed"]

Columns = list[tuple[str, str]]
"""Names and types, in order."""


def typed(query: exp.Query, tables: Mapping[str, Schema]) -> Columns:
    """Give every expression of the query its DuckDB type; returns those of the query's own columns."""
    given = {name.lower(): [(c.name, c.type) for c in schema] for name, schema in tables.items()}
    return _query(query, given, None)


@dataclass(slots=True)
class _Scope:
    """What a SELECT sees: its tables, the aliases of its own columns, and what is outside."""

    tables: Mapping[str, Columns]
    outer: _Scope | None
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    """Aliases of the SELECT list, and parameters of lambdas."""

    def find(self, column: exp.Column) -> str | None:
        """The type of a column."""
        name, table = column.name.lower(), column.table.lower()
        found = self.sources.get(table, {}).get(name) if table else self.named.get(name)
        return found or (self.outer.find(column) if self.outer else None)


def _query(query: exp.Expr, tables: Mapping[str, Columns], outer: _Scope | None) -> Columns:
    """The columns of a query, everything in it typed."""
    with_ = query.args.get("with_")
    recursive = with_ is not None and bool(with_.args.get("recursive"))
    for cte in with_.expressions if with_ is not None else ():
        tables = {**tables, cte.alias.lower(): _cte(cte, tables, outer, recursive=recursive)}
    if isinstance(query, exp.Subquery):
        columns = _query(query.this, tables, outer)
    elif isinstance(query, exp.SetOperation):
        columns = _union(query, tables, outer)
    elif isinstance(query, exp.Select):
        return _select(query, _Scope(tables, outer))
    else:
        refuse(query.key.upper(), "it is no query that Spark has", "use SELECT", query)
    _values(_rest(query, "this", "expression", "with_"), _Scope(tables, outer, named=_lower(columns)))
    return columns


def _cte(cte: exp.CTE, tables: Mapping[str, Columns], outer: _Scope | None, *, recursive: bool) -> Columns:
    if recursive and isinstance(cte.this, exp.Union):
        first = _renamed(_query(cte.this.left, tables, outer), cte)
        tables = {**tables, cte.alias.lower(): first}
    return _renamed(_query(cte.this, tables, outer), cte)


def _union(union: exp.SetOperation, tables: Mapping[str, Columns], outer: _Scope | None) -> Columns:
    left, right = _query(union.left, tables, outer), _query(union.right, tables, outer)
    if len(left) != len(right) or union.args.get("by_name"):
        refuse("UNION BY NAME", "Spark fills no missing columns", "name the columns in both halves", union)
    columns = [(name, meeting((one, other))) for (name, one), (_, other) in zip(left, right, strict=True)]
    union.meta["columns"] = columns
    return columns


def _select(select: exp.Select, scope: _Scope) -> Columns:
    from_ = select.args.get("from_")
    joins = [join.this for join in select.args.get("joins") or ()]
    for source in [
        *([from_.this] if from_ is not None else ()),
        *joins,
        *(select.args.get("laterals") or ()),
    ]:
        for nested in [source, *(join.this for join in source.args.get("joins") or ())]:
            scope.sources[nested.alias_or_name.lower()] = _lower(_source(nested, scope))
    for join in select.args.get("joins") or ():
        _values(_rest(join, "this"), scope)
    _values(select.expressions, scope)
    columns = [(made.alias_or_name, kind(made)) for made in select.expressions]
    scope.named = _lower(columns)
    _values(_rest(select, "from_", "joins", "laterals", "expressions", "with_"), scope)
    return columns


def _source(source: exp.Expr, scope: _Scope) -> Columns:
    """The columns of what stands in FROM or JOIN."""
    if isinstance(source, exp.Lateral):
        return _renamed(_source(source.this, scope), source)
    if isinstance(source, exp.Table) and not isinstance(source.this, exp.Func):
        return _renamed(scope.tables.get(source.name.lower(), []), source)
    if isinstance(source, exp.Subquery):
        return _renamed(_query(source, scope.tables, scope), source)
    if isinstance(source, exp.Values):
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in source.expressions]
        _values(source.expressions, scope)
        kinds = [together(cells) for cells in zip(*rows, strict=True)]
        source.meta["kinds"] = kinds
        return _renamed([(f"col{at}", found) for at, found in enumerate(kinds)], source)
    call = source.this if isinstance(source, exp.Table) else source
    _values(call.expressions if isinstance(call, exp.Unnest) else [call], scope)
    lists = call.expressions if isinstance(call, exp.Unnest) else [call]
    return _renamed([(call.key, _inside(each)) for each in lists], source)


def _inside(values: exp.Expr) -> str:
    """The type of a list's elements."""
    found = element(kind(values))
    if found is None:
        refuse(
            f"`{values.sql('duckdb')}` of {kind(values)}", "only lists have elements", "give a list", values
        )
    return found


def _renamed(columns: Columns, source: exp.Expr) -> Columns:
    """The columns as the source's alias calls them."""
    alias = source.args.get("alias")
    names = [c.name for c in alias.args.get("columns") or ()] if isinstance(alias, exp.TableAlias) else []
    return [(names[at] if at < len(names) else name, found) for at, (name, found) in enumerate(columns)]


def _lower(columns: Columns) -> dict[str, str]:
    return {name.lower(): found for name, found in columns}


def _rest(node: exp.Expr, *but: str) -> list[exp.Expr]:
    return [child for key, value in node.args.items() if key not in but for child in _children(value)]


def _children(value: Any) -> list[exp.Expr]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, exp.Expr)]


def _values(nodes: Iterable[exp.Expr], scope: _Scope) -> None:
    for node in nodes:
        _value(node, scope)


_STRUCTURE = (
    exp.Identifier, exp.DataType, exp.Var, exp.Star, exp.Ordered, exp.Group, exp.Where, exp.Having, exp.Qualify,
    exp.Limit, exp.Offset, exp.Fetch, exp.WindowSpec, exp.PropertyEQ, exp.Kwarg, exp.Slice, exp.Tuple, exp.Lambda, exp.TableAlias,
    exp.From, exp.Join, exp.IntervalSpan, exp.Rollup, exp.Cube, exp.GroupingSets, exp.Interval, exp.Hint,
)  # fmt: skip
"""Nodes that have no type of their own; those inside them do."""

_SAME = (exp.Alias, exp.Paren, exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.Window, exp.Order)
"""Nodes of the type of what they are about."""

_ROWS = (
    exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile, exp.Lag, exp.Lead,
    exp.FirstValue, exp.LastValue, exp.NthValue,
)  # fmt: skip
"""Functions that DuckDB binds in a window only."""

_COMPARED = (
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.NullSafeEQ,
    exp.NullSafeNEQ,
    exp.Nullif,
    exp.Between,
    exp.In,
)

_TRUTH = (exp.Predicate, exp.Connector, exp.Not, exp.Exists, exp.RegexpLike, exp.Escape, exp.Any, exp.All)


def _value(node: exp.Expr, scope: _Scope) -> None:
    """Give the expression, and all in it, its type."""
    if isinstance(node, exp.DataType):
        return
    if isinstance(node, exp.Subquery | exp.Select | exp.SetOperation):
        columns = _query(node, scope.tables, scope)
        if len(columns) == 1:
            marked(node, columns[0][1])
        return
    if isinstance(node, exp.Column):
        found = scope.find(node)
        if found is not None:
            marked(node, found)
        return
    if any(isinstance(child, exp.Lambda) for child in _rest(node)):
        _value(node.this, scope)
        inside = _inside(node.this)
        for lambda_ in (child for child in _rest(node, "this") if isinstance(child, exp.Lambda)):
            _lambda(lambda_, inside, scope)
    else:
        _values(_rest(node), scope)
    if isinstance(node, exp.Case):
        _case(node)
    elif isinstance(node, _COMPARED):
        _meet(node)
    found = _kind(node)
    if found is not None:
        marked(node, found)


def _lambda(node: exp.Lambda, inside: str, scope: _Scope) -> None:
    """Type the body of a lambda over elements of a list; the second parameter is a position."""
    kinds = (inside, "BIGINT")
    names = {p.name.lower(): k for p, k in zip(node.expressions, kinds, strict=False)}
    for found in list(node.this.find_all(exp.Identifier)):
        if found.name.lower() in names and not _is_label(found):
            marked(found, names[found.name.lower()])
    within = _Scope(scope.tables, scope, named=names)
    _value(node.this, within)


def _is_label(name: exp.Identifier) -> bool:
    """Whether it names a column or a field, and no value."""
    if isinstance(name.parent, exp.Dot):
        return name.arg_key == "expression"
    return isinstance(name.parent, exp.Column) or (
        isinstance(name.parent, exp.PropertyEQ) and name.arg_key == "this"
    )


def _case(node: exp.Case) -> None:
    """The branches of a CASE are no calls of if(); its operand meets what it is compared with."""
    for branch in node.args["ifs"]:
        branch.meta.pop("kind", None)
    if node.this is not None:
        node.meta["common"] = common([node.this, *(branch.this for branch in node.args["ifs"])])


def _meet(node: exp.Expr) -> None:
    """Remember the type in which the operands of a comparison meet."""
    others = [child for child in _rest(node, "this") if known(child)]
    if known(node.this) and others:
        node.meta["common"] = common([node.this, *others])


def _kind(node: exp.Expr) -> str | None:
    if isinstance(node, exp.Identifier):
        return known(node)
    if isinstance(node, exp.Interval):
        return "INTERVAL"
    if isinstance(node, _STRUCTURE) or (isinstance(node, exp.If) and isinstance(node.parent, exp.Case)):
        return None
    if isinstance(node, exp.Distinct):
        return known(node.expressions[0]) if len(node.expressions) == 1 else None
    if isinstance(node, _SAME):
        return known(node.this) if isinstance(node.this, exp.Expr) else None
    if isinstance(node, (exp.Boolean, *_TRUTH)):
        return "BOOLEAN"
    question = Question()
    tree = node.copy() if is_literal(node) else _over_columns(node, question)
    return question.ask(tree, " OVER (ORDER BY 1)" if isinstance(node, _ROWS) else "")


def _over_columns(node: exp.Expr, question: Question) -> exp.Expr:
    """The expression with columns in the place of the values in it."""

    def replaced(value: Any) -> Any:
        if isinstance(value, list):
            return [replaced(each) for each in value]
        if not isinstance(value, exp.Expr):
            return value
        if isinstance(value, exp.DataType):
            return value.copy()
        return _over_columns(value, question) if known(value) is None else question.stand_in(value)

    return type(node)(**{key: replaced(value) for key, value in node.args.items()})
