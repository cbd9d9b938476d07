"""The digest: equal for equal tables whatever their order, and additive."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odibi.datasets.digest import Digest, digest, digests, measure, narrowed, parts_of_schema
from odibi.engines.base import Location
from odibi.engines.database import Database
from odibi.relational.schema import Schema, schema_of


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("digest")
    with Database(folder / "scratch") as database:
        database.computing()
        yield database


def of(db: Database, sql: str, schema: Schema, **options: Any) -> Digest:
    path = db.scratch / f"{db.new_name()}.parquet"
    db.rows(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
    return digest(db, Location("parquet", (str(path),), schema, exact=True), **options)


AB = schema_of({"a": "INTEGER", "b": "VARCHAR"})


def rows(values: list[tuple[int | None, str | None]]) -> str:
    shown = ", ".join(
        f"({'NULL' if a is None else a}, {'NULL' if b is None else repr(b)})" for a, b in values
    )
    return f"SELECT a::INTEGER AS a, b::VARCHAR AS b FROM (VALUES {shown or '(1, NULL)'}) v(a, b) WHERE {bool(values)}"


def test_it_tells_what_a_digest_per_column_would_not(db: Database) -> None:
    assert of(db, rows([(1, "a"), (2, "b")]), AB) != of(db, rows([(1, "b"), (2, "a")]), AB)
    assert of(db, rows([(1, "a"), (1, "a")]), AB) != of(db, rows([(1, "a")]), AB)
    assert of(db, rows([(1, None)]), AB) != of(db, rows([(None, "1")]), AB)
    assert of(db, rows([(1, "")]), AB) != of(db, rows([(1, None)]), AB)


def test_other_names_and_types_are_another_content(db: Database) -> None:
    plain = of(db, "SELECT 1::INTEGER AS a, 'x' AS b", AB)
    assert plain != of(db, "SELECT 1::INTEGER AS z, 'x' AS b", schema_of({"z": "INTEGER", "b": "VARCHAR"}))
    assert plain != of(db, "SELECT 1::BIGINT AS a, 'x' AS b", schema_of({"a": "BIGINT", "b": "VARCHAR"}))
    assert plain == of(db, "SELECT 1::INTEGER AS a, 'x' AS b", schema_of({"a": "INT4", "b": "TEXT"}))
    assert plain.plus(of(db, "SELECT 1 AS a", schema_of({"a": "INTEGER"}))) is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from([None, "", "a"])), max_size=5),
    st.lists(st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from([None, "", "a"])), max_size=5),
)
def test_digests_add_up(db: Database, one: list[Any], two: list[Any]) -> None:
    first, second, both = (of(db, rows(values), AB) for values in (one, two, [*reversed(two), *one]))
    assert first.plus(second) == both
    assert both.minus(second) == first
    assert Digest.parse(str(both)) == both
    assert (first == second) == (sorted(map(repr, one)) == sorted(map(repr, two)))


def test_sums_of_doubles_are_equal_at_twelve_digits(db: Database) -> None:
    schema = schema_of({"x": "DOUBLE"})
    pairs = [
        ("0.1 + 0.2e0", "0.3e0"),
        ("1e300 * 1.00000000000001", "1e300"),
        ("1e-200", "1.000000000000001e-200"),
        ("-0.0e0", "0.0e0"),
    ]
    for one, two in pairs:
        assert of(db, f"SELECT {one} AS x", schema, rounded=True) == of(
            db, f"SELECT {two} AS x", schema, rounded=True
        )
    for one, two in [
        ("1.00000000001e0", "1.00000000002e0"),
        ("'nan'::DOUBLE", "NULL::DOUBLE"),
        ("'inf'::DOUBLE", "'-inf'::DOUBLE"),
    ]:
        assert of(db, f"SELECT {one} AS x", schema, rounded=True) != of(
            db, f"SELECT {two} AS x", schema, rounded=True
        )
    exact, rounded = (of(db, "SELECT 0.3e0 AS x", schema, rounded=r) for r in (False, True))
    assert exact.plus(rounded) is None, "digests taken differently do not add up"


def test_no_files_are_no_rows(db: Database) -> None:
    assert digest(db, Location("parquet", (), AB)).rows == 0
    assert digest(db, Location("parquet", (), AB)) == of(db, rows([]), AB)


def test_a_condition_takes_part_of_the_rows(db: Database) -> None:
    assert of(db, rows([(1, "a"), (2, "b")]), AB, where="a = 1") == of(db, rows([(1, "a")]), AB)


def test_a_sample_comes_with_the_digest_and_masks(db: Database) -> None:
    path = db.scratch / "sample.parquet"
    db.rows(
        f"COPY (SELECT i AS a, CASE WHEN i > 1 THEN 'secret' END AS b, repeat('x', 500) AS c FROM range(9) r(i)) TO '{path}'"
    )
    schema = schema_of({"a": "BIGINT", "b": "VARCHAR", "c": "VARCHAR"})
    location = Location("parquet", (str(path),), schema, exact=True)
    found, sample = measure(db, location, sample=3, masked=("b",))
    assert found == (digest(db, location),)
    assert sample == (("0", None, "x" * 200), ("1", None, "x" * 200), ("2", "***", "x" * 200))
    assert measure(db, location) == (found, ())


def test_a_set_of_columns_has_a_digest_of_its_own(db: Database) -> None:
    def sums(sql: str) -> tuple[Digest, ...]:
        path = db.scratch / f"{db.new_name()}.parquet"
        db.rows(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
        sets = parts_of_schema(AB, [["a"], ["b"], []])
        return digests(db, Location("parquet", (str(path),), AB, exact=True), sets=sets)

    whole, a, b, count = sums(rows([(1, "a"), (2, "b")]))
    crossed = sums(rows([(1, "b"), (2, "a")]))
    assert crossed[0] != whole  # equal columns, another table
    assert crossed[1:] == (a, b, count)
    other = sums(rows([(1, "a"), (2, "c")]))
    assert (other[1], other[3]) == (a, count)
    assert other[2] != b
    assert sums(rows([(1, "a")]))[3] != count


def test_a_reader_sees_the_version_of_the_columns_it_uses(db: Database) -> None:
    del db
    part = parts_of_schema(AB, [["a"]])[0]
    known = str(digests_of(part))
    assert narrowed("whole", [known], AB, ("a",)) == known
    assert narrowed("whole", [known], AB, ("b",)) == "whole"
    assert narrowed("whole", [known], AB, ("a", "b")) == "whole"
    assert narrowed("whole", [known], AB, None) == "whole"
    assert narrowed("whole", [known], schema_of({"a": "BIGINT", "b": "VARCHAR"}), ("a",)) == "whole"


def digests_of(schema: Schema) -> Digest:
    with Database(Path(tempfile.mkdtemp())) as own:
        return digest(own, Location("parquet", (), schema))
