"""Column lineage: of which base columns each output column of a query is made.

``direct`` columns give the value, ``indirect`` ones decide which rows or groups there are, how
they are ordered, or which value is taken. A column too many is harmless, one too few is not:
whatever is not understood depends on everything it could see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import Any

from sqlglot import exp

from odibi.relational.columns_scope import (
    NONE,
    Field,
    Names,
    Relation,
    Scope,
    Source,
    fold,
    is_star,
    join_fields,
    name_pattern,
    star_fields,
)
from odibi.relational.schema import Schema

__all__ = ["Origin", "lineage"]


@dataclass(frozen=True, slots=True)
class Origin:
    """An output column and the base columns it depends on, as sorted ``dataset.column``."""

    column: str
    direct: tuple[str, ...]
    indirect: tuple[str, ...]


def lineage(
    query: exp.Expr, schemas: Mapping[str, Schema], names: Sequence[str] | None = None
) -> tuple[Origin, ...]:
    """Where every output column of a DuckDB query comes from, in order. The tree is not changed.

    Args:
        query: a parsed query whose tables are dataset names.
        schemas: the columns of each dataset the query names; names are matched without case.
        names: the output columns as the binder gives them. Then there is exactly one origin for
            each of them; without it, an expression without alias is named after its SQL, and
            columns that cannot be counted (PIVOT without values) are one origin named ``*``.
    """
    reader = _Reader(schemas, query)
    relation = reader.query(query, Scope())
    known: dict[Names, tuple[str, ...]] = {}

    def ordered(columns: Names) -> tuple[str, ...]:
        if columns not in known:
            known[columns] = tuple(sorted(columns))
        return known[columns]

    return tuple(
        Origin(f.name or (f.made.sql("duckdb") if f.made else ""), ordered(f.direct), ordered(f.indirect | relation.rows))
        for f in _named(relation, names, reader)
    )


def _named(relation: Relation, names: Sequence[str] | None, reader: _Reader) -> Sequence[Field]:
    if names is None:
        return relation.everything
    if relation.more is None and len(names) == len(relation.fields):
        return [field._replace(name=name) for field, name in zip(relation.fields, names, strict=True)]
    if relation.more is None:
        return [reader.anything()._replace(name=name) for name in names]
    anything = join_fields(relation.everything)
    known = {key: join_fields((field, relation.more)) for key, field in relation.index.items()}
    return [known.get(fold(name), anything)._replace(name=name) for name in names]


Target = set[str]
Steps = Iterable[tuple[Any, Target]]

_STABLE = (
    exp.Sum, exp.Count, exp.CountIf, exp.Min, exp.Max, exp.Avg, exp.LogicalAnd, exp.LogicalOr,
    exp.Rank, exp.DenseRank, exp.CumeDist, exp.PercentRank,
)  # fmt: skip
"""Aggregates that give the same whatever the order of rows that tie."""

_LISTS = (exp.Array, exp.ArrayAgg, exp.ArrayFilter, exp.GenerateSeries, exp.Split, exp.Transform)
"""What certainly makes a list, so that UNNEST of it is one column."""

_SPREADS = frozenset({"generate_subscripts"})
"""Functions unknown to the parser that make several rows of one, as UNNEST does."""

_OWN = frozenset({"expressions", "from_", "joins", "laterals", "with_", "group", "order", "distinct", "windows", "limit", "offset"})  # fmt: skip
"""Clauses of a SELECT that are more than a condition on its rows."""


class _Reader:
    """One walk over one query."""

    def __init__(self, schemas: Mapping[str, Schema], query: exp.Expr) -> None:
        self._schemas = schemas
        self._query = query
        self._known: dict[str, Relation | None] = {}
        self._folded: dict[str, str] | None = None
        self._column: Field | None = None  # what COLUMNS(...) stands for at the moment
        self._met: list[exp.Expr] = []  # the COLUMNS(...) met while it stood for nothing

    def anything(self) -> Field:
        """All columns of all tables the query names; of all there are if it may name them in text."""
        tables = list(self._query.find_all(exp.Table))
        names = [t.name for t in tables]
        if any(isinstance(t.this, exp.Func) and not isinstance(t.this, exp.GenerateSeries) for t in tables):
            names = list(self._schemas)
        found = (self._dataset(name) for name in names)
        return join_fields((f for r in found if r for f in r.fields), "*")

    def _dataset(self, name: str) -> Relation | None:
        """The columns of a dataset, None if there is none of that name."""
        if name not in self._known:
            if self._folded is None and name not in self._schemas:
                self._folded = {fold(key): key for key in self._schemas}
            key = name if name in self._schemas else (self._folded or {}).get(fold(name))
            self._known[name] = key if key is None else Relation(
                Field(c.name, frozenset((f"{key}.{c.name}",)), NONE, c.type) for c in self._schemas[key]
            )
        return self._known[name]

    # Queries

    def query(self, node: exp.Expr, outer: Scope) -> Relation:
        """The columns a query gives, seen from inside ``outer``."""
        if node.args.get("with_"):
            outer = self._ctes(node.args["with_"], outer)
        if isinstance(node, exp.Select):
            return self._select(node, outer)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, outer)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            return self._ordered(node, self.query(node.this, outer), outer)
        scope = Scope(outer)
        self._source(node.this if isinstance(node, exp.Subquery) else node, scope)
        return self._ordered(node, scope.relation(), outer)

    def _ctes(self, with_: exp.Expr, outer: Scope) -> Scope:
        tables = dict(outer.tables)
        scope = Scope(outer, tables)
        for cte in with_.expressions:
            body, columns, key = cte.this, _alias_columns(cte), fold(cte.alias)
            if with_.args.get("recursive") and isinstance(body, exp.SetOperation):
                found = self.query(body.this, scope).renamed(columns)
                before: Relation | None = None
                while before is None or not found.equals(before):  # sets of columns only grow
                    before = found
                    found = self.query(body, Scope(outer, {**tables, key: before})).renamed(columns)
            else:
                found = self.query(body, scope).renamed(columns)
            tables[key] = found
        return scope

    def _set_operation(self, node: exp.SetOperation, outer: Scope) -> Relation:
        spine = [node]
        while isinstance(spine[-1].this, exp.SetOperation) and not spine[-1].this.args.get("with_"):
            spine.append(spine[-1].this)
        relation = self.query(spine[-1].this, outer)
        for operation in reversed(spine):
            relation = _combined(operation, relation, self.query(operation.expression, outer))
        return self._ordered(node, relation, outer)

    def _ordered(self, node: exp.Expr, relation: Relation, outer: Scope) -> Relation:
        """The relation under ORDER BY and LIMIT of a whole query."""
        scope = Scope(outer)
        scope.aliases = relation.index
        scope.rows |= relation.rows
        scope.order |= relation.order
        self._cut(node, scope, relation)
        return Relation(relation.fields, frozenset(scope.rows), relation.more, relation.order)

    def _cut(self, node: exp.Expr, scope: Scope, result: Relation) -> None:
        """Add what ORDER BY and LIMIT depend on to the rows of the scope."""
        scope.ambiguous = True
        if node.args.get("order"):
            self._terms(node.args["order"].expressions, scope, result)
        for key in ("limit", "offset"):
            if node.args.get(key):
                scope.rows |= scope.order
                self._walk(node.args[key], scope, scope.rows, scope.rows)

    def _select(self, node: exp.Select, outer: Scope) -> Relation:
        args, scope = node.args, Scope(outer)
        kept, self._met, self._column = (self._met, self._column), [], None
        if args.get("from_"):
            self._source(args["from_"].this, scope)
        start = 0
        for join in args.get("joins") or ():
            start = self._join(join, scope, start)
        for lateral in args.get("laterals") or ():
            self._source(lateral, scope)
        scope.given = frozenset(scope.order)
        scope.windows = {fold(w.name): w for w in args.get("windows") or ()}
        items = [(item, *self._item(item, scope)) for item in args["expressions"]]
        if scope.order != scope.given:  # windows sort one after the other: ties fall by all their keys
            scope.aliases = {}
            items = [(item, *self._item(item, scope)) for item in args["expressions"]]
        more = [m for _, _, m in items if m]
        result = Relation((f for _, fields, _ in items for f in fields), NONE, join_fields(more, "*") if more else None)
        for key, clause in args.items():
            if key not in _OWN and isinstance(clause, exp.Expr):
                scope.ambiguous = key in ("having", "qualify")
                self._walk(clause, scope, scope.rows, scope.rows)
        scope.ambiguous = False
        if args.get("group"):
            self._group(args["group"], items, scope, result)
        if args.get("distinct"):
            self._distinct(args["distinct"], scope, result)
        self._cut(node, scope, result)
        self._met, self._column = kept
        return Relation(result.fields, frozenset(scope.rows), result.more, frozenset(scope.order))

    def _group(
        self, group: exp.Expr, items: list[tuple[exp.Expr, list[Field], Field | None]], scope: Scope, result: Relation
    ) -> None:
        for terms in group.args.values():
            if isinstance(terms, list):
                self._terms(terms, scope, result)
        if group.args.get("all"):
            for item, fields, more in items:
                if item.find(exp.AggFunc):
                    for key in _outside_aggregates(item):
                        self._walk(key, scope, scope.rows, scope.rows)
                else:
                    scope.rows |= join_fields((*fields, *((more,) if more else ()))).all

    def _distinct(self, distinct: exp.Expr, scope: Scope, result: Relation) -> None:
        on = distinct.args.get("on")
        if on is None:
            scope.rows |= join_fields(result.everything).all
            return
        scope.ambiguous = True
        scope.rows |= scope.order
        self._terms((on,), scope, result)

    def _terms(self, terms: Iterable[exp.Expr], scope: Scope, result: Relation) -> None:
        """Add what the terms of ORDER BY, GROUP BY or DISTINCT ON depend on to the rows."""
        for term in terms:
            inner = term.this if isinstance(term, exp.Ordered) else term
            if isinstance(inner, exp.Tuple | exp.Cube | exp.Rollup | exp.GroupingSets):
                self._terms(inner.expressions, scope, result)
            elif isinstance(inner, exp.Paren):
                self._terms((inner.this,), scope, result)
            elif isinstance(inner, exp.Var) and inner.name.upper() == "ALL":
                scope.rows |= join_fields(result.everything).all
            elif isinstance(inner, exp.Literal) and inner.is_int:
                at = int(inner.name)
                known = result.more is None and 0 < at <= len(result.fields)
                scope.rows |= join_fields(result.fields[at - 1 : at] if known else result.everything).all
            else:
                self._walk(inner, scope, scope.rows, scope.rows)

    # The SELECT list

    def _item(self, item: exp.Expr, scope: Scope) -> tuple[list[Field], Field | None]:
        """The columns an item of the SELECT list becomes, and what further ones are made of."""
        node, alias = (item.this, item.alias) if isinstance(item, exp.Alias) else (item, "")
        if is_star(node):
            return star_fields(node, scope, lambda e: self._value(e.this, scope, e.alias))
        if is_star(node.this) and name_pattern(node):
            return self._spread(node, alias, scope, lambda field: field)
        self._met = []
        field = self._value(node, scope)
        field = field._replace(name=alias or _name(node, field), made=node)
        if alias:
            scope.name(alias, field)
        if self._met:
            return self._spread(self._met[0].this, alias, scope, lambda _: self._value(node, scope))
        if isinstance(node, exp.Explode) and not self._is_list(node, scope):
            return [], field._replace(name="*")  # a struct becomes one column for each of its fields
        return [field], None

    def _spread(
        self, columns: exp.Expr, alias: str, scope: Scope, value: Callable[[Field], Field]
    ) -> tuple[list[Field], Field | None]:
        """One column for each that ``columns`` matches, where ``value`` says what it is made of."""
        matches = name_pattern(columns)
        star = columns if is_star(columns) else columns.this if is_star(columns.this) else exp.Star()
        fields, more = star_fields(star, scope, lambda e: self._value(e.this, scope, e.alias))
        out = []
        for field in fields:
            match = matches(field.name) if matches else None
            if match:
                self._column = field
                name = match.expand(alias.replace("\\0", "\\g<0>")) if "\\" in alias else alias
                out.append(value(field)._replace(name=name or field.name))
                self._column = None
        if matches is None or more or not all(f.name for f in fields):
            return [], join_fields([*out, *fields, *((more,) if more else ())], "*")
        return out, None

    def _is_list(self, node: exp.Explode, scope: Scope) -> bool:
        if node.expressions:  # recursive := true goes into structs
            return False
        if isinstance(node.this, exp.Column):
            return scope.resolve(*_parts(node.this)).type.endswith("]")
        return isinstance(node.this, _LISTS)

    # FROM

    def _source(self, node: exp.Expr, scope: Scope) -> None:
        """Add a table, subquery, function or joined tables to the scope."""
        start = len(scope.sources)
        alias, columns = node.alias, _alias_columns(node)
        if isinstance(node, exp.Subquery) and not isinstance(node.unnest(), exp.Query) and _is_joined(node.this):
            self._source(node.this, scope)
            if alias:
                relation = scope.relation(start)
                del scope.sources[start:]
                scope.add(Source(alias, relation.renamed(columns)))
        else:
            relation, name = self._relation(node, scope)
            scope.add(Source(alias or name, relation.renamed(columns)))
        for pivot in node.args.get("pivots") or ():
            inner = Scope(scope)
            inner.sources = scope.sources[start:]
            relation = self._pivot(pivot, inner).renamed(_alias_columns(pivot))
            name = pivot.alias or inner.sources[0].name
            del scope.sources[start:]
            scope.add(Source(name, relation))
        group = start
        for join in node.args.get("joins") or ():
            group = self._join(join, scope, group)

    def _relation(self, node: exp.Expr, scope: Scope) -> tuple[Relation, str]:
        """What one thing in FROM gives, and the name it has unless it is given one."""
        if isinstance(node, exp.Table) and not isinstance(node.this, exp.Func):
            return self._table(node, scope), node.name
        if isinstance(node, exp.Query):
            return self.query(node, scope), ""
        if isinstance(node, exp.Values):
            rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
            values = [[self._value(e, scope) for e in row] for row in rows]
            columns = zip_longest(*values, fillvalue=Field("", NONE))
            return Relation(join_fields(column, f"col{i}") for i, column in enumerate(columns)), ""
        if isinstance(node, exp.Pivot):
            inner = Scope(scope)
            self._source(node.this, inner)
            return self._pivot(node, inner), ""
        if isinstance(node, exp.Table | exp.Lateral):
            return self._relation(node.this, scope)
        if not isinstance(node, exp.Unnest | exp.GenerateSeries):
            return Relation((), NONE, self.anything()), ""
        name = "unnest" if isinstance(node, exp.Unnest) else "range" if node.args.get("is_end_exclusive") else "generate_series"
        field = self._value(node, scope, name)
        fields = [field, Field("ordinality", NONE)] if node.args.get("offset") else [field]
        return Relation(fields, field.all), name

    def _table(self, node: exp.Table, scope: Scope) -> Relation:
        if fold(node.name) in scope.tables and fold(node.db) in ("", "recurring"):
            return scope.tables[fold(node.name)]
        found = self._dataset(f"{node.db}.{node.name}") if node.db else None
        found = found or self._dataset(node.name)
        return found or Relation((), NONE, Field("*", frozenset((f"{node.name}.*",))))

    def _join(self, join: exp.Expr, scope: Scope, start: int) -> int:
        """Join a source to those from ``start`` on; the start for the next join comes back.

        A comma binds weaker than JOIN, so USING and NATURAL look no further than to the last one.
        """
        here = len(scope.sources)
        self._source(join.this, scope)
        args = join.args
        method, side, kind = (str(args.get(key) or "").upper() for key in ("method", "side", "kind"))
        if not (method or side or kind or args.get("on") or args.get("using")):
            return here
        left, right = scope.sources[start:here], scope.sources[here:]
        if args.get("using"):
            _merge([fold(e.name) for e in args["using"]], left, right, side, scope)
        elif method == "NATURAL":
            _merge([key for s in left for key in s.index if any(key in r.index for r in right)], left, right, side, scope)
            if any(s.relation.more for s in (*left, *right)):
                scope.rows |= join_fields(f for s in (*left, *right) for f in s.relation.everything).all
        if args.get("on"):
            self._walk(args["on"], scope, scope.rows, scope.rows)
        if method == "POSITIONAL":
            scope.rows |= scope.order
        if kind in ("SEMI", "ANTI"):
            del scope.sources[here:]
        return start

    def _pivot(self, node: exp.Expr, scope: Scope) -> Relation:
        """PIVOT, as a statement or in FROM: groups first, then values times aggregates."""
        if node.args.get("unpivot"):
            return self._unpivot(node, scope)
        in_from = node.args.get("fields")
        on, aggregates = (in_from, node.expressions) if in_from else (node.expressions, node.args.get("using") or [])
        keys = [e.this if isinstance(e, exp.In) else e for e in on]
        key = join_fields(self._value(e, scope) for e in keys)
        measures = [self._value(e, scope, e.alias) for e in aggregates] or [Field("", NONE)]
        used = {fold(c.name) for e in (*keys, *aggregates) for c in e.find_all(exp.Column)}
        visible = scope.relation()
        group = node.args.get("group")
        groups = [f for f in visible.fields if fold(f.name) not in used]
        if group:
            groups = [field for e in group.expressions for field in self._item(e, scope)[0]]
        rows = scope.rows | join_fields((*groups, *((visible.more,) if visible.more else ()))).all
        made = [m._replace(indirect=m.indirect | key.all) for m in measures]
        values = [_pivot_values(e) for e in on]
        if visible.more or not all(values):
            more = join_fields((*made, *((visible.more,) if visible.more else ())), "*")
            return Relation(groups, frozenset(rows), more, frozenset(scope.order))
        for value, field in product(product(*values), made):
            plain = len(made) == 1 and not field.name
            known = all(value) and (plain or field.name)
            groups.append(field._replace(name="_".join((*value, field.name) if field.name else value) if known else ""))
        return Relation(groups, frozenset(rows), None, frozenset(scope.order))

    def _unpivot(self, node: exp.Expr, scope: Scope) -> Relation:
        """UNPIVOT: the columns left alone, the name of each column turned, its value (NULLs are skipped)."""
        if node.args.get("fields"):
            turned, name = node.args["fields"][0].expressions, node.args["fields"][0].this.name
            labels = [e.name for v in node.expressions for e in (v.expressions or [v])]
        else:
            into = node.args.get("into")
            turned, name = node.expressions, into.this.name if into else "name"
            labels = [e.name for e in into.expressions] if into else ["value"]
        sets: list[list[Field]] = []
        for e in turned:
            inner = e.this if isinstance(e, exp.Alias | exp.PivotAlias) else e
            if isinstance(inner, exp.Tuple):
                sets.append([self._item(part, scope)[0][0] for part in inner.expressions])
            else:
                sets += [[field] for field in self._item(inner, scope)[0]]
        visible = scope.relation()
        used = {fold(f.name) for fields in sets for f in fields}
        rest = [f for f in visible.fields if fold(f.name) not in used]
        columns = zip_longest(*sets, fillvalue=Field("", NONE))
        values = [join_fields(column, label) for column, label in zip(columns, labels, strict=False)]
        rows = scope.rows | join_fields(f for fields in sets for f in fields).all
        found = Relation([*rest, Field(name, NONE), *values], frozenset(rows), visible.more, frozenset(scope.order))
        return found if len(values) == len(labels) and not visible.more else Relation((), found.rows, join_fields(visible.everything, "*"))

    # Expressions

    def _value(self, node: exp.Expr, scope: Scope, name: str = "") -> Field:
        if type(node) is exp.Column and not is_star(node):
            return scope.resolve(*_parts(node)) if not name else scope.resolve(*_parts(node))._replace(name=name)
        direct: Target = set()
        indirect: Target = set()
        self._walk(node, scope, direct, indirect)
        return Field(name, frozenset(direct), frozenset(indirect))

    def _walk(self, root: exp.Expr, scope: Scope, direct: Target, indirect: Target) -> None:
        """Add the base columns an expression depends on. Deep expressions do not recurse."""
        stack: list[tuple[Any, Target]] = [(root, direct)]
        while stack:
            node, into = stack.pop()
            if isinstance(node, list):
                stack += [(child, into) for child in node]
            elif isinstance(node, exp.Expr):
                step = _STEPS.get(type(node))
                if step:
                    stack += step(self, node, scope, into, indirect)
                else:
                    if scope.given and isinstance(node, exp.AggFunc | exp.Anonymous) and not isinstance(node, _STABLE):
                        indirect |= scope.given
                    stack += [(child, into) for child in node.args.values()]

    def _take(self, field: Field, into: Target, indirect: Target) -> Steps:
        into |= field.direct
        indirect |= field.indirect
        return ()
