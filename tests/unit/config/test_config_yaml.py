"""YAML 1.2 and JSON become the same plain data, with the place of every key and value."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odibi.config.yaml import Path, parse, scalar
from odibi.errors import ConfigError


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml")
    return [str(problem).removeprefix("f.yaml:") for problem in caught.value.problems]


SCALARS = {
    "on": "on",
    "yes": "yes",
    "No": "No",
    "y": "y",
    "1:30": "1:30",
    "12:30:45": "12:30:45",
    "1e3": 1000.0,
    "1E-2": 0.01,
    ".5": 0.5,
    "5.": 5.0,
    "-.inf": -math.inf,
    "0o17": 15,
    "0x1F": 31,
    "017": 17,
    "+12": 12,
    "-0": 0,
    "0b11": "0b11",
    "1_000": "1_000",
    "2024-01-15": "2024-01-15",
    "2024-01-15T10:00:00Z": "2024-01-15T10:00:00Z",
    "true": True,
    "FALSE": False,
    "tRue": "tRue",
    "~": None,
    "null": None,
    "": None,
    "nullable": "nullable",
    "=": "=",
    "'5'": "5",
    '"true"': "true",
    "!!str 5": "5",
    "!!int '5'": 5,
}


@pytest.mark.parametrize(("written", "value"), SCALARS.items())
def test_scalars_follow_yaml_1_2(written: str, value: Any) -> None:
    found = parse(f"a: {written}", "f").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_nan() -> None:
    assert math.isnan(parse("a: .NaN", "f").data["a"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("1e3", 1000.0),
        ("true", True),
        ("null", None),
        ("", ""),
        ("'5'", "5"),
        ('"a\\tb"', "a\tb"),
        ("'); import os", "'); import os"),
        ("a: b", "a: b"),
        ("# x", "# x"),
        ("[1]", "[1]"),
        ("'", "'"),
        ("'a' 'b'", "'a' 'b'"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_param_is_a_scalar_and_never_syntax(text: str, value: Any) -> None:
    found = scalar(text)
    assert found == value
    assert type(found) is type(value)


BROKEN: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": ("", ["1:1: the file is empty (a pipeline has at least the keys pipeline and steps)"]),
    "comments only": (
        "# a\n",
        ["1:1: the file is empty (a pipeline has at least the keys pipeline and steps)"],
    ),
    "list": ("- a", ["1:1: expected a mapping with the keys pipeline and steps, found a list"]),
    "text": ("hello", ["1:1: expected a mapping with the keys pipeline and steps, found the text 'hello'"]),
    "binary": (
        b"a: \x00",
        ["1:4: not a text file: it holds the character U+0000 (a config is YAML or JSON in UTF-8)"],
    ),
    "latin-1": (b"ok: 1\na: caf\xe9", ["2:7: not UTF-8: byte 0xE9 (save the file as UTF-8)"]),
    "utf-16": ("a: 1".encode("utf-16"), ["1:1: the file is UTF-16 (save it as UTF-8)"]),
    "duplicates": (
        "a: 1\nb:\n  c: 1\n  c: 2\na: 3",
        [
            "4:3: the key 'c' is given twice (first at f.yaml:3:3; keep one)",
            "5:1: the key 'a' is given twice (first at f.yaml:1:1; keep one)",
        ],
    ),
    "duplicates in JSON": (
        '{"a": 1,\n "a": 2}',
        ["2:2: the key 'a' is given twice (first at f.yaml:1:2; keep one)"],
    ),
    "two documents": (
        "a: 1\n---\nb: 2",
        [
            "3:1: a second document begins here; a file holds one pipeline (put each pipeline into its own file)"
        ],
    ),
    "tab": ("a:\n\tb: 1", ["2:1: a tab cannot indent YAML (use spaces)"]),
    "unquoted template": (
        "path: {{ date }}.csv",
        ["1:17: a value that begins with '{{' is not quoted (write it as \"{{ name }}\")"],
    ),
    "unquoted template alone": (
        "path: {{ date }}",
        ['1:8: a mapping or list cannot be a key (quote a value that begins with {{: "{{ name }}")'],
    ),
    "unclosed quote": ('a: "x\nb: 1', ["1:4: a quoted text that begins here does not end (close the quote)"]),
    "unclosed bracket": (
        "a: [1,\nb: 2",
        ["1:4: a bracket that opens here is not closed, or a comma is missing"],
    ),
    "no colon": ("a: 1\nb\nc: 1", ["2:1: this line is not 'key: value'"]),
    "second colon": (
        "a: x: y",
        ["1:5: a ':' is not allowed here (indent the line as its neighbours, or quote text that holds ': ')"],
    ),
    "indentation": (
        "a:\n  - b\n - c",
        ["3:2: expected 'key: value' here (check the indentation, and the quotes around the value before)"],
    ),
    "reserved character": ("a: @x", ["1:4: a value cannot begin with '@' (quote it)"]),
    "unknown alias": ("a: *x", ["1:4: this alias has no anchor (define it before with &name)"]),
    "own tag": ("a: !env X", ["1:4: the tag !env has no meaning here (remove it)"]),
    "python tag": (
        "a: !!python/object/apply:os.system [x]",
        ["1:4: the tag !!python/object/apply:os.system has no meaning here (remove it)"],
    ),
    "wrong tag": ("a: !!int x", ["1:4: 'x' is not !!int"]),
    "endless": ("a: &a [*a]", ["1:4: this anchor holds itself"]),
    "deep": ("a: " + "[" * 200 + "]" * 200, ["1:104: nested more than 100 levels deep"]),
    "bad merge": ("a: {<<: 3}", ["1:9: << needs a mapping, or a list of them (such as <<: *defaults)"]),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_text_is_told_with_its_place(text: str | bytes, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize("merge", ["", "<<: "])
def test_aliases_of_aliases_do_not_fill_the_memory(merge: str) -> None:
    lines = [f"k0: &k0 {{{', '.join(f'v{n}: {n}' for n in range(9))}}}"]
    for level in range(1, 9):
        many = ", ".join([f"*k{level - 1}"] * 9)
        lines.append(f"k{level}: &k{level} {{<<: [{many}]}}" if merge else f"k{level}: &k{level} [{many}]")
    (found,) = problems("\n".join(lines))
    assert found.endswith("more than 200,000 values, aliases expanded")


def test_a_byte_order_mark_is_no_content() -> None:
    assert parse(b"\xef\xbb\xbfa: 1", "f").data == {"a": 1}


def test_merge_keys() -> None:
    text = "d: &d {x: 1, y: {z: 2}}\ne: {<<: *d, x: 5}\nf:\n  x: 7\n  <<: [*d, {w: 1, y: 0}]\n"
    document = parse(text, "f")
    assert document.data["e"] == {"x": 5, "y": {"z": 2}}
    assert document.data["f"] == {"x": 7, "y": {"z": 2}, "w": 1}
    assert document.where(("e", "x")) == (2, 16)
    assert document.where(("e", "y", "z")) == (1, 21), "where the value is written"
    assert document.where(("f", "x"), key=True) == (4, 3)


def test_places() -> None:
    text = "pipeline: p\nsteps:\n  - name: a\n    sql: |\n      select 1\n      from b\n  - {name: 'ü', tags: [x,  y]}\n"
    document = parse(text, "f")
    places: dict[Path, tuple[int, int]] = {
        ("pipeline",): (1, 11),
        ("steps",): (3, 3),
        ("steps", 0): (3, 5),
        ("steps", 0, "sql"): (4, 10),
        ("steps", 1, "tags"): (7, 23),
        ("steps", 1, "tags", 1): (7, 28),
        ("steps", 1, "tags", 1, "not", "there"): (7, 28),
        ("nothing",): (1, 1),
    }
    assert {path: document.where(path) for path in places} == places
    assert document.where(("steps", 1, "tags"), key=True) == (7, 17)
    assert document.inside(("steps", 0, "sql"), 2, 6) == (6, 12), "the b of the block"
    assert document.inside(("steps", 1, "name"), 1, 1) == (7, 13), "behind the quote"
    assert document.inside(("pipeline",), 1, 1) == (1, 11)
    assert document.inside(("pipeline",), 2, 1) == (1, 11), "lines that are joined have no place"


def test_windows_line_ends() -> None:
    document = parse("a: 1\r\nb:\r\n  - c\r\n", "f")
    assert document.data == {"a": 1, "b": ["c"]}
    assert document.where(("b", 0)) == (3, 5)


def values(characters: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.text(characters, min_size=1, max_size=10)
    leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(characters, max_size=20)
    inner = st.recursive(
        leaves | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=20,
    )
    return st.dictionaries(keys, inner, min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(
    data=values(st.characters(codec="utf-8")),
    indent=st.sampled_from([None, 2, "\t"]),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (",\t", ":\t")]),
)
def test_all_json_is_read_as_json(
    data: dict[str, Any], indent: int | str | None, separators: tuple[str, str]
) -> None:
    text = json.dumps(data, indent=indent, separators=separators)
    assert parse(text, "f").data == data
    assert parse("\t\n" + text, "f").data == data


def test_json_knows_one_end_of_line() -> None:
    text = json.dumps({"a": "x\u2028\u2029\x85y"}, ensure_ascii=False)
    assert parse(text, "f").data == json.loads(text)


def test_json_escapes() -> None:
    text = r'{"a": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00", "b": "\\ud83d\\ude00", "c": 1E+2}'
    assert parse(text, "f").data == json.loads(text)


@settings(max_examples=40, deadline=None)
@given(data=values(st.characters(codec="utf-8", categories=["L", "N", "P", "S"])))
def test_every_value_has_a_place_in_the_text(data: dict[str, Any]) -> None:
    text = json.dumps(data, indent=1, ensure_ascii=False)
    document = parse(text, "f")
    lines = text.split("\n")
    for path, (line, column) in document.values.items():
        value: Any = data
        for part in path:
            value = value[part]
        written = lines[line - 1][column - 1 :]
        start = json.dumps(value)[0] if not isinstance(value, str) else '"'
        assert written.startswith(start)
