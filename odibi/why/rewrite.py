"""A query written anew so that each of its rows carries the ids of the input rows that made it.

The method is that of B. Glavic and G. Alonso, "Perm: Processing provenance and data on the same data model
through query rewriting", ICDE 2009, with lists of ids in place of joined input columns: one more column,
:data:`WHY`, goes through every operator. What "made" means for each of them is told in ``docs/why.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp, parse_one

from odibi.errors import Permanent
from odibi.relational.functions import is_aggregate
from odibi.relational.parse import is_cte, tables_in

__all__ = ["ID", "WHY", "Rewritten", "Untraceable", "rewrite"]

WHY = "odibi_why"
"""The column of a rewritten query that holds the ids."""

ID = "odibi_id"
"""The column of an input that holds its rows' ids."""


class Untraceable(Permanent):
    """A query whose rows cannot be followed to single input rows."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The query, its own columns first and :data:`WHY` last, and in words what it only compared rows with."""

    query: exp.Query
    compared: tuple[str, ...]


def rewrite(query: exp.Query, inputs: Mapping[str, str]) -> Rewritten:
    """The query over inputs with ids.

    Args:
        query: its tables are datasets; it has no PIVOT.
        inputs: by dataset, the table with its columns and, at the end, :data:`ID`.

    Raises:
        Untraceable: it does something that this does not follow.
    """
    tree = query.copy()
    for table in list(tree.find_all(exp.Table)):
        table.meta["cte"] = is_cte(table)
    for table in tables_in(tree):
        table.meta["input"] = inputs[table.name]
    if tree.find(exp.Pivot) is not None:
        raise Untraceable("it pivots")
    rewriter = _Rewriter()
    made = rewriter.query(tree)
    return Rewritten(made, tuple(dict.fromkeys(rewriter.compared)))


@dataclass(slots=True)
class _Sources:
    """What FROM names: the columns of ids, by the alias they are seen under; and those of hidden sources."""

    seen: list[tuple[str, str]] = field(default_factory=list)
    hidden: list[exp.Expr] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.seen]


