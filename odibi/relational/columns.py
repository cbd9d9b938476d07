"""Column lineage: of which base columns each output column of a query is made.

``direct`` columns give the value; ``indirect`` ones decide which rows or groups there are, how
they are ordered, or which value is taken. One column too many is harmless, one too few is not:
whatever is not understood depends on everything it could see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product, zip_longest

from sqlglot import exp

from odibi.relational.columns_scope import (
    FILTER,
    GROUP,
    JOIN,
    SORT,
    Field,
    Names,
    Relation,
    Scope,
    Source,
    decide,
    fold,
    is_star,
    kinds_of,
    marked,
    matcher,
    outside_aggregates,
    pool,
    star,
    value,
)
from odibi.relational.schema import Schema

__all__ = ["Origin", "lineage"]


@dataclass(frozen=True, slots=True)
class Origin:
    """An output column and the base columns it depends on, as sorted ``dataset.column``.

    ``kinds`` says of each how: ``identity``, ``transformation`` or ``aggregation`` where it is direct, ``filter``,
    ``join``, ``group``, ``sort``, ``window`` or ``condition`` where it is indirect.
    """

    column: str
    direct: tuple[str, ...]
    indirect: tuple[str, ...]
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)


def lineage(
    query: exp.Expr, schemas: Mapping[str, Schema], names: Sequence[str] | None = None
) -> tuple[Origin, ...]:
    """Where every output column of a DuckDB query comes from, in order. The tree is not changed.

    Args:
        query: a parsed query whose tables are dataset names.
        schemas: the columns of each dataset the query names; names are matched without case.
        names: the output columns as the binder gives them. With it there is exactly one origin
            for each of them, and if columns cannot be counted (PIVOT without values) each has
            the origin of all. Without it those are one origin named ``*``, and an expression
            that has no alias is named after its SQL.
    """
    reader = _Reader(query, schemas)
    relation = reader.query(query, Scope(reader.query))
    known: dict[Names, tuple[str, ...]] = {}

    def ordered(columns: Names) -> tuple[str, ...]:
        if columns not in known:
            known[columns] = tuple(sorted({name.partition("\0")[0] for name in columns}))
        return known[columns]

    fields = relation.everything
    if names is not None and (relation.more or len(names) != len(fields)):
        unknown = pool((*fields, None if relation.more else reader.anything()))
        fields = tuple(unknown._replace(name=name) for name in names)
    elif names is not None:
        fields = tuple(field._replace(name=name) for field, name in zip(fields, names, strict=True))
    return tuple(
        Origin(
            f.name or (f.made.sql("duckdb") if f.made else ""),
            ordered(f.direct),
            ordered(f.indirect | relation.rows),
            kinds_of(f.direct, f.indirect | relation.rows),
        )
        for f in fields
    )


_LISTS = (exp.Array, exp.ArrayAgg, exp.ArrayFilter, exp.GenerateSeries, exp.Split, exp.Transform)
"""What certainly makes a list, so that UNNEST of it is one column."""

_CLAUSES = frozenset({"expressions", "from_", "joins", "laterals", "with_", "windows", "group", "distinct", "order", "limit", "offset"})  # fmt: skip
"""Parts of a SELECT that are more than a condition on its rows."""


class _Reader:
    """Reads the queries of one tree, from the inside out."""

    def __init__(self, tree: exp.Expr, schemas: Mapping[str, Schema]) -> None:
        self._tree = tree
        self._schemas = schemas
        self._known: dict[str, Relation | None] = {}
        self._folded: dict[str, str] | None = None

    def anything(self) -> Field:
        """All columns of all tables the tree names; of all there are if it may name them in text."""
        tables = list(self._tree.find_all(exp.Table))
        hidden = any(
            isinstance(t.this, exp.Func) and not isinstance(t.this, exp.GenerateSeries) for t in tables
        )
        found = [self._dataset(name) for name in (self._schemas if hidden else {t.name for t in tables})]
        return pool((field for relation in found if relation for field in relation.fields), "*")

    def _dataset(self, name: str) -> Relation | None:
        if name not in self._known:
            if self._folded is None and name not in self._schemas:
                self._folded = {fold(key): key for key in self._schemas}
            key = name if name in self._schemas else (self._folded or {}).get(fold(name))
            schema = self._schemas[key] if key is not None else ()
            fields = [Field(c.name, frozenset((f"{key}.{c.name}",)), type=c.type) for c in schema]
            self._known[name] = None if key is None else Relation(fields)
        return self._known[name]

    # Queries

    def query(self, node: exp.Expr, outer: Scope) -> Relation:
        """The columns a query gives, seen from inside ``outer``."""
        if node.args.get("with_"):
            outer = self._with(node.args["with_"], outer)
        if isinstance(node, exp.Select):
            return self._select(node, outer)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, outer)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            return self._cut(node, self.query(node.this, outer), outer)
        scope = outer.within()
        self._source(node.this if isinstance(node, exp.Subquery) else node, scope)
        return self._cut(node, scope.relation(), outer)

    def _with(self, with_: exp.Expr, outer: Scope) -> Scope:
        tables = dict(outer.tables)
        scope = outer.within(tables)
        for cte in with_.expressions:
            body, columns, key = cte.this, _alias_columns(cte), fold(cte.alias)
            if with_.args.get("recursive") and isinstance(body, exp.SetOperation):
                found = self.query(body.this, scope).renamed(columns)
                before: Relation | None = None
                while not found.same(before):  # ends, because sets of columns only grow
                    before = found
                    found = self.query(body, outer.within({**tables, key: found})).renamed(columns)
            else:
                found = self.query(body, scope).renamed(columns)
            tables[key] = found
        return scope

    def _set_operation(self, node: exp.SetOperation, outer: Scope) -> Relation:
        operations: list[exp.Expr] = [node]
        while isinstance(operations[-1].this, exp.SetOperation) and not operations[-1].this.args.get("with_"):
            operations.append(operations[-1].this)
        relation = self.query(operations[-1].this, outer)
        for operation in reversed(operations):
            relation = _combined(operation, relation, self.query(operation.expression, outer))
        return self._cut(node, relation, outer)

    def _select(self, node: exp.Select, outer: Scope) -> Relation:
        args, scope = node.args, outer.within()
        if args.get("from_"):
            self._source(args["from_"].this, scope)
        self._joins(args.get("joins"), scope, 0)
        for lateral in args.get("laterals") or ():
            self._source(lateral, scope)
        scope.given = frozenset(scope.order)
        scope.windows = {fold(window.name): window for window in args.get("windows") or ()}
        items = [(item, _item(item, scope)) for item in node.expressions]
        if scope.tied:  # windows sort one after the other: ties fall by the keys of all
            scope.aliases = {}
            items = [(item, _item(item, scope)) for item in node.expressions]
        more = [made.more for _, made in items if made.more]
        fields = (field for _, made in items for field in made.fields)
        result = Relation(fields, more=pool(more, "*") if more else None)
        for key, clause in args.items():
            if key not in _CLAUSES and clause:
                scope.ambiguous = key in ("having", "qualify")
                decide(clause, scope, FILTER)
        scope.ambiguous = False
        if args.get("group"):
            _group(args["group"], items, scope, result)
        scope.ambiguous = True
        if args.get("distinct"):
            on = args["distinct"].args.get("on")
            scope.rows |= marked(scope.order, SORT) if on else marked(pool(result.everything).all, GROUP)
            _terms([on] if on else [], scope, result, GROUP)
        _sort(node, scope, result)
        return Relation(result.fields, scope.rows, result.more, scope.order)

    def _cut(self, node: exp.Expr, relation: Relation, outer: Scope) -> Relation:
        """The relation after ORDER BY and LIMIT behind a whole query."""
        scope = outer.within()
        scope.add(Source("", relation))
        _sort(node, scope, relation)
        return Relation(relation.fields, scope.rows, relation.more, scope.order)

    # FROM

    def _source(self, node: exp.Expr, scope: Scope) -> None:
        """Put a table, subquery, function or parenthesis of joined tables into the scope."""
        start, alias, columns = len(scope.sources), node.alias, _alias_columns(node)
        if isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Select | exp.SetOperation):
            self._source(node.this, scope)
            if alias:
                relation = scope.relation(start)
                del scope.sources[start:]
                scope.add(Source(alias, relation.renamed(columns)))
        else:
            relation, name = self._relation(node, scope)
            scope.add(Source(alias or name, relation.renamed(columns)))
        for pivot in node.args.get("pivots") or ():
            inner = scope.within()
            inner.sources, inner.given = scope.sources[start:], frozenset(scope.order)
            name = pivot.alias or inner.sources[0].name
            del scope.sources[start:]
            scope.add(Source(name, _pivot(pivot, inner).renamed(_alias_columns(pivot))))
        self._joins(node.args.get("joins"), scope, start)

    def _relation(self, node: exp.Expr, scope: Scope) -> tuple[Relation, str]:
        """What one thing in FROM gives, and the name it has if it is given none."""
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            return self._table(node, scope), node.name
        if isinstance(node, exp.Table | exp.Lateral):
            return self._relation(node.this, scope)
        if isinstance(node, exp.Query):
            return self.query(node, scope), ""
        if isinstance(node, exp.Values):
            rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
            columns = zip_longest(*([value(e, scope) for e in row] for row in rows), fillvalue=Field(""))
            return Relation(pool(column, f"col{i}") for i, column in enumerate(columns)), ""
        if isinstance(node, exp.Pivot):
            inner = scope.within()
            self._source(node.this, inner)
            inner.given = frozenset(inner.order)
            return _pivot(node, inner), ""
        if isinstance(node, exp.Unnest | exp.GenerateSeries):
            exclusive = node.args.get("is_end_exclusive")
            name = "unnest" if isinstance(node, exp.Unnest) else "range" if exclusive else "generate_series"
            made = value(node, scope, name)
            fields = [made, Field("ordinality")] if node.args.get("offset") else [made]
            return Relation(fields, marked(made.all, JOIN)), name
        unknown = self.anything()
        return Relation((), marked(unknown.direct, JOIN), unknown), ""

    def _table(self, node: exp.Table, scope: Scope) -> Relation:
        if fold(node.name) in scope.tables and node.db in ("", "recurring"):
            return scope.tables[fold(node.name)]
        found = (self._dataset(f"{node.db}.{node.name}") if node.db else None) or self._dataset(node.name)
        return found or Relation((), more=Field("*", frozenset((f"{node.name}.*",))))

    def _joins(self, joins: Iterable[exp.Expr] | None, scope: Scope, start: int) -> None:
        """Join sources to those from ``start`` on.

        A comma binds weaker than JOIN, so USING and NATURAL look back no further than the last one.
        """
        for node in joins or ():
            args, here = node.args, len(scope.sources)
            self._source(node.this, scope)
            method, side, kind = (node.text(key).upper() for key in ("method", "side", "kind"))
            if not (method or side or kind or args.get("on") or args.get("using")):
                start = here
                continue
            left, right = scope.sources[start:here], scope.sources[here:]
            names = [fold(e.name) for e in args.get("using") or ()]
            if method == "NATURAL":
                names = [key for s in left for key in s.index if any(key in r.index for r in right)]
                more = [s.relation.more for s in (*left, *right)]
                scope.rows |= _everything(left, right) if any(more) else frozenset()
            elif method == "POSITIONAL":
                scope.rows |= marked(scope.order, SORT)
            for name in names:
                _merge(name, left, right, side, scope)
            decide(args.get("on"), scope, JOIN)
            if kind in ("SEMI", "ANTI"):
                del scope.sources[here:]


def _alias_columns(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    return [e.name for e in alias.args.get("columns") or ()] if isinstance(alias, exp.TableAlias) else []


def _everything(left: list[Source], right: list[Source]) -> Names:
    return marked(pool(field for s in (*left, *right) for field in s.relation.everything).all, JOIN)


def _merge(name: str, left: list[Source], right: list[Source], side: str, scope: Scope) -> None:
    """Make one column of the two that USING or NATURAL equates."""
    ours, theirs = ([s for s in sources if name in s.index] for sources in (left, right))
    if not ours or not theirs:
        scope.rows |= _everything(left, right)
        return
    field, other = (
        pool((s.index[name] for s in found), found[0].index[name].name) for found in (ours, theirs)
    )
    scope.rows |= marked(field.all | other.all, JOIN)
    taken = {"FULL": (field, other), "RIGHT": (other,)}.get(side, (field,))
    ours[0].merge(name, pool(taken, field.name))
    ours[0].full |= side == "FULL"
    for source in (*ours[1:], *theirs):
        source.merge(name, None)


def _combined(node: exp.Expr, left: Relation, right: Relation) -> Relation:
    """UNION, INTERSECT or EXCEPT of two relations."""
    both = (*left.fields, *right.fields)
    whole = pool((*left.everything, *right.everything), "*")
    rows, order = left.rows | right.rows, left.order | right.order
    if node.args.get("distinct") or not isinstance(node, exp.Union):
        rows |= marked(whole.all, GROUP if isinstance(node, exp.Union) else FILTER)
    by_name = node.args.get("by_name")
    mismatch = not all(f.name for f in both) if by_name else len(left.fields) != len(right.fields)
    if left.more or right.more or mismatch:
        return Relation((), rows, whole, order)
    pairs: Iterable[tuple[Field | None, Field | None]] = zip(left.fields, right.fields, strict=False)
    if by_name:
        pairs = (
            (left.index.get(key), right.index.get(key)) for key in dict.fromkeys((*left.index, *right.index))
        )
    elif isinstance(node, exp.Except):
        pairs = ((field, None) for field in left.fields)
    return Relation((_united(*pair) for pair in pairs), rows, None, order)


def _united(ours: Field | None, theirs: Field | None) -> Field:
    first = ours or theirs or Field("")
    return pool((ours, theirs))._replace(name=first.name, made=first.made)


# The SELECT list


def _item(item: exp.Expr, scope: Scope) -> Relation:
    """The columns an item of a SELECT list becomes."""
    node, alias = (item.this, item.alias) if isinstance(item, exp.Alias) else (item, "")
    if is_star(node):
        return star(node, scope)
    if isinstance(node, exp.Binary) and is_star(node.this):  # * LIKE '...'
        return _spread(node, alias, scope, lambda field: field)
    scope.met = []
    made = value(node, scope)
    made = made._replace(name=alias or _name(node, made), made=node)
    if alias:
        scope.name(alias, made)
    if scope.met:
        return _spread(scope.met[0].this, alias, scope, lambda _: value(node, scope))
    if isinstance(node, exp.Explode) and not _is_list(node, scope):
        return Relation((), more=made._replace(name="*"))  # a struct becomes a column for each field
    return Relation([made])


def _spread(columns: exp.Expr, alias: str, scope: Scope, made: Callable[[Field], Field]) -> Relation:
    """One column for each one that ``columns`` matches; ``made`` says what it is made of."""
    matches = matcher(columns)
    inner = columns if is_star(columns) else columns.this if is_star(columns.this) else exp.Star()
    found = star(inner, scope)
    fields = []
    for each in found.fields:
        if matches and matches(each.name):
            scope.column = each
            name = alias.replace("\\0", each.name) or each.name
            fields.append(made(each)._replace(name="" if "\\" in name else name))
            scope.column = None
    unnamed = any(s.full for s in scope.sources) or not all(each.name for each in found.fields)
    if matches is None or found.more or (unnamed and not is_star(columns)):
        return Relation((), more=pool((*fields, *found.everything), "*"))
    return Relation(fields)


def _name(node: exp.Expr, made: Field) -> str:
    """The name of an item without alias, empty where DuckDB makes it up from the expression."""
    node = node.unnest()
    if fold(made.name) == fold(node.name):
        return made.name
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        node = node.expression
    return node.name if isinstance(node, exp.Column | exp.Identifier) else ""


def _is_list(node: exp.Explode, scope: Scope) -> bool:
    if node.expressions:  # recursive := true goes into structs
        return False
    if isinstance(node.this, exp.Column):
        return value(node.this, scope).type.endswith("]")
    return isinstance(node.this, _LISTS)


# Clauses


def _group(group: exp.Expr, items: list[tuple[exp.Expr, Relation]], scope: Scope, result: Relation) -> None:
    for terms in group.args.values():
        if isinstance(terms, list):
            _terms(terms, scope, result, GROUP)
    for item, made in items if group.args.get("all") else ():
        if item.find(exp.AggFunc):
            decide(list(outside_aggregates(item)), scope, GROUP)
        else:
            scope.rows |= marked(pool(made.everything).all, GROUP)


def _sort(node: exp.Expr, scope: Scope, result: Relation) -> None:
    """Add what ORDER BY, LIMIT and OFFSET depend on to the rows of the scope."""
    args = node.args
    scope.ambiguous = True
    _terms(args["order"].expressions if args.get("order") else (), scope, result, SORT)
    for clause in (args.get("limit"), args.get("offset")):
        if clause:
            scope.rows |= marked(scope.order, SORT)
            decide(clause, scope, FILTER)


def _terms(terms: Iterable[exp.Expr], scope: Scope, result: Relation, kind: str) -> None:
    """Add what terms of GROUP BY, DISTINCT ON or ORDER BY depend on: names, positions, ALL."""
    for term in terms:
        inner = term.this if isinstance(term, exp.Ordered) else term
        if isinstance(inner, exp.Tuple | exp.Cube | exp.Rollup | exp.GroupingSets):
            _terms(inner.expressions, scope, result, kind)
        elif isinstance(inner, exp.Paren):
            _terms((inner.this,), scope, result, kind)
        elif isinstance(inner, exp.Literal) and inner.is_int and not result.more:
            scope.rows |= marked(pool(result.fields[int(inner.name) - 1 : int(inner.name)]).all, kind)
        elif isinstance(inner, exp.Literal | exp.Var):  # a position that cannot be told, or ALL
            scope.rows |= marked(pool(result.everything).all, kind)
        else:
            decide(inner, scope, kind)


# PIVOT


def _pivot(node: exp.Expr, scope: Scope) -> Relation:
    """The scope's sources after PIVOT: groups first, then a column for each value and aggregate."""
    if node.args.get("unpivot"):
        return _unpivot(node, scope)
    on, aggregates = node.args.get("fields"), node.expressions  # in FROM, else a statement
    if not on:
        on, aggregates = node.expressions, node.args.get("using") or []
    keys = [e.this if isinstance(e, exp.In) else e for e in on]
    key = pool(value(e, scope) for e in keys)
    cells = [value(e, scope)._replace(name=e.alias, made=e) for e in aggregates] or [Field("")]
    cells = [cell._replace(indirect=cell.indirect | marked(key.all, FILTER)) for cell in cells]
    before = scope.relation()
    used = {fold(column.name) for e in (*keys, *aggregates) for column in e.find_all(exp.Column)}
    groups = [field for field in before.fields if fold(field.name) not in used]
    if node.args.get("group"):
        groups = [field for e in node.args["group"].expressions for field in _item(e, scope).fields]
    rows = scope.rows | marked(pool((*groups, before.more)).all, GROUP)
    values = [_pivot_values(e) for e in on]
    if before.more or not all(values):
        return Relation(groups, rows, pool((*cells, before.more), "*"), scope.order | key.all)
    for labels in product(*values):
        for cell in cells:
            label = "_".join((*labels, cell.name) if cell.name else labels)
            unknown = "" in labels or (len(cells) > 1 and not cell.name)
            groups.append(cell._replace(name="" if unknown else label))
    return Relation(groups, rows, None, scope.order | key.all)


