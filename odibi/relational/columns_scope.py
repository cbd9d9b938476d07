"""Names inside a query: which base columns does ``t.a`` mean here, and which does ``*``?

DuckDB's rules: a table's column wins over an alias of the SELECT list, an inner scope over an
outer one, names are equal without regard to (ASCII) case. A name that is not found stands for
every column it could be: a dependency too many is harmless, one too few is not.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from sqlglot import exp

__all__ = ["NONE", "Field", "Names", "Relation", "Scope", "Source", "fold", "join_fields", "name_pattern", "star_fields"]

Names = frozenset[str]
NONE: Names = frozenset()
_LOWER = str.maketrans({chr(c): chr(c + 32) for c in range(ord("A"), ord("Z") + 1)})


def fold(name: str) -> str:
    """The name as DuckDB compares it: ASCII letters in lower case."""
    return name.lower() if name.isascii() else name.translate(_LOWER)


class Field(NamedTuple):
    """A column of a relation and the base columns it is made of.

    ``name`` is empty where DuckDB makes one up from the expression ``made``; ``type`` is known
    for a base column that was handed on untouched.
    """

    name: str
    direct: Names
    indirect: Names = NONE
    type: str = ""
    made: exp.Expr | None = None

    @property
    def all(self) -> Names:
        """Direct and indirect together."""
        return self.direct | self.indirect


def join_fields(fields: Iterable[Field], name: str = "") -> Field:
    """One field made of all the given ones."""
    fields = list(fields)
    direct, indirect = (NONE.union(*(f[i] for f in fields)) for i in (1, 2))
    return Field(name, direct, indirect)


class Relation:
    """Columns in order, and what decided the rows.

    Args:
        fields: the columns.
        rows: base columns that decided which rows there are; each column depends on them too.
        more: what an unknown number of further columns are made of; None if all are known.
        order: base columns that may have decided nothing but the order of the rows.
    """

    __slots__ = ("_index", "fields", "more", "order", "rows")

    def __init__(
        self, fields: Iterable[Field], rows: Names = NONE, more: Field | None = None, order: Names = NONE
    ) -> None:
        self.fields = tuple(fields)
        self.rows = rows
        self.more = more
        self.order = order
        self._index: dict[str, Field] | None = None

    @property
    def everything(self) -> tuple[Field, ...]:
        """The fields, and what further ones are made of."""
        return (*self.fields, self.more) if self.more else self.fields

    @property
    def index(self) -> dict[str, Field]:
        """Fields by folded name; the second ``a`` is ``a_1``, as in DuckDB."""
        if self._index is None:
            index: dict[str, Field] = {}
            count: dict[str, int] = {}
            for field in self.fields:
                name = base = fold(field.name)
                while name and name in index:
                    count[base] = count.get(base, 0) + 1
                    name = f"{base}_{count[base]}"
                if name:
                    index[name] = field
            self._index = index
        return self._index

    def equals(self, other: Relation) -> bool:
        """Whether columns and dependencies are the same."""
        return (self.fields, self.rows, self.more) == (other.fields, other.rows, other.more)

    def blurred(self) -> Relation:
        """The same dependencies, where it is not known which column has which."""
        return Relation((), self.rows, join_fields(self.everything, "*"), self.order)

    def renamed(self, names: list[str]) -> Relation:
        """The relation with its first columns renamed, as ``t(p, q)`` does."""
        if not names:
            return self
        if self.more or len(names) > len(self.fields):
            return self.blurred()
        fields = [f._replace(name=n) for f, n in zip(self.fields, names, strict=False)]
        return Relation([*fields, *self.fields[len(names) :]], self.rows, None, self.order)


class Source:
    """A relation in FROM under its name; ``visible`` and ``index`` lack what USING merged away."""

    __slots__ = ("index", "merged", "name", "relation", "visible")

    def __init__(self, name: str, relation: Relation) -> None:
        self.name = fold(name)
        self.relation = relation
        self.visible = relation.fields
        self.index = relation.index
        self.merged: frozenset[str] = NONE

    def has(self, table: str, column: str) -> bool:
        """Whether ``table.column`` is a column of this source."""
        return self.name == table and column in self.relation.index

    def merge(self, name: str, field: Field | None) -> None:
        """Let the USING column ``name`` mean ``field`` here, or be seen only when qualified."""
        self.merged |= {name}
        self.index = {key: f for key, f in self.index.items() if key != name}
        if field:
            self.index[name] = field
            self.visible = tuple(field if fold(f.name) == name else f for f in self.visible)
        else:
            self.visible = tuple(f for f in self.visible if fold(f.name) != name)


class Scope:
    """What names mean at one place of a query.

    Args:
        outer: the scope around it, whose names are seen too.
        tables: common table expressions by folded name, if this scope adds any.
    """

    def __init__(self, outer: Scope | None = None, tables: dict[str, Relation] | None = None) -> None:
        self.outer = outer
        self.tables: dict[str, Relation] = tables if tables is not None else (outer.tables if outer else {})
        self.sources: list[Source] = []
        self.aliases: dict[str, Field] = {}
        self.windows: dict[str, exp.Expr] = {}
        self.rows: set[str] = set()
        self.order: set[str] = set()
        self.ambiguous = False  # whether an alias may win over a column here (ORDER BY)

    def chain(self) -> Iterator[Scope]:
        """This scope and those around it."""
        scope: Scope | None = self
        while scope:
            yield scope
            scope = scope.outer

    def everything(self) -> Field:
        """All columns in sight."""
        scopes = list(self.chain())
        fields = [f for scope in scopes for s in scope.sources for f in s.relation.everything]
        return join_fields([*fields, *(f for scope in scopes for f in scope.aliases.values())])

    def add(self, source: Source) -> None:
        """Put a relation into FROM."""
        self.sources.append(source)
        self.rows |= source.relation.rows
        self.order |= source.relation.order

    def name(self, alias: str, field: Field) -> None:
        """Remember a SELECT item under its alias, for the items and clauses that come after it."""
        key = fold(alias)
        old = self.aliases.get(key)
        self.aliases[key] = join_fields((old, field), alias) if old else field

    def resolve(self, *parts: str) -> Field:
        """What ``a`` or ``t.a`` or ``t.a.field`` is made of; all it could be if it is not found."""
        parts = tuple(map(fold, parts))
        unsure: list[Field] = []
        for scope in self.chain():
            found = scope._plain(parts[0]) if len(parts) == 1 else scope._dotted(parts)
            if found:
                return found[0] if len(found) == 1 and not unsure else join_fields((*found, *unsure))
            unsure += scope._perhaps(parts)
        return join_fields(unsure) if unsure and len(parts) > 1 else self.everything()

    def _plain(self, name: str) -> list[Field]:
        found = [s.index[name] for s in self.sources if name in s.index]
        if not found:  # a table's name stands for its row
            found = [join_fields(s.relation.everything) for s in self.sources if s.name == name]
        elif not self.ambiguous:
            return found
        return [*found, self.aliases[name]] if name in self.aliases else found

    def _dotted(self, parts: tuple[str, ...]) -> list[Field]:
        """What ``a.b.c`` can be here: table.column, column.field, schema.table.column, alias.field."""
        pairs = list(zip(parts, parts[1:], strict=False))
        found = [s.relation.index[pairs[0][1]] for s in self.sources if s.has(*pairs[0])]
        if found and len(parts) == 2:
            return found
        found += [s.index[parts[0]] for s in self.sources if parts[0] in s.index]
        found += [s.relation.index[pair[1]] for pair in pairs[1:] for s in self.sources if s.has(*pair)]
        name = parts[1] if parts[0] == "alias" and parts[1] in self.aliases else parts[0]
        if not found and name in self.aliases:
            found = [self.aliases[name]]
        return found

    def _perhaps(self, parts: tuple[str, ...]) -> list[Field]:
        """Columns here that may be meant, because their name or their number is not known."""
        if len(parts) == 1:
            return [f for s in self.sources for f in s.relation.everything if f.name in ("", "*")]
        return [f for s in self.sources if s.name in parts[:-1] for f in s.relation.everything]


def star_fields(
    node: exp.Expr, scope: Scope, value: Callable[[exp.Expr], Field]
) -> tuple[list[Field], Field | None]:
    """The columns ``*`` or ``t.*`` stands for, after EXCLUDE, REPLACE and RENAME.

    ``value`` says what an expression of REPLACE is made of. The second result is what an unknown
    number of further columns are made of, None if there are none.
    """
    star, sources, table = node, scope.sources, ""
    if isinstance(node, exp.Column):
        star, table = node.this, fold(node.table)
        sources = [s for s in scope.sources if s.name == table]
        if not sources:  # a struct unfolded into its fields
            return [], scope.resolve(table)._replace(name="*")
    dropped = {(fold(e.args["table"].name) if e.args.get("table") else "", fold(e.name)) for e in _list(star, "except_")}
    if not table and any(s.name == owner and name in s.merged for s in sources for owner, name in dropped):
        return [], scope.everything()._replace(name="*")  # it uncovers the other side's column
    new_names = {fold(e.this.name): e.alias for e in _list(star, "rename")}
    values = {fold(e.alias): value(e) for e in _list(star, "replace")}
    kept: list[Field] = []
    replaced: set[str] = set()
    for source in sources:
        for field in source.relation.fields if table else source.visible:
            key = fold(field.name)
            if dropped and (("", key) in dropped or (source.name, key) in dropped):
                continue
            if key in values:
                if key not in replaced:  # DuckDB drops a second column of that name
                    kept.append(values[key])
                replaced.add(key)
            else:
                kept.append(field._replace(name=new_names[key]) if key in new_names else field)
    more = [s.relation.more for s in sources if s.relation.more]
    if star.args.get("ilike"):
        kept = [f for f in kept if re.fullmatch(_like(star.args["ilike"].name), f.name, re.I | re.S)]
    return kept, join_fields(more, "*") if more else None


def _list(node: exp.Expr, key: str) -> list[exp.Expr]:
    return node.args.get(key) or []


def name_pattern(node: exp.Expr) -> Callable[[str], re.Match[str] | None] | None:
    """What COLUMNS('regex'), COLUMNS(['a', 'b']) and ``* LIKE 'a%'`` match; None if that cannot be told."""
    flags, whole = re.S, True
    if isinstance(node, exp.Star | exp.Column):
        text = ".*"
    elif isinstance(node, exp.Array) and all(isinstance(e, exp.Literal) for e in node.expressions):
        text, flags = "|".join(re.escape(e.name) for e in node.expressions), re.I
    elif isinstance(node, exp.Literal):
        text, whole = node.name, False
    elif isinstance(node, _MATCHES) and isinstance(node.expression, exp.Literal):
        text = node.expression.name
        if isinstance(node, exp.Like | exp.ILike):
            text, flags = _like(text), flags | (re.I if isinstance(node, exp.ILike) else 0)
        elif isinstance(node, exp.Glob):
            text = fnmatch.translate(text)
        else:
            whole = False
        if node.args.get("negate"):
            text = f"(?!(?:{text})$).*"
    else:
        return None
    try:
        found = re.compile(text, flags)
    except re.error:
        return None
    return found.fullmatch if whole else found.search


_MATCHES = (exp.Like, exp.ILike, exp.Glob, exp.SimilarTo)


def _like(text: str) -> str:
    """A LIKE pattern as a regular expression."""
    return "".join({"%": ".*", "_": "."}.get(c) or re.escape(c) for c in text)
