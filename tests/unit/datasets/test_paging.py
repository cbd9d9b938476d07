"""Rows cut out of JSON bodies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi.datasets.paging import slice_of
from odibi.errors import SourceError


def test_a_value_is_cut_out_as_it_stands() -> None:
    text = ' {"a": {"x": [1]}, "data" : {"n": 1, "items":[ {"v": 1.10}, {"v": 12345678901234567890.123456789} ] } }'
    assert slice_of(text, "data.items", "u") == '[ {"v": 1.10}, {"v": 12345678901234567890.123456789} ]'
    assert slice_of('{"a": [1], "a": [2]}', "a", "u") == "[2]"


@pytest.mark.parametrize("text", ['{"datas": []}', "[1]", '{"data": 3}', "{}"])
def test_a_value_that_is_not_there_is_an_error(text: str) -> None:
    with pytest.raises(SourceError, match="nothing at records"):
        slice_of(text, "data.items", "u")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.text(st.characters(exclude_characters="."), min_size=1, max_size=3)


@given(st.dictionaries(KEYS, json_values, max_size=4), KEYS, KEYS, json_values, st.sampled_from([None, 2]))
def test_it_is_the_value_that_python_finds(
    beside: dict[str, object], outer: str, inner: str, value: object, indent: int | None
) -> None:
    body = {**beside, outer: {**beside, inner: value}}
    assert json.loads(slice_of(json.dumps(body, indent=indent), f"{outer}.{inner}", "u")) == value