def _pivot_values(node: exp.Expr) -> list[str]:
    """The names of the values in ``a IN (...)``, empty if they are not listed, "" for one not known."""
    values = node.expressions if isinstance(node, exp.In) else []
    return [
        e.alias if isinstance(e, exp.PivotAlias) else e.name if isinstance(e, exp.Literal) else ""
        for e in values
    ]


def _unpivot(node: exp.Expr, scope: Scope) -> Relation:
    """The scope's sources after UNPIVOT: columns left alone, then name and values; NULLs are skipped."""
    if node.args.get("fields"):
        into, turned = node.args["fields"][0], node.args["fields"][0].expressions
        labels = [label.name for e in node.expressions for label in e.expressions or [e]]
    else:
        into, turned = node.args.get("into"), node.expressions
        labels = [label.name for label in into.expressions] if into else ["value"]
    sets: list[tuple[Field, ...]] = []
    for e in turned:
        inner = e.this if isinstance(e, exp.Alias | exp.PivotAlias) else e
        if isinstance(inner, exp.Tuple):
            sets.append(tuple(value(part, scope) for part in inner.expressions))
        else:
            sets += [(made,) for made in _item(inner, scope).everything]
    before = scope.relation()
    cells = pool(made for fields in sets for made in fields)
    rows = scope.rows | marked(cells.all, FILTER)
    if before.more:
        return Relation((), rows, pool((*before.everything, cells), "*"), scope.order)
    used = {fold(made.name) for fields in sets for made in fields}
    rest = [made for made in before.fields if fold(made.name) not in used]
    columns = zip_longest(*sets)  # as many as there are labels, if DuckDB takes the query
    values = [pool(column, label) for label, column in zip(labels, columns, strict=False)]
    return Relation([*rest, Field(into.this.name if into else "name"), *values], rows, None, scope.order)
