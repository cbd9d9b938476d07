"""Columns by name: found as DuckDB finds them, spelled as the table spells them, always quoted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Annotated

from sqlglot import exp

from odibi.errors import nearest
from odibi.operations.errors import OperationError, Path
from odibi.relational.schema import Column, Relation

__all__ = [
    "Names",
    "Value",
    "column",
    "constant",
    "family",
    "find",
    "find_all",
    "identifier",
    "literal",
    "query",
    "refuse_twins",
    "with_columns",
]

Names = Annotated[str | list[str], "a column or a list of columns"]
"""One column name or several, as YAML gives them."""

Value = Annotated[bool | int | float | str, "a value"]
"""A constant in YAML; text is text, never an expression."""


def identifier(name: str) -> exp.Identifier:
    """The name, quoted."""
    return exp.to_identifier(name, quoted=True)


def column(name: str, table: str = "") -> exp.Column:
    """The column of that exact name, quoted, with the table's name before it if one is given."""
    return exp.column(identifier(name), table=identifier(table) if table else None, copy=False)


def query(table: Relation, columns: Iterable[tuple[str, exp.Expr]], alias: str = "") -> exp.Select:
    """``SELECT`` with named columns ``FROM`` the table; a column that keeps its name gets no alias."""
    names: list[exp.Expr] = [
        node
        if isinstance(node, exp.Column) and node.name == name
        else exp.alias_(node, identifier(name), copy=False)
        for name, node in columns
    ]
    source = exp.table_(identifier(table.name), alias=identifier(alias) if alias else None)
    return exp.select(*names, copy=False).from_(source, copy=False)


def with_columns(table: Relation, made: Mapping[str, exp.Expr], path: Path) -> exp.Select:
    """All columns of the table with some computed: those it has in their place, new ones at the end.

    Raises OperationError where nothing is made, or two of the same name.
    """
    if not made:
        raise OperationError("no column is named", path, hint="name at least one column")
    refuse_twins(list(made), path)
    new = {name.lower(): (name, tree) for name, tree in made.items()}
    own = [(name, new.pop(name.lower(), (name, column(name)))[1]) for name in table.names]
    return query(table, [*own, *new.values()])


def find(table: Relation, name: str, path: Path, side: str = "") -> Column:
    """The table's column of that name; case matters only where two columns differ in nothing else.

    Raises OperationError with the nearest name; ``side`` says which of two tables it is.
    """
    same = [candidate for candidate in table.columns if candidate.name.lower() == name.lower()]
    exact = [candidate for candidate in same if candidate.name == name]
    if exact or len(same) == 1:
        return (exact or same)[0]
    where = f" on the {side}" if side else ""
    raise OperationError(f"unknown column {name!r}{where}", path, hint=nearest(name, table.names, "columns"))


def find_all(table: Relation, names: Names, path: Path) -> tuple[Column, ...]:
    """The table's columns of those names, in the order given.

    Raises OperationError for an unknown name, a name given twice, and for no name at all.
    """
    if isinstance(names, str):
        return (find(table, names, path),)
    if not names:
        raise OperationError("no column is named", path, hint="name at least one column")
    found = tuple(find(table, name, (*path, index)) for index, name in enumerate(names))
    refuse_twins([each.name for each in found], path)
    return found


def refuse_twins(names: Sequence[str], path: Path, hint: str = "give one another name") -> None:
    """Raises OperationError where two names are equal but for case, as no engine tells them apart."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise OperationError(f"two columns are called {name!r}", path, hint=hint)
        seen.add(name.lower())


_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMBERS = frozenset({*_WHOLE, *(f"U{name}" for name in _WHOLE), "FLOAT", "DOUBLE", "DECIMAL", "BIGNUM"})
_FAMILIES = {"VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "date", "TIMESTAMP": "date"} | dict.fromkeys(
    ("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "date"
)


def family(kind: str) -> str:
    """What a type can be mixed with in one column: number, text, boolean, date, or only itself.

    Engines agree on the common type inside a family and on nothing across.
    """
    base = kind.split("(", 1)[0]
    if kind.endswith("]") or base == "STRUCT":
        return kind
    return "number" if base in _NUMBERS else _FAMILIES.get(base, kind)


def literal(value: Value, of: Column, path: Path) -> exp.Expr:
    """The constant as a value of the column's type.

    Raises OperationError where the column cannot hold it exactly.
    """
    kind, base = family(of.type), of.type.split("(", 1)[0]
    if isinstance(value, bool):
        fits = kind == "boolean"
    elif isinstance(value, str):
        fits = kind not in ("number", "boolean") and base not in _NESTED and not kind.endswith("]")
    else:
        fits = kind == "number" and (base in ("FLOAT", "DOUBLE") or _exact(value, of.type))
    if not fits:
        raise OperationError(f"column {of.name!r} is {of.type} and cannot hold {value!r}", path)
    if kind in ("boolean", "text"):
        return constant(value)
    return exp.cast(constant(value), of.type, dialect="duckdb")


def constant(value: bool | float | str) -> exp.Expr:
    """The constant as SQL. NaN and infinity are text cast to DOUBLE: SQL has no numeral for them."""
    if isinstance(value, float) and not isfinite(value):
        return exp.cast(exp.Literal.string(str(value)), "DOUBLE")
    return exp.convert(value)


_NESTED = ("STRUCT", "MAP", "UNION", "VARIANT")


def _exact(value: float, kind: str) -> bool:
    """Whether a whole or decimal type holds the number without rounding it."""
    if not isfinite(value):
        return False
    scale = int(kind.rstrip(")").rpartition(",")[2]) if kind.startswith("DECIMAL(") else 0
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return isinstance(exponent, int) and -exponent <= scale
