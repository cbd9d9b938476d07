"""A query proved by itself, without a pipeline around it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from sqlglot import exp

from odibi.errors import Problem
from odibi.prove.ask import Bench
from odibi.prove.model import Answer, StepProof, Table, Verdict
from odibi.prove.pools import hints
from odibi.prove.portable import objections
from odibi.prove.question import prove_question
from odibi.relational.bind import Binder
from odibi.relational.compile import Compiled, compile_script
from odibi.relational.parse import parse
from odibi.relational.schema import Relation, Schema
from odibi.relational.spark import NotPortable

if TYPE_CHECKING:
    from odibi.engines.base import Engine, Frame

__all__ = ["ordered_by", "prove_compiled", "prove_query"]


def prove_query(
    query: str | exp.Query, inputs: Mapping[str, Table | Schema], bench: Bench, *, seed: str = ""
) -> StepProof:
    """Whether every engine answers a query alike; refused where one of them could not.

    Args:
        query: one query in DuckDB's spelling; its tables are the inputs' names.
        inputs: a sample of each input, as :meth:`Bench.made` makes it of Python's values, or just its columns.
        bench: the engines, as :func:`~odibi.prove.engines.bench_of` starts them.
        seed: equal seeds try equal rows.

    Raises:
        SqlError: DuckDB refuses the query.
    """
    samples = {
        name: given if isinstance(given, Table) else bench.empty(given) for name, given in inputs.items()
    }
    schemas = {name: table.schema for name, table in samples.items()}
    with closing(Binder()) as binder:
        relations = {name: Relation(name, schema) for name, schema in schemas.items()}
        text = query if isinstance(query, str) else query.sql("duckdb")
        compiled = next(iter(compile_script(parse(text), relations, binder).values()))
    names = [engine.name for engine in bench.others]
    refused = [Problem("query", 1, 1, o.message, o.hint) for o in objections(compiled, schemas, names)]
    if refused:
        return StepProof(Verdict.REFUSED, problems=tuple(refused))
    try:
        return prove_compiled(compiled, samples, bench, seed=seed)[0]
    except NotPortable as error:
        return StepProof(Verdict.REFUSED, problems=(Problem("query", 1, 1, error.message, error.hint),))


def prove_compiled(
    compiled: Compiled, samples: Mapping[str, Table], bench: Bench, *, seed: str = ""
) -> tuple[StepProof, Answer]:
    """The same for a query that is compiled, and the reference's answer.

    Raises:
        NotPortable: an engine refuses the query.
    """

    def question(engine: Engine, frames: Mapping[str, Frame]) -> Frame:
        return engine.query(compiled.query, frames, compiled.schema)

    inputs = {name: samples[name] for name in compiled.inputs}
    keys = ordered_by(compiled)
    return prove_question(bench, question, inputs, hints(compiled.meaning), seed=seed, keys=keys)


def ordered_by(compiled: Compiled) -> tuple[str, ...]:
    """The columns of the answer that it is ordered by, as far as its ORDER BY names such."""
    order = compiled.meaning.args.get("order")
    names = {column.name.lower(): column.name for column in compiled.schema}
    found: list[str] = []
    for term in order.expressions if order is not None else ():
        key = term.this
        if isinstance(key, exp.Column) and not key.table and key.name.lower() in names:
            found.append(names[key.name.lower()])
        else:
            break
    return tuple(found)
