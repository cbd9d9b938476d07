"""Rules that Python tells: a JSON Schema for each row, and users' functions.

Their answer is a table of the places of the rows that break them, which SQL then joins like any condition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.config.checks import Check, Function, JsonSchema
from odibi.engines.base import Location
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB, scan
from odibi.errors import Permanent
from odibi.quality.rules import PART, ROW, Rule

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.operations.python import Context
    from odibi.operations.python import Function as UserFunction

__all__ = ["Ask", "Asked", "Asking", "read_schema", "validator"]


@dataclass(frozen=True, slots=True)
class Asked:
    """The query of the places of bad rows, with why each is bad; empty ``places`` where there is none."""

    places: str = ""
    says: str = ""


Ask = Callable[[Rule, Location], Asked]


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks functions and schemas about staged rows.

    Attributes:
        functions: the users' functions by the name that checks give them.
        schemas: the JSON schemas that stand in files, by that name.
        context: what a function may know of the run.
        fit: as :class:`odibi.operations.answer.Call` needs it.
    """

    db: Database
    functions: Mapping[str, UserFunction]
    schemas: Mapping[str, Mapping[str, Any]]
    context: Context
    fit: Any

    def __call__(self, rule: Rule, rows: Location) -> Asked:
        """What a rule says of rows that carry their places.

        Raises:
            Permanent: a function returned something that is no answer.
            Exception: whatever it raises.
        """
        check = rule.check
        found = (
            self._by_schema(check, rows) if isinstance(check, JsonSchema) else self._by_function(check, rows)
        )
        bad = list(found)
        if not bad:
            return Asked()
        import pyarrow as pa

        parts, numbers, whys = zip(*bad, strict=True)
        table = pa.table(
            {PART: pa.array(parts, pa.string()), ROW: pa.array(numbers, pa.int64()), "why": whys}
        )
        first = "; ".join(dict.fromkeys(whys[:50]))
        says = first if len(first) <= 300 else first[:297] + "..."
        return Asked(DuckDB(self.db).from_arrow(table.to_reader()).sql, says)

    def _by_schema(self, check: JsonSchema, rows: Location) -> Iterator[tuple[str, int, str]]:
        schema = self.schemas[check.schema_] if isinstance(check.schema_, str) else check.schema_
        refuses = validator(schema)
        for batch in DuckDB(self.db).to_arrow(DuckDB(self.db).read(rows)):
            for record in batch.to_pylist():
                part, number = record.pop(PART), record.pop(ROW)
                said = refuses(_plain(record))
                if said:
                    yield part, number, said

    def _by_function(self, check: Check, rows: Location) -> Iterator[tuple[Any, Any, str]]:
        from odibi.operations.answer import Call, ask, received

        assert isinstance(check, Function)  # noqa: S101 - for the type checker
        function = self.functions[check.function]
        table: pa.Table = self.db.new_cursor().sql(scan(rows)).to_arrow_table()
        (wants,) = function.inputs.values()
        given = received(
            table.drop_columns([PART, ROW]).to_reader(), "pandas" if wants in ("native", "duckdb") else wants
        )
        asked = Call(function, check.params, self.context, self.fit)
        right = _answers(ask(asked, given), table.num_rows, function, rowwise=check.on_fail == "quarantine")
        why = f"{function.name}() says it is not right"
        for part, number, fine in zip(
            table.column(PART).to_pylist(), table.column(ROW).to_pylist(), right, strict=True
        ):
            if not fine:
                yield part, number, why


def _answers(found: Any, rows: int, function: UserFunction, *, rowwise: bool) -> list[bool]:
    """What a function said of each row; NULL is as right as true, as in SQL's own CHECK."""
    hint = "return true or false, or one for each row"
    kind = type(found).__name__
    if kind in ("bool", "bool_", "BooleanScalar"):
        if rowwise:
            message = (
                f"{function.name}() returned one answer for all rows, and cannot say which to quarantine"
            )
            raise Permanent(message, where=function.place, hint="return one for each row")
        right = bool(found.as_py() if kind == "BooleanScalar" else found)
        return [right] * rows
    import pyarrow as pa

    try:
        answers = (
            found if isinstance(found, pa.Array | pa.ChunkedArray) else pa.array(found, from_pandas=True)
        )
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise Permanent(f"{function.name}() returned {kind}", where=function.place, hint=hint) from error
    if len(answers) != rows:
        message = f"{function.name}() returned {len(answers)} answers for {rows} rows"
        raise Permanent(message, where=function.place, hint=hint)
    if rows and not (pa.types.is_boolean(answers.type) or pa.types.is_null(answers.type)):
        message = f"{function.name}() returned {answers[0].as_py()!r} for a row"
        raise Permanent(message, where=function.place, hint=hint)
    return [each is not False for each in answers.to_pylist()]


def _refuse_elsewhere(uri: str) -> Any:
    raise Permanent(f"$ref names {uri[:80]!r}: a schema reads no other", hint="put it below $defs")


_ELSEWHERE = dict.fromkeys(("http", "https", "ftp", "file", "data"), _refuse_elsewhere)
"""What else the library would open from wherever a config says."""


def validator(schema: Mapping[str, Any]) -> Callable[[Any], str]:
    """A function that tells what a record has against the schema, nothing if it fulfils it.

    A schema of an array is taken for that of its items.

    Raises:
        Permanent: it is no JSON schema.
    """
    import fastjsonschema

    while schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        schema = {**{k: v for k, v in schema.items() if k in ("$defs", "definitions")}, **schema["items"]}
    try:
        check = fastjsonschema.compile(dict(schema), handlers=_ELSEWHERE)
    except (fastjsonschema.JsonSchemaDefinitionException, ArithmeticError, AttributeError, LookupError,
            OSError, RecursionError, TypeError, ValueError, re.error) as error:  # fmt: skip
        raise Permanent(f"this is no JSON schema: {str(error)[:200]}") from error

    def refuses(record: Any) -> str:
        try:
            check(record)
        except (ArithmeticError, RecursionError) as error:  # such as infinity held against multipleOf
            return f"cannot be held against the schema: {error}"
        except fastjsonschema.JsonSchemaValueException as error:
            said = str(error.message).removeprefix("data.").removeprefix("data ")
            return re.sub(r"must contain \[(.*)\] properties", r"\1 is missing", said).replace("'", "")
        return ""

    return refuses


def _plain(value: Any) -> Any:
    """A value as JSON has it; what is NULL is not there."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo else f"{value.isoformat()}Z"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes | timedelta):
        return str(value)
    return value


def read_schema(path: Path) -> dict[str, Any]:
    """A JSON schema that stands in a file.

    Raises:
        Permanent: it is no JSON object.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise Permanent(f"this is no JSON: {error}", where=str(path)) from error
    if not isinstance(found, dict):
        raise Permanent("this is no JSON schema: expected an object", where=str(path))
    return found
