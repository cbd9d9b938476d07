"""Checks compiled: a rule about rows is a condition that holds where a row breaks it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from odibi.config.checks import (
    CHECKED,
    Accepted,
    Between,
    Check,
    ColumnTypes,
    Expression,
    Freshness,
    Function,
    JsonSchema,
    Matches,
    NotNull,
    Query,
    References,
    Severity,
    Unique,
)
from odibi.engines.duckdb import literal
from odibi.errors import Permanent, nearest
from odibi.relational.schema import Column, Schema, quote

if TYPE_CHECKING:
    from odibi.relational.bind import Binder

__all__ = ["PART", "ROW", "ROWS", "CheckError", "Rule", "bound", "rules_of", "tables_of", "version_of"]

ROWS = "rows of the check"
"""The table of a condition; nobody names it."""

PART, ROW = "odibi_part", "file_row_number"
"""The columns that tell the place of a row: its file, and its number there."""


class CheckError(Permanent):
    """A check that means nothing for the columns there are; ``path`` leads to it below the step."""

    def __init__(self, message: str, path: tuple[Any, ...], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One thing that is looked at.

    ``fails`` is, for a rule about rows that SQL can tell, the condition of those that break it; it may name
    the tables ``check <dataset>``. ``columns`` are those it looks at, ``number`` is the check's position.
    """

    check: Check
    number: int
    name: str
    says: str
    columns: tuple[str, ...] = ()
    fails: str = ""

    @property
    def on_fail(self) -> Severity:
        """What it means if it is broken."""
        return self.check.on_fail or "error"

    @property
    def version(self) -> str:
        """A hash of what it asks for."""
        return version_of((self.check,))


