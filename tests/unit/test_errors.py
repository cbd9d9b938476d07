"""Errors that say where, what, and what to do."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi import errors
from odibi.errors import (
    ConfigError,
    DependencyFailed,
    MissingExtra,
    OdibiError,
    Permanent,
    Problem,
    Transient,
    nearest,
)


@pytest.mark.parametrize(
    ("found", "valid", "hint"),
    [
        ("ordres", ["orders", "items"], "did you mean 'orders'?"),
        ("ORDERS", ["orders", "items"], "did you mean 'orders'?"),
        ("Ordres", ["orders"], "did you mean 'orders'?"),
        ("xyz", ["orders", "items"], "valid names: items, orders"),
        ("xyz", [], ""),
        (3, ["30", "x"], "did you mean '30'?"),
        ("", ["a"], "valid names: a"),
    ],
)
def test_the_nearest_name_or_the_few_there_are(found: object, valid: list[str], hint: str) -> None:
    assert nearest(found, valid) == hint


def test_a_hint_stays_short() -> None:
    hint = nearest("zzz", [f"name_{i}" for i in range(1_000)], "steps")
    assert hint == "steps: name_0, name_1, name_10, name_100, name_101, name_102, name_103, name_104, ..."


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=12))
def test_a_hint_names_only_what_is_valid(found: str, valid: list[str]) -> None:
    hint = nearest(found, valid)
    assert hint == "" if not valid else any(repr(name) in hint or name in hint for name in valid)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.yaml", 3, 7, "bad", "do this"), "a.yaml:3:7: bad (do this)"),
        (Problem("a.yaml", 3, 0, "bad"), "a.yaml:3: bad"),
        (Problem("a.yaml", 0, 0, "bad"), "a.yaml: bad"),
        (Problem("a.yaml", 3, 7, "odd", level="warning"), "a.yaml:3:7: warning: odd"),
    ],
)
def test_a_problem_in_one_line(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_problems_come_once_and_in_the_order_of_the_file() -> None:
    one, two, other = (
        Problem("a.yaml", 2, 1, "x"),
        Problem("a.yaml", 10, 1, "y"),
        Problem("b.yaml", 1, 1, "z"),
    )
    error = ConfigError([other, two, one, two])
    assert error.problems == (one, two, other)
    assert str(error) == "a.yaml:2:1: x\na.yaml:10:1: y\nb.yaml:1:1: z"


def test_an_error_says_where_and_what_to_do() -> None:
    assert str(OdibiError("broken", where="a.csv:3", hint="mend it")) == "a.csv:3: broken (mend it)"
    assert str(OdibiError("broken")) == "broken"
    assert str(MissingExtra("pyspark", "spark")) == "pyspark is not installed (pip install 'odibi[spark]')"
    failed = DependencyFailed("gold", "silver")
    assert (failed.step, failed.dependency) == ("gold", "silver")
    assert "'gold' was not run: it needs 'silver'" in str(failed)


def test_every_error_is_of_one_of_two_kinds() -> None:
    kinds = [
        kind
        for name in errors.__all__
        if isinstance(kind := getattr(errors, name), type)
        and issubclass(kind, OdibiError)
        and kind is not OdibiError
    ]
    assert len(kinds) > 5
    assert all(issubclass(kind, Permanent) is not issubclass(kind, Transient) for kind in kinds)


@pytest.mark.parametrize(
    "error",
    [
        Permanent("broken", where="a.csv:3", hint="mend it"),
        ConfigError([Problem("a.yaml", 2, 1, "x")]),
        DependencyFailed("gold", "silver"),
        MissingExtra("pyspark", "spark"),
    ],
)
def test_an_error_survives_the_way_to_another_process(error: OdibiError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
