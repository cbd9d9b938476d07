"""Whatever stands in a config, it is loaded or told about: never a traceback."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odibi.config import check, load
from odibi.config.yaml import parse
from odibi.errors import ConfigError, Problem

RIGHT: dict[str, Any] = {
    "pipeline": "p",
    "engine": "duckdb",
    "date": "2024-01-15",
    "timezone": "UTC",
    "variables": {"n": 1},
    "connections": {"lake": {"url": "x/{date}", "options": {"k": "${env:X}"}, "format": "delta"}},
    "targets": {"dev": {"connections": {"lake": {"url": "y"}}, "variables": {"n": 2}}},
    "steps": [
        {
            "name": "a",
            "layer": "bronze",
            "read": {"from": "lake", "path": "{{ n }}.csv"},
            "write": {"to": "lake", "mode": "append", "format": ["csv"], "partition_by": ["x"]},
            "checks": [
                {"not_null": ["x"], "on_fail": "quarantine"},
                {"between": {"column": "x", "min": 0, "max": "{{ n }}"}, "name": "few"},
                {"references": {"column": "x", "to": "d.x"}},
                {"json_schema": {"schema": {"type": "object", "required": ["x"]}}},
                {"freshness": {"column": "x", "within": "6h"}},
                {"columns": {"x": "BIGINT"}},
                {"quality_score": 0.9},
            ],
        },
        {
            "name": "b",
            "layer": "silver",
            "inputs": ["a", {"from": "a", "as": "c"}],
            "transform": [{"filter": "x > 0"}],
            "dependsOn": ["a"],
            "outputs": ["d"],
        },
        {"name": "e", "layer": "gold", "sql": "select {{ n }}", "inputs": {"d": "d"}},
        {"name": "f", "layer": "gold", "function": "m:f", "inputs": "d", "params": {"rate": 1.5}},
        {"name": "g", "layer": "store", "type": "config_op", "value": "out.csv", "inputs": {"d": "d"}},
    ],
}
ODD: list[Any] = [
    *(None, True, 5, -1.5, float("nan"), "", "x", "a b", "order", "other.x", "today"),
    *("{{ n }}", "{{ unknown }}", "{{", "{x}", "${", "${env:Y}", "${vault:z}"),
    *(
        [],
        ["x"],
        [None],
        [[]],
        {},
        {"x": 1},
        {5: 6},
        {None: None},
        {"from": "a"},
        {"path": None},
        [{"a": 1, "b": 2}],
    ),
]
COUNT = int(os.environ.get("ODIBI_FUZZ", "150"))
"""How many configs each test tries."""

KEYS = ["x", 5, "nmae", "sql", "read", "value", "type", "params", "write", "checks", "name", "engine_type"]


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(item, (*path, key))


def loads_or_tells(text: str, folder: Path) -> None:
    file = folder / "c.yaml"
    file.write_text(text, encoding="utf-8")
    problems: tuple[Problem, ...] = ()
    try:
        check(load(file, environ={}))
    except ConfigError as error:
        problems = error.problems
    assert all(problem.message and len(str(problem)) < 1500 for problem in problems)


def test_the_config_itself_is_right(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(RIGHT))
    assert check(load(file, environ={}), strict=True) == ()


@settings(max_examples=COUNT, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_odd_values(data: st.DataObject, tmp_path: Path) -> None:
    config = copy.deepcopy(RIGHT)
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(list(paths(config))))
        place: Any = config
        for key in way:
            place = place[key]
        change = data.draw(st.sampled_from(["set", "delete", "add"]))
        if change == "delete":
            del place[last]
        elif change == "add" and isinstance(place, dict):
            place[data.draw(st.sampled_from(KEYS))] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
        else:
            place[last] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
        if not config:
            break
    loads_or_tells(yaml.safe_dump(config), tmp_path)


@settings(max_examples=COUNT, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, 700),
    cut=st.integers(0, 30),
    put=st.text(alphabet="{}[]:-'\"\n\t &*!|>%@#,?x0", max_size=4),
)
def test_odd_text(at: int, cut: int, put: str, tmp_path: Path) -> None:
    text = yaml.safe_dump(RIGHT)
    loads_or_tells(text[:at] + put + text[at + cut :], tmp_path)


@settings(deadline=None)
@given(content=st.binary(max_size=60))
def test_odd_bytes(content: bytes) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        parse(content, "f")
    except ConfigError as error:
        problems = error.problems
    assert all(problem.line for problem in problems)
