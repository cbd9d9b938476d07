"""YAML 1.2 (and therefore JSON) to plain data that remembers where everything was written.

PyYAML's C parser makes the nodes; scalars are resolved by the core schema of YAML 1.2, as editors
do it: ``on`` and ``1:30`` are text, ``1e3`` is a number, ``0o17`` is octal, dates stay text.
Duplicate keys are refused, because the one that loses does so silently.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from odibi.errors import ConfigError, Problem

__all__ = ["Document", "Mark", "Path", "parse", "scalar"]

Path = tuple[Any, ...]
"""The way to a value: keys and positions, such as ``("steps", 2, "transform", 0, "filter")``."""

Mark = tuple[int, int]
"""A place in a file: line and column, both counted from 1; (0, 0) where there is no file."""

_MOST_VALUES = 200_000  # 1,000 steps are about 20,000; more is aliases of aliases
_DEEPEST = 100

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # built without libyaml: same result, slower


class _Loader(_Base):  # type: ignore[misc]
    """Composes nodes; tags of plain scalars follow the YAML 1.2 core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}


_TAG = "tag:yaml.org,2002:"
for _name, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)", [*"~nN", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", [*"tTfF"]),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", [*"-+0123456789"]),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    ("float", r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))", [*"-+."]),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern + r"\Z"), _first)


def _int(text: str) -> int:
    return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)


def _float(text: str) -> float:
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: Mapping[str, Callable[[str], Any]] = {
    _TAG + "str": str,
    _TAG + "null": lambda _text: None,
    _TAG + "bool": lambda text: {"true": True, "false": False}[text.lower()],
    _TAG + "int": _int,
    _TAG + "float": lambda text: _float(text.lower()),
    _TAG + "merge": str,
}


@dataclass(frozen=True)
class Document:
    """What a file says (``data``) and where: marks of keys and of values by path."""

    file: str
    data: dict[Any, Any]
    keys: Mapping[Path, Mark]
    values: Mapping[Path, Mark]
    text: str = ""

    def where(self, path: Path, *, key: bool = False) -> Mark:
        """The mark of the value (or of its ``key``) at ``path``, else of the nearest thing around it."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (0, 0))

    def problem(
        self, path: Path, message: str, hint: str = "", *, key: bool = False, level: str = "error"
    ) -> Problem:
        """A problem placed at ``path``."""
        return Problem(self.file, *self.where(path, key=key), message, hint, level)

    def inside(self, path: Path, line: int, column: int) -> Mark:
        """Where in the file the character at ``line`` and ``column`` (from 1) of a text stands.

        Exact for literal blocks (``|``) and for text on one line, otherwise the start of the text.
        """
        if path not in self.values:
            return self.where(path)
        top, left = self.values[path]
        opening = self._lines[top - 1][left - 1 : left]
        if opening == "|":
            block = next((text for text in self._lines[top:] if text.strip()), "")
            return top + line, len(block) - len(block.lstrip()) + column
        if line == 1 and opening != ">":
            return top, left + column - 1 + (opening in {"'", '"'})
        return top, left

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.split("\n")


def parse(text: str | bytes, file: str) -> Document:
    """The mapping a YAML or JSON text holds, with the place of every key and value.

    Raises ConfigError with one problem for text that is no YAML, and with all of them for
    duplicate keys and values that have no meaning.
    """
    if isinstance(text, bytes):
        text = _decode(text, file)
    text = text.removeprefix("\ufeff")
    forbidden = _UNPRINTABLE.search(text)
    if forbidden:
        line, column = (
            text.count("\n", 0, forbidden.start()) + 1,
            forbidden.start() - text.rfind("\n", 0, forbidden.start()),
        )
        message = f"not a text file: it holds the character U+{ord(forbidden[0]):04X}"
        raise ConfigError([Problem(file, line, column, message, "a config is YAML or JSON in UTF-8")])
    loader = _Loader(_as_yaml(text))
    try:
        node = loader.get_node() if loader.check_node() else None
        second = loader.get_node() if loader.check_node() else None
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax(error, text, file)]) from error
    finally:
        loader.dispose()
    if node is None:
        hint = "a pipeline has at least the keys pipeline and steps"
        raise ConfigError([Problem(file, 1, 1, "the file is empty", hint)])
    if second is not None:
        message = "a second document begins here; a file holds one pipeline"
        raise ConfigError([Problem(file, *_mark(second), message, "put each pipeline into its own file")])
    reader = _Reader(file, itertools.count())
    data = reader.read(node, (), ())
    if not isinstance(data, dict) and not reader.problems:
        message = f"expected a mapping with the keys pipeline and steps, found {_noun(data)}"
        reader.problems.append(Problem(file, *_mark(node), message))
    if reader.problems:
        raise ConfigError(reader.problems)
    return Document(file, data, reader.keys, reader.values, text)


def scalar(text: str) -> Any:
    """The value of ``text`` as a YAML scalar: ``5`` is a number, ``'5'`` and everything else is text."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.YAMLError:
            return text
        return node.value if isinstance(node, yaml.ScalarNode) else text
    tag = _Loader("").resolve(yaml.ScalarNode, text, (True, False))
    try:
        return _SCALARS[tag](text) if text else text
    except ValueError:  # an integer of thousands of digits
        return text


