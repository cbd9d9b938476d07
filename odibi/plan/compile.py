"""A step's queries, compiled for the columns of its inputs.

Before the run where those are known, in the run where they are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlglot import exp

from odibi.config.models import Step
from odibi.errors import Permanent
from odibi.operations.call import OperationError, apply
from odibi.relational.bind import Binder, BindError
from odibi.relational.compile import Compiled, compile_query, compile_script
from odibi.relational.parse import Script
from odibi.relational.schema import Relation, Schema

__all__ = ["StepError", "compile_step"]


class StepError(Permanent):
    """A step's query that cannot be; ``path`` leads to the place below the step."""

    def __init__(self, message: str, path: tuple[Any, ...], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


def compile_step(
    step: Step,
    script: Script | None,
    inputs: Mapping[str, str],
    schemas: Mapping[str, Schema],
    binder: Binder,
    logical_date: date,
) -> dict[str, Compiled]:
    """The step's queries by the dataset they make.

    Args:
        step: a step that computes relationally.
        script: its SQL, None for operations.
        inputs: table name to dataset.
        schemas: the columns of every dataset among the inputs.
        binder: types the queries.
        logical_date: the run's.

    Raises:
        SqlError: the SQL does not fit the inputs' columns.
        StepError: an operation does not.
    """
    relations = {alias: Relation(dataset, schemas[dataset]) for alias, dataset in inputs.items()}
    if script is None:
        return {next(iter(step.outputs.values())): _operations(step, relations, binder, logical_date)}
    made = compile_script(script, relations, binder)
    outputs = {name.lower(): dataset for name, dataset in step.outputs.items()}
    if len(made) == len(outputs) == 1:
        # One result is the step's output whatever the script called it.
        return {next(iter(step.outputs.values())): next(iter(made.values()))}
    missing = sorted(set(outputs) - {name.lower() for name in made})
    if missing:
        raise StepError(
            f"the script makes {', '.join(made)}, but outputs names {missing[0]!r}",
            ("outputs",),
            "give outputs: {table: dataset} for the tables to keep",
        )
    return {outputs[name.lower()]: query for name, query in made.items() if name.lower() in outputs}


def _operations(
    step: Step, relations: Mapping[str, Relation], binder: Binder, logical_date: date
) -> Compiled:
    """The chain of operations as one query, each a CTE over the one before."""
    tables = {alias.lower(): relation for alias, relation in relations.items()}
    tables |= {relation.name.lower(): relation for relation in relations.values()}
    datasets = {**{relation.name: relation for relation in relations.values()}, **relations}
    current = next(iter(relations.values()))
    links: list[tuple[str, Compiled]] = []
    used: dict[str, None] = {}
    compiled: Compiled | None = None
    for number, operation in enumerate(step.params["operations"]):
        ((name, value),) = operation.items()
        path = ("params", "operations", number, name)
        try:
            query = apply(name, value, current, datasets, logical_date)
        except OperationError as error:
            raise StepError(f"{name}: {error.message}", (*path, *error.path), error.hint) from error
        except Permanent as error:  # an unknown operation
            raise StepError(error.message, path, error.hint) from error
        try:
            compiled = compile_query(query, tables, binder)
        except BindError as error:
            raise StepError(f"{name}: {error.message}", path, error.hint) from error
        used |= dict.fromkeys(compiled.inputs)
        link = f"odibi_{number + 1}"
        links.append((link, compiled))
        current = Relation(link, compiled.schema)
        tables[link] = current
    if compiled is None:
        raise StepError("there is no operation", ("params", "operations"))
    *before, (_, last) = links
    return Compiled(
        _chain([(name, link.query) for name, link in before], last.query),
        _chain([(name, link.meaning) for name, link in before], last.meaning),
        last.schema,
        tuple(name for name in used if not name.startswith("odibi_")),
    )


def _chain(before: list[tuple[str, exp.Query]], final: exp.Query) -> exp.Query:
    """``final`` with the queries before it as CTEs."""
    final = final.copy()
    for name, query in before:
        final = final.with_(exp.to_identifier(name, quoted=True), as_=query.copy(), copy=False)
    return final
