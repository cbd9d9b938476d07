r"""Regular expressions: RE2's, which DuckDB has, written for Java, which Spark has.

Only what can be made to match the same is let through. ``.`` stops at more line ends in Java, ``$``
matches before the last one, ``\\b`` and ``\\s`` mean other characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Pattern", "Unlike", "java", "java_replacement"]

_WORD = "[0-9A-Za-z_]"
_EDGE = f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))"
_ESCAPES = {
    "s": r"[\t\n\f\r ]", "S": r"[^\t\n\f\r ]", "b": _EDGE, "B": f"(?!{_EDGE})", "v": r"\x0B", "a": r"\x07",
    "A": r"\A", "z": r"\z",
}  # fmt: skip
_SAME = frozenset("dDwWtnrf")
_EMPTY = frozenset("bBAz")
_POSIX = {
    "alpha": "Alpha", "digit": "Digit", "alnum": "Alnum", "upper": "Upper", "lower": "Lower", "punct": "Punct",
    "xdigit": "XDigit", "blank": "Blank", "cntrl": "Cntrl",
}  # fmt: skip


class Unlike(ValueError):
    """Something in a pattern that the two do not share; its text says what."""


@dataclass(slots=True)
class Pattern:
    """A pattern for Java: ``groups`` that capture, and whether it can match nothing (``empty``)."""

    text: str
    groups: int
    empty: bool

    def check_never_empty(self) -> None:
        """Where nothing is matched twice in a row the two replace differently.

        Raises:
            Unlike: it can match nothing.
        """
        if self.empty:
            raise Unlike("replacing every match of what can match nothing")


def java(pattern: str, *, ignore_case: bool = False) -> Pattern:
    """The pattern in Java's spelling.

    Raises:
        Unlike: it cannot be made to match the same.
    """
    reader = _Reader(pattern)
    if pattern.startswith("(?i)"):
        ignore_case, reader.at = True, 4
    shortest = reader.alternatives()
    if reader.at < len(pattern):
        raise Unlike("an unmatched )")
    flags = "(?iu)" if ignore_case else ""
    return Pattern(flags + "".join(reader.out), reader.groups, shortest == 0)


@dataclass(slots=True)
class _Reader:
    """Reads a pattern from left to right and writes Java's; each method returns the shortest match in characters."""

    pattern: str
    at: int = 0
    groups: int = 0
    out: list[str] = field(default_factory=list)

    def peek(self, count: int = 1) -> str:
        return self.pattern[self.at : self.at + count]

    def take(self) -> str:
        if self.at >= len(self.pattern):
            raise Unlike("an unfinished pattern")
        self.at += 1
        return self.pattern[self.at - 1]

    def alternatives(self) -> int:
        shortest = [0]
        while self.at < len(self.pattern) and self.peek() != ")":
            if self.peek() == "|":
                self.out.append(self.take())
                shortest.append(0)
            else:
                shortest[-1] += self.repeated()
        return min(shortest)

    def repeated(self) -> int:
        one = self.atom()
        count = re.compile(r"\{(\d+)(,\d*)?\}").match(self.pattern, self.at)
        sign = count[0] if count else self.peek()
        if not sign or not (count or sign in "*+?"):
            return one
        if count and int(count[1]) > 1000:
            raise Unlike("more than 1000 repetitions")
        self.at += len(sign)
        self.out.append(sign)
        if self.peek() == "?":
            self.out.append(self.take())
        if self.peek() and self.peek() in "*+?":
            raise Unlike(f"the repetition {sign}{self.peek()}")
        return one * (int(count[1]) if count else sign == "+")

    def atom(self) -> int:
        char = self.take()
        if char == "(":
            return self.group()
        if char == "[":
            self.out.append(self.char_class())
        elif char == "\\":
            return self.escape()
        elif char in "^$":
            self.out.append("^" if char == "^" else r"\z")
            return 0
        elif char in "*+?":
            raise Unlike(f"{char} with nothing to repeat")
        else:
            self.out.append({".": r"[^\n]", "{": r"\{", "}": r"\}", "]": r"\]"}.get(char, char))
        return 1

    def group(self) -> int:
        named = re.compile(r"\?P?<([A-Za-z][A-Za-z0-9]*)>").match(self.pattern, self.at)
        start = named[0] if named else next((s for s in ("?:", "?i:") if self.peek(len(s)) == s), "")
        if not start and self.peek() == "?":
            raise Unlike(f"({self.peek(3)}")
        self.at += len(start)
        self.groups += bool(named) or not start
        self.out.append("(" + (f"?<{named[1]}>" if named else "?iu:" if start == "?i:" else start))
        shortest = self.alternatives()
        self.take()
        self.out.append(")")
        return shortest

    def escape(self) -> int:
        char = self.take()
        if char in "pP":
            self.out.append(self.category(char))
        elif char == "x":
            self.out.append(self.code())
        elif char in _ESCAPES:
            self.out.append(_ESCAPES[char])
        elif char in _SAME or not (char.isalnum() or char == "_" or not char.isascii()):
            self.out.append("\\" + char)
        else:
            raise Unlike(f"\\{char}")
        return 0 if char in _EMPTY else 1

    def category(self, char: str) -> str:
        found = re.compile(r"\{(\^?)([LMNPSZC][a-z]?)\}|([LMNPSZC])").match(self.pattern, self.at)
        if found is None or found[1]:
            raise Unlike(f"\\{char} of something else than a general category")
        self.at = found.end()
        return f"\\{char}{{{found[2] or found[3]}}}"

    def code(self) -> str:
        found = re.compile(r"[0-9A-Fa-f]{2}|\{[0-9A-Fa-f]{1,6}\}").match(self.pattern, self.at)
        if found is None:
            raise Unlike(r"\x without a code")
        self.at = found.end()
        return "\\x" + found[0]

    def char_class(self) -> str:
        out = ["["]
        if self.peek() == "^":
            out.append(self.take())
        first = True
        while first or self.peek() != "]":
            first = False
            char = self.take()
            if char == "[" and self.peek() == ":":
                out.append(self.posix())
            elif char == "\\":
                out.append(self.class_escape())
            else:
                out.append("\\" + char if char in "[]&^" else char)
        return "".join([*out, self.take()])

    def posix(self) -> str:
        found = re.compile(r":(\^?)([a-z]+):\]").match(self.pattern, self.at)
        if found is None or found[2] not in _POSIX:
            raise Unlike("[: in a class")
        self.at = found.end()
        return f"\\{'P' if found[1] else 'p'}{{{_POSIX[found[2]]}}}"

    def class_escape(self) -> str:
        char = self.take()
        if char in "pP":
            return self.category(char)
        if char == "x":
            return self.code()
        if char in _SAME or not (char.isalnum() or not char.isascii()):
            return "\\" + char
        found = {"s": r"\t\n\f\r ", "v": r"\x0B", "a": r"\x07"}.get(char)
        if found is None:
            raise Unlike(f"\\{char} in a class")
        return found


def java_replacement(text: str, groups: int, shift: int = 0) -> str:
    """What RE2 puts in the place of a match, in Java's spelling; groups count ``shift`` further.

    Raises:
        Unlike: a group that there is not, or a backslash before something else.
    """
    out: list[str] = []
    after_group = False
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char != "\\":
            out.append("\\" + char if char == "$" or (after_group and char.isdigit()) else char)
            after_group = False
            continue
        following = text[at : at + 1]
        at += 1
        if following == "\\":
            out.append("\\\\")
        elif following.isdigit() and following.isascii() and int(following) <= groups:
            out.append(f"${int(following) + shift}")
        else:
            raise Unlike(f"\\{following} in the replacement")
        after_group = following.isdigit()
    return "".join(out)
