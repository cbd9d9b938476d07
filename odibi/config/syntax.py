"""Before YAML is YAML: bytes to text, JSON to what the scanner takes, its complaints to plain words."""

from __future__ import annotations

import re

import yaml

from odibi.errors import ConfigError, Problem

__all__ = ["as_yaml", "explain_syntax", "readable"]

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def readable(content: str | bytes, file: str) -> str:
    """The text of a file, without its byte order mark. Raises ConfigError if it is no text in UTF-8."""
    text = _decoded(content, file) if isinstance(content, bytes) else content
    text = text.removeprefix("\ufeff")
    found = _UNPRINTABLE.search(text)
    if found:
        before = text[: found.start()]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"not a text file: it holds the character U+{ord(found[0]):04X}"
        raise ConfigError([Problem(file, line, column, message, "a config is YAML or JSON in UTF-8")])
    return text


def _decoded(content: bytes, file: str) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError([Problem(file, 1, 1, "the file is UTF-16", "save it as UTF-8")])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        message = f"not UTF-8: byte 0x{content[error.start]:02X}"
        raise ConfigError([Problem(file, line, column, message, "save the file as UTF-8")]) from error


def as_yaml(text: str) -> str:
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


_INDENTATION = "check the indentation, and the quotes around the value before"
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
    ("expected key", "expected 'key: value' here", _INDENTATION),
    ("<block end>", "expected 'key: value' here", _INDENTATION),
    ("expected '-' indicator", "expected '- ' here", "indent the entries of a list alike"),
)
_AT_CONTEXT = ("quoted scalar", "simple key", "flow mapping", "flow sequence")


def explain_syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
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