class _Rewriter:
    def __init__(self) -> None:
        self.compared: list[str] = []
        self._number = 0

    def _new(self) -> str:
        self._number += 1
        return f"{WHY}_{self._number}"

    # --- queries -----------------------------------------------------------------------------

    def query(self, node: exp.Expr) -> exp.Query:
        """The query with its column of ids. The node is used up."""
        with_ = node.args.get("with_")
        if with_ is not None:
            node.set("with_", None)
            for cte in with_.expressions:
                self._cte(cte, recursive=bool(with_.args.get("recursive")))
        if isinstance(node, exp.Subquery):
            made = _tail(self.query(node.this), node)
        elif isinstance(node, exp.SetOperation):
            made = _tail(self._set(node), node)
        elif isinstance(node, exp.Select):
            made = self._select(node)
        elif isinstance(node, exp.Values):
            made = exp.select("*", _named(_no_ids(), WHY)).from_(exp.Subquery(this=node))
        else:
            raise Untraceable(f"it has a {type(node).__name__.upper()}")
        if with_ is not None:
            if made.args.get("with_") is not None:
                made = _all_of(made)
            made.set("with_", with_)
        return made

    def _cte(self, cte: exp.Expr, *, recursive: bool) -> None:
        if recursive and isinstance(cte.this, exp.Union):
            itself = any(t.name.lower() == cte.alias.lower() for t in cte.this.expression.find_all(exp.Table))
            if itself and cte.this.args.get("distinct"):
                raise Untraceable(
                    "a recursive UNION compares each row with all before; UNION ALL can be traced"
                )
        cte.set("this", self.query(cte.this))
        alias = cte.args["alias"]
        if isinstance(alias, exp.TableAlias) and alias.columns:
            alias.append("columns", exp.to_identifier(WHY))

    def _set(self, node: exp.SetOperation) -> exp.Query:
        left, right = _operand(self.query(node.this)), _operand(self.query(node.expression))
        by_name = node.args.get("by_name")
        if isinstance(node, exp.Union):
            both = exp.Union(this=left, expression=right, distinct=False, by_name=by_name)
            return _once(both) if node.args.get("distinct") else both
        sides = [exp.select("*", f"{n} AS odibi_side").from_(_sub(q)) for n, q in ((1, left), (2, right))]
        both = exp.Union(this=sides[0], expression=sides[1], distinct=False, by_name=by_name)
        every = not node.args.get("distinct")
        if isinstance(node, exp.Except):
            self.compared.append("the rows of EXCEPT's other side")
            return _template(_EXCEPT_ALL if every else _EXCEPT, both)
        return _template(_INTERSECT_ALL if every else _INTERSECT, both)

    def _select(self, node: exp.Select) -> exp.Query:
        distinct = node.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is None:
            inner = node.copy()
            for part in ("distinct", *_TAIL):
                inner.set(part, None)
            return _tail(_once(self._select(inner)), _by_output(node))
        sources = _Sources()
        for part in (node.args.get("from_"), *node.args.get("joins", ()), *node.args.get("laterals", ())):
            if part is not None:
                self._joined(part, sources)
        before = [part for part in (node.args.get("where"), *_conditions(node)) if part is not None]
        after = [part for part in (node.args.get("having"), node.args.get("qualify")) if part is not None]
        after += node.expressions
        rows = [*(exp.column(name, quoted=True) for name in sources.names), *sources.hidden]
        rows += [why for part in before for why in self._subqueries(part)]
        more = [why for part in after for why in self._subqueries(part)]
        self._note_windows(after)
        _hide(node, sources)
        group = node.args.get("group")
        if (
            group is None
            and node.args.get("having") is None
            and not any(_aggregates(e) for e in node.expressions)
        ):
            ids = _flat([*rows, *more])
        elif group is None:
            ids = _flat([_gathered(_flat(rows)), *more])
        else:
            ids = _gathered(_flat([*rows, *more]))
        node.append("expressions", _named(ids, WHY))
        return node

    # --- what FROM names ---------------------------------------------------------------------

    def _joined(self, part: exp.Expr, sources: _Sources) -> None:
        """Give what stands in FROM or JOIN its ids."""
        if not isinstance(part, exp.Join) or part.kind not in ("SEMI", "ANTI"):
            self._source(part.this if isinstance(part, exp.From | exp.Join) else part, sources)
            return
        if part.kind == "ANTI":
            self.compared.append(
                f"the rows of {part.this.alias_or_name or 'the other side'} that an ANTI JOIN looks for"
            )
        left = sources.seen[0][0] if len(sources.seen) == 1 else ""
        mine = _Sources()
        self._source(part.this, mine)
        if part.kind == "ANTI" or not mine.seen:
            return
        on = part.args.get("on")
        if using := part.args.get("using"):
            if not left:
                raise Untraceable("a SEMI JOIN of several tables has USING; ON can be traced")
            right = mine.seen[0][0]
            on = exp.and_(
                *(
                    exp.EQ(
                        this=exp.column(name.copy(), exp.to_identifier(left, quoted=True)),
                        expression=exp.column(name.copy(), exp.to_identifier(right, quoted=True)),
                    )
                    for name in using
                )
            )
        if on is None:
            raise Untraceable("a SEMI JOIN has no condition")
        found = exp.select(_gathered(_flat([exp.column(name, quoted=True) for name in mine.names])))
        sources.hidden.append(exp.Subquery(this=found.from_(part.this.copy()).where(on.copy())))

    def _source(self, node: exp.Expr, sources: _Sources, within: str = "") -> None:
        """Give a relation its ids, in place; ``within`` is the alias of the brackets around it."""
        joins = node.args.get("joins") or []
        if isinstance(node, exp.Table):
            if node.args.get("sample") is not None:
                raise Untraceable("it takes a sample, which is another one each time")
            if not (node.meta.get("input") or node.meta.get("cte")):
                return  # a table function: its rows stand in no input
            node.set("joins", None)
            made = self._with_ids(
                _bare(node), ID if node.meta.get("input") else WHY, sources, within or node.alias_or_name
            )
            made.set("alias", exp.TableAlias(this=_alias(node)))
            made.set("joins", joins)
            node.replace(made)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            inner = exp.Subquery(this=self.query(node.this), alias=node.args.get("alias"))
            made = self._with_ids(inner, WHY, sources, within or node.alias)
            if node.alias:
                made.set("alias", exp.TableAlias(this=_alias(node)))
            made.set("joins", joins)
            node.replace(made)
        elif isinstance(node, exp.Subquery):
            self._source(node.this, sources, within or node.alias)
        elif isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            inner = exp.Subquery(this=self.query(node.this.this), alias=node.args.get("alias"))
            node.set("this", self._with_ids(inner, WHY, sources, within or node.alias))
            if node.alias:
                node.set("alias", exp.TableAlias(this=_alias(node)))
        for join in joins:
            self._joined(join, sources)

    def _with_ids(self, relation: exp.Expr, column: str, sources: _Sources, alias: str) -> exp.Subquery:
        """The relation with its ids as a list under a new name."""
        name = self._new()
        sources.seen.append((alias, name))
        ids: exp.Expr = exp.column(column)
        if column == ID:
            ids = exp.Array(expressions=[ids])
        star = exp.Star(except_=[exp.to_identifier(column)])
        return exp.Subquery(this=exp.select(star, _named(ids, name)).from_(relation))

    # --- subqueries in expressions -----------------------------------------------------------

    def _subqueries(self, root: exp.Expr) -> Iterator[exp.Expr]:
        """The ids that each subquery adds to a row; the subquery itself stays what it was."""
        for node in list(root.walk(bfs=False, prune=lambda n: isinstance(n, exp.Query))):
            if not isinstance(node, exp.Query):
                continue
            parent = node.parent
            several = isinstance(parent, exp.In | exp.Any | exp.Exists | exp.Func)
            ids = exp.select(_gathered(exp.column(WHY)) if several else exp.column(WHY))
            traced = exp.Subquery(
                this=self.query(_alone(node)), alias=exp.TableAlias(this=exp.to_identifier(self._new()))
            )
            _plain(node)
            found = None
            if isinstance(parent, exp.In | exp.Any | exp.All | exp.Exists):
                said = (parent.parent if isinstance(parent, exp.Any | exp.All) else parent) or parent
                if isinstance(parent, exp.All) or _negated(parent, root):
                    self.compared.append(f"the rows of {said.sql('duckdb')}")
                    continue
            if isinstance(parent, exp.In):
                found = _equal(parent.this, traced, exp.EQ)
            elif isinstance(parent, exp.Any) and isinstance(parent.parent, exp.Binary):
                found = _equal(parent.parent.this, traced, type(parent.parent))
            ids = ids.from_(traced)
            yield exp.Subquery(this=ids.where(found) if found is not None else ids)

    def _note_windows(self, parts: Iterable[exp.Expr]) -> None:
        for part in parts:
            for window in part.walk(bfs=False, prune=lambda n: isinstance(n, exp.Query)):
                if isinstance(window, exp.Window):
                    by = ", ".join(each.sql("duckdb") for each in window.args.get("partition_by") or ())
                    called = f"{window.this.sql('duckdb')} over "
                    self.compared.append(
                        called + (f"the rows of the same {by}" if by else "the rows of its window")
                    )


