"""A folder is the same to whoever asks, on a disk and in a store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from odibi.errors import Permanent
from odibi.folders import Folder, at
from odibi.places import Url
from odibi.stores import delta_options
from tests import services


@pytest.fixture(scope="module")
def s3() -> Iterator[Url]:
    with services.s3() as endpoint:
        options = {"key": "k", "secret": "s", "endpoint_url": endpoint}
        from odibi.places import system

        system(Url("s3://lake", options))[0].mkdir("lake")
        yield Url("s3://lake/some tables", options)


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "disk":
        return at(str(tmp_path / "some tables"))
    url: Url = request.getfixturevalue("s3")
    return at(Url(f"{url}/{tmp_path.name}", url.options))


def test_files_come_and_go(folder: Folder, tmp_path: Path) -> None:
    assert folder.names() == () == folder.files()
    assert not folder.exists()
    assert not folder.exists("a/b%20c.txt")
    with pytest.raises(FileNotFoundError):
        folder.read("a/b%20c.txt")
    folder.remove()
    folder.drop(["a/b%20c.txt"])
    folder.write("a/b%20c.txt", "é")
    (tmp_path / "x").write_bytes(b"12345")
    folder.put({"a/day=2024-01-01/x": str(tmp_path / "x")})
    assert folder.exists()
    assert folder.exists("a/b%20c.txt")
    assert sorted(folder.names("a")) == ["b%20c.txt", "day=2024-01-01"]
    assert [(entry.name, entry.size) for entry in folder.files()] == [
        ("a/b%20c.txt", 2),
        ("a/day=2024-01-01/x", 5),
    ]
    assert all(abs(entry.changed - time.time()) < 60 for entry in folder.files("a/day=2024-01-01"))
    assert abs(folder.youngest("a") - time.time()) < 60
    assert folder.read("a/b%20c.txt") == "é"
    with folder.open("a/day=2024-01-01/x") as file:
        assert file.read() == b"12345"
    assert folder.name(folder.path("a/b%20c.txt")) == "a/b%20c.txt"
    assert folder.missing(["a/b%20c.txt", "a/other"]) == ("a/other",)
    folder.drop(["a/b%20c.txt"])
    assert folder.names("a") == ("day=2024-01-01",)
    folder.remove("a")
    assert not folder.exists("a")


def test_what_is_told_to_deltas_library(s3: Url, tmp_path: Path) -> None:
    assert at(str(tmp_path)).storage is None
    assert at(s3).storage == delta_options(s3)


def test_a_store_that_refuses_is_no_empty_one() -> None:
    nowhere = at(Url("s3://lake/x", {"key": "k", "secret": "s", "endpoint_url": "http://127.0.0.1:9"}))
    with pytest.raises(Permanent, match="cannot reach s3://lake/x"):
        nowhere.exists()
    with pytest.raises(Permanent, match="cannot reach s3://lake/x"):
        nowhere.names()


def test_empty_folders_are_a_matter_of_disks(tmp_path: Path, s3: Url) -> None:
    (tmp_path / "parts/a/b").mkdir(parents=True)
    os.utime(tmp_path / "parts/a/b", (0, 0))
    disk = at(str(tmp_path))
    assert disk.folders("parts") == ("parts/a",)
    disk.prune("parts/a")
    assert disk.folders("parts") == ()
    assert at(s3).folders("parts") == ()