_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def _decode(raw: bytes, file: str) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError([Problem(file, 1, 1, "the file is UTF-16", "save it as UTF-8")])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        message = f"not UTF-8: byte 0x{raw[error.start]:02X}"
        raise ConfigError([Problem(file, line, column, message, "save the file as UTF-8")]) from error


def _as_yaml(text: str) -> str:
    """JSON made digestible for a YAML 1.1 scanner.

    It knows no tabs before a line, no characters given in two halves, and more ends of line.
    """
    if text.lstrip()[:1] not in ("{", "["):
        return text

    def whole(match: re.Match[str]) -> str:
        pair = bytes.fromhex(match[2] + match[3]).decode("utf-16-be")
        return f"{match[1]}\\U{ord(pair):08x}"

    text = re.sub(r"(?m)^[ \t]+", lambda match: " " * len(match[0]), text)
    text = _SURROGATES.sub(whole, text)
    return re.sub("[\x85\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text)


_SYNTAX = (
    ("could not find expected ':'", "this line is not 'key: value'", ""),
    ("unexpected end of stream", "a quoted text that begins here does not end", "close the quote"),
    ("expected ',' or", "a bracket that opens here is not closed, or a comma is missing", ""),
    (
        "mapping values are not allowed",
        "a ':' is not allowed here",
        "indent the line as its neighbours, or quote text that holds ': '",
    ),
    ("undefined alias", "this alias has no anchor", "define it before with &name"),
    ("second occurrence", "this anchor is defined twice", ""),
    (
        "expected key",
        "expected 'key: value' here",
        "check the indentation, and the quotes around the value before",
    ),
    (
        "<block end>",
        "expected 'key: value' here",
        "check the indentation, and the quotes around the value before",
    ),
    ("expected '-' indicator", "expected '- ' here", "indent the entries of a list alike"),
)
_AT_CONTEXT = ("quoted scalar", "simple key", "flow mapping", "flow sequence")


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """The parser's complaint in plain words, where the mistake begins rather than where it was noticed."""
    early = any(words in (error.context or "") for words in _AT_CONTEXT)
    mark = (error.context_mark if early else error.problem_mark) or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.split("\n")
    written = lines[line] if line < len(lines) else ""
    if re.search(r"(?:[:-]|^)\s+\{\{", written) or written.startswith("{{"):
        message, hint = "a value that begins with '{{' is not quoted", 'write it as "{{ name }}"'
    elif "cannot start any token" in (error.problem or ""):
        found = written[column : column + 1]
        message, hint = f"a value cannot begin with {found!r}", "quote it"
        if found == "\t":
            message, hint = "a tab cannot indent YAML", "use spaces"
    else:
        known = ((m, h) for words, m, h in _SYNTAX if words in (error.problem or ""))
        message, hint = next(known, (f"not YAML: {error.problem}", ""))
    return Problem(file, line + 1, column + 1, message, hint)


def _mark(node: yaml.Node) -> Mark:
    mark = node.start_mark
    return mark.line + 1, mark.column + 1


def _noun(data: Any) -> str:
    return (
        "a list" if isinstance(data, list) else "nothing" if data is None else f"the text {str(data)[:40]!r}"
    )


class _Reader:
    """Turns nodes into data and collects marks and problems on the way."""

    def __init__(self, file: str, count: Iterator[int]) -> None:
        self.file = file
        self.count = count
        self.keys: dict[Path, Mark] = {}
        self.values: dict[Path, Mark] = {}
        self.problems: list[Problem] = []

    def read(self, node: yaml.Node, path: Path, around: tuple[int, ...]) -> Any:
        """The data of ``node``; ``around`` holds the ids of the nodes it lies in."""
        number = next(self.count)
        if number > _MOST_VALUES or len(around) > _DEEPEST or id(node) in around:
            message = f"nested more than {_DEEPEST} levels deep"
            if id(node) in around:
                message = "this anchor holds itself"
            elif number > _MOST_VALUES:
                message = f"more than {_MOST_VALUES:,} values, aliases expanded"
            raise ConfigError([Problem(self.file, *_mark(node), message)])
        self.values[path] = _mark(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        around = (*around, id(node))
        if isinstance(node, yaml.SequenceNode) and self._plain(node, "seq"):
            return [self.read(item, (*path, index), around) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and self._plain(node, "map"):
            return self._mapping(node, path, around)
        return None

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        make = _SCALARS.get(node.tag)
        if make is None:
            return self._add(node, f"the tag {_short(node.tag)} has no meaning here", "remove it")
        try:
            return make(node.value)
        except (ValueError, KeyError):
            return self._add(node, f"{node.value[:40]!r} is not {_short(node.tag)}")

    def _plain(self, node: yaml.Node, kind: str) -> bool:
        if node.tag != _TAG + kind:
            self._add(node, f"the tag {_short(node.tag)} has no meaning here", "remove it")
        return node.tag == _TAG + kind

    def _add(self, node: yaml.Node, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.file, *_mark(node), message, hint))

    def _mapping(self, node: yaml.MappingNode, path: Path, around: tuple[int, ...]) -> dict[Any, Any]:
        data: dict[Any, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._add(
                    key_node,
                    "a mapping or list cannot be a key",
                    'quote a value that begins with {{: "{{ name }}"',
                )
                continue
            key = self._scalar(key_node)
            if key in data:
                line, column = self.keys[*path, key]
                first = f"{self.file}:{line}:{column}"
                self._add(key_node, f"the key {key!r} is given twice", f"first at {first}; keep one")
                continue
            self.keys[*path, key] = _mark(key_node)
            data[key] = self.read(value_node, (*path, key), around)
        for source in merged:
            self._merge(source, data, path, around)
        return data

    def _merge(self, source: yaml.Node, data: dict[Any, Any], path: Path, around: tuple[int, ...]) -> None:
        """Add what ``<<`` brings and the mapping does not say itself; the first of several wins."""
        if not isinstance(source, yaml.MappingNode):
            self._add(source, "<< needs a mapping, or a list of them", "such as <<: *defaults")
            return
        inner = _Reader(self.file, self.count)
        brought = inner.read(source, path, around)
        self.problems += inner.problems
        for key, value in brought.items():
            if key in data:
                continue
            data[key] = value
            top = (*path, key)
            self.keys |= {at: mark for at, mark in inner.keys.items() if at[: len(top)] == top}
            self.values |= {at: mark for at, mark in inner.values.items() if at[: len(top)] == top}


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
