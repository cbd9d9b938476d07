"""Landings: whole or not at all, equal bytes leave them, nothing else is in their way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Answer, Web, web

from odibi.datasets.fetching import Pagination, Remote
from odibi.datasets.landing import Landed, land, metadata_of
from odibi.datasets.source import Source, read
from odibi.datasets.staging import Intents
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB
from odibi.errors import Permanent, Unavailable


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as running:
        yield running


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "scratch") as database:
        yield database


def landed(db: Database, folder: Path, url: str, format: str = "csv", **asked: Any) -> Landed:
    """What has landed of the answer at the URL."""
    remote = Remote(name="orders", url=url, shown=url, folder=str(folder), **asked)
    with Intents(folder.parent / "intents", "0123456789abcdef") as intents:
        return land(db, Source(url, format, remote=remote), remote, folder, intents, lambda: None, last=True)


def version_of(found: Landed) -> str:
    """The data version of what has landed."""
    assert found.seen is not None
    return found.seen.version


def rows(db: Database, found: Landed) -> list[dict[str, Any]]:
    """The rows that are read from it."""
    assert found.seen is not None
    engine = DuckDB(db)
    return list(engine.to_arrow(read(engine, found.source, found.seen)[0]).read_all().to_pylist())


def test_the_version_is_that_of_the_bytes(server: Web, db: Database, tmp_path: Path) -> None:
    folder, url = tmp_path / "raw" / "orders", f"{server.url}/orders.csv"
    server.at["/orders.csv"] = Answer("id\n1\n")
    first = landed(db, folder, url)
    inode = folder.stat().st_ino
    again = landed(db, folder, url)
    elsewhere = landed(db, tmp_path / "other", url)
    assert version_of(first) == version_of(again) == version_of(elsewhere)
    assert folder.stat().st_ino == inode, "equal bytes leave it as it stands"
    server.at["/orders.csv"] = Answer("id\n2\n")
    other = landed(db, folder, url)
    assert version_of(other) != version_of(first)
    assert rows(db, other) == [{"id": 2}]
    assert sorted(path.name for path in folder.iterdir()) == ["_metadata.json", "orders.csv"]
    assert [path.name for path in folder.parent.iterdir() if path.name != "intents"] == ["orders"]


def test_an_answer_that_breaks_leaves_what_stood(server: Web, db: Database, tmp_path: Path) -> None:
    folder, url = tmp_path / "raw", f"{server.url}/orders.csv"
    server.at["/orders.csv"] = [Answer("id\n1\n"), Answer("id\n2\n" * 100, cut=50), Answer("no", 500)]
    before = landed(db, folder, url)
    for _ in range(2):
        with pytest.raises(Unavailable):
            landed(db, folder, url)
    assert (folder / "orders.csv").read_text() == "id\n1\n"
    assert rows(db, before) == [{"id": 1}]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_pages_replace_each_other_as_a_whole(server: Web, db: Database, tmp_path: Path) -> None:
    pages = [[{"id": 1}], [{"id": 2}], [{"id": 3}], []]
    server.at["/orders"] = lambda asked: Answer(json.dumps({"rows": pages[int(asked.params["page"]) - 1]}))
    asked = {"format": "json", "records": "rows", "pagination": Pagination(type="page")}
    url = f"{server.url}/orders"
    assert sorted(row["id"] for row in rows(db, landed(db, tmp_path / "raw", url, **asked))) == [1, 2, 3]
    del pages[1]
    assert sorted(row["id"] for row in rows(db, landed(db, tmp_path / "raw", url, **asked))) == [1, 3]
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [
        "_metadata.json",
        "page-00001.json",
        "page-00002.json",
    ]


@pytest.mark.parametrize("metadata", [None, "{}", '{"files": [{"name": "mine.csv", "size": 1}]}'])
def test_a_folder_with_anything_else_in_it_is_not_replaced(
    server: Web, db: Database, tmp_path: Path, metadata: str | None
) -> None:
    folder = tmp_path / "raw"
    (folder / "precious").mkdir(parents=True)
    if metadata is not None:
        (folder / "_metadata.json").write_text(metadata)
    with pytest.raises(Permanent, match="which has not landed there"):
        landed(db, folder, f"{server.url}/orders.csv")
    assert (folder / "precious").is_dir()
    assert metadata_of(folder) is None
    assert server.asked == []