def version_of(checks: Sequence[Check], code: Sequence[str] = ()) -> str:
    """A hash of what the checks ask for; ``code`` are the sources of their functions."""
    said = [check.model_dump(mode="json", exclude={"name", "because"}) for check in checks]
    text = json.dumps([said, list(code)], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def rules_of(checks: Sequence[Check]) -> tuple[Rule, ...]:
    """The rules that the checks are made of: one for each column where a check names several.

    Conditions are for columns of any type; :func:`bound` adds what the type asks for.
    """
    return tuple(
        Rule(check, number, check.name or name, check.because or says, columns, fails)
        for number, check in enumerate(checks)
        for name, says, columns, fails in _SAID.get(type(check), _plainly)(check)
    )


_Said = tuple[str, str, tuple[str, ...], str]
"""The name of a rule, what is wrong where it is broken, its columns, and the condition of the rows that break it."""


def _plainly(check: Check) -> Iterator[_Said]:
    yield str(vars(check)["rule"]), "", (), ""


def _not_null(check: NotNull) -> Iterator[_Said]:
    for name in check.columns:
        yield f"not_null({name})", f"{name} is missing", (name,), f"{quote(name)} IS NULL"


def _unique(check: Unique) -> Iterator[_Said]:
    names = ", ".join(check.columns)
    yield f"unique({names})", f"{names} is there already", check.columns, ""


def _accepted(check: Accepted) -> Iterator[_Said]:
    some = ", ".join(map(str, check.values[:8])) + (", ..." if len(check.values) > 8 else "")
    values = [literal(value) for value in check.values if value is not None]  # NULL passes anyway
    column = quote(check.column)
    fails = f"{column} NOT IN ({', '.join(values)})" if values else f"{column} IS NOT NULL"
    yield f"accepted({check.column})", f"{check.column} is none of {some}", (check.column,), fails


def _matches(check: Matches) -> Iterator[_Said]:
    fails = f"NOT regexp_matches(CAST({quote(check.column)} AS VARCHAR), {literal(check.pattern)})"
    says = f"{check.column} does not match {check.pattern}"
    yield f"matches({check.column})", says, (check.column,), fails


def _between(check: Between) -> Iterator[_Said]:
    yield f"between({check.column})", _outside(check), (check.column,), _bounds(check)


def _references(check: References) -> Iterator[_Said]:
    dataset, _, column = check.to.rpartition(".")
    fails = (
        f"{quote(check.column)} IS NOT NULL AND {quote(check.column)} NOT IN "
        f"(SELECT {quote(column)} FROM {quote(CHECKED + dataset)} WHERE {quote(column)} IS NOT NULL)"
    )
    yield f"references({check.to})", f"{check.column} is not in {check.to}", (check.column,), fails


def _expression(check: Expression) -> Iterator[_Said]:
    yield f"expression({_short(check.expression)})", f"not so: {_short(check.expression)}", (), ""


def _function(check: Function) -> Iterator[_Said]:
    name = check.function.replace(":", ".").rpartition(".")[2]
    yield f"function({name})", f"{name}() says it is not right", (), ""


def _freshness(check: Freshness) -> Iterator[_Said]:
    columns = (check.column,) if check.column else ()
    yield f"freshness{f'({check.column})' if check.column else ''}", "", columns, ""


def _query(check: Query) -> Iterator[_Said]:
    yield f"sql({_short(check.query)})", "", (), ""


_SAID: Mapping[type[Check], Callable[[Any], Iterator[_Said]]] = {
    NotNull: _not_null,
    Unique: _unique,
    Accepted: _accepted,
    Matches: _matches,
    Between: _between,
    References: _references,
    Expression: _expression,
    Function: _function,
    Freshness: _freshness,
    Query: _query,
}


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def _outside(check: Between) -> str:
    low = f"at least {check.min}" if check.min is not None else ""
    high = f"at most {check.max}" if check.max is not None else ""
    return f"{check.column} is not {' and '.join(filter(None, (low, high)))}"


def _bounds(check: Between) -> str:
    column = quote(check.column)
    low = [f"{column} < {literal(_plain(check.min))}"] if check.min is not None else []
    high = [f"{column} > {literal(_plain(check.max))}"] if check.max is not None else []
    return " OR ".join((*low, *high))


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else str(value)


def bound(
    rules: Sequence[Rule], schema: Schema, lookups: Mapping[str, Schema], binder: Binder
) -> tuple[Rule, ...]:
    """The rules as conditions on these columns.

    ``lookups`` has the columns of the tables ``check <dataset>``.

    Raises:
        CheckError: a rule names a column that is not there, or asks for what its type cannot give.
    """
    return tuple(_bound(rule, schema, lookups, binder) for rule in rules)


def _bound(rule: Rule, schema: Schema, lookups: Mapping[str, Schema], binder: Binder) -> Rule:
    from odibi.relational.bind import BindError

    check, path = rule.check, ("checks", rule.number)
    types = {column.name: column.type for column in schema}
    order = (
        [re.sub(r"(?i) (asc|desc)$", "", term) for term in check.order_by]
        if isinstance(check, Unique)
        else []
    )
    asked = (*rule.columns, *order)
    for name in asked:
        if name not in types:
            raise CheckError(f"{rule.name}: there is no column {name!r}", path, hint=nearest(name, types))
    fails = rule.fails
    if isinstance(check, Accepted | Between):
        _refuse_other_kinds(rule, check, types[check.column], path)
    if isinstance(check, Between) and types[check.column] in ("DOUBLE", "FLOAT"):
        fails = f"{fails} OR isnan({quote(check.column)})"
    if isinstance(check, Matches) and (wrong := _wrong_pattern(check.pattern)):
        raise CheckError(f"{rule.name}: {check.pattern!r} is no regular expression: {wrong}", path)
    if isinstance(check, Expression):
        fails = f"NOT ({_condition(rule, check.expression, schema, binder)})"
    _refuse_unknown(rule, lookups, binder)
    _refuse_own_names(rule, schema, path)
    if isinstance(check, Accepted | Between | References | Expression) and _named(fails) <= lookups.keys():
        try:
            binder.describe(f'SELECT ({fails}\n) FROM "{ROWS}"', {ROWS: schema, **lookups})
            if isinstance(check, Accepted | Between):
                binder.try_out(fails, Column(check.column, types[check.column]))
        except BindError as error:
            raise CheckError(f"{rule.name}: {error.message[:200]}", path, hint=error.hint) from error
    return Rule(check, rule.number, rule.name, rule.says, rule.columns, fails)


def _refuse_unknown(rule: Rule, lookups: Mapping[str, Schema], binder: Binder) -> None:
    """Raises CheckError for types and columns of other datasets that there are not."""
    from odibi.relational.bind import BindError

    check, path = rule.check, ("checks", rule.number)
    if isinstance(check, ColumnTypes):
        for name, kind in check.columns.items():
            try:
                binder.describe(f"SELECT CAST(NULL AS {kind or 'VARCHAR'}) AS c", {})
            except BindError as error:
                message = f"columns: {name} has type {kind!r}, which DuckDB does not know"
                raise CheckError(message, path, hint="such as BIGINT, VARCHAR or DECIMAL(18,2)") from error
    if isinstance(check, References):
        dataset, _, column = check.to.rpartition(".")
        names = [c.name for c in lookups.get(CHECKED + dataset, ())]
        if CHECKED + dataset in lookups and column not in names:
            message = f"{rule.name}: {dataset} has no column {column!r}"
            raise CheckError(message, path, hint=nearest(column, names))


def _refuse_own_names(rule: Rule, schema: Schema, path: tuple[Any, ...]) -> None:
    """Raises CheckError for columns that are called as those which are added to the rows."""
    of_python, taken_out = isinstance(rule.check, Function | JsonSchema), rule.on_fail == "quarantine"
    for name in (column.name for column in schema):
        added = taken_out and name.lower().startswith("_odibi_")
        if added or (of_python and name.lower() in (PART, ROW)):
            needs = "quarantine" if added else rule.name
            message = f"the rows have a column {name!r}, a name that {needs} needs for itself"
            raise CheckError(message, path, hint="rename it in the step")


def _named(fails: str) -> set[str]:
    return {part for part in fails.split('"') if part.startswith(CHECKED)}


def _refuse_other_kinds(rule: Rule, check: Accepted | Between, kind: str, path: tuple[Any, ...]) -> None:
    """Text compared with numbers would be cast, and fail in the run where it holds something else."""
    values = check.values if isinstance(check, Accepted) else (check.min, check.max)
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if kind == "VARCHAR" and numbers:
        hint = "put the values into quotes, or give the column a type in the step"
        raise CheckError(f"{rule.name}: the column is text, and {numbers[0]} is a number", path, hint=hint)


@cache
def _wrong_pattern(pattern: str) -> str:
    """What DuckDB says against a regular expression."""
    import duckdb

    try:
        with duckdb.connect() as database:
            database.execute("SELECT regexp_matches('', ?)", [pattern])
    except duckdb.Error as error:
        return str(error).partition(": ")[2]
    return ""


def _condition(rule: Rule, text: str, schema: Schema, binder: Binder) -> str:
    """The condition on one row, as odibi means it."""
    from sqlglot import exp

    from odibi.operations.errors import OperationError
    from odibi.operations.expressions import expression
    from odibi.relational.bind import BindError
    from odibi.relational.clock import at_instant
    from odibi.relational.parse import Script, volatile
    from odibi.relational.rules import apply_rules
    from odibi.relational.schema import Relation

    path = ("checks", rule.number)
    hint = "give a condition on the columns of one row, such as quantity > 0"
    try:
        tree = expression(text, Relation(ROWS, schema), ())
        # WHERE refuses aggregates and windows, the list of columns tells the type.
        test = tree.sql("duckdb")
        found = binder.describe(f'SELECT ({test}\n) FROM "{ROWS}" WHERE ({test}\n)', {ROWS: schema})
    except (OperationError, BindError) as error:
        own = "" if isinstance(error, OperationError) else error.hint
        raise CheckError(f"{rule.name}: {error.message}", path, hint=own or hint) from error
    if volatile(Script("", (exp.select(tree),))):
        message = (
            f"{rule.name}: it depends on the clock or on chance, and has to be the same each time it is asked"
        )
        raise CheckError(message, path, hint="the day of the run is DATE '{{ date }}'")
    if found[0].type != "BOOLEAN":
        raise CheckError(f"{rule.name}: it is {found[0].type}, not true or false", path, hint=hint)
    ruled = apply_rules(exp.select("*").from_(exp.to_table(ROWS)).where(at_instant(tree, binder.now)))
    return str(ruled.args["where"].this.sql("duckdb"))


def tables_of(check: Query) -> tuple[str, ...]:
    """The datasets that a check's query names.

    Raises:
        SqlError: it is no query that odibi takes.
    """
    from odibi.relational.parse import parse

    return parse(check.query).inputs
