"""Forty kinds of query, each held against a ground truth that knows nothing of the rewriting.

Where a query only picks and combines rows the truth is the definition itself, by brute force: the minimal sets
of input rows that give the output row when the plain query runs over nothing else. Elsewhere it is a few lines
of Python over the rows.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import duckdb
import pytest
from sqlglot import exp, parse_one

from odibi.relational.schema import Column
from odibi.why.pivots import unpivoted
from odibi.why.rewrite import WHY, rewrite

Rows = list[dict[str, Any]]
Truth = Callable[[Rows, Rows], Iterable[tuple[tuple[Any, ...], set[int]]]]
Why = dict[tuple[Any, ...], set[int]]

SCHEMAS = {
    "t": {"id": "BIGINT", "k": "BIGINT", "g": "VARCHAR", "x": "BIGINT", "l": "BIGINT[]"},
    "u": {"id": "BIGINT", "k": "BIGINT", "y": "BIGINT"},
}


def data(seed: int) -> dict[str, Rows]:
    """Two small tables; ``n`` is the id of a row over both."""
    chance = random.Random(seed)
    keys = [1, 2, 3, None]
    t = [
        {
            "n": i,
            "id": i,
            "k": chance.choice(keys),
            "g": chance.choice(["a", "b", "c", None]),
            "x": chance.randint(1, 4),
            "l": chance.sample(range(5), chance.randint(0, 2)),
        }
        for i in range(1, 7)
    ]
    u = [
        {"n": 100 + i, "id": i, "k": chance.choice([1, 2, 5, None]), "y": chance.randint(1, 3)}
        for i in range(1, 5)
    ]
    return {"t": t, "u": u}


class World:
    """A database with the tables as they are, and once more with ids."""

    def __init__(self, tables: Mapping[str, Rows]) -> None:
        self.tables = tables
        self.db = duckdb.connect(config={"threads": "1"})
        for name, types in SCHEMAS.items():
            columns = ", ".join(f"{column} {kind}" for column, kind in types.items())
            self.db.execute(f"CREATE TABLE all_{name} ({columns}, odibi_id BIGINT)")
            rows = [[*(row[c] for c in types), row["n"]] for row in tables[name]]
            self.db.executemany(f"INSERT INTO all_{name} VALUES ({', '.join('?' * (len(types) + 1))})", rows)
            self.db.execute(
                f"CREATE VIEW {name} AS SELECT * EXCLUDE (odibi_id) FROM all_{name} "
                "WHERE list_contains(getvariable('there'), odibi_id)"
            )

    def answer(self, sql: str, there: Iterable[int]) -> set[tuple[Any, ...]]:
        """What the plain query gives over just these rows."""
        self.db.execute(f"SET VARIABLE there = {list(there)}::BIGINT[]")
        return {_plain(row) for row in self.db.execute(sql).fetchall()}

    def everything(self) -> list[int]:
        return [row["n"] for rows in self.tables.values() for row in rows]

    def told(self, sql: str) -> Why:
        """What the rewritten query says, by output row."""
        tree = parse_one(sql, dialect="duckdb")
        assert isinstance(tree, exp.Query)
        schemas = {
            name: tuple(Column(c, kind) for c, kind in types.items()) for name, types in SCHEMAS.items()
        }
        made = rewrite(unpivoted(tree, schemas), {name: f"all_{name}" for name in SCHEMAS})
        self.db.execute(f"SET VARIABLE there = {self.everything()}::BIGINT[]")
        found: Why = defaultdict(set)
        answer = self.db.execute(made.query.sql("duckdb"))
        assert answer.description[-1][0] == WHY
        for *row, ids in answer.fetchall():
            found[_plain(row)] |= set(ids or ())
        return dict(found)


def _plain(row: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in row)


def minimal(world: World, sql: str, most: int) -> Why:
    """For each output row, the rows of all minimal sets of at most so many that give it."""
    found: dict[tuple[Any, ...], list[frozenset[int]]] = defaultdict(list)
    wanted = world.answer(sql, world.everything())
    for size in range(most + 1):
        for some in map(frozenset, combinations(world.everything(), size)):
            for row in world.answer(sql, some) & wanted:
                if not any(smaller < some for smaller in found[row]):
                    found[row].append(some)
    return {row: set().union(*sets) for row, sets in found.items()}


def grouped(rows: Rows, key: Callable[[dict[str, Any]], Any]) -> Mapping[Any, Rows]:
    found: dict[Any, Rows] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def ids(rows: Iterable[Mapping[str, Any]]) -> set[int]:
    return {row["n"] for row in rows}


def by_group(where: Callable[[dict[str, Any]], bool] = lambda _: True) -> Truth:
    def truth(t: Rows, _: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
        for g, rows in grouped([r for r in t if where(r)], lambda r: r["g"]).items():
            yield (g, sum(r["x"] for r in rows)), ids(rows)

    return truth


def whole(t: Rows, _: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    yield (len(t), max(r["x"] for r in t)), ids(t)


def having(t: Rows, _: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    for g, rows in grouped(t, lambda r: r["g"]).items():
        if len(rows) > 1:
            yield (g, len(rows)), ids(rows)


def rolled(t: Rows, _: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    for g, rows in grouped(t, lambda r: r["g"]).items():
        yield (0, g, sum(r["x"] for r in rows)), ids(rows)
    yield (1, None, sum(r["x"] for r in t)), ids(t)


def joined_groups(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    pairs = [(a, b) for a in t for b in u if a["k"] is not None and a["k"] == b["k"]]
    groups: dict[Any, list[tuple[Any, Any]]] = defaultdict(list)
    for a, b in pairs:
        groups[a["g"]].append((a, b))
    for g, found in groups.items():
        yield (g, sum(b["y"] for _, b in found)), ids(r for pair in found for r in pair)


def winners(t: Rows, _: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    for g, rows in grouped(t, lambda r: r["g"]).items():
        best = max(rows, key=lambda r: (r["x"], -r["id"]))
        yield (g, best["id"], best["x"]), {best["n"]}


def itself(column: Callable[[dict[str, Any], Rows], Any]) -> Truth:
    """A window function: the row itself."""
    return lambda t, _: (((r["id"], column(r, t)), {r["n"]}) for r in t)


def peers(r: dict[str, Any], t: Rows) -> Rows:
    return sorted((o for o in t if o["g"] == r["g"]), key=lambda o: o["id"])


def before(r: dict[str, Any], t: Rows) -> Any:
    return {b["id"]: a["x"] for a, b in pairwise(peers(r, t))}.get(r["id"])


def maximum(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    top = max(r["y"] for r in u)
    yield from (((r["id"], top), {r["n"]} | ids(u)) for r in t)


def counted(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    for r in t:
        same = [o for o in u if r["k"] is not None and o["k"] == r["k"]]
        yield (r["id"], len(same)), {r["n"]} | ids(same)


def absent(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    there = {r["k"] for r in u}
    yield from (((r["id"],), {r["n"]}) for r in t if r["k"] is None or r["k"] not in there)


def less(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    there = {r["k"] for r in u}
    for k, rows in grouped(t, lambda r: r["k"]).items():
        if k not in there:
            yield (k,), ids(rows)


def both(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    others = grouped(u, lambda r: r["k"])
    for k, rows in grouped(t, lambda r: r["k"]).items():
        if k in others:
            yield (k,), ids(rows) | ids(others[k])


def less_all(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    others = grouped(u, lambda r: r["y"])
    for x, rows in grouped(t, lambda r: r["x"]).items():
        if len(rows) > len(others.get(x, ())):
            yield (x,), ids(rows)


def both_counted(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    others = grouped(u, lambda r: r["k"])
    for k, rows in grouped(t, lambda r: r["k"]).items():
        if k in others:
            yield (min(len(rows), len(others[k])), k), ids(rows) | ids(others[k])


def above(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    least = min(r["y"] for r in u)
    for g, rows in grouped([r for r in t if r["x"] > least], lambda r: r["g"]).items():
        yield (g, sum(r["x"] for r in rows)), ids(rows) | ids(u)


def smallest(t: Rows, _: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    yield from (((r["id"], r["x"]), {r["n"]}) for r in sorted(t, key=lambda r: (r["x"], r["id"]))[:3])


def pivot(t: Rows, _: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    for k, rows in grouped(t, lambda r: r["k"]).items():
        a, b = ([r["x"] for r in rows if r["g"] == g] for g in "ab")
        yield (k, sum(a) if a else None, sum(b) if b else None), ids(rows)


def climbed(t: Rows, _: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    """Chains of ids one after the other, from 1 on."""
    for last in t:
        yield (last["id"],), ids(r for r in t if r["id"] <= last["id"])


def top_of_group(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    for r in t:
        same = [o for o in u if r["k"] is not None and o["k"] == r["k"]]
        if same:
            best = max(same, key=lambda o: (o["y"], o["id"]))
            yield (r["id"], best["id"]), {r["n"], best["n"]}


def at_least(t: Rows, u: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    for r in t:
        if r["x"] > sum(o["y"] for o in u) / len(u):
            yield (r["id"],), {r["n"]} | ids(u)


def of_groups(t: Rows, _: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    groups = grouped(t, lambda r: r["g"])
    largest = max(sum(r["x"] for r in rows) for rows in groups.values())
    yield (largest,), ids(t)


def shared(t: Rows, _: Rows) -> Iterator[tuple[tuple[Any, ...], set[int]]]:
    groups = grouped(t, lambda r: r["g"])
    for r in t:
        rows = groups[r["g"]]
        if r["g"] is not None:
            yield (r["id"], sum(o["x"] for o in rows)), ids(rows)


class Pattern(NamedTuple):
    name: str
    sql: str
    truth: Truth | None = None  # by brute force where there is none
    most: int = 2  # rows of the largest minimal set


PATTERNS = [
    Pattern("projection", "SELECT id, x + 1 FROM t"),
    Pattern("projection of equal rows", "SELECT g, x FROM t"),
    Pattern("filter", "SELECT * FROM t WHERE x > 2 AND g IS NOT NULL"),
    Pattern("inner join", "SELECT t.id, u.id AS other FROM t JOIN u ON t.k = u.k"),
    Pattern("join using, star", "SELECT * FROM t JOIN (SELECT k, y FROM u) AS v USING (k)"),
    Pattern("left join", "SELECT t.id, u.id AS other FROM t LEFT JOIN u ON t.k = u.k"),
    Pattern("right join", "SELECT t.id, u.id AS other FROM t RIGHT JOIN u ON t.k = u.k AND t.x > 2"),
    Pattern("full join", "SELECT t.id, u.id AS other FROM t FULL JOIN u ON t.k = u.k"),
    Pattern("cross join", "SELECT t.id, u.id AS other FROM t, u WHERE t.x < u.y"),
    Pattern("natural join", "SELECT * FROM (SELECT k, x FROM t) AS a NATURAL JOIN (SELECT k, y FROM u) AS b"),
    Pattern("semi join", "SELECT t.id FROM t SEMI JOIN u ON t.k = u.k"),
    Pattern("semi join using", "SELECT id FROM t SEMI JOIN u USING (k)"),
    Pattern("anti join", "SELECT t.id FROM t ANTI JOIN u ON t.k = u.k", absent),
    Pattern("self join", "SELECT a.id, b.id AS other FROM t AS a JOIN t AS b ON a.x = b.x AND a.id < b.id"),
    Pattern("join of three", "SELECT a.id, u.y, b.id AS last FROM t AS a JOIN (u JOIN t AS b ON u.y = b.x) ON a.k = u.k", most=3),
    Pattern("group by", "SELECT g, sum(x) FROM t GROUP BY g", by_group()),
    Pattern("group by after a filter", "SELECT g, sum(x) FROM t WHERE x > 2 GROUP BY ALL", by_group(lambda r: r["x"] > 2)),
    Pattern("aggregate of the whole", "SELECT count(*), max(x) FROM t", whole),
    Pattern("having", "SELECT g, count(*) FROM t GROUP BY 1 HAVING count(*) > 1", having),
    Pattern("rollup", "SELECT grouping(g), g, sum(x) FROM t GROUP BY ROLLUP (g)", rolled),
    Pattern("aggregate of a join", "SELECT t.g, sum(u.y) FROM t JOIN u USING (k) GROUP BY t.g", joined_groups),
    Pattern("aggregate of an aggregate", "SELECT max(s) FROM (SELECT g, sum(x) AS s FROM t GROUP BY g)", of_groups),
    Pattern("join to an aggregate", "SELECT t.id, s FROM t JOIN (SELECT g, sum(x) AS s FROM t GROUP BY g) USING (g)", shared),
    Pattern("distinct", "SELECT DISTINCT g, x FROM t ORDER BY t.x"),
    Pattern("distinct on", "SELECT DISTINCT ON (g) g, id, x FROM t ORDER BY g, x DESC, id", winners),
    Pattern(
        "deduplicate",
        "SELECT g, id, x FROM t QUALIFY row_number() OVER (PARTITION BY g ORDER BY x DESC, id) = 1",
        winners,
    ),
    Pattern("window of a partition", "SELECT id, sum(x) OVER (PARTITION BY g) FROM t", itself(lambda r, t: sum(o["x"] for o in peers(r, t)))),
    Pattern("lag", "SELECT id, lag(x) OVER w FROM t WINDOW w AS (PARTITION BY g ORDER BY id)", itself(before)),
    Pattern("union all", "SELECT id, k FROM t UNION ALL SELECT y, k FROM u"),
    Pattern("union", "SELECT k FROM t UNION SELECT k FROM u ORDER BY k"),
    Pattern("union by name", "SELECT x AS v, k FROM t UNION ALL BY NAME SELECT k, y AS v FROM u"),
    Pattern("intersect", "SELECT k FROM t INTERSECT SELECT k FROM u", both),
    Pattern("except", "SELECT k FROM t EXCEPT SELECT k FROM u", less),
    Pattern("except all", "SELECT x FROM t EXCEPT ALL SELECT y FROM u", less_all),
    Pattern("intersect all", "SELECT count(*), k FROM (SELECT k FROM t INTERSECT ALL SELECT k FROM u) GROUP BY k", both_counted),
    Pattern("in", "SELECT id FROM t WHERE k IN (SELECT k FROM u WHERE y > 1)"),
    Pattern("in with two columns", "SELECT id FROM t WHERE (k, x) IN (SELECT k, y FROM u)"),
    Pattern("not in", "SELECT id FROM t WHERE k IS NULL OR k NOT IN (SELECT k FROM u WHERE k IS NOT NULL)", absent),
    Pattern("exists", "SELECT id FROM t WHERE EXISTS (SELECT * FROM u WHERE u.k = t.k AND u.y >= t.x)"),
    Pattern("not exists", "SELECT id FROM t WHERE NOT EXISTS (FROM u WHERE u.k = t.k)", absent),
    Pattern("any", "SELECT id FROM t WHERE x < ANY (SELECT y FROM u)"),
    Pattern("scalar subquery", "SELECT id, (SELECT max(y) FROM u) FROM t", maximum),
    Pattern("correlated subquery", "SELECT id, (SELECT count(*) FROM u WHERE u.k = t.k) FROM t", counted),
    Pattern("subquery in a call", "SELECT id, coalesce((SELECT count(*) FROM u WHERE u.k = t.k), 0) FROM t", counted),
    Pattern("subquery in a group", "SELECT g, sum(x) FROM t WHERE x > (SELECT min(y) FROM u) GROUP BY g", above),
    Pattern("subquery in a condition", "SELECT id FROM t WHERE x > (SELECT avg(y) FROM u)", at_least),
    Pattern("lateral", "SELECT t.id, b.id FROM t, LATERAL (SELECT id FROM u WHERE u.k = t.k ORDER BY y DESC, id DESC LIMIT 1) AS b", top_of_group),
    Pattern("cte used twice", "WITH c AS (SELECT id, x FROM t WHERE x > 1) SELECT a.id, b.id AS other FROM c AS a JOIN c AS b ON a.x = b.x"),
    Pattern("cte with names", "WITH c(p, q) AS (SELECT k, id FROM t) SELECT q FROM c WHERE p IN (SELECT p FROM c WHERE q = 1)"),
    Pattern(
        "recursive cte",
        "WITH RECURSIVE r(n) AS (SELECT id FROM t WHERE id = 1 UNION ALL SELECT t.id FROM r JOIN t ON t.id = r.n + 1) FROM r",
        climbed,
    ),
    Pattern("unnest in the list", "SELECT id, unnest(l) AS e FROM t"),
    Pattern("unnest in from", "SELECT t.id, e FROM t, unnest(t.l) AS z(e) WHERE e > 1"),
    Pattern("order and limit", "SELECT id, x FROM t ORDER BY x, id LIMIT 3", smallest),
    Pattern("pivot", "FROM (PIVOT (SELECT k, g, x FROM t) ON g IN ('a', 'b') USING sum(x) GROUP BY k)", pivot),
    Pattern("unpivot", "FROM (UNPIVOT (SELECT id, k, x FROM t) ON k, x INTO NAME which VALUE v)"),
    Pattern("values", "SELECT t.id, v.label FROM t JOIN (VALUES (1, 'one'), (2, 'two')) AS v(k, label) USING (k)"),
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS, ids=[pattern.name for pattern in PATTERNS])
@pytest.mark.parametrize("seed", [2, 3])
def test_the_rows_told_are_those_that_made_the_row(pattern: Pattern, seed: int) -> None:
    world = World(data(seed))
    told = world.told(pattern.sql)
    if pattern.truth is None:
        truth = minimal(world, pattern.sql, pattern.most)
    else:
        found: Why = defaultdict(set)
        for row, made_by in pattern.truth(world.tables["t"], world.tables["u"]):
            found[row] |= made_by
        truth = dict(found)
    assert told == truth
    assert truth, "the pattern gives no row, so it shows nothing"
