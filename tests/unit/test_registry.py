"""Names and the things behind them: lazy, strict, helpful."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from odibi.errors import MissingExtra, Permanent
from odibi.registry import Registry, import_path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that counts how often it is imported, and one that needs a package nobody has."""
    (tmp_path / "lazy_thing.py").write_text("THING = object()\n")
    (tmp_path / "needy_thing.py").write_text("import no_such_package_anywhere\nTHING = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lazy_thing", "needy_thing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "lazy_thing"


def test_a_thing_is_imported_on_first_use_and_once(package: str) -> None:
    things: Registry[object] = Registry("engine", {"lazy": f"{package}:THING"})
    assert "lazy" in things
    assert list(things) == ["lazy"]
    assert package not in sys.modules
    assert things.get("lazy") is things.get("lazy") is sys.modules[package].THING


def test_both_spellings_of_a_path(package: str) -> None:
    assert import_path(f"{package}:THING") is import_path(f"{package}.THING")
    with pytest.raises(AttributeError):
        import_path(f"{package}:NOTHING")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    things = Registry("engine", {"duckdb": 1, "pandas": 2})
    with pytest.raises(Permanent, match="unknown engine 'duckbd'") as refused:
        things.get("duckbd")
    assert "did you mean 'duckdb'" in refused.value.hint
    with pytest.raises(Permanent) as refused:
        things.get("xyz")
    assert refused.value.hint == "known engines: duckdb, pandas"


def test_a_name_is_given_once() -> None:
    things: Registry[object] = Registry("format")
    one = object()
    things.register("csv", one)
    things.register("csv", one)
    with pytest.raises(Permanent, match="format 'csv' is registered twice"):
        things.register("csv", object())
    assert things.get("csv") is one


def test_a_missing_package_is_told_with_the_line_that_installs_it(package: str) -> None:
    things: Registry[object] = Registry("engine", {"spark": "needy_thing:THING"}, {"spark": "spark"})
    with pytest.raises(MissingExtra, match="no_such_package_anywhere") as refused:
        things.get("spark")
    assert refused.value.hint == "pip install 'odibi[spark]'"


def test_a_missing_module_of_our_own_is_not_taken_for_a_missing_extra(package: str) -> None:
    things: Registry[object] = Registry("engine", extras={"own": "spark"})
    things.register("own", "odibi.no_such_module:THING")
    with pytest.raises(ModuleNotFoundError):
        things.get("own")
    things.register("plain", "needy_thing:THING")
    with pytest.raises(ModuleNotFoundError):
        things.get("plain")


def test_an_extra_can_be_registered_with_its_thing(package: str) -> None:
    things: Registry[object] = Registry("engine")
    things.register("needy", "needy_thing:THING", extra="all")
    with pytest.raises(MissingExtra):
        things.get("needy")
