"""The checks of one attempt at a step: which rows break which rule, and what is to become of it.

Row rules are conditions over the rows that were staged, counted in one pass. What is told of each rule is
how many rows broke it, how many of those are left once the quarantine has taken its own, and a few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from odibi.config.checks import Function, JsonSchema, QualityScore, Unique
from odibi.datasets.digest import LONGEST_CELL, Sample
from odibi.datasets.target import Job
from odibi.engines.base import Location, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import copied, literal, scan
from odibi.errors import DataValidationFailed
from odibi.quality.records import Ask
from odibi.quality.rules import PART, ROW, Rule
from odibi.quality.tables import Table, broken
from odibi.relational.schema import Column, Schema, quote

__all__ = ["ADDED", "EXAMPLES", "Judge", "Result", "Status"]

EXAMPLES = 10
"""Rows that are shown of those which break a rule."""

ADDED: Schema = (
    Column("_odibi_rules", "VARCHAR"),
    Column("_odibi_reason", "VARCHAR"),
    Column("_odibi_rule_version", "VARCHAR"),
    Column("_odibi_source", "VARCHAR"),
)
"""What a row in quarantine has beside its own columns."""

_WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT"})
_LARGEST_BITMAP = 1 << 30

Status = Literal["passed", "warned", "failed", "quarantined"]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one rule.

    Attributes:
        rows: how many it was asked about, None for a rule about the table.
        broken: how many of them broke it, for a rule about the table 1 or 0.
        left: how many of those will be published.
        examples: some of those rows as text, in the order of ``columns``.
    """

    rule: Rule
    status: Status
    rows: int | None
    broken: int
    left: int
    message: str = ""
    columns: tuple[str, ...] = ()
    examples: Sample = ()
    masked: tuple[str, ...] = ()