_TAIL = ("order", "limit", "offset")

_EXCEPT = (
    "SELECT * EXCLUDE (odibi_why, odibi_side), list_distinct(flatten(list(odibi_why) FILTER (odibi_side = 1))) AS odibi_why "
    "FROM both_sides GROUP BY ALL HAVING count(*) FILTER (odibi_side = 2) = 0"
)
_INTERSECT = (
    "SELECT * EXCLUDE (odibi_why, odibi_side), list_distinct(flatten(list(odibi_why))) AS odibi_why FROM both_sides "
    "GROUP BY ALL HAVING count(*) FILTER (odibi_side = 1) > 0 AND count(*) FILTER (odibi_side = 2) > 0"
)
_EXCEPT_ALL = (
    "SELECT * EXCLUDE (odibi_all), unnest(odibi_all) AS odibi_why FROM (SELECT * EXCLUDE (odibi_why, odibi_side), "
    "list_slice(list(odibi_why) FILTER (odibi_side = 1), 1 + count(*) FILTER (odibi_side = 2), NULL) AS odibi_all "
    "FROM both_sides GROUP BY ALL) AS odibi_sides"
)
_INTERSECT_ALL = (
    "SELECT * EXCLUDE (odibi_all), unnest(odibi_all) AS odibi_why FROM (SELECT * EXCLUDE (odibi_why, odibi_side), "
    "list_transform(list_zip(list(odibi_why) FILTER (odibi_side = 1), list(odibi_why) FILTER (odibi_side = 2), true), "
    "lambda pair: flatten([pair[1], pair[2]])) AS odibi_all FROM both_sides GROUP BY ALL) AS odibi_sides"
)


