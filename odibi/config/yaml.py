"""YAML 1.2 (and therefore JSON) to plain data that remembers where everything was written.

PyYAML's C parser makes the nodes; scalars are resolved by the core schema of YAML 1.2, as editors
do it: ``on`` and ``1:30`` are text, ``1e3`` is a number, ``0o17`` is octal, dates stay text.
Duplicate keys are refused, because the one that loses does so silently.
"""

from __future__ import annotations

import gc
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from odibi.config.syntax import as_yaml, explain_syntax, readable
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
    """What a file says (``data``) and where: marks of keys and of values by path.

    ``origins`` tells of which other document, and from where in it, a step was made, by its position;
    ``cautions`` what is to be said of such steps, by name.
    """

    file: str
    data: dict[Any, Any]
    keys: Mapping[Path, Mark]
    values: Mapping[Path, Mark]
    text: str = ""
    origins: Mapping[int, tuple[Document, Path]] = field(default_factory=dict)
    cautions: Mapping[str, str] = field(default_factory=dict)

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
        return Problem(*self.place(path, key=key), message, hint, level)

    def place(self, path: Path, *, key: bool = False) -> tuple[str, int, int]:
        """The file and mark of what is at ``path``; of a step made of another document, where that says so."""
        made = self.origins.get(path[1]) if path[:1] == ("steps",) and len(path) > 1 else None
        if made is not None:
            document, at = made
            return (document.file, *document.where(at))
        return (self.file, *self.where(path, key=key))

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
    text = readable(text, file)
    with _no_collection():
        node = _compose(text, file)
        reader = _Reader(file, itertools.count())
        data = reader.read(node, (), ())
    if not isinstance(data, dict) and not reader.problems:
        message = f"expected a mapping with the keys pipeline and steps, found {_noun(data)}"
        reader.problems.append(Problem(file, *_mark(node), message))
    if reader.problems:
        raise ConfigError(reader.problems)
    return Document(file, data, reader.keys, reader.values, text)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector, which costs a third of the time and finds nothing in a tree."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _compose(text: str, file: str) -> yaml.Node:
    loader = _Loader(as_yaml(text))
    try:
        node: yaml.Node | None = loader.get_node() if loader.check_node() else None
        second = loader.get_node() if loader.check_node() else None
    except yaml.MarkedYAMLError as error:
        raise ConfigError([explain_syntax(error, text, file)]) from error
    finally:
        loader.dispose()
    if node is None:
        hint = "a pipeline has at least the keys pipeline and steps"
        raise ConfigError([Problem(file, 1, 1, "the file is empty", hint)])
    if second is not None:
        message = "a second document begins here; a file holds one pipeline"
        raise ConfigError([Problem(file, *_mark(second), message, "put each pipeline into its own file")])
    return node


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