@dataclass
class Judge:
    """Holds rules against the rows of one write; not for several threads.

    Attributes:
        rules: bound to the columns of the rows.
        lookups: the queries behind the tables ``check <dataset>`` and those that SQL rules name.
        dataset: what the rows are called in SQL rules.
        ask: calls the functions and schemas that rules name.
        keep: commits rows to the quarantine, called with the staged rows or None where there are none.
        source: where the rows were read from, for the quarantine.
        newest: when the newest file was written that they were read from.
        now: the instant at which the clock stands, None where it goes on.
    """

    db: Database
    rules: Sequence[Rule]
    lookups: Mapping[str, str]
    dataset: str
    ask: Ask
    keep: Callable[[Job, Staged | None], int | None]
    source: str = ""
    newest: datetime | None = None
    now: datetime | None = None
    masked: tuple[str, ...] = ()
    results: dict[Rule, Result] = field(default_factory=dict)
    taken: Staged | None = None

    def incoming(self, rows: Location, *, others: str = "", where: str = "") -> str:
        """Hold the row rules against staged rows; the query of those that may stay, empty if all may.

        Args:
            rows: where they are.
            others: the query of the rows that the table has beside them, which ``unique`` looks at.
            where: the condition of those that came in, where ``rows`` holds others too.
        """
        asked = [rule for rule in self.rules if rule.check.row]
        if not asked:
            return ""
        base = _Base(self.db, rows, where, others, self.lookups)
        fails = dict.fromkeys(asked, "")
        for rule in sorted(asked, key=lambda rule: isinstance(rule.check, Unique)):
            # Of rows with one key those are repeats which come after the good ones.
            fails[rule] = base.condition(rule, self.ask, _any(fails))
        bad = _any(fails)
        if not self._count(base, fails, bad):
            self.taken = None
            return ""
        fails = {rule: fails[rule] for rule in asked if self.results[rule].broken}
        bad = _any(fails)
        folder = str(self.db.scratch / self.db.new_name())
        schema = (*(rows.schema or ()), *ADDED)
        self.taken = copied(self.db.computing(), base.taken(fails, bad, self.source), schema, folder, ())
        return base.kept(bad)

    def _count(self, base: _Base, fails: Mapping[Rule, str], bad: str) -> int:
        """Note a result for each rule; how many rows go to quarantine."""
        asked = [rule for rule in fails if fails[rule]]
        flags = [base.flag(fails[rule], i) for i, rule in enumerate(asked)]
        named, mark = base.bad, base.mark
        # Of a thousand rules, FILTER takes fifteen times as long.
        counts = [f"count_if({mark}{i}), count_if({mark}{i} AND NOT {named})" for i in range(len(asked))]
        ((total, *counted),) = self.db.rows(
            base.query(
                f"SELECT count(*), count_if({named}){''.join(f', {each}' for each in counts)}",
                [*flags, base.flag(bad)],
            )
        )
        gone, *found = (int(each or 0) for each in counted)  # of no rows, count_if gives NULL
        numbers = dict(zip(asked, zip(found[::2], found[1::2], strict=True), strict=True))
        for rule in fails:
            broke, left = numbers.get(rule, (0, 0))
            result = Result(rule, _status(rule, broke, left), total, broke, left)
            if broke:
                columns, examples = self._examples(base, fails[rule])
                result = replace(
                    result,
                    message=f"{base.said.get(rule, rule.says)}: {broke} of {total} rows",
                    columns=columns,
                    examples=examples,
                    masked=tuple(name for name in self.masked if name in columns),
                )
            self.results[rule] = result
        return gone

    def _examples(self, base: _Base, fails: str) -> tuple[tuple[str, ...], Sample]:
        names = tuple(column.name for column in base.schema)
        shown = ", ".join(
            "'***'" if name in self.masked else f"CAST({quote(name)} AS VARCHAR)[:{LONGEST_CELL}]"
            for name in names
        )
        found = self.db.rows(
            base.query(f"SELECT {shown}", [base.flag(fails)])
            + f" WHERE {base.bad} ORDER BY ALL LIMIT {EXAMPLES}"
        )
        return names, tuple(found)

    def refuse(self) -> None:
        """Raise DataValidationFailed if a rule is broken that must not be."""
        wrong = [result for result in self.results.values() if result.status == "failed"]
        if wrong:
            said = "; ".join(f"{each.rule.name}: {each.message}" for each in wrong[:5])
            more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            which = "a check fails" if len(wrong) == 1 else f"{len(wrong)} checks fail"
            hint = "nothing was published; on_fail: warn lets it through"
            if any(each.rule.check.row for each in wrong):
                hint += ", on_fail: quarantine takes such rows out"
            raise DataValidationFailed(f"{which}: {said}{more}", hint=hint)

    def table(
        self, sql: str, schema: Schema, size: int, before: Schema | None = None, *, composed: bool = False
    ) -> None:
        """Hold the rules about the table against it as it would be.

        Args:
            sql: the query of all its rows.
            schema: its columns.
            size: what it takes on disk, in bytes.
            before: the columns it had until now, None where there was no table.
            composed: whether rows of it are made of those that came in and those that were there.

        Raises:
            DataValidationFailed: a rule is broken that must not be; nothing may be published.
        """
        table = Table(sql, schema, size, before, self.newest, composed, self.now)
        for rule in self.rules:
            if isinstance(rule.check, QualityScore):
                continue
            if rule.check.row and not (isinstance(rule.check, Unique) and table.composed):
                continue
            if rule.check.row and self.results[rule].broken:
                continue
            found = broken(self.db, rule, table, self.lookups, self.dataset)
            because = rule.check.because
            message = f"{because}: {found.message}" if because and found.message else found.message
            status = _status(rule, *((1, 1) if found.message and not found.note else (0, 0)))
            # Rows that repeat others of the table cannot be told from those any more.
            status = "failed" if status == "quarantined" else status
            self.results[rule] = Result(
                rule, status, None, int(status != "passed"), int(status != "passed"), message,
                found.columns, found.examples,
            )  # fmt: skip
        for rule in self.rules:
            if isinstance(rule.check, QualityScore):
                wrong = self.score(after=True) < rule.check.min
                message = f"{self.score(after=True):.3f} is below {rule.check.min:g}" if wrong else ""
                status = _status(rule, int(wrong), int(wrong))
                self.results[rule] = Result(rule, status, None, int(wrong), int(wrong), message)
        self.refuse()

    def publish(self, job: Job) -> int | None:
        """Commit the rows that break a quarantine rule, before the others are; the quarantine's version then."""
        quarantines = any(rule.on_fail == "quarantine" for rule in self.rules)
        return self.keep(job, self.taken) if quarantines else None

    def score(self, *, after: bool) -> float:
        """The share, from 0 to 1, in which the rules hold: of all rows that came in, or ``after`` the quarantine.

        Each rule counts alike: one about rows by the share of rows that keep it, one about the table whole.
        """
        gone = self.taken.rows if self.taken is not None else 0
        shares = []
        for result in self.results.values():
            if isinstance(result.rule.check, QualityScore):
                continue
            rows = 1 if result.rows is None else result.rows - gone * after
            wrong = result.left if after else result.broken
            shares.append(1 - wrong / rows if rows else 1.0)
        return sum(shares) / len(shares) if shares else 1.0


