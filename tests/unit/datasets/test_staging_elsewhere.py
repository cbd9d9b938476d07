"""Staging at a store: who finds what a dead run left, and what becomes of a run that was taken for dead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from odibi.datasets import staging
from odibi.datasets.staging import Intents, brought, noted, sweep
from odibi.engines.base import Part, Staged
from odibi.errors import Transient
from odibi.folders import Folder, at
from odibi.places import Url, system
from tests import services


@pytest.fixture(scope="module")
def lake() -> Iterator[Url]:
    with services.s3() as endpoint:
        options = {"key": "k", "secret": "s-S3NT1NEL", "endpoint_url": endpoint}
        system(Url("s3://lake", options))[0].mkdir("lake")
        yield Url("s3://lake", options)


@pytest.fixture
def table(lake: Url, tmp_path: Path) -> Url:
    return Url(f"{lake}/{tmp_path.name}", lake.options)


def names(folder: Folder) -> list[str]:
    return [entry.name for entry in folder.files()]


def staged(tmp_path: Path, text: str) -> Staged:
    folder = tmp_path / "scratch/odibi_1"
    (folder / "day=1").mkdir(parents=True)
    (folder / "day=1/part-0.parquet").write_text(text)
    part = Part(str(folder / "day=1/part-0.parquet"), 1, len(text), {}, {"day": "1"})
    return Staged(str(folder), (part,), (), ("day",))


def dead(home: Path, table: Url, tmp_path: Path) -> str:
    """A run that ended without a word after it had put its parts at the table; their folder."""
    run = Intents(home, "aaaaaaaa-dead")
    run.__enter__()
    folder = run.folder(table)
    brought(staged(tmp_path, "x"), table, folder)
    assert run._file is not None
    run._file.close()  # as the operating system does
    return folder


def test_a_run_leaves_nothing_but_what_it_brought(table: Url, tmp_path: Path) -> None:
    with Intents(tmp_path / "intents", "aaaaaaaa-1111") as run:
        folder = run.folder(Url(f"{table}/", table.options))
        assert folder == f"{table}/parts/aaaaaaaa-1111-1"
        assert noted(tmp_path / "intents") == {folder}
        there = brought(staged(tmp_path, "x"), table, folder)
        assert [part.path for part in there.parts] == [f"{folder}/day=1/part-0.parquet"]
        assert brought(there, table, folder) == there
        assert "S3NT1NEL" not in next((tmp_path / "intents").glob("*.jsonl")).read_text()
        assert names(at(table))[0] == "_staging/parts-aaaaaaaa-1111-1.json"
    assert names(at(table)) == ["parts/aaaaaaaa-1111-1/day=1/part-0.parquet"]


def test_the_same_machine_knows_who_is_dead(table: Url, tmp_path: Path) -> None:
    folder = dead(tmp_path / "intents", table, tmp_path)
    assert sweep(tmp_path / "intents") == ()  # how it is opened is not known
    assert len(names(at(table))) == 2
    assert sweep(tmp_path / "intents", [table]) == (folder,)
    assert names(at(table)) == []
    assert not list((tmp_path / "intents").iterdir())


def test_another_machine_waits_a_day(table: Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead(tmp_path / "intents", table, tmp_path)
    with Intents(tmp_path / "elsewhere", "bbbbbbbb-2222") as run:
        run.folder(table)
        assert len(names(at(table))) == 3
    monkeypatch.setattr(staging, "ABANDONED", -60)
    with Intents(tmp_path / "elsewhere", "cccccccc-3333") as run:
        run.folder(table)
        assert [name for name in names(at(table)) if "aaaaaaaa" in name] == []
    assert sweep(tmp_path / "intents") == ()  # nothing is left to wait for
    assert not list((tmp_path / "intents").iterdir())


def test_who_was_taken_for_dead_commits_nothing(
    table: Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Intents(tmp_path / "intents", "aaaaaaaa-1111") as slow:
        folder = slow.folder(table)
        monkeypatch.setattr(staging, "ABANDONED", -60)
        with Intents(tmp_path / "elsewhere", "bbbbbbbb-2222") as other:
            other.folder(table)
        with pytest.raises(Transient, match="was swept"):
            brought(staged(tmp_path, "x"), table, folder)
