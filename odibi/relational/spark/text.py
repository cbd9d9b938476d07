"""Text: characters are code points, letters change case one by one, patterns are RE2's."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from odibi.relational.spark.build import Rule, spark
from odibi.relational.spark.casts import converted
from odibi.relational.spark.kinds import element, kind, marked
from odibi.relational.spark.patterns import Pattern, Unlike, java, java_replacement
from odibi.relational.spark.refusal import refuse

__all__ = ["RULES", "lower"]

_TITLE = "".join(map(chr, [*range(0x1F88, 0x1F90), *range(0x1F98, 0x1FA0), *range(0x1FA8, 0x1FB0)]))
_SMALL = "".join(map(chr, [*range(0x1F80, 0x1F88), *range(0x1F90, 0x1F98), *range(0x1FA0, 0x1FA8)]))
_FROM, _TO = "ß" + _SMALL + "ᾳῃῳ", "ẞ" + _TITLE + "ᾼῌῼ"
_LONGER_IN_UPPER = "[ßŉǰΐΰևẖ-ẚὐ-ῼﬀ-ﬗ]"
"""Letters of which Java makes several capitals, and their neighbours; DuckDB makes one or leaves them."""


def lower(node: exp.Expr) -> exp.Expr:
    """Java makes two characters of a dotted capital I and another sigma at the end of a word."""
    return spark("LOWER(TRANSLATE(:x, '\u0130\u03a3', 'i\u03c3'))", x=_text(node))


def lowered(node: exp.Expr) -> exp.Expr:
    """Letter by letter."""
    return lower(node.this)


def uppered(node: exp.Expr) -> exp.Expr:
    """Java makes SS of a sharp s; DuckDB changes letters one by one."""
    one = f"CASE WHEN LENGTH(UPPER(c)) = 1 THEN UPPER(c) ELSE TRANSLATE(c, '{_FROM}', '{_TO}') END"
    return spark(
        f"CASE WHEN :x RLIKE '{_LONGER_IN_UPPER}' "
        f"THEN ARRAY_JOIN(TRANSFORM(REGEXP_EXTRACT_ALL(:x, '(?s).', 0), c -> {one}), '') ELSE UPPER(:x) END",
        x=_text(node.this),
    )


def _text(node: exp.Expr) -> exp.Expr:
    return converted(node, "VARCHAR")


def joined(node: exp.Expr) -> exp.Expr:
    """concat() counts NULL as empty, and writes values as DuckDB does."""
    _no_lists(node, node.expressions)
    parts = [spark("COALESCE(:x, '')", x=_text(part)) for part in node.expressions]
    return exp.Anonymous(this="CONCAT", expressions=parts)


def appended(node: exp.Expr) -> exp.Expr:
    """``||`` is NULL where a side is."""
    _no_lists(node, [node.this, node.expression])
    return spark("CONCAT(:a, :b)", a=_text(node.this), b=_text(node.expression))


def joined_by(node: exp.Expr) -> exp.Expr:
    """Values are written as DuckDB writes them."""
    _no_lists(node, node.expressions)
    return exp.Anonymous(this="CONCAT_WS", expressions=[_text(part) for part in node.expressions])


def _no_lists(node: exp.Expr, parts: list[exp.Expr]) -> None:
    if any(element(kind(part)) for part in parts):
        refuse(f"`{node.key}` of lists", "a NULL list empties the answer on Spark", "use list_append", node)


def called(sql: str, *names: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule that puts the arguments of those names, as text, into a template as ``:a``, ``:b``, ``:c``."""

    def rule(node: exp.Expr) -> exp.Expr:
        parts = {letter: _text(node.args[name]) for letter, name in zip("abc", names, strict=False)}
        return spark(sql, **parts)

    return rule


def contains(node: exp.Expr) -> exp.Expr:
    """Of text; of a list it is list_contains."""
    if element(kind(node.this)):
        refuse("contains() of a list", "it has another name", "use list_contains", node)
    return spark("CONTAINS(:a, :b)", a=_text(node.this), b=_text(node.expression))


def length(node: exp.Expr) -> exp.Expr:
    """Characters of text, elements of a list, as BIGINT."""
    if element(kind(node.this)):
        return spark("CAST(ARRAY_SIZE(:x) AS BIGINT)", x=node.this)
    return spark("CAST(LENGTH(:x) AS BIGINT)", x=_text(node.this))


def _count(node: exp.Expr) -> exp.Expr:
    """A number of characters as Spark takes it."""
    return converted(node, "INTEGER")