def _any(fails: Mapping[Rule, str]) -> str:
    """The condition of the rows that go to quarantine."""
    found = [fails[rule] for rule in fails if rule.on_fail == "quarantine" and fails[rule]]
    return " OR ".join(f"({each})" for each in found) or "false"


def _status(rule: Rule, broke: int, left: int) -> Status:
    if not broke:
        return "passed"
    if rule.on_fail == "quarantine":
        return "quarantined"
    if not left:
        return "passed"  # the quarantine has taken them
    return "warned" if rule.on_fail == "warn" else "failed"


class _Base:
    """The rows that are looked at, as a query with a column for each rule."""

    def __init__(
        self, db: Database, rows: Location, where: str, others: str, lookups: Mapping[str, str]
    ) -> None:
        self.db, self.where, self.others, self.rows = db, where, others, rows
        self.schema: Schema = rows.schema or ()
        self.numbered = False
        self.said: dict[Rule, str] = {}
        self.places: dict[Rule, str] = {}
        tables = {name: sql for name, sql in lookups.items() if name.startswith("check ")}
        self.ctes = "".join(f"{quote(name)} AS ({sql}), " for name, sql in tables.items())
        self.mark = "odibi_flag_"
        while any(column.name.lower().startswith(self.mark) for column in self.schema):
            self.mark += "_"
        self.bad = f"{self.mark}bad"

    def flag(self, fails: str, number: int | None = None) -> str:
        """A condition as a column that no row has: of the rule of that number, else of what is bad."""
        return f"coalesce({fails}, false) AS {self.bad if number is None else f'{self.mark}{number}'}"

    def condition(self, rule: Rule, ask: Ask, bad: str) -> str:
        """The condition of the rows that break the rule, empty where none can; ``bad`` ones go anyway."""
        if isinstance(rule.check, Unique):
            return self._repeated(rule.check, bad)
        if isinstance(rule.check, Function | JsonSchema):
            self.numbered = True
            asked = ask(rule, self._numbered())
            if not asked.places:
                return ""
            self.said[rule], self.places[rule] = asked.says, asked.places
            return f"({PART}, {ROW}) IN (SELECT ({PART}, {ROW}) FROM ({asked.places}))"
        return rule.fails

    def _numbered(self) -> Location:
        """The rows with the place of each in its file."""
        options = {**self.rows.options, "filename": PART, ROW: True}
        added = (
            (Column(PART, "VARCHAR"),)
            if self.rows.exact
            else (Column(PART, "VARCHAR"), Column(ROW, "BIGINT"))
        )
        return replace(self.rows, schema=(*self.schema, *added), options=options)

    def _repeated(self, check: Unique, bad: str) -> str:
        """What tells a row whose key an earlier one has; empty if there is none."""
        keys = ", ".join(map(quote, check.columns))
        known = " AND ".join(f"{quote(name)} IS NOT NULL" for name in check.columns)
        rows = f"SELECT {keys} FROM ({self._rows()}) WHERE {known}"
        again = f"SELECT 1 FROM ({rows}) GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"
        inside = f"SELECT 1 FROM ({rows}) SEMI JOIN ({self.others}) USING ({keys}) LIMIT 1"
        repeats = not self._differ(check.columns) and bool(self.db.rows(again))
        there = bool(self.others) and bool(self.db.rows(inside))
        found = []
        if repeats:
            rest = [column.name for column in self.schema if column.name not in check.order_by]
            order = ", ".join((f"coalesce({bad}, false)", *map(_term, check.order_by), *map(quote, rest)))
            found.append(f"row_number() OVER (PARTITION BY {keys} ORDER BY {order}) > 1")
        if there:
            found.append(f"({keys}) IN (SELECT ({keys}) FROM ({self.others}))")
        return f"{known} AND ({' OR '.join(found)})" if found else ""

    def _differ(self, names: Sequence[str]) -> bool:
        """Whether a bitmap tells that no value of a column is there twice: whole numbers close to each other.

        That takes a tenth of the time of a GROUP BY, and no more memory than the values.
        """
        name, *others = names
        if others or {column.name: column.type for column in self.schema}[name] not in _WHOLE:
            return False
        column, rows = quote(name), self._rows()
        ((low, high, count),) = self.db.rows(
            f"SELECT min({column}), max({column}), count({column}) FROM ({rows})"
        )
        if not count or high - low >= min(64 * count, _LARGEST_BITMAP):
            return not count
        kind = f"{low}::BIGINT, {high}::BIGINT"
        bits = f"bit_count(bitstring_agg(CAST({column} AS BIGINT), {kind}))"
        return bool(self.db.rows(f"SELECT {bits} = {count} FROM ({rows})")[0][0])

    def _rows(self) -> str:
        sql = scan(self._numbered() if self.numbered else self.rows)
        return f"SELECT * FROM ({sql}) WHERE {self.where}" if self.where else sql

    def query(self, select: str, flags: Sequence[str]) -> str:
        """What is selected of the rows with their flags."""
        ctes = f"WITH {self.ctes.removesuffix(', ')} " if self.ctes else ""
        return f"{ctes}{select} FROM (SELECT *, {', '.join(flags)} FROM ({self._rows()})) r"

    def taken(self, fails: Mapping[Rule, str], bad: str, source: str) -> str:
        """The query of the rows that go to quarantine, with the reason of each."""
        names = ", ".join(quote(column.name) for column in self.schema)
        rules = [rule for rule in fails if rule.on_fail == "quarantine" and fails[rule]]
        flags = [self.flag(fails[rule], i) for i, rule in enumerate(rules)]

        def said(of: Callable[[Rule], str]) -> str:
            cases = ", ".join(f"CASE WHEN {self.mark}{i} THEN {of(rule)} END" for i, rule in enumerate(rules))
            return f"concat_ws('; ', {cases})"

        values = (
            said(lambda rule: literal(rule.name)),
            said(self._why),
            said(lambda rule: literal(rule.version)),
            literal(source),
        )
        added = ", ".join(
            f"{value} AS {quote(column.name)}" for value, column in zip(values, ADDED, strict=True)
        )
        return self.query(f"SELECT {names}, {added}", [*flags, self.flag(bad)]) + f" WHERE {self.bad}"

    def _why(self, rule: Rule) -> str:
        """What is wrong with a row, as an expression."""
        if rule not in self.places:
            return literal(rule.says)
        return f"(SELECT any_value(p.why) FROM ({self.places[rule]}) p WHERE p.{PART} = r.{PART} AND p.{ROW} = r.{ROW})"

    def kept(self, bad: str) -> str:
        """The query of the others, and of those that did not come in now."""
        names = ", ".join(quote(column.name) for column in self.schema)
        query = self.query(f"SELECT {names}", [self.flag(bad)]) + f" WHERE NOT {self.bad}"
        if not self.where:
            return query
        rest = f"SELECT {names} FROM ({scan(self.rows)}) WHERE ({self.where}) IS NOT TRUE"
        return f"({query}) UNION ALL ({rest})"


def _term(text: str) -> str:
    """``updated_at desc`` as a term of an order: a column, and which way."""
    name, _, way = text.rpartition(" ")
    return f"{quote(name)} {way}" if name and way.lower() in ("asc", "desc") else quote(text)
