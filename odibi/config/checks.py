"""What a step's data must be like: one model for each rule, and the rule sets that give them their weight.

In YAML a check is written by the name of its rule, ``{not_null: [order_id]}`` or
``{between: {column: price, min: 0, on_fail: quarantine}}``; its canonical form names the rule in ``rule``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from odibi.config.base import Frozen
from odibi.errors import nearest

if TYPE_CHECKING:
    from odibi.config.models import Pipeline, Step

__all__ = [
    "BUILT_IN_SETS",
    "CHECKED",
    "RULES",
    "AnyCheck",
    "Check",
    "RuleSet",
    "Severity",
    "checks_of",
    "datasets_of",
    "duration",
    "without_checked",
]

Severity = Literal["error", "warn", "quarantine"]
"""What a broken rule means: nothing is published, it is told, or the rows that break it go to quarantine."""

CHECKED = "check "
"""How the inputs of a step are called that only its checks read: this and the name of the dataset."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|seconds?|minutes?|hours?|days?)")


def duration(text: str) -> timedelta:
    """``6h``, ``30 minutes`` or ``2d`` as a span of time. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no span of time: such as 30m, 6h or 2 days")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2][0]]
    try:
        return timedelta(**{unit: float(found[1])})
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is longer than any span of time") from None


class Check(Frozen):
    """What every check may say: what it means if it is broken, and a name and reason for people.

    ``row`` tells that it looks at one row after the other, so that the rows which break it can be told
    from the others; ``main`` is the key that stands for the whole in the short form.
    """

    row: ClassVar[bool] = False
    main: ClassVar[str] = ""

    on_fail: Severity | None = None
    name: str = ""
    because: str = ""

    @model_validator(mode="after")
    def _rows_to_take_out(self) -> Check:
        if self.on_fail == "quarantine" and not self.row:
            kind = vars(self).get("rule", "it")
            raise ValueError(f"{kind} is about the table, so there are no rows to quarantine: error or warn")
        return self

    @model_serializer(mode="wrap")
    def _named(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """With the name of its rule, also where defaults are left out."""
        name = {"rule": vars(self)["rule"]} if "rule" in vars(self) else {}
        return {**name, **dump(self)}


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Columns = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)]


class NotNull(Check):
    """No NULL in the columns."""

    row: ClassVar[bool] = True
    main: ClassVar[str] = "columns"
    rule: Literal["not_null"] = "not_null"
    columns: Columns


class Unique(Check):
    """No two rows with the same values in the columns; rows with a NULL there are left out.

    In quarantine go all but the first, by ``order_by`` and then by all columns.
    """

    row: ClassVar[bool] = True
    main: ClassVar[str] = "columns"
    rule: Literal["unique"] = "unique"
    columns: Columns
    order_by: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()


class Accepted(Check):
    """One of the values, or NULL."""

    row: ClassVar[bool] = True
    rule: Literal["accepted"] = "accepted"
    column: str
    values: tuple[Any, ...] = Field(min_length=1)


class Matches(Check):
    """A text in which the regular expression is found, or NULL; ``^`` and ``$`` stand for its ends."""

    row: ClassVar[bool] = True
    rule: Literal["matches"] = "matches"
    column: str
    pattern: str = Field(min_length=1)


class Between(Check):
    """Not below ``min`` and not above ``max``, or NULL; of a number that is none (NaN), neither holds."""

    row: ClassVar[bool] = True
    rule: Literal["between"] = "between"
    column: str
    min: Any = None
    max: Any = None

    @model_validator(mode="after")
    def _some_bound(self) -> Between:
        if self.min is None and self.max is None:
            raise ValueError("between needs min, max or both")
        if any(isinstance(bound, list | tuple | dict) for bound in (self.min, self.max)):
            raise ValueError("min and max of between are one value each")
        return self


class References(Check):
    """A value that stands in a column of another dataset, or NULL: ``{column: customer_id, to: customers.id}``."""

    row: ClassVar[bool] = True
    rule: Literal["references"] = "references"
    column: str
    to: str = Field(pattern=r"^.+\..+$")


class Expression(Check):
    """A condition on the columns of one row that must not be false."""

    row: ClassVar[bool] = True
    main: ClassVar[str] = "expression"
    rule: Literal["expression"] = "expression"
    expression: str = Field(min_length=1)


class JsonSchema(Check):
    """A JSON Schema that each row fulfils as a JSON object; ``format`` counts. Inline, or a file beside the config.

    A schema of an array is one for its ``items``. NULL stands for a key that is not there.
    """

    row: ClassVar[bool] = True
    main: ClassVar[str] = "schema_"
    rule: Literal["json_schema"] = "json_schema"
    schema_: dict[str, Any] | str = Field(alias="schema")


class Function(Check):
    """A Python function of the rows: it returns whether they are right, or that for each of them."""

    row: ClassVar[bool] = True
    main: ClassVar[str] = "function"
    rule: Literal["function"] = "function"
    function: str = Field(min_length=1)
    params: dict[str, Any] = {}


class Query(Check):
    """A query that finds what is wrong: no row may come out. The dataset goes by its name in it."""

    main: ClassVar[str] = "query"
    rule: Literal["sql"] = "sql"
    query: str = Field(min_length=1)


class ColumnTypes(Check):
    """The columns there must be, with their types; ``others: refuse`` lets no more of them in."""

    main: ClassVar[str] = "columns"
    rule: Literal["columns"] = "columns"
    columns: dict[str, str | None]
    others: Literal["allow", "refuse"] = "allow"

    @field_validator("columns", mode="before")
    @classmethod
    def _names_alone(cls, given: Any) -> Any:
        named = isinstance(given, list | tuple) and all(isinstance(name, str) for name in given)
        return dict.fromkeys(given) if named else given


class RowCount(Check):
    """How many rows there must be."""

    main: ClassVar[str] = "min"
    rule: Literal["row_count"] = "row_count"
    min: int = Field(default=1, ge=0)
    max: int | None = Field(default=None, ge=0)


class Freshness(Check):
    """How old the newest value of a column may be, or without one the newest file that is read."""

    main: ClassVar[str] = "within"
    rule: Literal["freshness"] = "freshness"
    column: str | None = None
    within: str = "6h"

    @field_validator("within")
    @classmethod
    def _is_a_span(cls, given: str) -> str:
        duration(given)
        return given


class Volume(Check):
    """How large it may be, in rows and bytes of Parquet; above ``large`` rows it is said to be large."""

    rule: Literal["volume"] = "volume"
    max_rows: int | None = Field(default=None, ge=0)
    max_bytes: int | None = Field(default=None, ge=0)
    large: int = Field(default=500_000, ge=0)


class SchemaChange(Check):
    """Columns may not come, go or change their type, but for the kinds of change that are allowed."""

    main: ClassVar[str] = "allow"
    rule: Literal["schema_change"] = "schema_change"
    allow: Annotated[tuple[Literal["added", "removed", "retyped"], ...], BeforeValidator(_as_list)] = ()


class QualityScore(Check):
    """The least share, from 0 to 1, in which the other rules must hold of what is published."""

    main: ClassVar[str] = "min"
    rule: Literal["quality_score"] = "quality_score"
    min: float = Field(default=0.9, ge=0, le=1)


_MODELS = (
    NotNull, Unique, Accepted, Matches, Between, References, Expression, JsonSchema, Function, Query,
    ColumnTypes, RowCount, Freshness, Volume, SchemaChange, QualityScore,
)  # fmt: skip

RULES: Mapping[str, type[Check]] = {model.model_fields["rule"].default: model for model in _MODELS}
"""The rules by name."""

_COMMON = ("on_fail", "name", "because")


def _expanded(given: Any) -> Any:
    """A check in canonical form. Raises ValueError where its short form means nothing."""
    if isinstance(given, Check):
        return given
    if isinstance(given, str) and given in RULES:
        given = {given: {}}
    if not isinstance(given, Mapping):
        raise ValueError("a check is written {rule: what it asks for}, such as {not_null: [order_id]}")  # noqa: TRY004
    if "rule" in given:
        out = dict(given)
    else:
        named = [key for key in given if key not in _COMMON]
        if len(named) != 1:
            said = " and ".join(map(str, named)) or "no rule"
            raise ValueError(f"a check names one rule, this one says {said}")
        out = {key: given[key] for key in _COMMON if key in given}
        out |= {"rule": named[0], **_options(named[0], given[named[0]])}
    rule = out["rule"]
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; {nearest(rule, RULES, 'rules')}")
    known = [field.alias or name for name, field in RULES[rule].model_fields.items()]
    for key in out:
        if key not in known and f"{key}_" not in known:
            raise ValueError(f"unknown key {key!r} of {rule}; {nearest(key, known, 'known keys')}")
    return out


def _options(rule: str, value: Any) -> dict[str, Any]:
    """What stands after the name of a rule as its keys."""
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; {nearest(rule, RULES, 'rules')}")
    model = RULES[rule]
    main = model.model_fields[model.main].alias or model.main if model.main else ""
    known = {field.alias or name for name, field in model.model_fields.items()}
    # What stands after ``columns`` or ``json_schema`` is a mapping itself.
    if isinstance(value, Mapping) and (main in value or main not in ("columns", "schema")):
        return dict(value)
    if value is None and not main:
        return {}
    if not main:
        raise ValueError(f"{rule} needs its keys: {', '.join(sorted(known - {*_COMMON, 'rule'}))}")
    return {main: value}


AnyCheck = Annotated[
    NotNull | Unique | Accepted | Matches | Between | References | Expression | JsonSchema | Function | Query
    | ColumnTypes | RowCount | Freshness | Volume | SchemaChange | QualityScore,
    Field(discriminator="rule"),
]  # fmt: skip

Checks = Annotated[
    tuple[Annotated[AnyCheck, BeforeValidator(_expanded)], ...],
    BeforeValidator(lambda given: [given] if isinstance(given, Mapping) else given),
]


class RuleSet(Frozen):
    """Checks under a name, and what a broken rule means that does not say so itself.

    ``rows`` is for rules that look at rows, ``table`` for those about the table as a whole.
    """

    rows: Severity = "error"
    table: Literal["error", "warn"] = "error"
    checks: Checks = ()

    def of(self, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        """The set's own checks and these, each with what it means if it is broken."""
        return tuple(
            check
            if check.on_fail is not None
            else check.model_copy(update={"on_fail": self.rows if check.row else self.table})
            for check in (*self.checks, *checks)
        )


BUILT_IN_SETS: Mapping[str, RuleSet] = {
    "standard": RuleSet(rows="quarantine", table="warn"),
    "strict": RuleSet(rows="error", table="error"),
}
"""Rule sets that every pipeline has."""


def checks_of(pipeline: Pipeline, step: Step) -> tuple[Check, ...]:
    """The checks of a step with those of its rule set, each with what it means if it is broken."""
    name = step.validation_rules or (pipeline.validation_rules if step.checks else None)
    if name is None:
        return RuleSet().of(step.checks)
    return {**BUILT_IN_SETS, **pipeline.rule_sets}[name].of(step.checks)


def without_checked(inputs: Mapping[str, str]) -> dict[str, str]:
    """The inputs of a step without those that only its checks read."""
    return {alias: dataset for alias, dataset in inputs.items() if not alias.startswith(CHECKED)}


def datasets_of(check: Check) -> tuple[str, ...]:
    """The datasets that a check looks things up in; those of a query are in its text."""
    return (check.to.rpartition(".")[0],) if isinstance(check, References) else ()