def cut_left(node: exp.Expr) -> exp.Expr:
    """A negative count leaves out the last characters; Spark gives ''."""
    x, n = _text(node.this), _count(node.expression)
    return spark("SUBSTRING(:x, 1, CASE WHEN :n < 0 THEN LENGTH(:x) + :n ELSE :n END)", x=x, n=n)


def cut_right(node: exp.Expr) -> exp.Expr:
    """A negative count leaves out the first characters; Spark gives ''."""
    x, n = _text(node.this), _count(node.expression)
    return spark(
        "SUBSTRING(:x, CASE WHEN :n < 0 THEN 1 - :n ELSE GREATEST(LENGTH(:x) - :n, 0) + 1 END)", x=x, n=n
    )


def part(node: exp.Expr) -> exp.Expr:
    """Position 0 is before the first character, on Spark it is the first; a length may be negative."""
    x, start = _text(node.this), _count(node.args["start"])
    count = node.args.get("length")
    begin = "CASE WHEN :s < 0 THEN LENGTH(:x) + :s + 1 ELSE :s END"
    if count is None:
        return spark(f"SUBSTRING(:x, GREATEST({begin}, 1))", x=x, s=start)
    first = spark(begin, x=x, s=start)
    n = _count(count)
    plain = isinstance(start, exp.Literal) and isinstance(n, exp.Literal)
    if plain and int(start.this) > 0:
        return spark("SUBSTRING(:x, :s, :n)", x=x, s=start, n=n)
    return spark(
        "CASE WHEN :n >= 0 THEN SUBSTRING(:x, GREATEST(:f, 1), :n + LEAST(:f - 1, 0)) "
        "ELSE SUBSTRING(:x, GREATEST(:f + :n, 1), :f - GREATEST(:f + :n, 1)) END",
        x=x,
        f=first,
        n=n,
    )


def padded(node: exp.Expr) -> exp.Expr:
    """DuckDB fails where there is nothing to fill with."""
    name = "LPAD" if node.args.get("is_left") else "RPAD"
    fill = _text(node.args["fill_pattern"])
    x, n = _text(node.this), _count(node.expression)
    made = spark(f"{name}(:x, :n, :f)", x=x, n=n, f=fill)
    if isinstance(fill, exp.Literal) and fill.this:
        return made
    sql = "CASE WHEN :f = '' AND LENGTH(:x) < :n THEN RAISE_ERROR('nothing to pad with') ELSE :made END"
    return spark(sql, f=fill, x=x, n=n, made=made)


_SPACES = "".join(map(chr, (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)))
"""Unicode's spaces (category Zs), which DuckDB trims; Spark trims the first of them."""


def trimmed(node: exp.Expr) -> exp.Expr:
    """Spaces of all kinds, or the characters given."""
    place = (node.args.get("position") or "BOTH").upper()
    characters = exp.Literal.string(_SPACES) if node.expression is None else _text(node.expression)
    return spark(f"TRIM({place} :c FROM :x)", c=characters, x=_text(node.this))


def positioned(node: exp.Expr) -> exp.Expr:
    """As BIGINT."""
    return spark("CAST(LOCATE(:part, :x) AS BIGINT)", part=_text(node.args["substr"]), x=_text(node.this))


def reversed_(node: exp.Expr) -> exp.Expr:
    """DuckDB keeps an accent behind its letter and an emoji whole."""
    if element(kind(node.this)):
        return spark("REVERSE(:x)", x=node.this)
    x = _text(node.this)
    return spark(
        r"CASE WHEN :x RLIKE '^[\\x00-\\x7F]*$' THEN REVERSE(:x) "
        r"ELSE ARRAY_JOIN(REVERSE(REGEXP_EXTRACT_ALL(:x, '\\X', 0)), '') END",
        x=x,
    )


def repeated(node: exp.Expr) -> exp.Expr:
    """Of text."""
    if element(kind(node.this)):
        refuse("repeat() of a list", "Spark repeats text only", "use text", node)
    return spark("REPEAT(:x, :n)", x=_text(node.this), n=_count(node.args["times"]))


_CHARACTERS = "CASE WHEN :x = '' THEN ARRAY('') ELSE REGEXP_EXTRACT_ALL(:x, '(?s).', 0) END"


