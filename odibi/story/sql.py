"""SQL as HTML with its words told apart: enough to read by, for any dialect."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

__all__ = ["highlight"]

_KEYWORDS = """
all and anti any as asc between by case cast create cross cube date delete desc distinct drop else end
except exclude exists extract false fetch filter first following for from full group grouping having if
ilike in inner insert intersect interval into is join last lateral left like limit merge natural not null
nulls offset on or order outer over partition pivot preceding qualify range recursive replace right rollup
row rows select semi set table then timestamp true try_cast unbounded union unnest unpivot update using
values view when where window with within
"""
_WORDS = frozenset(_KEYWORDS.split())
_TOKEN = re.compile(
    r"(?P<c>--[^\n]*|/\*.*?\*/)"
    r"|(?P<s>'(?:[^']|'')*')"
    r'|(?P<q>"(?:[^"]|"")*"|`[^`]*`)'
    r"|(?P<n>\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)"
    r"|(?P<k>\b[^\W\d]\w*)",
    re.DOTALL,
)


def highlight(sql: str) -> Markup:
    """``sql`` escaped, with comments, strings, quoted names, numbers and keywords in spans."""
    out: list[str] = []
    end = 0
    for match in _TOKEN.finditer(sql):
        if match.lastgroup == "k" and match.group().lower() not in _WORDS:
            continue
        out += (
            escape(sql[end : match.start()]),
            f'<span class="t-{match.lastgroup}">',
            escape(match.group()),
            "</span>",
        )
        end = match.end()
    return Markup("".join([*out, escape(sql[end:])]))  # noqa: S704 - every piece of the SQL is escaped