def _template(text: str, both: exp.Query) -> exp.Query:
    """One of the queries above over both sides."""
    tree = parse_one(text, dialect="duckdb", into=exp.Select)
    table = next(t for t in tree.find_all(exp.Table) if t.name == "both_sides")
    table.replace(_sub(both, "both_sides"))
    return tree


def _once(query: exp.Query) -> exp.Query:
    """The rows of a query once each, with the ids of all that are equal."""
    star = exp.Star(except_=[exp.to_identifier(WHY)])
    made = exp.select(star, _named(_gathered(exp.column(WHY)), WHY)).from_(_sub(query))
    made.set("group", exp.Group(all=True))
    return made


def _tail(made: exp.Query, node: exp.Expr) -> exp.Query:
    """The rows in the order and number that the node asks for."""
    asked = {part: node.args[part] for part in _TAIL if node.args.get(part) is not None}
    if not asked:
        return made
    made = _all_of(made)
    for part, value in asked.items():
        made.set(part, value.copy())
    return made


def _by_output(node: exp.Select) -> exp.Select:
    """The SELECT DISTINCT with an ORDER BY that names its output, not its tables."""
    node = node.copy()
    order: exp.Expr | None = node.args.get("order")
    if order is None:
        return node
    for item in node.expressions:
        for found in [each for each in order.walk() if each == item.unalias() and item.alias_or_name]:
            found.replace(exp.column(item.alias_or_name, quoted=True))
    for column in order.find_all(exp.Column):
        column.set("table", None)
    return node


def _sub(query: exp.Query, name: str = "odibi_rows") -> exp.Subquery:
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(name)))


def _all_of(query: exp.Query) -> exp.Select:
    return exp.select("*").from_(_sub(query))


def _operand(query: exp.Query) -> exp.Query:
    """The query as one side of a set operation."""
    plain = isinstance(query, exp.Select) and not any(query.args.get(part) for part in ("with_", *_TAIL))
    return query if plain else _all_of(query)


def _named(value: exp.Expr, name: str) -> exp.Expr:
    return exp.alias_(value, name, quoted=True)


def _no_ids() -> exp.Expr:
    return exp.cast(exp.Array(expressions=[]), "BIGINT[]", dialect="duckdb")


def _flat(lists: Sequence[exp.Expr]) -> exp.Expr:
    """The lists as one; those that are NULL, as of an outer join, are empty."""
    if not lists:
        return _no_ids()
    return (
        lists[0]
        if len(lists) == 1
        else exp.Anonymous(this="flatten", expressions=[exp.Array(expressions=list(lists))])
    )


def _gathered(ids: exp.Expr) -> exp.Expr:
    """The lists of all rows of a group as one, each id once."""
    gathered = exp.Anonymous(this="flatten", expressions=[exp.Anonymous(this="list", expressions=[ids])])
    return exp.Anonymous(this="list_distinct", expressions=[gathered])