def split(node: exp.Expr) -> exp.Expr:
    """An empty separator splits into characters, a NULL one not at all; Spark takes the separator for a pattern."""
    x, by = _text(node.this), _text(node.expression)
    quoted = r"SPLIT(:x, CONCAT('\\Q', :by, '\\E'))"
    if isinstance(by, exp.Literal):
        if r"\E" in by.this:
            refuse(r"the separator \E", "it ends a quotation on Spark", "replace it first", node)
        return spark(quoted if by.this else _CHARACTERS, x=x, by=by)
    safe = quoted.replace(":by", r"REPLACE(:by, '\\E', '\\E\\\\E\\Q')")
    return spark(
        f"CASE WHEN :by = '' THEN {_CHARACTERS} WHEN :by IS NULL AND NOT :x IS NULL THEN ARRAY(:x) ELSE {safe} END",
        x=x,
        by=by,
    )


def split_part(node: exp.Expr) -> exp.Expr:
    """An empty separator splits into characters; part 0 is ''."""
    x, by = _text(node.this), _text(node.args["delimiter"])
    n = _count(node.args["part_index"])
    if isinstance(by, exp.Literal) and by.this and isinstance(n, exp.Literal) and int(n.this) > 0:
        return spark("SPLIT_PART(:x, :by, :n)", x=x, by=by, n=n)
    parts = spark("CASE WHEN :by = '' THEN REGEXP_EXTRACT_ALL(:x, '(?s).', 0) END", x=x, by=by)
    return spark(
        "CASE WHEN :x IS NULL OR :by IS NULL OR :n IS NULL THEN NULL WHEN :n = 0 THEN '' "
        "WHEN :by = '' THEN COALESCE(TRY_ELEMENT_AT(:parts, :n), '') ELSE SPLIT_PART(:x, :by, :n) END",
        x=x,
        by=by,
        n=n,
        parts=parts,
    )


# --- patterns --------------------------------------------------------------------------------------


def _constant(node: exp.Expr | None, what: str, default: str = "") -> str:
    if node is None:
        return default
    if not isinstance(node, exp.Literal) or not node.is_string:
        refuse(
            f"{what} that is no constant",
            "it has to be written for Java before the run",
            "write it as text",
            node,
        )
    return str(node.this)


def _pattern(node: exp.Expr, flags: str) -> Pattern:
    if set(flags) - set("cgi"):
        refuse(
            f"the flags {flags!r} of a pattern",
            "only c, g and i mean the same",
            "write the pattern out",
            node,
        )
    try:
        return java(_constant(node.expression, "a pattern"), ignore_case="i" in flags)
    except Unlike as found:
        refuse(
            f"the pattern {node.expression.sql('duckdb')}",
            f"{found} differs in Java",
            "write it in plainer signs",
            node,
        )


def matched(node: exp.Expr) -> exp.Expr:
    """RLIKE with the pattern in Java's spelling."""
    flags = _constant(node.args.get("flag"), "a flag")
    if isinstance(node.expression, exp.Null):
        return exp.null()
    return spark(":x RLIKE :p", x=_text(node.this), p=_pattern(node, flags).text)


def fully_matched(node: exp.Expr) -> exp.Expr:
    """SIMILAR TO and regexp_full_match: the pattern must match the whole text."""
    found = _pattern(node, "")
    flags = "(?iu)" if found.text.startswith("(?iu)") else ""
    return spark(":x RLIKE :p", x=_text(node.this), p=f"{flags}^(?:{found.text.removeprefix('(?iu)')})\\z")


def extracted(node: exp.Expr) -> exp.Expr:
    """A group that the pattern does not have gives ''."""
    found = _pattern(node, _constant(node.args.get("parameters"), "a flag"))
    group = node.args.get("group")
    number = (
        0
        if group is None
        else int(group.this)
        if isinstance(group, exp.Literal) and not group.is_string
        else -1
    )
    if number < 0:
        refuse("regexp_extract() of several groups", "Spark extracts one", "extract them one by one", node)
    x = _text(node.this)
    if number > found.groups:
        return spark("CASE WHEN NOT :x IS NULL THEN '' END", x=x)
    return spark("REGEXP_EXTRACT(:x, :p, :n)", x=x, p=found.text, n=number)


def replaced(node: exp.Expr) -> exp.Expr:
    r"""DuckDB replaces the first match unless told ``g``; a group is \\1, on Spark $1."""
    flags = _constant(node.args.get("modifiers"), "a flag")
    found = _pattern(node, flags)
    new = _constant(node.args.get("replacement"), "a replacement")
    text = found.text.removeprefix("(?iu)")
    start = found.text[: len(found.text) - len(text)]
    try:
        if "g" not in flags:
            first = f"{start}^([\\s\\S]*?)({text})"
            made = "$1" + _apart(java_replacement(new, found.groups, shift=2))
            return spark("REGEXP_REPLACE(:x, :p, :r)", x=_text(node.this), p=first, r=made)
        found.check_never_empty()
        return spark(
            "REGEXP_REPLACE(:x, :p, :r)",
            x=_text(node.this),
            p=found.text,
            r=java_replacement(new, found.groups),
        )
    except Unlike as unlike:
        refuse(f"`{node.sql('duckdb')}`", f"{unlike} differs in Java", "write it in plainer signs", node)


