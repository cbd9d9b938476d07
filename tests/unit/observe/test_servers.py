"""Sources and targets on servers, as they are before a run: what is asked for, and what makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from odibi.config.load import load
from odibi.errors import ConfigError
from odibi.orchestrator import plan

CONNECTIONS = {
    "api": {"url": "https://api.invalid/v1", "options": {"headers": {"X-Key": "${env:KEY}"}}},
    "drop": {"url": "sftp://files.invalid/out", "options": {"username": "me", "password": "${secret:pw}"}},
    "lake": {"url": "lake"},
    "cloud": {"url": "memory://bucket"},
}


def _planned(monkeypatch: pytest.MonkeyPatch, folder: Path, *steps: dict[str, Any], **more: Any) -> Any:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KEY", "sentinel-1")
    monkeypatch.setenv("ODIBI_SECRET_PW", "sentinel-2")
    connections = {**CONNECTIONS, **more.pop("connections", {})}
    data = {"pipeline": "p", "connections": connections, "steps": list(steps), **more}
    (folder / "p.yaml").write_text(yaml.safe_dump(data))
    return plan(load(folder / "p.yaml"))


def _read(**read: Any) -> dict[str, Any]:
    return {"name": "users", "layer": "bronze", "read": {"from": "api", "path": "users", **read}}


def test_a_plan_asks_nobody_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps = (
        _read(
            params={"key": "${env:KEY}", "n": 5}, schema={"id": "INTEGER"}, land={"to": "lake", "path": "raw"}
        ),
        {"name": "dropped", "layer": "bronze", "read": {"from": "drop", "path": "a.csv", "timeout": 3}},
        {"name": "ids", "layer": "silver", "sql": "SELECT id FROM users"},
    )
    the_plan = _planned(monkeypatch, tmp_path, *steps)
    users, dropped = the_plan["users"], the_plan["dropped"]
    assert (users.key, users.versions) == (None, {"files": None})
    assert users.source.remote.headers == {"X-Key": "sentinel-1"}
    assert users.source.remote.shown == "https://api.invalid/v1/users?key=***&n=5"
    assert users.source.remote.folder == "lake/raw"
    assert (users.source.format, dropped.source.format) == ("json", "csv")
    assert dropped.source.remote.timeout == 3
    assert [column.type for column in the_plan["ids"].compiled["ids"].schema] == ["INTEGER"]
    assert "sentinel" not in repr(the_plan)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            _read(headers={"a": "b"}) | {"read": {"path": "x.csv", "headers": {"a": "b"}}},
            "'headers' is not an option",
        ),
        (_read(format="csv", records="x"), "records needs format json, not csv"),
        (_read(format="csv", pagination={"type": "page"}), "pagination of type page needs format json"),
        (_read(schema={"id": "FOO"}), "has type 'FOO', which DuckDB does not know"),
        (_read(format="delta"), "a server has no Delta tables"),
        (_read(pagination={"type": "pages"}), "pagination"),
        (_read(land={"to": "cloud", "path": "raw"}), "lands in local folders"),
        (_read(land={"to": "lack", "path": "raw"}), "unknown connection 'lack'"),
        (
            _read(**{"from": "drop", "path": "a.csv", "params": {"a": "b"}}),
            "'params' is an option of http://",
        ),
        (_read(**{"from": "drop", "path": "a"}), "the format of 'a' is not clear"),
        (_read() | {"write": {"to": "drop"}}, "nothing can be written at sftp://"),
        (_read() | {"write": {"to": "api", "format": "delta"}}, "one of json, csv and parquet"),
        (_read() | {"write": {"to": "api", "mode": "append"}}, "the whole dataset"),
        (_read() | {"write": {"to": "api", "format": "csv", "schema": "exact"}}, "guards Delta tables"),
    ],
)
def test_what_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as told:
        _planned(monkeypatch, tmp_path, step)
    assert message in str(told.value)
    assert "sentinel" not in str(told.value)


def test_an_unknown_option_of_a_connection_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api = {"url": "https://api.invalid", "options": {"header": {"a": "b"}}}
    with pytest.raises(ConfigError, match=r"'header' is not an option of https:// connections.*'headers'"):
        _planned(monkeypatch, tmp_path, _read(), connections={"api": api})


def test_two_steps_do_not_land_in_one_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    land = {"to": "lake", "path": "raw"}
    with pytest.raises(ConfigError, match="both land in lake/raw"):
        _planned(monkeypatch, tmp_path, _read(land=land), _read(land=land) | {"name": "others"})


@pytest.mark.parametrize("said", [{"variables": {"env": "prod"}}, {"variables": {"env": "production"}}])
def test_nothing_is_made_up_in_production(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: dict[str, Any]
) -> None:
    step = _read(fallback_to_sample=True)
    assert _planned(monkeypatch, tmp_path, step)["users"].source.remote.sample.rows == 1000
    found = _planned(monkeypatch, tmp_path, step, **said)["users"]
    assert found.source.remote.sample is None
    assert any("fallback_to_sample is off" in warning for warning in found.warnings)
