"""What may be written into a table that exists: policy by change."""

from __future__ import annotations

import pytest

from odibi.datasets.guard import Change, guard
from odibi.errors import SchemaMismatch
from odibi.relational.schema import Schema, schema_of

TABLE = schema_of({"id": "INTEGER", "price": "DECIMAL(10,2)", "Name": "VARCHAR"})
SAME = {"id": "INTEGER", "price": "DECIMAL(10,2)", "Name": "VARCHAR"}
CHANGES = {
    "equal": SAME,
    "other order": {"Name": "VARCHAR", "id": "INTEGER", "price": "DECIMAL(10,2)"},
    "other spelling": {"id": "INT4", "price": "NUMERIC(10, 2)", "Name": "TEXT"},
    "new column": {**SAME, "more": "DATE"},
    "missing column": {"id": "INTEGER", "Name": "VARCHAR"},
    "wider type": {**SAME, "id": "BIGINT", "price": "DECIMAL(12,2)"},
    "narrower type": {**SAME, "id": "SMALLINT", "price": "DECIMAL(8,2)"},
    "other type": {**SAME, "price": "DOUBLE"},
    "text for number": {**SAME, "id": "VARCHAR"},
    "other case": {"id": "INTEGER", "price": "DECIMAL(10,2)", "name": "VARCHAR"},
}
RENAMED = schema_of({"id": "INTEGER", "price": "DECIMAL(10,2)", "Name": "VARCHAR", "more": "DATE"})
WIDE = schema_of({"id": "BIGINT", "price": "DECIMAL(12,2)", "Name": "VARCHAR"})

ALLOWED: dict[str, dict[str, Schema]] = {
    "exact": {"equal": TABLE, "other order": TABLE, "other spelling": TABLE},
    "forbid": {"equal": TABLE, "other order": TABLE, "other spelling": TABLE},
    "widen": {
        "equal": TABLE, "other order": TABLE, "other spelling": TABLE, "new column": RENAMED, "missing column": TABLE,
        "wider type": WIDE, "narrower type": TABLE,
    },
    "replace": {name: schema_of(change) for name, change in CHANGES.items()},
}  # fmt: skip


@pytest.mark.parametrize("policy", ALLOWED)
@pytest.mark.parametrize("change", CHANGES)
def test_policy_by_change(policy: str, change: str) -> None:
    incoming = schema_of(CHANGES[change])
    if change in ALLOWED[policy]:
        found = guard(incoming, TABLE, policy, "lake/x")  # type: ignore[arg-type]
        assert found.schema == ALLOWED[policy][change]
        assert {c.name for c in found.added} == (
            {"more"} if (policy, change) == ("widen", "new column") else set()
        )
        assert [c.name for c in found.widened] == (
            ["id", "price"] if (policy, change) == ("widen", "wider type") else []
        )
    else:
        with pytest.raises(SchemaMismatch, match="lake/x"):
            guard(incoming, TABLE, policy, "lake/x")  # type: ignore[arg-type]


def test_all_differences_are_named_with_the_nearest_name() -> None:
    with pytest.raises(SchemaMismatch) as caught:
        guard(
            schema_of({"id": "VARCHAR", "prize": "DECIMAL(10,2)", "name": "VARCHAR"}),
            TABLE,
            "exact",
            "lake/x",
        )
    assert caught.value.message == (
        "lake/x: column 'id' is VARCHAR, the table has INTEGER; column 'price' (DECIMAL(10,2)) is missing; "
        "column 'name' is called 'Name' in the table; column 'prize' (DECIMAL(10,2)) is not in the table (did you mean 'price'?)"
    )
    assert "schema: widen" in caught.value.hint


def test_the_message_is_bounded() -> None:
    many = schema_of({f"c{i}": "INTEGER" for i in range(30)})
    with pytest.raises(SchemaMismatch, match="and 25 more"):
        guard(many, TABLE, "exact", "lake/x")


def test_without_a_table_only_forbid_refuses() -> None:
    for policy in ("exact", "widen", "replace"):
        assert guard(TABLE, None, policy, "lake/x") == Change(TABLE)  # type: ignore[arg-type]
    with pytest.raises(SchemaMismatch, match="does not exist"):
        guard(TABLE, None, "forbid", "lake/x")
