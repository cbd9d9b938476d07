"""Which columns a step depends on: a change in others does not wake it.

Everything counts as dependence: what is shown, and what filters, joins, groups or orders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from odibi.plan.model import Origins, PlannedStep
from odibi.relational.compile import Compiled
from odibi.relational.schema import Schema

__all__ = ["SETS", "origins_of", "uses", "with_sets"]

SETS = 8
"""Sets of columns that a table is digested for at most; readers of others are woken by any change."""


def origins_of(queries: Mapping[str, Compiled], schemas: Mapping[str, Schema]) -> Origins:
    """Of which columns each column is made, by the dataset that a query makes."""
    from odibi.relational.columns import lineage

    return {
        dataset: lineage(query.meaning, schemas, names=[column.name for column in query.schema])
        for dataset, query in queries.items()
    }


def uses(
    queries: Mapping[str, Compiled], schemas: Mapping[str, Schema], origins: Origins
) -> dict[str, tuple[str, ...]]:
    """The columns that the queries depend on, of each dataset they name, in the order of its schema."""
    found: dict[str, set[str]] = {}
    for made, query in queries.items():
        read = {name: set[str]() for name in query.inputs}
        for origin in origins[made]:
            named = (*origin.direct, *origin.indirect)
            for name, columns in read.items():
                columns.update(n.removeprefix(f"{name}.") for n in named if n.startswith(f"{name}."))
        for name, columns in read.items():
            found.setdefault(name, set()).update(columns)
    return {
        name: tuple(column.name for column in schemas.get(name, ()) if column.name in columns)
        for name, columns in found.items()
    }


def with_sets(planned: Iterable[PlannedStep]) -> list[PlannedStep]:
    """The steps, each with the sets of columns that readers use of what it keeps."""
    steps = list(planned)
    sets: dict[str, dict[tuple[str, ...], None]] = {}
    for step in steps:
        for dataset, columns in step.uses.items():
            sets.setdefault(dataset, {})[columns] = None
    return [
        replace(step, sets={d: tuple(sets[d])[:SETS] for d in step.targets if d in sets}) for step in steps
    ]
