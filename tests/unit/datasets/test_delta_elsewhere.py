"""Commits at a store: one of two wins, the other hears of it, and a reader sees what it has opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from odibi.datasets.delta import (
    Fence,
    LostRace,
    Table,
    create_table,
    last_commit,
    open_table,
    table_bytes,
)
from odibi.engines.base import Staged
from odibi.errors import Permanent
from odibi.folders import at
from odibi.places import Url, system
from odibi.relational.schema import Column
from tests import services

SCHEMA = (Column("a", "BIGINT"),)
NOTHING = Staged("", (), SCHEMA)


@pytest.fixture(scope="module")
def s3() -> Iterator[Url]:
    with services.s3() as endpoint:
        yield Url("s3://lake", {"key": "k", "secret": "s", "endpoint_url": endpoint})


@pytest.fixture(scope="module")
def azure() -> Iterator[Url]:
    with services.azurite() as connection:
        yield Url(f"abfss://lake@{services.ACCOUNT}.dfs.core.windows.net", {"connection_string": connection})


@pytest.fixture(params=["s3", "azure"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Url:
    lake: Url = request.getfixturevalue(request.param)
    store, path = system(lake)
    if not store.exists(path):
        store.mkdir(path)
    return Url(f"{lake}/{tmp_path.name}", lake.options)


def opened(url: str) -> Table:
    found = open_table(url)
    assert found is not None
    return found


def commit(table: Table, key: str, fence: Fence | None = None) -> int:
    return table.commit(
        NOTHING, schema=SCHEMA, removed=(), note={"key": key}, apps=[f"shop/{key}/1"], fence=fence
    )


def test_of_two_commits_one_wins(url: Url) -> None:
    assert open_table(url) is None
    assert last_commit(url) is None
    assert table_bytes(url) == 0
    assert create_table(url, NOTHING, schema=SCHEMA, note={"key": "0"}) == 0
    with pytest.raises(LostRace, match="was created by another writer"):
        create_table(url, NOTHING, schema=SCHEMA, note={"key": "other"})
    first, second = opened(url), opened(url)
    assert commit(first, "1", Fence("lock", 7)) == 1
    with pytest.raises(LostRace, match="was changed by another writer"):
        commit(second, "2")
    assert second.version == 0
    again = opened(url)
    found = again.transaction("shop/1/1")
    assert found is not None
    assert (found.version, found.note) == (1, {"key": "1"})
    assert again.transaction("shop/2/1") is None
    with pytest.raises(Permanent, match="a later run has taken over"):
        commit(again, "3", Fence("lock", 6))
    newest = last_commit(url)
    assert newest is not None
    assert newest.note == {"key": "1"}
    assert opened(url).schema == SCHEMA
    pinned = open_table(url, 0)
    assert pinned is not None
    assert pinned.version == 0
    assert [name for name in at(url).names("_delta_log") if name.endswith(".json")] == [
        f"{version:020}.json" for version in range(2)
    ]


def test_what_cannot_be_opened_is_said(url: Url) -> None:
    create_table(url, NOTHING, schema=SCHEMA, note={})
    with pytest.raises(Permanent, match="cannot be opened"):
        open_table(url, 9)
    at(url).write("_delta_log/00000000000000000001.json", '{"commitInfo": {')
    with pytest.raises(Permanent, match=r"00000000000000000001\.json is not whole"):
        last_commit(url)


def test_no_table_can_be_where_its_name_would_be_cut(url: Url) -> None:
    for end in ("a?b", "a#b", "a%20b", "a*b", "a[1]"):
        with pytest.raises(Permanent, match="cannot be kept in"):
            create_table(Url(f"{url}/{end}", url.options), NOTHING, schema=SCHEMA, note={})
    assert not DeltaTable.is_deltatable(str(url), storage_options=at(url).storage)
