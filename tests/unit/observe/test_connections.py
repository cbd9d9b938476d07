"""Connections with options: opened with them, by every engine, and told of nowhere."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from odibi.config.load import load
from odibi.errors import ConfigError
from odibi.orchestrator import plan, run
from odibi.places import Url, options_of


class Vault(MemoryFileSystem):
    """A store with a room for each password."""

    protocol = "vault"
    rooms: dict[str, tuple[dict[str, Any], list[str]]] = {"pass-1": ({}, [""]), "pass-2": ({}, [""])}

    def __init__(self, password: str = "", **options: Any) -> None:
        super().__init__(**options)
        if password not in self.rooms:
            raise PermissionError(f"{password!r} opens nothing")
        self.store, self.pseudo_dirs = self.rooms[password]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("vault://").strip("/") if path.strip("/") else ""


@pytest.fixture(autouse=True)
def _vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    fsspec.register_implementation("vault", Vault, clobber=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRST_PASSWORD", "pass-1")
    monkeypatch.setenv("ODIBI_SECRET_SECOND", "pass-2")
    for password in Vault.rooms:
        system = Vault(password)
        system.pipe_file("/in/a.csv", f"room,n\n{password},1\n".encode())
        system.pipe_file("/in/2/a.csv", f"room,n\n{password},1\n".encode())
    yield
    for store, folders in Vault.rooms.values():
        store.clear()
        folders[:] = [""]


CONFIG = """\
pipeline: rooms
engine: {engine}
connections:
  first: {{url: "vault://in", options: {{password: "${{env:FIRST_PASSWORD}}"}}}}
  second: {{url: "vault://in/2", options: {{password: "${{secret:second}}"}}}}
  lake: {{url: lake}}
steps:
  - {{name: one, layer: bronze, read: {{from: first, path: "a*.csv"}}, write: {{to: second, path: out/one.csv}}}}
  - {{name: two, layer: bronze, read: {{from: second, path: a.csv}}, write: {{to: first, path: out/two.json}}}}
  - {{name: rooms, layer: silver, sql: "select room, n from one union all select room, n from two order by 1",
     write: {{to: first, path: rooms.parquet}}}}
"""


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_two_connections_of_a_scheme_are_each_opened_with_their_own_options(engine: str) -> None:
    Path("rooms.yaml").write_text(CONFIG.format(engine=engine))
    result = run(load("rooms.yaml"))
    assert result.success, result.error
    assert Vault("pass-2").cat("/in/2/out/one.csv") == b"room,n\npass-1,1\n"
    assert b'"room":"pass-2"' in Vault("pass-1").cat("/in/out/two.json")
    assert Vault("pass-1").exists("/in/rooms.parquet")
    assert not Vault("pass-2").exists("/in/rooms.parquet")
    assert run(load("rooms.yaml")).cached == 3


def test_one_url_with_two_passwords_is_refused() -> None:
    Path("rooms.yaml").write_text(CONFIG.format(engine="duckdb").replace("in/2", "in"))
    with pytest.raises(ConfigError, match=r"two connections open vault://in/a.csv with other options"):
        plan(load("rooms.yaml"))


def test_a_password_that_changes_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("rooms.yaml").write_text(CONFIG.format(engine="duckdb"))
    run(load("rooms.yaml"))
    before = {step.name: step.code for step in plan(load("rooms.yaml")).steps}
    Vault.rooms["new"] = Vault.rooms["pass-1"]
    monkeypatch.setenv("FIRST_PASSWORD", "new")
    after = plan(load("rooms.yaml"))
    del Vault.rooms["new"]
    assert {step.name: step.code for step in after.steps} == before
    assert {str(step.decision.action) for step in after.steps} == {"reuse"}


def test_a_password_that_opens_nothing_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODIBI_SECRET_SECOND", "S3NT1NEL")
    Path("rooms.yaml").write_text(CONFIG.format(engine="duckdb"))
    with pytest.raises(ConfigError) as caught:
        plan(load("rooms.yaml"))
    assert "cannot reach vault://in" in str(caught.value)
    assert "***" in str(caught.value)
    assert "S3NT1NEL" not in str(caught.value)


PLACES = """\
pipeline: p
connections:
  lake: {{url: "{url}", options: {{key: k, account_name: shop}}}}
steps:
  - {{name: raw, layer: bronze, read: {{from: lake, path: "{path}"}}}}
"""


@pytest.mark.parametrize(
    ("url", "path", "says"),
    [
        ("abfss://c@shop.dfs.core.windows.net/x", "abfss://c@other.dfs.core.windows.net/y.csv", "is not a place of"),
        ("s3://bucket/x", "s3://other/y.csv", "is not a place of connection 'lake'"),
        ("s3://bucket/x", "/etc/hosts", "is not a place of connection 'lake'"),
        ("s3://bucket/x", "https://example.test/y.csv", "is not a place of connection 'lake'"),
        ("abfss://c@other.dfs.core.windows.net/x", "y.csv", "its url names the account 'other', its options 'shop'"),
    ],
)  # fmt: skip
def test_credentials_are_sent_to_no_other_account(url: str, path: str, says: str) -> None:
    Path("p.yaml").write_text(PLACES.format(url=url, path=path))
    with pytest.raises(ConfigError, match=says):
        plan(load("p.yaml"))


def test_a_place_is_its_url_and_keeps_its_options_on_the_way() -> None:
    url = Url("s3://b/x", {"key": "S3NT1NEL"})
    assert url == "s3://b/x"
    assert repr(url) == "'s3://b/x'"
    assert options_of(pickle.loads(pickle.dumps(url))) == {"key": "S3NT1NEL"}
