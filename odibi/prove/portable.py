"""The static half: what of a query or a step only one engine could do. No engine is started."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from odibi.config.check import is_sql_file
from odibi.config.models import Step, StepType
from odibi.engines import ENGINES
from odibi.errors import Problem
from odibi.home import typed
from odibi.observe.notes import sql_problem
from odibi.operations.python import Function
from odibi.plan.model import Plan, PlannedStep
from odibi.relational.compile import Compiled
from odibi.relational.functions import portable
from odibi.relational.parse import SqlError, place
from odibi.relational.schema import Schema
from odibi.relational.spark import NotPortable, to_spark

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["Objection", "objections", "placed", "sql_file", "unportable", "unportable_step"]


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a query has not one meaning.

    ``function`` is the one that is to blame, if it is one; ``where`` is ``line 1, column 8`` of the SQL
    where that is known.
    """

    message: str
    hint: str
    function: str = ""
    where: str = ""


def objections(compiled: Compiled, tables: Mapping[str, Schema], engines: Sequence[str]) -> list[Objection]:
    """What keeps the engines from answering a query alike.

    Args:
        compiled: the query.
        tables: the columns of its inputs.
        engines: the names of the engines.
    """
    found = [_unknown(name) for name in portable(compiled.meaning)]
    if "spark" in engines and not found:
        try:
            to_spark(compiled.query, {name: tables[name] for name in compiled.inputs}, compiled.schema)
        except NotPortable as error:
            found.append(Objection(error.message, error.hint, where=error.where))
    return found


def _unknown(name: str) -> Objection:
    message = f"{name}() is none of the functions that mean the same on every engine"
    return Objection(message, _INSTEAD.get(name, "odibi docs functions lists those that do"), name)


_SOME = (
    "which row it means is up to the engine; write arg_min(value, order) or first_value() OVER (ORDER BY ...)"
)
_CLOCK = "every engine has its own clock; write the run's date: DATE '{{ date }}'"
_OWN_WAY = "every engine does it in its own way"
_INSTEAD = {
    **dict.fromkeys(("first", "last", "any_value", "arbitrary"), _SOME),
    **dict.fromkeys(("now", "today", "current_timestamp", "current_date", "get_current_timestamp"), _CLOCK),
    **dict.fromkeys(("hash", "md5_number"), f"{_OWN_WAY}; write md5(text)"),
    **dict.fromkeys(("approx_count_distinct",), f"{_OWN_WAY}; write count(DISTINCT value)"),
    **dict.fromkeys(
        ("approx_quantile", "quantile_disc"), f"{_OWN_WAY}; write quantile_cont(value, fraction)"
    ),
    **dict.fromkeys(
        ("list", "array_agg"), "its order is up to the engine; write string_agg(text, separator ORDER BY ...)"
    ),
    **dict.fromkeys(("mode",), "ties are up to the engine; count per value, and keep the first by arg_max"),
}
"""What to write instead of functions that people reach for."""


def unportable(loaded: Loaded, plan: Plan, *, strict: bool = False) -> tuple[Problem, ...]:
    """Every place of a pipeline that some engine cannot mean alike.

    Where only the run can tell it is a warning, an error if ``strict``.
    """
    engines = tuple(ENGINES)
    return tuple(
        problem
        for step in plan.steps
        for problem in unportable_step(loaded, plan, step, engines, strict=strict)
    )


def unportable_step(
    loaded: Loaded, plan: Plan, planned: PlannedStep, engines: Sequence[str], *, strict: bool = False
) -> Iterator[Problem]:
    """The same for one step."""
    at = ("steps", planned.index)
    if planned.function is not None:
        yield from _bound(planned.function)
    if planned.compiled is None and _relational(planned):
        which = ", ".join(sorted(set(planned.inputs.values()) - _known(plan)))
        message = f"step {planned.name!r} cannot be checked: the columns of {which} are known only in the run"
        hint = "declare the schema of the function that makes them"
        yield loaded.problem(at, message, hint, "error" if strict else "warning")
    for compiled in (planned.compiled or {}).values():
        for objection in objections(compiled, planned.assumed, engines):
            yield placed(loaded, planned, objection)


def _relational(planned: PlannedStep) -> bool:
    return planned.script is not None or "operations" in planned.step.params


def _known(plan: Plan) -> set[str]:
    found = {name for name, (_, seen) in plan.external.items() if seen.schema is not None}
    return found | {
        name for step in plan.steps for name, schema in step.schemas.items() if schema is not None
    }


# --- where it stands -------------------------------------------------------------------------------


def placed(loaded: Loaded, planned: PlannedStep, objection: Objection) -> Problem:
    """The objection at its line: of the function where that is to blame, else of what the step does."""
    at = ("steps", planned.index)
    if planned.step.type is StepType.SQL and planned.script is not None:
        line, column = _in_script(planned.script.statements, objection)
        error = SqlError(objection.message, line=line, column=column, hint=objection.hint)
        return sql_problem(loaded, at, error, sql_file(loaded, planned.step))
    called = objection.function or next(iter(re.findall(r"(\w+)\(", objection.message)), "")
    path = _in_operations(planned.step.params.get("operations", ()), called.lower())
    return loaded.problem((*at, "params", "operations", *path), objection.message, objection.hint)


def sql_file(loaded: Loaded, step: Step) -> str:
    """The file that holds the step's SQL, as a person would type it; empty where that stands in the config."""
    found = loaded.find(step.value.strip()) if is_sql_file(step) else None
    return typed(str(found.resolve())) if found is not None else ""


def _in_script(statements: Sequence[exp.Expr], objection: Objection) -> tuple[int, int]:
    if at := re.fullmatch(r"line (\d+), column (\d+)", objection.where):
        return int(at[1]), int(at[2])
    calls = [
        node
        for statement in statements
        for node in statement.find_all(exp.Func)
        if objection.function in portable(node)  # type: ignore[arg-type]
    ]
    return place(calls[-1]) if calls else (1, 1)


def _in_operations(value: Any, function: str) -> tuple[Any, ...]:
    """The path to the text that calls the function, empty if none does."""
    if isinstance(value, str):
        return ()
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if _is_list(value) else ()
    for key, item in items:
        if f"{function}(" in str(item).lower() and function:
            return (key, *_in_operations(item, function))
    return ()


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


# --- functions -------------------------------------------------------------------------------------


def _bound(function: Function) -> Iterator[Problem]:
    """The parameters of a function whose annotation wants one engine's own table."""
    for name, wants in function.inputs.items():
        if wants in ("duckdb", "spark"):
            message = f"{function.name}() takes {name} as a table of {wants}'s own"
            hint = "annotate it pd.DataFrame, pa.Table or pa.RecordBatchReader, which every engine gives"
            yield Problem(typed(function.file), function.line, 0, message, hint)
