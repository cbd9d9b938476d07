"""The clauses of a query that drop rows, and the query with only the first of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

__all__ = ["Clause", "clauses", "ctes_before", "select_of", "with_first"]

_PARTS = ("where", "having", "qualify", "limit", "offset", "distinct")


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause: the place of its SELECT among those of the query, which part it is, and how it reads.

    ``number`` is that of the join, or of the condition where several are bound by AND.
    """

    select: int
    part: str
    number: int
    said: str


def clauses(query: exp.Query) -> tuple[Clause, ...]:
    """The clauses in the order in which they are evaluated: CTEs and subqueries in FROM before what reads them."""
    return tuple(clause for at, select in enumerate(_selects(query)) for clause in _of(at, select))


def with_first(query: exp.Query, known: Sequence[Clause], count: int) -> exp.Query:
    """The query with the first ``count`` clauses; of the others none drops a row."""
    tree = query.copy()
    selects = list(_selects(tree))
    gone = known[count:]
    for at, select in enumerate(selects):
        mine = [clause for clause in gone if clause.select == at]
        _drop_conditions(select, {clause.number for clause in mine if clause.part == "where"})
        joins = select.args.get("joins") or []
        for clause in (clause for clause in mine if clause.part == "join"):
            join = joins[clause.number]
            if join.kind in ("SEMI", "ANTI"):
                join.set("kind", "drop")
            else:
                join.set("side", "FULL" if join.side == "RIGHT" else "LEFT")
                join.set("kind", None)
        select.set("joins", [join for join in joins if join.args.get("kind") != "drop"])
        for part in {clause.part for clause in mine} & {*_PARTS} - {"where"}:
            select.set(part, None)
    return tree


def select_of(query: exp.Query, clause: Clause) -> exp.Select:
    """The SELECT that has the clause."""
    return list(_selects(query))[clause.select]


def ctes_before(query: exp.Query, select: exp.Select) -> exp.With | None:
    """The CTEs that one of the query's own SELECTs sees."""
    with_ = query.args.get("with_")
    if with_ is None:
        return None
    seen = []
    for cte in with_.expressions:
        if any(node is select for node in cte.walk()):
            break
        seen.append(cte.copy())
    return exp.With(expressions=seen, recursive=with_.args.get("recursive")) if seen else None


def _selects(query: exp.Query) -> Iterator[exp.Select]:
    """The SELECTs whose rows become rows of the query, inner ones first."""
    with_ = query.args.get("with_")
    for cte in with_.expressions if with_ is not None else ():
        yield from _selects(cte.this)
    if isinstance(query, exp.SetOperation):
        yield from _selects(query.this)
        yield from _selects(query.expression)
    elif isinstance(query, exp.Subquery):
        if isinstance(query.this, exp.Query):
            yield from _selects(query.this)
    elif isinstance(query, exp.Select):
        for part in (query.args.get("from_"), *query.args.get("joins", ())):
            if part is not None and isinstance(part.this, exp.Subquery):
                yield from _selects(part.this)
        yield query


def _of(at: int, select: exp.Select) -> Iterator[Clause]:
    for number, join in enumerate(select.args.get("joins") or ()):
        kind, side = join.kind, join.side
        if (
            kind in ("SEMI", "ANTI")
            or side == "RIGHT"
            or (not side and kind in ("", "INNER") and (join.args.get("on") or join.args.get("using")))
        ):
            name = join.this.alias_or_name or "the other side"
            name = join.this.name if isinstance(join.this, exp.Table) else name
            said = f"it has a match in {name}" if kind == "ANTI" else f"it has no match in {name}"
            yield Clause(at, "join", number, f"{said}: {join.sql('duckdb')}")
    where = select.args.get("where")
    for number, condition in enumerate(_conjuncts(where.this) if where is not None else ()):
        yield Clause(at, "where", number, f"the filter {condition.sql('duckdb')} does not hold for it")
    for part in ("having", "qualify"):
        if (node := select.args.get(part)) is not None:
            yield Clause(
                at,
                part,
                0,
                _kept(node.this)
                if part == "qualify"
                else f"{node.sql('duckdb')} does not hold for its group",
            )
    distinct = select.args.get("distinct")
    if distinct is not None and distinct.args.get("on") is not None:
        yield Clause(at, "distinct", 0, "another row of its key comes first: DISTINCT ON")
    for part in ("offset", "limit"):
        if (node := select.args.get(part)) is not None:
            yield Clause(at, part, 0, f"it is not among the rows of {node.sql('duckdb')}")


def _kept(condition: exp.Expr) -> str:
    window = condition.find(exp.Window)
    by = (
        ", ".join(each.sql("duckdb") for each in window.args.get("partition_by") or ())
        if window is not None
        else ""
    )
    return (
        f"another row of the same {by} was kept: {condition.sql('duckdb')}"
        if by
        else f"{condition.sql('duckdb')} does not hold for it"
    )


def _conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    condition = condition.unnest()
    return list(condition.flatten()) if isinstance(condition, exp.And) else [condition]


def _drop_conditions(select: exp.Select, numbers: set[int]) -> None:
    where = select.args.get("where")
    if where is None or not numbers:
        return
    kept = [each.copy() for number, each in enumerate(_conjuncts(where.this)) if number not in numbers]
    select.set("where", exp.Where(this=exp.and_(*kept)) if kept else None)
