"""Manifests and cache entries: round trips, damage, limits; on a folder and on memory://."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from odibi.datasets.kept import Held, Kept, Spot
from odibi.datasets.shelf import lay, listed, load, put, remove
from odibi.datasets.staging import Intents, sweep
from odibi.record.cache import Cache
from odibi.record.checkpoints import Checkpoint, Checkpoints

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ENTRY = Kept(
    step="a",
    key="k1",
    made_of={"code": "c", "inputs": {"raw": "v"}},
    run_id="run-1",
    at=NOW,
    datasets={"a": Held(version="key:k1", columns=(("id", "BIGINT"),), rows=3)},
)


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Checkpoints]:
    if request.param == "local":
        yield Checkpoints.of(str(tmp_path / "checkpoints"), "shop")
        return
    yield Checkpoints.of("memory://checkpoints/", "shop")
    remove("memory://checkpoints")


@pytest.fixture
def intents(tmp_path: Path) -> Iterator[Intents]:
    with Intents(tmp_path / "intents", "living") as intents:
        yield intents


def checkpoint(
    run: str = "run-1", number: int = 1, status: str = "running", date: str = "2026-01-05"
) -> Checkpoint:
    return Checkpoint(
        run_id=run, pipeline="shop", config="shop.yaml", config_hash="h", logical_date=date, target="dev",
        engine="duckdb", params={"least": 3}, number=number, reason="silver", status=status, at=NOW,
        completed=("a",), pending=("b",), failed=("c",), attempts={"a": 1, "c": 2}, errors={"c": "no"}, kept=(ENTRY,),
    )  # fmt: skip


def damage(path: str) -> None:
    """Leave the first half of a file."""
    text = load(path) or b""
    if "://" in path:
        import fsspec

        fsspec.filesystem("memory").pipe_file(path, text[: len(text) // 2])
    else:
        Path(path).write_bytes(text[: len(text) // 2])


def test_a_checkpoint_comes_back_as_it_was(place: Checkpoints, intents: Intents) -> None:
    assert place.newest("2026-01-05", "dev") == (None, ())
    place.save(checkpoint(), intents)
    place.save(last := checkpoint(number=2, status="failed"), intents)
    assert place.newest("2026-01-05", "dev") == (last, ())
    assert place.newest("2026-01-05", "prod") == place.newest("2026-01-06", "dev") == (None, ())
    assert place.of_run("run-1") == (last, ())
    assert [(one.run_id, one.checkpoint == last) for one in place.manifests()] == [
        ("run-1", True),
        ("run-1", False),
    ]
    assert place.clear() == 2
    assert listed(place.folder) == ()


def test_a_damaged_manifest_is_passed_over_for_the_one_before(place: Checkpoints, intents: Intents) -> None:
    place.save(before := checkpoint(), intents)
    place.save(checkpoint(number=2), intents)
    newest = place.manifests()[0].path
    damage(newest)
    assert place.newest("2026-01-05", "dev") == place.of_run("run-1") == (before, (newest,))
    assert place.manifests()[0].checkpoint is None
    text = (load(place.manifests()[1].path) or b"").replace(b'"pending": ["b"]', b'"pending": ["x"]')
    put(place.manifests()[1].path, text, intents)
    found, damaged = place.of_run("run-1")
    assert (found, len(damaged)) == (None, 2), "its digest does not fit"


def test_the_newest_runs_are_kept(place: Checkpoints, intents: Intents) -> None:
    for number in range(5):
        place.save(checkpoint(f"run-{number}"), intents)
        place.save(checkpoint(f"run-{number}", 2), intents)
        if "://" not in place.folder:
            for item in listed(f"{place.folder}/run-{number}"):
                os.utime(item.path, (time.time() - 50 + number,) * 2)
    place.prune(keep=3, days=30)
    assert [one.run_id for one in place.manifests()] == [f"run-{n}" for n in (4, 4, 3, 3, 2, 2)]
    place.prune(keep=3, days=1, now=lambda: time.time() + 90_000)
    assert place.manifests() == ()


def test_what_dead_runs_have_spilled_is_swept(place: Checkpoints, intents: Intents, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"rows")
    for run in ("dead", "living", "run-1"):
        lay(f"{place.data(run)}/a", {"a-0.parquet": str(tmp_path / "rows.parquet")}, {}, intents)
    place.save(checkpoint(), intents)
    place.sweep({"living"})
    left = {item.path.removeprefix(f"{place.folder}/") for item in listed(place.folder)}
    assert left == {"living/data/a/a-0.parquet", "run-1/data/a/a-0.parquet", "run-1/000001.json"}
    place.drop_data("2026-01-06", "dev", {"living"})
    assert len(listed(place.folder)) == 3
    place.drop_data("2026-01-05", "dev", {"living"})
    assert {item.path.removeprefix(f"{place.folder}/") for item in listed(place.folder)} == left - {"run-1/data/a/a-0.parquet"}  # fmt: skip


def test_what_a_killed_writer_left_aside_is_swept(tmp_path: Path) -> None:
    place = Checkpoints.of(str(tmp_path / "checkpoints"), "shop")
    dead = Intents(tmp_path / "intents", "dead")
    dead.__enter__()
    aside = dead.aside(Path(place.folder) / "dead" / "000001.json")
    aside.parent.mkdir(parents=True)
    aside.write_bytes(b"{")
    dead._file.close()  # type: ignore[union-attr]
    sweep(tmp_path / "intents")
    assert not aside.exists()


def test_the_cache_gives_what_it_was_given(tmp_path: Path, intents: Intents) -> None:
    cache = Cache.of(tmp_path / "cache", "shop")
    rows = tmp_path / "rows.parquet"
    rows.write_bytes(b"rows")
    assert cache.kept() == {}
    saved = cache.save(ENTRY, {"a": (str(rows),)}, intents)
    (mark,) = saved.datasets["a"].parts or ()
    assert (Path(mark.path).read_bytes(), mark.size) == (b"rows", 4)
    assert cache.kept() == {"a": (saved,)}
    spot = Spot(url="other.csv", format="csv")
    elsewhere = ENTRY.model_copy(
        update={"datasets": {"a": ENTRY.datasets["a"].model_copy(update={"spots": (spot,)})}}
    )
    cache.save(elsewhere, {}, intents)
    cache.save(ENTRY, {"a": (str(rows),)}, intents)
    assert len(cache.kept()["a"]) == 2, "one for each place, and the same again replaces itself"
    cache.save(ENTRY.model_copy(update={"step": "b"}), {}, intents)
    assert (cache.clear("b"), set(cache.kept()), cache.clear(), cache.kept()) == (1, {"a"}, 2, {})


def test_the_cache_keeps_its_limits(tmp_path: Path, intents: Intents) -> None:
    cache = Cache.of(tmp_path / "cache", "shop")
    for number in range(10):
        cache.save(ENTRY.model_copy(update={"key": f"k{number}"}), {}, intents)
        os.utime(cache.entries()[0].folder + "/entry.json", (time.time() - 50 + number,) * 2)
    cache.prune(1e9, 30)
    assert [kept.key for kept in cache.kept()["a"]] == [f"k{n}" for n in range(9, 1, -1)]
    damage(cache.entries()[0].folder + "/entry.json")
    assert [kept.key for kept in cache.kept()["a"]] == [f"k{n}" for n in range(8, 1, -1)]
    size = cache.entries()[1].size
    cache.prune(size * 3, 30)
    assert len(cache.entries()) <= 3
    cache.prune(1e9, 1, now=lambda: time.time() + 90_000)
    assert cache.entries() == ()
