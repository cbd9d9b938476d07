"""A query written anew so that each of its rows carries the ids of the input rows that made it.

The method is that of B. Glavic and G. Alonso, "Perm: Processing provenance and data on the same data model
through query rewriting", ICDE 2009, with lists of ids in place of joined input columns: one more column,
:data:`WHY`, goes through every operator. What "made" means for each of them is told in ``docs/why.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from odibi.errors import Permanent
from odibi.relational.parse import is_cte, tables_in
from odibi.why.trees import (
    EXCEPT,
    EXCEPT_ALL,
    ID,
    INTERSECT,
    INTERSECT_ALL,
    TAIL,
    WHY,
    aggregates,
    alias_of,
    all_of,
    alone,
    bare,
    by_output,
    conditions,
    equal,
    exclude,
    flat,
    gathered,
    named,
    negated,
    no_ids,
    once,
    operand,
    plain,
    sub,
    tail,
    template,
)

__all__ = ["ID", "WHY", "Rewritten", "Untraceable", "rewrite"]


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
            made = tail(self.query(node.this), node)
        elif isinstance(node, exp.SetOperation):
            made = tail(self._set(node), node)
        elif isinstance(node, exp.Select):
            made = self._select(node)
        elif isinstance(node, exp.Values):
            made = exp.select("*", named(no_ids(), WHY)).from_(exp.Subquery(this=node))
        else:
            raise Untraceable(f"it has a {type(node).__name__.upper()}")
        if with_ is not None:
            if made.args.get("with_") is not None:
                made = all_of(made)
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
        left, right = operand(self.query(node.this)), operand(self.query(node.expression))
        by_name = node.args.get("by_name")
        if isinstance(node, exp.Union):
            both = exp.Union(this=left, expression=right, distinct=False, by_name=by_name)
            return once(both) if node.args.get("distinct") else both
        sides = [exp.select("*", f"{n} AS odibi_side").from_(sub(q)) for n, q in ((1, left), (2, right))]
        both = exp.Union(this=sides[0], expression=sides[1], distinct=False, by_name=by_name)
        every = not node.args.get("distinct")
        if isinstance(node, exp.Except):
            self.compared.append("the rows of EXCEPT's other side")
            return template(EXCEPT_ALL if every else EXCEPT, both)
        return template(INTERSECT_ALL if every else INTERSECT, both)

    def _select(self, node: exp.Select) -> exp.Query:
        distinct = node.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is None:
            inner = node.copy()
            for part in ("distinct", *TAIL):
                inner.set(part, None)
            return tail(once(self._select(inner)), by_output(node))
        sources = _Sources()
        for part in (node.args.get("from_"), *node.args.get("joins", ()), *node.args.get("laterals", ())):
            if part is not None:
                self._joined(part, sources)
        before = [part for part in (node.args.get("where"), *conditions(node)) if part is not None]
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
            and not any(aggregates(e) for e in node.expressions)
        ):
            ids = flat([*rows, *more])
        elif group is None:
            ids = flat([gathered(flat(rows)), *more])
        else:
            ids = gathered(flat([*rows, *more]))
        node.append("expressions", named(ids, WHY))
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
        found = exp.select(gathered(flat([exp.column(name, quoted=True) for name in mine.names])))
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
                bare(node), ID if node.meta.get("input") else WHY, sources, within or node.alias_or_name
            )
            made.set("alias", exp.TableAlias(this=alias_of(node)))
            made.set("joins", joins)
            node.replace(made)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            inner = exp.Subquery(this=self.query(node.this), alias=node.args.get("alias"))
            made = self._with_ids(inner, WHY, sources, within or node.alias)
            if node.alias:
                made.set("alias", exp.TableAlias(this=alias_of(node)))
            made.set("joins", joins)
            node.replace(made)
        elif isinstance(node, exp.Subquery):
            self._source(node.this, sources, within or node.alias)
        elif isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            inner = exp.Subquery(this=self.query(node.this.this), alias=node.args.get("alias"))
            node.set("this", self._with_ids(inner, WHY, sources, within or node.alias))
            if node.alias:
                node.set("alias", exp.TableAlias(this=alias_of(node)))
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
        return exp.Subquery(this=exp.select(star, named(ids, name)).from_(relation))

    # --- subqueries in expressions -----------------------------------------------------------

    def _subqueries(self, root: exp.Expr) -> Iterator[exp.Expr]:
        """The ids that each subquery adds to a row; the subquery itself stays what it was."""
        for node in list(root.walk(bfs=False, prune=lambda n: isinstance(n, exp.Query))):
            if not isinstance(node, exp.Query):
                continue
            parent = node.parent
            said = parent.parent if isinstance(parent, exp.Any | exp.All) else parent
            text = f"the rows of {(said or node).sql('duckdb')}"
            # Of a scalar subquery there is one row; gathering it makes DuckDB 2.0 fail on an unused count(*).
            several = isinstance(parent, exp.In | exp.Any) or not isinstance(node, exp.Subquery)
            ids = exp.select(gathered(exp.column(WHY)) if several else exp.column(WHY))
            traced = exp.Subquery(
                this=self.query(alone(node)), alias=exp.TableAlias(this=exp.to_identifier(self._new()))
            )
            plain(node)
            found = None
            if isinstance(parent, exp.All) or (
                isinstance(parent, exp.In | exp.Any | exp.Exists) and negated(parent, root)
            ):
                self.compared.append(text)
                continue
            if isinstance(parent, exp.In):
                found = equal(parent.this, traced, exp.EQ)
            elif isinstance(parent, exp.Any) and isinstance(parent.parent, exp.Binary):
                found = equal(parent.parent.this, traced, type(parent.parent))
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


def _hide(node: exp.Select, sources: _Sources) -> None:
    """Leave the ids out of every ``*``."""
    for item in node.expressions:
        for columns in item.find_all(exp.Columns):
            if not isinstance(columns.this, exp.Star):
                raise Untraceable("COLUMNS chooses columns by a pattern; name them, or write COLUMNS(*)")
            exclude(columns.this, sources.names)
        star = item.unalias()
        if isinstance(star, exp.Star):
            exclude(star, sources.names)
        elif isinstance(star, exp.Column) and isinstance(star.this, exp.Star):
            mine = [name for alias, name in sources.seen if alias.lower() == star.table.lower()]
            exclude(star.this, mine)
