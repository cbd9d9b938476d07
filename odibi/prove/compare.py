"""Whether two answers are the same: names, types, and the multiset of rows.

Doubles are equal at 12 significant digits, everything else exactly; NaN is NaN and no NULL.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from odibi.prove.model import Answer, Failure, Table
from odibi.relational.schema import Schema

__all__ = ["difference", "unmatched"]

_CLOSE = 1e-12
_NAN = "NaN"

Row = tuple[Hashable, ...]


def difference(reference: Answer, other: Answer, keys: Sequence[str] = ()) -> str:
    """What the other engine does otherwise, in words; empty if nothing. Two failures are equal.

    Args:
        reference: the right answer.
        other: the answer of another engine.
        keys: the columns that the rows are ordered by; none where they have no order.
    """
    if isinstance(reference, Failure) or isinstance(other, Failure):
        if isinstance(reference, Failure) and isinstance(other, Failure):
            return ""
        return "fails" if isinstance(other, Failure) else "answers where that fails"
    if reference.schema != other.schema:
        return _columns(reference.schema, other.schema)
    if reference.rows.equals(other.rows):
        return ""
    left, right = rows_of(reference), rows_of(other)
    missing, extra = _unmatched(left, right)
    if missing or extra:
        lacks = f"lacks {len(missing)} of {len(left)} rows" if missing else ""
        has = f"has {len(extra)} other{'s' * (len(extra) != 1)}" if extra else ""
        return " and ".join(filter(None, (lacks, has)))
    return _order(reference, other, keys)


def unmatched(reference: Table, other: Table) -> tuple[list[int], list[int]]:
    """Which rows of each table, by position, the other one does not have."""
    return _unmatched(rows_of(reference), rows_of(other))


def rows_of(table: Table) -> list[Row]:
    """Every row as a tuple that equals another's where the rows are the same, save for rounding."""
    columns = [_cells(column.combine_chunks()) for column in table.rows.columns]
    return list(zip(*columns, strict=True)) if columns else [()] * len(table)


def _columns(left: Schema, right: Schema) -> str:
    names, others = [c.name for c in left], [c.name for c in right]
    if names != others:
        return f"has the columns {', '.join(others)}, not {', '.join(names)}"
    wrong = (f"{b.name} {b.type}, not {a.type}" for a, b in zip(left, right, strict=True) if a != b)
    return f"gives {', '.join(wrong)}"


def _unmatched(left: Sequence[Row], right: Sequence[Row]) -> tuple[list[int], list[int]]:
    spare = Counter(right)
    missing = [at for at, row in enumerate(left) if not _taken(spare, row)]
    spare = Counter(left)
    extra = [at for at, row in enumerate(right) if not _taken(spare, row)]
    # What rounding has put on two sides of a boundary is still the same.
    exactly: defaultdict[Any, list[int]] = defaultdict(list)
    for at in extra:
        exactly[_blurred(right[at])].append(at)
    still = []
    for at in missing:
        near = exactly[_blurred(left[at])]
        match = next((other for other in near if _close(left[at], right[other])), None)
        if match is None:
            still.append(at)
        else:
            near.remove(match)
    return still, sorted(at for group in exactly.values() for at in group)


def _taken(spare: Counter[Row], row: Row) -> bool:
    if spare[row] == 0:
        return False
    spare[row] -= 1
    return True


def _blurred(value: Hashable) -> Hashable:
    if isinstance(value, tuple):
        return tuple(_blurred(item) for item in value)
    return None if isinstance(value, float) else value


def _close(left: Any, right: Any) -> bool:
    if isinstance(left, tuple):
        return all(_close(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=_CLOSE)
    return bool(left == right)


def _order(reference: Table, other: Table, keys: Sequence[str]) -> str:
    if not keys:
        return ""
    left, right = (
        rows_of(Table(table.schema, table.rows.select(list(keys)))) for table in (reference, other)
    )
    for number, (a, b) in enumerate(zip(left, right, strict=True), 1):
        if not _close(a, b):
            return f"orders the rows by {', '.join(keys)} otherwise, from row {number} on"
    return ""


def _cells(array: Any) -> list[Hashable]:
    """The values of an Arrow array, hashable, doubles rounded, times as the numbers they are."""
    import pyarrow as pa

    kind = array.type
    if pa.types.is_floating(kind):
        return [None if value is None else _rounded(value) for value in array.to_pylist()]
    if pa.types.is_temporal(kind):
        return list(array.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).to_pylist())
    if pa.types.is_map(kind):
        entries = list(zip(_cells(array.keys), _cells(array.items), strict=True))
        return [None if part is None else tuple(sorted(part, key=repr)) for part in _parts(array, entries)]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [None if part is None else tuple(part) for part in _parts(array, _cells(array.values))]
    if pa.types.is_struct(kind):
        fields = zip(*(_cells(field) for field in array.flatten()), strict=True)
        return [row if valid else None for row, valid in zip(fields, _valid(array), strict=True)]
    return list(array.to_pylist())


def _parts(array: Any, inside: Sequence[Hashable]) -> Iterator[Sequence[Hashable] | None]:
    """What each list or map of the array holds, None where it is NULL."""
    ends = array.offsets.to_pylist()
    for valid, (start, end) in zip(_valid(array), pairwise(ends), strict=True):
        yield inside[start:end] if valid else None


def _valid(array: Any) -> list[bool]:
    return [bool(valid) for valid in array.is_valid().to_pylist()]


def _rounded(value: float) -> Hashable:
    return _NAN if math.isnan(value) else float(f"{value:.12g}")
