"""Types both ways between DuckDB's spelling and Delta's, and which widen without loss."""

from __future__ import annotations

import json

import duckdb
import pytest
from deltalake import Schema as DeltaSchema
from hypothesis import given, settings
from hypothesis import strategies as st

from odibi.errors import SchemaMismatch
from odibi.relational.schema import Column, schema_of
from odibi.relational.storage import delta_json, from_delta, same_type, to_delta, widens

PAIRS = [
    ("BOOLEAN", "boolean"), ("TINYINT", "byte"), ("SMALLINT", "short"), ("INTEGER", "integer"), ("BIGINT", "long"), ("FLOAT", "float"),
    ("DOUBLE", "double"), ("VARCHAR", "string"), ("BLOB", "binary"), ("DATE", "date"), ("TIMESTAMP", "timestamp_ntz"),
    ("TIMESTAMP WITH TIME ZONE", "timestamp"), ("DECIMAL(18,3)", "decimal(18,3)"), ("DECIMAL(38,0)", "decimal(38,0)"),
]  # fmt: skip


@pytest.mark.parametrize(("duck", "delta"), PAIRS)
def test_each_type_goes_there_and_back(duck: str, delta: str) -> None:
    assert delta_json(duck) == delta
    assert from_delta(to_delta((Column("x", duck),))) == (Column("x", duck),)
    DeltaSchema.from_json(to_delta((Column("x", duck),)))


@pytest.mark.parametrize(
    ("spelled", "delta"),
    [
        ("int", "integer"), ("INT8", "long"), ("text", "string"), ("string", "string"), ("bool", "boolean"), ("float8", "double"), ("real", "float"),
        ("numeric", "decimal(18,3)"), ("DECIMAL(10)", "decimal(10,0)"), ("decimal( 10 , 2 )", "decimal(10,2)"), ("datetime", "timestamp_ntz"),
        ("timestamptz", "timestamp"), ("timestamp  with time zone", "timestamp"), ("INTEGER[3]", {"type": "array", "elementType": "integer", "containsNull": True}),
    ],
)  # fmt: skip
def test_what_people_write_is_understood(spelled: str, delta: object) -> None:
    assert delta_json(spelled) == delta


@pytest.mark.parametrize("kind", ["TIME", "INTERVAL", "HUGEINT", "UINTEGER", "UUID", "UNION(a INTEGER)", "ENUM('a')", "STRUCT(a TIME)", "TIME[]", "nonsense", "STRUCT(INTEGER)"])  # fmt: skip
def test_what_delta_cannot_hold_is_said(kind: str) -> None:
    with pytest.raises(SchemaMismatch, match="cannot hold type"):
        delta_json(kind)


def test_every_spelling_is_one_that_duckdb_knows() -> None:
    from odibi.relational.storage import STORABLE

    for name in STORABLE:
        assert delta_json(str(duckdb.sql(f"SELECT CAST(NULL AS {name})").types[0])) == delta_json(name)


NAMES = st.sampled_from(["a", "B", "b c", "end", 'x"y', "é", "a,b", "(", "select", "1st"])
TYPES = st.recursive(
    st.sampled_from([duck for duck, _ in PAIRS]),
    lambda inner: st.one_of(
        inner.map("{}[]".format),
        st.builds("MAP({}, {})".format, st.sampled_from(["VARCHAR", "INTEGER"]), inner),
        st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda f: f[0].lower()).map(
            lambda fields: (
                "STRUCT("
                + ", ".join('"' + name.replace('"', '""') + f'" {kind}' for name, kind in fields)
                + ")"
            )
        ),
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=60)
@given(TYPES)
def test_nested_types_go_there_and_back_and_duckdb_reads_them(kind: str) -> None:
    text = to_delta((Column("x", kind),))
    (back,) = from_delta(text)
    assert to_delta((back,)) == text
    assert same_type(back.type, kind)
    seen = str(duckdb.sql(f"SELECT CAST(NULL AS {back.type})").types[0])
    assert delta_json(seen) == json.loads(text)["fields"][0]["type"]


def test_delta_reads_what_it_is_given() -> None:
    schema = schema_of({"Id": "INTEGER", "with space": "VARCHAR", "n": 'STRUCT("b c" DECIMAL(5,1)[])'})
    assert json.loads(DeltaSchema.from_json(to_delta(schema)).to_json()) == json.loads(to_delta(schema))


@pytest.mark.parametrize("name", ["count_star()", "a,b", "a;b", "a=b", "{x}", "tab\t", "line\n"])
def test_a_column_name_other_readers_refuse_is_refused(name: str) -> None:
    with pytest.raises(SchemaMismatch, match="cannot be stored"):
        to_delta((Column(name, "INTEGER"),))


def test_an_unknown_delta_type_is_said() -> None:
    text = json.dumps(
        {"type": "struct", "fields": [{"name": "v", "type": "variant", "nullable": True, "metadata": {}}]}
    )
    with pytest.raises(SchemaMismatch, match=r"'v'.*variant"):
        from_delta(text)


WIDER = {
    "TINYINT": {"SMALLINT", "INTEGER", "BIGINT", "DOUBLE", "DECIMAL(18,3)", "DECIMAL(38,0)"},
    "SMALLINT": {"INTEGER", "BIGINT", "DOUBLE", "DECIMAL(18,3)", "DECIMAL(38,0)"},
    "INTEGER": {"BIGINT", "DOUBLE", "DECIMAL(18,3)", "DECIMAL(38,0)"},
    "BIGINT": {"DECIMAL(38,0)"},
    "FLOAT": {"DOUBLE"},
    "DATE": {"TIMESTAMP"},
}


@pytest.mark.parametrize("old", [duck for duck, _ in PAIRS])
def test_a_type_widens_to_those_that_keep_every_value(old: str) -> None:
    found = {new for new, _ in PAIRS if widens(old, new)}
    assert found == {old, *WIDER.get(old, set())}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("DECIMAL(10,2)", "DECIMAL(12,2)", True), ("DECIMAL(10,2)", "DECIMAL(12,4)", True), ("DECIMAL(10,2)", "DECIMAL(11,4)", False),
        ("DECIMAL(10,2)", "DECIMAL(10,1)", False), ("DECIMAL(10,2)", "DOUBLE", False), ("INTEGER", "DECIMAL(9,0)", False), ("INTEGER", "DECIMAL(10,0)", True),
        ("BIGINT", "DECIMAL(19,0)", True), ("BIGINT", "DECIMAL(18,0)", False), ("INTEGER[]", "BIGINT[]", False), ("INTEGER[]", "INT4[]", True),
        ("STRUCT(a INTEGER)", "STRUCT(a INTEGER, b INTEGER)", False), ("VARCHAR", "INTEGER", False), ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", False),
    ],
)  # fmt: skip
def test_decimals_and_nested_types(old: str, new: str, expected: bool) -> None:
    assert widens(old, new) is expected