def _apart(replacement: str) -> str:
    """A digit after a group's number would belong to the number."""
    return "\\" + replacement if replacement[:1].isdigit() else replacement


def like(node: exp.Expr) -> exp.Expr:
    """DuckDB has no escape character unless told, Spark has the backslash; ILIKE is LIKE of small letters."""
    pattern, escape = node.expression, "\\"
    if isinstance(node.parent, exp.Escape):
        escape = _constant(node.parent.expression, "an escape character")
    x, pattern = _text(node.this), _text(pattern)
    if isinstance(pattern, exp.Literal):
        pattern = marked(
            exp.Literal.string(_with_backslash(pattern, escape, told=isinstance(node.parent, exp.Escape))),
            "VARCHAR",
        )
    elif isinstance(node.parent, exp.Escape):
        refuse(
            "LIKE with ESCAPE and a pattern that is no constant",
            "Spark has another escape",
            "leave ESCAPE out",
            node,
        )
    else:
        pattern = spark(r"REPLACE(:p, '\\', '\\\\')", p=pattern)
    if isinstance(node, exp.ILike):
        x, pattern = lower(marked(x, "VARCHAR")), lower(marked(pattern, "VARCHAR"))
    return spark("NOT :x LIKE :p" if node.args.get("negate") else ":x LIKE :p", x=x, p=pattern)


def _with_backslash(pattern: exp.Literal, escape: str, *, told: bool) -> str:
    """A pattern whose escape character is the backslash, which Spark takes before %, _ and itself only."""
    text, out, at = str(pattern.this), [], 0
    while at < len(text):
        char = text[at]
        if told and char == escape:
            at += 1
            if at == len(text):
                refuse(
                    f"LIKE {pattern.sql('duckdb')}",
                    "it ends in its escape character",
                    "leave it out",
                    pattern,
                )
            char = text[at]
            out.append("\\" + char if char in "%_\\" else char)
        else:
            out.append("\\\\" if char == "\\" else char)
        at += 1
    return "".join(out)


def escaped(node: exp.Expr) -> exp.Expr:
    """The LIKE inside has seen the escape character."""
    inside: exp.Expr = node.this
    return inside


RULES: tuple[Rule, ...] = (
    Rule(exp.Lower, lowered),
    Rule(exp.Upper, uppered),
    Rule(exp.Concat, joined),
    Rule(exp.DPipe, appended),
    Rule(exp.ConcatWs, joined_by),
    Rule(exp.Contains, contains),
    Rule(exp.StartsWith, called("STARTSWITH(:a, :b)", "this", "expression")),
    Rule(exp.EndsWith, called("ENDSWITH(:a, :b)", "this", "expression")),
    Rule(exp.Length, length),
    Rule(exp.Left, cut_left),
    Rule(exp.Right, cut_right),
    Rule(exp.Substring, part, "start length"),
    Rule(exp.Pad, padded, "fill_pattern is_left"),
    Rule(exp.Trim, trimmed, "position"),
    Rule(exp.MD5, called("MD5(:a)", "this")),
    Rule(exp.SHA2, called("SHA2(:a, 256)", "this"), "length"),
    Rule(exp.StrPosition, positioned, "substr"),
    Rule(exp.Repeat, repeated, "times"),
    Rule(exp.Replace, called("REPLACE(:a, :b, :c)", "this", "expression", "replacement"), "replacement"),
    Rule(exp.Reverse, reversed_),
    Rule(exp.Translate, called("TRANSLATE(:a, :b, :c)", "this", "from_", "to"), "from_ to"),
    Rule(exp.Split, split),
    Rule(exp.SplitPart, split_part, "delimiter part_index"),
    Rule(exp.RegexpLike, matched, "flag"),
    Rule(exp.RegexpFullMatch, fully_matched),
    Rule(exp.SimilarTo, fully_matched),
    Rule(exp.RegexpExtract, extracted, "group parameters"),
    Rule(exp.RegexpReplace, replaced, "replacement modifiers"),
    Rule(exp.Like, like, "negate"),
    Rule(exp.ILike, like, "negate"),
    Rule(exp.Escape, escaped),
)
