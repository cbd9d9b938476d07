"""What a function returned held against what it declares: the types it says, and no value lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi.engines.base import Engine, Frame
from odibi.errors import Permanent, nearest
from odibi.operations.python import Function
from odibi.relational.schema import Column, Schema
from odibi.relational.storage import same_type, widens

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["as_declared"]

_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


def as_declared(engine: Engine, function: Function, frame: Frame, schema: Schema) -> tuple[Frame, Schema]:
    """The frame with the columns the function declares, in that order and of those types.

    A DOUBLE becomes a DECIMAL by rounding; any other value must stay what it was.

    Raises:
        Permanent: columns are missing or were not declared, or a value does not fit its type.
    """
    from sqlglot import exp

    wanted = function.schema or ()
    have = {column.name: column.type for column in schema}
    where = f"{function.file}:{function.line}"
    for name in [c.name for c in wanted if c.name not in have]:
        message = f"{function.name}() declares the column {name!r} and did not return it"
        raise Permanent(message, where=where, hint=nearest(name, have, "it returned"))
    for name in have.keys() - {column.name for column in wanted}:
        message = f"{function.name}() returned the column {name!r}, which it does not declare"
        raise Permanent(message, where=where, hint="add it to the schema of @step")
    lossy = [c for c in wanted if not same_type(c.type, have[c.name]) and not widens(have[c.name], c.type)]
    checks = [_lost(column, have[column.name]) for column in lossy]
    if checks:
        found = engine.query(
            exp.select(*checks).from_("result"),
            {"result": frame},
            tuple(Column(c.name, "VARCHAR") for c in lossy),
        )
        for column, values in zip(
            lossy, engine.to_arrow(found).read_all().to_pylist()[0].values(), strict=True
        ):
            if values is not None:
                message = f"{function.name}() declares {column.name} {column.type} and returned {values}"
                raise Permanent(
                    message, where=where, hint="convert it in the function, or declare another type"
                )
    casts = [_cast(column).as_(column.name, quoted=True) for column in wanted]
    return engine.query(exp.select(*casts).from_("result"), {"result": frame}, wanted), wanted


def _cast(column: Column) -> exp.Cast:
    from sqlglot import exp

    return exp.cast(exp.column(column.name, quoted=True), column.type, dialect="duckdb")


def _lost(column: Column, have: str) -> exp.Expr:
    """A value of the column, as text, that the declared type would change; NULL if there is none."""
    from sqlglot import exp

    value = exp.column(column.name, quoted=True)
    fitted = exp.TryCast(this=value.copy(), to=exp.DataType.build(column.type, dialect="duckdb"))
    lost: exp.Expr = exp.Is(this=fitted, expression=exp.null())
    exact = have.startswith("DECIMAL") or (have in ("DOUBLE", "FLOAT") and column.type in _WHOLE)
    if exact or (have.startswith("TIMESTAMP") and column.type == "DATE"):
        back = exp.cast(fitted.copy(), have, dialect="duckdb")
        lost = exp.or_(lost, exp.NEQ(this=back, expression=value.copy()))
    some = exp.and_(exp.Not(this=exp.Is(this=value.copy(), expression=exp.null())), lost)
    shown = exp.cast(value.copy(), "VARCHAR", dialect="duckdb")
    return exp.Max(this=exp.Case(ifs=[exp.If(this=some, true=shown)])).as_(column.name, quoted=True)
