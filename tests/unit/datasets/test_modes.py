"""Write modes that keep rows: merge, scd2, replace_where, replace_partitions; each against a plain model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odibi.config.models import Write
from odibi.datasets.delta import last_commit
from odibi.errors import SchemaMismatch
from tests.unit.datasets.lake import Lake, lake

BOUNDED = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

Change = tuple[int, int, str, bool]
"""Key, sequence, value, whether it deletes."""

CHANGES = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.sampled_from(["a", "b", "c"]), st.booleans()),
    max_size=14,
    unique_by=lambda change: change[:2],
)


def rows(changes: Sequence[Change]) -> str:
    values = ", ".join(f"({k}, {s}, '{v}', {d})" for k, s, v, d in changes) or "(0, 0, '', false)"
    return (
        "SELECT k::INTEGER AS k, s::BIGINT AS s, v::VARCHAR AS v, d::BOOLEAN AS d "
        f"FROM (VALUES {values}) AS x(k, s, v, d) WHERE {bool(changes)}"
    )


def batches(data: st.DataObject, changes: list[Change]) -> list[list[Change]]:
    """The changes in any order, cut into batches, some of them coming twice."""
    shuffled = data.draw(st.permutations(changes))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=3)))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    again = data.draw(st.lists(st.sampled_from(parts), max_size=2))
    return [*parts, *again]


def checked(at: Lake) -> None:
    """The note of the last commit tells the table's digest and rows, and Delta's own reader agrees."""
    note = last_commit(str(at.folder / "t")).note  # type: ignore[union-attr]
    assert note["digest"] == str(at.digest())
    assert note["rows"] == len(at.rows(columns="k")) == len(at.scanned(columns=["k"]))


# --- merge -----------------------------------------------------------------------------------------


@BOUNDED
@given(data=st.data(), changes=CHANGES)
def test_merge_is_the_latest_of_each_key_in_whatever_order_changes_come(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, changes: list[Change]
) -> None:
    with lake(tmp_path_factory.mktemp("merge")) as at:
        options: dict[str, Any] = {
            "mode": "merge", "keys": ["k"], "sequence_by": "s", "delete_when": "d", "exclude": ["d"],
        }  # fmt: skip
        for number, batch in enumerate(batches(data, changes)):
            at.write(rows(batch), date=f"2024-01-{number + 1:02}", key=str(number), **options)
            checked(at)
        latest = {k: (k, s, v, d) for k, s, v, d in sorted(changes, key=lambda c: c[1])}
        assert at.rows(columns="k, s, v") == sorted((k, s, v) for k, s, v, d in latest.values() if not d)


@BOUNDED
@given(data=st.data())
def test_merge_without_a_sequence_takes_what_comes_last(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    one = st.lists(
        st.tuples(st.integers(1, 5), st.just(0), st.sampled_from("ab"), st.booleans()),
        unique_by=lambda change: change[0],
        max_size=5,
    )
    with lake(tmp_path_factory.mktemp("merge")) as at:
        model: dict[int, str] = {}
        for number, batch in enumerate(data.draw(st.lists(one, min_size=1, max_size=4))):
            at.write(
                rows(batch), date=f"2024-01-{number + 1:02}", key=str(number),
                mode="merge", keys="k", delete_when="d",
            )  # fmt: skip
            checked(at)
            for k, _, v, d in batch:
                model.pop(k, None)
                if not d:
                    model[k] = v
        assert at.rows(columns="k, v") == sorted(model.items())


def test_merge_rewrites_only_the_files_it_touches(at: Lake) -> None:
    for day, first in (("2024-01-01", 1), ("2024-01-02", 11), ("2024-01-03", 21)):
        sql = f"SELECT i AS k, 'old' AS v FROM range({first}, {first + 10}) r(i)"
        at.write(sql, mode="merge", keys="k", date=day)
    before = set(DeltaTable(str(at.folder / "t")).file_uris())
    at.write("SELECT 15::BIGINT AS k, 'new' AS v", mode="merge", keys="k", date="2024-01-04")
    after = set(DeltaTable(str(at.folder / "t")).file_uris())
    assert len(before) == 3
    assert len(before & after) == 2
    assert at.rows("t", columns="count(*), count(*) FILTER (v = 'new')") == [(30, 1)]


def test_merge_of_part_of_the_columns_keeps_the_others(at: Lake) -> None:
    at.write("SELECT 1 AS k, 'a' AS v, 7 AS n", mode="merge", keys="k", schema="widen")
    at.write(
        "SELECT * FROM (VALUES (1, 'b', true), (2, 'c', false)) x(k, v, fresh)",
        mode="merge", keys="k", schema="widen", date="2024-01-02",
    )  # fmt: skip
    assert at.rows(columns="k, v, n, fresh") == [(1, "b", 7, True), (2, "c", None, False)]
    checked(at)


def test_merge_widens_a_type_in_every_file(at: Lake) -> None:
    at.write(
        "SELECT * FROM (VALUES (1, 1::INTEGER), (2, 2::INTEGER)) x(k, n)",
        mode="merge",
        keys="k",
        schema="widen",
    )
    at.write("SELECT 2 AS k, 5000000000 AS n", mode="merge", keys="k", schema="widen", date="2024-01-02")
    assert at.rows(columns="k, n") == [(1, 1), (2, 5_000_000_000)]
    checked(at)


@pytest.mark.parametrize(
    ("sql", "options", "message"),
    [
        ("SELECT * FROM (VALUES (1, 'a'), (1, 'b')) x(k, v)", {}, r"2 rows have k = 1, and differ"),
        ("SELECT NULL::INTEGER AS k, 'a' AS v", {}, r"1 rows have no 'k', which keys names"),
        (
            "SELECT * FROM (VALUES (1, 5, 'a'), (1, 5, 'b')) x(k, s, v)",
            {"sequence_by": "s"},
            r"2 rows have k = 1, s = 5, and differ",
        ),
        (
            "SELECT 1 AS k, NULL::INTEGER AS s",
            {"sequence_by": "s"},
            r"1 rows have no 's', which sequence_by names",
        ),
        ("SELECT 1 AS kk", {}, r"keys names 'k', which is no column"),
    ],
)  # fmt: skip
def test_rows_that_have_no_one_place_are_refused(
    at: Lake, sql: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SchemaMismatch, match=message):
        at.write(sql, mode="merge", keys="k", **options)
    assert not list(at.folder.glob("t/**/*.parquet"))


def test_equal_rows_are_one(at: Lake) -> None:
    at.write("SELECT * FROM (VALUES (1, 'a'), (1, 'a')) x(k, v)", mode="merge", keys="k")
    assert at.rows(columns="k, v") == [(1, "a")]


# --- scd2 ------------------------------------------------------------------------------------------


def versions(changes: Sequence[Change]) -> list[tuple[Any, ...]]:
    """What a table of all versions is, computed from all changes at once."""
    found: list[tuple[Any, ...]] = []
    for key in {change[0] for change in changes}:
        mine = sorted((s, None if d else v) for k, s, v, d in changes if k == key)
        spans: list[tuple[int, str | None]] = []
        for sequence, value in mine:
            if not spans or spans[-1][1] != value:
                spans.append((sequence, value))
        ends = [start for start, _ in spans[1:]] + [None]
        found += [
            (key, value, start, end, end is None)
            for (start, value), end in zip(spans, ends, strict=True)
            if value is not None
        ]
    return sorted(found)


@BOUNDED
@given(data=st.data(), changes=CHANGES)
def test_scd2_is_the_history_of_each_key_in_whatever_order_changes_come(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, changes: list[Change]
) -> None:
    with lake(tmp_path_factory.mktemp("scd2")) as at:
        options: dict[str, Any] = {
            "mode": "scd2", "keys": ["k"], "sequence_by": "s", "delete_when": "d", "exclude": ["d", "s"],
        }  # fmt: skip
        for number, batch in enumerate(batches(data, changes)):
            at.write(rows(batch), date=f"2024-01-{number + 1:02}", key=str(number), **options)
            checked(at)
        assert at.rows(columns="k, v, valid_from, valid_to, is_current") == versions(changes)


def test_scd2_of_daily_pictures_makes_a_version_of_each_change(at: Lake) -> None:
    pictures = {
        "2024-01-01": "(1, 'Oslo'), (2, 'Rome')",
        "2024-01-03": "(1, 'Oslo'), (2, 'Bonn')",
        "2024-01-04": "(1, 'Oslo'), (2, 'Bonn')",
        "2024-01-02": "(1, 'Paris'), (2, 'Rome')",  # comes late
    }
    for day, values in pictures.items():
        at.write(f"SELECT * FROM (VALUES {values}) x(k, city)", mode="scd2", keys="k", date=day)
        checked(at)
    columns = "k, city, valid_from::VARCHAR, valid_to::VARCHAR, is_current"
    assert at.rows(columns=columns) == [
        (1, "Oslo", "2024-01-01", "2024-01-02", False),
        (1, "Oslo", "2024-01-03", None, True),
        (1, "Paris", "2024-01-02", "2024-01-03", False),
        (2, "Bonn", "2024-01-03", None, True),
        (2, "Rome", "2024-01-01", "2024-01-03", False),
    ]


def test_scd2_of_the_same_day_again_replaces_what_that_day_said(at: Lake) -> None:
    at.write("SELECT 1 AS k, 'Oslo' AS city", mode="scd2", keys="k", date="2024-01-01")
    at.write("SELECT 1 AS k, 'Osla' AS city", mode="scd2", keys="k", date="2024-01-02")
    at.write("SELECT 1 AS k, 'Oslo' AS city", mode="scd2", keys="k", date="2024-01-02")
    assert at.rows(columns="k, city, valid_from::VARCHAR, is_current") == [(1, "Oslo", "2024-01-01", True)]


def test_scd2_keeps_what_was_true_in_columns_that_no_longer_come(at: Lake) -> None:
    options = {"mode": "scd2", "keys": "k", "schema": "widen"}
    at.write(
        "SELECT * FROM (VALUES (1, 'a', 'Rome'), (2, 'b', 'Oslo')) x(k, v, city)",
        date="2024-01-01",
        **options,
    )
    at.write("SELECT * FROM (VALUES (1, 'c'), (2, 'b'), (3, 'd')) x(k, v)", date="2024-01-03", **options)
    checked(at)
    assert at.rows(columns="k, v, city, valid_from::VARCHAR, is_current") == [
        (1, "a", "Rome", "2024-01-01", False),
        (1, "c", "Rome", "2024-01-03", True),
        (2, "b", "Oslo", "2024-01-01", True),
        (3, "d", None, "2024-01-03", True),
    ]


def test_scd2_refuses_columns_that_it_adds(at: Lake) -> None:
    with pytest.raises(SchemaMismatch, match="'valid_from', which scd2 adds"):
        at.write("SELECT 1 AS k, 2 AS valid_from", mode="scd2", keys="k")


# --- replace_where and replace_partitions ----------------------------------------------------------


@BOUNDED
@given(
    old=st.lists(st.tuples(st.integers(1, 6), st.sampled_from([None, 1, 2, 3])), max_size=8),
    new=st.lists(st.integers(1, 6), max_size=4),
)
def test_replace_where_replaces_what_fulfils_the_condition_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, old: list[tuple[int, int | None]], new: list[int]
) -> None:
    with lake(tmp_path_factory.mktemp("where")) as at:
        shown = ", ".join(f"({k}, {'NULL' if n is None else n})" for k, n in old) or "(0, 0)"
        options: dict[str, Any] = {"mode": "replace_where", "where": "n >= 2 OR k < 0"}
        base = f"SELECT k::INTEGER AS k, n::INTEGER AS n FROM (VALUES {shown}) x(k, n) WHERE {bool(old)}"
        at.write(base)
        values = ", ".join(f"({k}, 2)" for k in new) or "(0, 2)"
        sql = f"SELECT k::INTEGER AS k, n::INTEGER AS n FROM (VALUES {values}) x(k, n) WHERE {bool(new)}"
        for key in ("one", "one again", "two"):
            at.write(sql, key=key, **options)
            checked(at)
            kept = [(k, n) for k, n in old if n is None or n < 2]
            assert at.rows(columns="k, n") == sorted([*kept, *((k, 2) for k in new)], key=repr)


def test_rows_outside_the_condition_are_refused(at: Lake) -> None:
    with pytest.raises(SchemaMismatch, match=r"1 of 2 rows do not fulfil where: k > 1"):
        at.write("SELECT unnest([1, 2]) AS k", mode="replace_where", where="k > 1")


def test_replace_partitions_replaces_those_that_come(at: Lake) -> None:
    options: dict[str, Any] = {"mode": "replace_partitions", "partition_by": ["day", "city"]}
    at.write(
        "SELECT k, DATE '2024-01-01' + k::INTEGER AS day, CASE WHEN k < 2 THEN 'São Paulo' WHEN k < 3 THEN NULL ELSE 'a b%' END AS city "
        "FROM range(4) r(k)",
        **options,
    )
    at.write(
        "SELECT * FROM (VALUES (10::BIGINT, DATE '2024-01-01', 'São Paulo'), (30::BIGINT, DATE '2024-01-03', NULL), "
        "(40::BIGINT, DATE '2024-01-04', 'a b%')) x(k, day, city)",
        date="2024-01-02",
        **options,
    )
    assert at.rows(columns="k, day::VARCHAR, city") == [
        (1, "2024-01-02", "São Paulo"),
        (10, "2024-01-01", "São Paulo"),
        (30, "2024-01-03", None),
        (40, "2024-01-04", "a b%"),
    ]
    checked(at)


# --- the model -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "merge"}, "mode merge needs keys"),
        ({"mode": "append", "keys": ["k"]}, "keys belongs to mode merge or scd2, this is append"),
        ({"mode": "replace_where"}, "needs where"),
        ({"where": "k > 1"}, "mode overwrite has no where"),
        ({"mode": "replace_partitions"}, "needs partition_by"),
        ({"mode": "merge", "keys": "k", "exclude": "k"}, "'k' is a key"),
        ({"on_code_change": "refuse"}, "an overwrite is always rebuilt"),
    ],
)
def test_options_belong_to_their_mode(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Write(**options)