def _alias(node: exp.Expr) -> exp.Identifier:
    return exp.to_identifier(node.alias_or_name, quoted=True)


def _bare(table: exp.Table) -> exp.Table:
    """The table that holds the rows, or the CTE, under the name it has in the query."""
    name = table.meta.get("input") or table.name
    alias = table.args.get("alias")
    alias = (
        alias.copy() if alias is not None else exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
    )
    return exp.Table(this=exp.to_identifier(name, quoted=True), alias=alias)


def _alone(query: exp.Expr) -> exp.Expr:
    """A copy of a subquery without the brackets' alias."""
    copy = query.copy()
    return (
        copy.this
        if isinstance(copy, exp.Subquery) and not any(copy.args.get(p) for p in ("with_", *_TAIL))
        else copy
    )


def _plain(query: exp.Expr) -> None:
    """Let a subquery that stays read its tables without their ids."""
    own = {cte.alias.lower() for cte in query.find_all(exp.CTE)}
    for table in list(query.find_all(exp.Table)):
        made_of_ids = ID if table.meta.get("input") else WHY
        if not table.meta.get("input") and (not table.meta.get("cte") or table.name.lower() in own):
            continue
        joins = table.args.get("joins")
        table.set("joins", None)
        inner = exp.select(exp.Star(except_=[exp.to_identifier(made_of_ids)])).from_(_bare(table))
        table.replace(exp.Subquery(this=inner, alias=exp.TableAlias(this=_alias(table)), joins=joins))


def _negated(node: exp.Expr, root: exp.Expr) -> bool:
    """Whether the condition holds because something is not there."""
    negated, at = False, node
    while at is not root and at.parent is not None:
        at = at.parent
        negated ^= isinstance(at, exp.Not)
    return negated


def _equal(value: exp.Expr, traced: exp.Subquery, compare: type[exp.Expr]) -> exp.Expr:
    """The condition that a row of the subquery is the one that was looked for."""
    values = value.expressions if isinstance(value, exp.Tuple) else [value]
    names = [f"odibi_value_{number}" for number in range(len(values))]
    traced.args["alias"].set("columns", [exp.to_identifier(name) for name in names])
    return exp.and_(
        *(compare(this=v.copy(), expression=exp.column(name)) for v, name in zip(values, names, strict=True))
    )


def _conditions(node: exp.Select) -> Iterator[exp.Expr | None]:
    for join in node.args.get("joins", ()):
        if join.kind not in ("SEMI", "ANTI"):
            yield join.args.get("on")


def _hide(node: exp.Select, sources: _Sources) -> None:
    """Leave the ids out of every ``*``."""
    for item in node.expressions:
        for columns in item.find_all(exp.Columns):
            if not isinstance(columns.this, exp.Star):
                raise Untraceable("COLUMNS chooses columns by a pattern; name them, or write COLUMNS(*)")
            _exclude(columns.this, sources.names)
        star = item.unalias()
        if isinstance(star, exp.Star):
            _exclude(star, sources.names)
        elif isinstance(star, exp.Column) and isinstance(star.this, exp.Star):
            mine = [name for alias, name in sources.seen if alias.lower() == star.table.lower()]
            _exclude(star.this, mine)


def _exclude(star: exp.Star, names: Sequence[str]) -> None:
    if names:
        listed = list(star.args.get("except_") or ())
        star.set("except_", [*listed, *map(exp.to_identifier, names)])


def _aggregates(expression: exp.Expr) -> bool:
    """Whether rows are gathered to compute the expression: an aggregate that is no window."""
    return any(
        is_aggregate(node) and not _is_window(node)
        for node in expression.walk(bfs=False, prune=lambda n: isinstance(n, exp.Query))
    )


def _is_window(node: exp.Expr) -> bool:
    while isinstance(node.parent, exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup):
        node = node.parent
    return isinstance(node.parent, exp.Window) and node.parent.this is node
