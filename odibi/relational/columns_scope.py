"""Names and expressions inside a query: of which base columns are ``t.a``, ``*`` and ``f(a)`` made?

DuckDB's rules: a table's column wins over an alias of the SELECT list, an inner scope over an
outer one, names are equal without regard to (ASCII) case. A name that is not found stands for
every column it could be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from sqlglot import exp

__all__ = [
    "FILTER",
    "GROUP",
    "JOIN",
    "SORT",
    "Field",
    "Names",
    "Relation",
    "Scope",
    "Source",
    "decide",
    "fold",
    "is_star",
    "kinds_of",
    "marked",
    "matcher",
    "outside_aggregates",
    "pool",
    "star",
    "value",
    "walk",
]

Names = frozenset[str]
_NONE: Names = frozenset()
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}

TRANSFORMATION, AGGREGATION = "transformation", "aggregation"
FILTER, JOIN, GROUP, SORT, WINDOW = "filter", "join", "group", "sort", "window"
_DECIDING = frozenset({FILTER, JOIN, GROUP, SORT, WINDOW})
_MARK = "\0"


@lru_cache(maxsize=1 << 16)
def _mark(name: str, kind: str) -> str:
    base, _, before = name.partition(_MARK)
    kept = before in _DECIDING or (before == AGGREGATION and kind == TRANSFORMATION)
    return name if kept else f"{base}{_MARK}{kind}"


def marked(names: Iterable[str], kind: str) -> Names:
    """The base columns with what they are used for; what decided rows before goes on to say how.

    A direct column without a mark is handed on as it is, an indirect one decides which value is taken.
    """
    return frozenset([_mark(name, kind) for name in names]) if names else _NONE


@lru_cache(maxsize=1 << 12)
def kinds_of(direct: Names, indirect: Names) -> dict[str, tuple[str, ...]]:
    """The kinds of dependence on each base column, sorted."""
    found: dict[str, set[str]] = {}
    for name in direct:
        base, _, kind = name.partition(_MARK)
        found.setdefault(base, set()).add(kind or "identity")
    for name in indirect:
        base, _, kind = name.partition(_MARK)
        found.setdefault(base, set()).add(kind if kind in _DECIDING else "condition")
    return {base: tuple(sorted(kinds)) for base, kinds in sorted(found.items())}


def fold(name: str) -> str:
    """The name as DuckDB compares it: ASCII letters in lower case."""
    return name.lower() if name.isascii() else name.translate(_LOWER)


class Field(NamedTuple):
    """A column of a relation and the base columns it is made of, as :func:`marked`.

    ``name`` is empty where DuckDB makes one up from the expression ``made``; ``type`` is that of
    a base column handed on untouched, else empty.
    """

    name: str
    direct: Names = _NONE
    indirect: Names = _NONE
    type: str = ""
    made: exp.Expr | None = None

    @property
    def all(self) -> Names:
        """Direct and indirect together."""
        return self.direct | self.indirect


def pool(fields: Iterable[Field | None], name: str = "") -> Field:
    """One field made of all that are given."""
    found = [field for field in fields if field]
    return Field(name, _NONE.union(*(f.direct for f in found)), _NONE.union(*(f.indirect for f in found)))


class Relation:
    """Columns in order, and what decided the rows.

    Args:
        fields: the columns.
        rows: base columns that decided which rows there are; every column depends on them too.
        more: what an unknown number of further columns are made of; None if all are known.
        order: base columns that may have decided the order of the rows and nothing else.
    """

    __slots__ = ("_index", "fields", "more", "order", "rows")

    def __init__(
        self,
        fields: Iterable[Field],
        rows: Iterable[str] = (),
        more: Field | None = None,
        order: Iterable[str] = (),
    ) -> None:
        self.fields = tuple(fields)
        self.rows = frozenset(rows)
        self.more = more
        self.order = frozenset(order)
        self._index: dict[str, Field] | None = None

    @property
    def everything(self) -> tuple[Field, ...]:
        """The fields, and what further ones are made of."""
        return (*self.fields, self.more) if self.more else self.fields

    @property
    def index(self) -> dict[str, Field]:
        """Fields by folded name, the first of those that have the same one."""
        if self._index is None:
            self._index = {}
            for field in self.fields:
                if field.name:
                    self._index.setdefault(fold(field.name), field)
        return self._index

    def unique(self) -> Relation:
        """The relation as a table: of two columns ``a`` the second is ``a_1``, as in DuckDB."""
        if len(self.index) == len(self.fields):
            return self
        seen: set[str] = set()
        fields = []
        for field in self.fields:
            name, count = field.name, 0
            while name and fold(name) in seen:
                count += 1
                name = f"{field.name}_{count}"
            seen.add(fold(name))
            fields.append(field._replace(name=name))
        return Relation(fields, self.rows, self.more, self.order)

    def same(self, other: Relation | None) -> bool:
        """Whether columns and dependencies are those of the other relation."""
        keys = ("fields", "rows", "more", "order")
        return other is not None and all(getattr(self, key) == getattr(other, key) for key in keys)

    def renamed(self, names: list[str]) -> Relation:
        """The relation with its first columns renamed, as ``t(p, q)`` does."""
        if not names:
            return self
        if self.more or len(names) > len(self.fields):  # no saying which column a name is for
            return Relation((), self.rows, pool(self.everything, "*"), self.order)
        named = (field._replace(name=name) for field, name in zip(self.fields, names, strict=False))
        return Relation((*named, *self.fields[len(names) :]), self.rows, None, self.order)


class Source:
    """A relation in FROM under its name; ``visible`` and ``index`` lack what USING merged away."""

    __slots__ = ("full", "index", "merged", "name", "relation", "visible")

    def __init__(self, name: str, relation: Relation) -> None:
        self.name = fold(name)
        self.relation = relation = relation.unique()
        self.visible = relation.fields
        self.index = relation.index
        self.merged: set[str] = set()
        self.full = False  # whether FULL JOIN made an expression of a merged column

    def has(self, table: str, column: str) -> bool:
        """Whether ``table.column`` is a column of this source."""
        return self.name == table and column in self.relation.index

    def merge(self, name: str, field: Field | None) -> None:
        """Let the USING column ``name`` mean ``field`` here, or be seen only when qualified."""
        self.merged.add(name)
        self.index = {key: f for key, f in self.index.items() if key != name}
        if field:
            self.index[name] = field
            self.visible = tuple(field if fold(f.name) == name else f for f in self.visible)
        else:
            self.visible = tuple(f for f in self.visible if fold(f.name) != name)


class Scope:
    """What names mean at one place of a query, and what was found out about its rows.

    Args:
        query: reads a subquery met in an expression.
        outer: the scope around it, whose names are seen too.
        tables: common table expressions by folded name; those of ``outer`` if not given.
    """

    def __init__(
        self,
        query: Callable[[exp.Expr, Scope], Relation],
        outer: Scope | None = None,
        tables: dict[str, Relation] | None = None,
    ) -> None:
        self.query = query
        self.outer = outer
        self.tables: dict[str, Relation] = tables if tables is not None else outer.tables if outer else {}
        self.sources: list[Source] = []
        self.aliases: dict[str, Field] = {}
        self.windows: dict[str, exp.Expr] = {}
        self.rows: set[str] = set()  # as in Relation
        self.order: set[str] = set()  # as in Relation, and what the windows of this scope sort by
        self.given = _NONE  # the same without the windows: the order that aggregates see
        self.tied = False  # whether a window was met whose value depends on how ties fall
        self.ambiguous = False  # whether an alias may win over a column here, as in ORDER BY
        self.column: Field | None = None  # what COLUMNS(...) stands for at the moment
        self.met: list[exp.Columns] = []  # the COLUMNS(...) met while it stood for nothing

    def within(self, tables: dict[str, Relation] | None = None) -> Scope:
        """A scope inside this one."""
        return Scope(self.query, self, tables)

    def lambda_body(self, parameters: Iterable[str]) -> Scope:
        """This scope with parameters that hide all else of their name."""
        scope = self.within()
        scope.rows, scope.order, scope.given = self.rows, self.order, self.given
        scope.column, scope.met = self.column, self.met
        scope.aliases = {fold(name): Field(name) for name in parameters}
        return scope

    def chain(self) -> Iterator[Scope]:
        """This scope and those around it."""
        scope: Scope | None = self
        while scope:
            yield scope
            scope = scope.outer

    def add(self, source: Source) -> None:
        """Put a relation into FROM."""
        self.sources.append(source)
        self.rows |= source.relation.rows
        self.order |= source.relation.order

    def relation(self, start: int = 0) -> Relation:
        """The sources from ``start`` on as ``SELECT *`` sees them."""
        sources = self.sources[start:]
        more = [s.relation.more for s in sources if s.relation.more]
        fields = (field for s in sources for field in s.visible)
        return Relation(fields, self.rows, pool(more, "*") if more else None, self.order)

    def everything(self) -> Field:
        """All columns in sight."""
        scopes = list(self.chain())
        fields = [f for scope in scopes for s in scope.sources for f in s.relation.everything]
        return pool([*fields, *(f for scope in scopes for f in scope.aliases.values())])

    def name(self, alias: str, field: Field) -> None:
        """Remember a SELECT item for the items and clauses that come after it."""
        old = self.aliases.get(fold(alias))
        self.aliases[fold(alias)] = pool((old, field), alias) if old else field

    def resolve(self, *names: str) -> Field:
        """What ``a`` or ``t.a`` or ``t.a.field`` is made of; all it could be if it is not found."""
        names = tuple(map(fold, names))
        unsure: list[Field] = []
        for scope in self.chain():
            found = scope.certain(names)
            if not found:
                unsure += scope.unknown(names)
            if not found or scope.ambiguous:
                found += scope.likely(names)
            if found:
                field = found[0] if len(found) == 1 and not unsure else pool((*found, *unsure))
                if scope.order is not self.order:  # a subquery joins by this column, which may move rows
                    scope.order |= field.all
                return field
        return pool(unsure) if unsure and len(names) > 1 else self.everything()

    def certain(self, names: tuple[str, ...]) -> list[Field]:
        """The columns ``a`` or ``t.a`` means here, all that ``a.b.c`` can mean."""
        if len(names) == 1:
            return [s.index[names[0]] for s in self.sources if names[0] in s.index]
        found = [
            _inside(s.relation.index[column], names[end:])
            for end, (table, column) in enumerate(pairwise(names), 2)
            for s in self.sources
            if s.has(table, column)
        ]
        return found + self._fields(names) if len(names) > 2 else found

    def _fields(self, names: tuple[str, ...]) -> list[Field]:
        """The columns ``a`` of which ``a.b`` can be a field."""
        return [_inside(field, names[1:]) for field in self.certain(names[:1])]

    def likely(self, names: tuple[str, ...]) -> list[Field]:
        """What else it can be: an alias, the row of a table, a field of a column."""
        found = [self.aliases[name] for name in names[: 1 + (names[0] == "alias")] if name in self.aliases]
        if len(names) > 1:
            return found + self._fields(names)
        return found + [pool(s.relation.everything) for s in self.sources if s.name == names[0]]

    def unknown(self, names: tuple[str, ...]) -> list[Field]:
        """The columns here that may be meant because their name or their number is not known."""
        if len(names) == 1:
            return [f for s in self.sources for f in s.relation.everything if f.name in ("", "*")]
        return [f for s in self.sources if s.name in names[:-1] for f in s.relation.everything]


def _inside(field: Field, path: tuple[str, ...]) -> Field:
    """What the field of a struct that ``path`` leads to is made of; with no path, the column itself."""
    return field._replace(direct=marked(field.direct, TRANSFORMATION), type="") if path else field


def is_star(node: Any) -> bool:
    """Whether the node is ``*`` or ``t.*``."""
    return isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star))


def star(node: exp.Expr, scope: Scope) -> Relation:
    """The columns ``*`` or ``t.*`` stands for, after EXCLUDE, REPLACE and RENAME."""
    sources, table = scope.sources, ""
    if isinstance(node, exp.Column):
        table, node = fold(node.table), node.this
        sources = [s for s in scope.sources if s.name == table]
        if not sources:  # a struct unfolded into its fields
            return Relation((), more=_inside(scope.resolve(table), ("*",))._replace(name="*"))
    excepts, renames, replaces = (node.args.get(key) or () for key in ("except_", "rename", "replace"))
    dropped = {(fold(e.text("table")), fold(e.name)) for e in excepts}
    if not table and any(s.name == owner and name in s.merged for s in sources for owner, name in dropped):
        return Relation((), more=scope.everything()._replace(name="*"))  # uncovers the other side's column
    renamed = {fold(e.this.name): e.alias for e in renames}
    replaced = {fold(e.alias): value(e.this, scope, e.alias) for e in replaces}
    fields: list[Field] = []
    for source in sources:
        for field in source.relation.fields if table else source.visible:
            key = fold(field.name)
            if key in replaced:
                if replaced[key] not in fields:  # DuckDB drops the second column of that name
                    fields.append(replaced[key])
            elif ("", key) not in dropped and (source.name, key) not in dropped:
                fields.append(field._replace(name=renamed[key]) if key in renamed else field)
    if node.args.get("ilike"):
        like = re.compile(_like(node.args["ilike"].name), re.I | re.S)
        fields = [f for f in fields if like.fullmatch(f.name)]
    more = [s.relation.more for s in sources if s.relation.more]
    return Relation(fields, more=pool(more, "*") if more else None)


def matcher(node: exp.Expr) -> Callable[[str], re.Match[str] | None] | None:
    """What COLUMNS('regex'), COLUMNS(['a', 'b']) or ``* LIKE 'a%'`` matches; None if that cannot be told."""
    try:
        if is_star(node):
            return re.compile(".*", re.S).fullmatch
        if isinstance(node, exp.Literal):
            return re.compile(node.name, re.S).search
        if isinstance(node, exp.Array) and all(isinstance(e, exp.Literal) for e in node.expressions):
            return re.compile("|".join(re.escape(e.name) for e in node.expressions), re.I).fullmatch
        if isinstance(node, exp.Like | exp.ILike) and isinstance(node.expression, exp.Literal):
            text = _like(node.expression.name)
            text = f"(?!{text}$).*" if node.args.get("negate") else text
            return re.compile(text, re.S | (re.I if isinstance(node, exp.ILike) else 0)).fullmatch
    except re.error:  # RE2 knows a few things that Python does not
        pass
    return None


def _like(text: str) -> str:
    return "".join({"%": ".*", "_": "."}.get(c) or re.escape(c) for c in text)


Target = set[str]
Steps = Iterable[tuple[Any, Target]]


def value(node: exp.Expr, scope: Scope, name: str = "") -> Field:
    """What an expression is made of; a plain column keeps its name unless it is given another."""
    if type(node) is exp.Column and not is_star(node):
        field = scope.resolve(*_names(node))
        return field._replace(name=name) if name else field
    direct: Target = set()
    indirect: Target = set()
    walk(node, scope, direct, indirect)
    made = frozenset(direct) if isinstance(node, _HANDED_ON) else marked(direct, TRANSFORMATION)
    return Field(name, made, frozenset(indirect))


_HANDED_ON = (exp.Columns, exp.PositionalColumn)


def decide(root: Any, scope: Scope, kind: str) -> None:
    """Add the base columns that an expression of a clause is made of to those that decided the rows."""
    found: Target = set()
    walk(root, scope, found, found)
    scope.rows |= marked(found, kind)


def walk(root: Any, scope: Scope, direct: Target, indirect: Target) -> None:
    """Add the base columns an expression (or a list of them) is made of to the two sets.

    Depth costs no recursion: a condition of a thousand ANDs is a tree a thousand deep.
    """
    stack: list[tuple[Any, Target]] = [(root, direct)]
    summed: Target = set()
    filtering: Target = set()
    sorting: Target = set()
    while stack:
        node, into = stack.pop()
        if isinstance(node, list):
            stack += [(child, into) for child in node]
        elif isinstance(node, exp.Expr):
            kind = type(node)
            if into is direct is not indirect and isinstance(node, _SUMS) and not isinstance(node, _PICKS):
                into = summed
            if kind in _STEPS:
                stack += _STEPS[kind](node, scope, into, indirect)
                continue
            if scope.given and isinstance(node, exp.AggFunc) and not isinstance(node, _STABLE):
                indirect |= marked(scope.given, SORT)
            influence, labels = _INFLUENCE.get(kind, ()), _LABELS.get(kind, ())
            for key, child in node.args.items():
                if key in influence:
                    decisive = filtering if kind is exp.Filter else sorting if kind is exp.Order else indirect
                    stack.append((child, decisive))
                elif key not in labels:
                    stack.append((child, into))
    if summed:
        direct |= marked(summed, AGGREGATION)
    if filtering or sorting:
        indirect |= marked(filtering, FILTER) | marked(sorting, SORT)


_SUMS = (exp.AggFunc, exp.WithinGroup)
_PICKS = (exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue)
"""Aggregates to the parser, which give the value of one row."""


_INFLUENCE: dict[type, tuple[str, ...]] = {
    exp.Case: ("this",),
    exp.If: ("this",),
    exp.Filter: ("expression",),
    exp.In: ("query",),
    exp.Order: ("expressions",),
}
"""Arguments that decide which value is taken, without being it."""

_LABELS: dict[type, tuple[str, ...]] = {
    exp.Alias: ("alias",),
    exp.Kwarg: ("this",),
    exp.PropertyEQ: ("this",),
    exp.DataType: ("expressions", "kind", "this"),
}
"""Arguments that are names, not expressions."""

_STABLE = (
    exp.Sum, exp.Count, exp.CountIf, exp.Min, exp.Max, exp.Avg, exp.LogicalAnd, exp.LogicalOr,
    exp.Rank, exp.DenseRank, exp.CumeDist, exp.PercentRank,
)  # fmt: skip
"""Aggregates that give the same in whatever order tied rows come."""


def _names(column: exp.Column) -> list[str]:
    return [column.text(key) for key in ("catalog", "db", "table", "this") if column.args.get(key)]


def _take(fields: Iterable[Field], into: Target, indirect: Target) -> Steps:
    for field in fields:
        into |= field.direct
        indirect |= field.indirect
    return ()


def _column(node: exp.Column, scope: Scope, into: Target, indirect: Target) -> Steps:
    fields = star(node, scope).everything if is_star(node) else (scope.resolve(*_names(node)),)
    return _take(fields, into, indirect)


def _identifier(node: exp.Identifier, scope: Scope, into: Target, indirect: Target) -> Steps:
    return _take((scope.resolve(node.name),), into, indirect)


def _dot(node: exp.Dot, scope: Scope, into: Target, indirect: Target) -> Steps:
    """``a.b.upper()``: the parser leaves the names in front of a method bare."""
    steps: list[tuple[Any, Target]] = []
    names: list[str] = []
    base: Any = node
    while isinstance(base, exp.Dot):
        if isinstance(base.expression, exp.Identifier):
            names.insert(0, base.expression.name)
        else:
            names.clear()
            steps.append((base.expression, into))
        base = base.this
    if not isinstance(base, exp.Identifier):
        return [*steps, (base, into)]
    _take((scope.resolve(base.name, *names),), into, indirect)
    return steps


def _star(_: exp.Star, scope: Scope, into: Target, indirect: Target) -> Steps:
    nearest = next((s for s in scope.chain() if s.sources), scope)
    return _take(nearest.relation().everything, into, indirect)


def _columns(node: exp.Columns, scope: Scope, into: Target, indirect: Target) -> Steps:
    if node.args.get("unpack"):  # the arguments of one call
        return [(node.this if is_star(node.this) else exp.Star(), into)]
    if scope.column:
        return _take((scope.column,), into, indirect)
    scope.met.append(node)
    return [(exp.Star(), into)]


def _positional(node: exp.PositionalColumn, scope: Scope, into: Target, indirect: Target) -> Steps:
    found = star(exp.Star(), scope)
    at = int(node.name)
    return _take(found.everything if found.more else found.fields[at - 1 : at], into, indirect)


def _within_group(node: exp.WithinGroup, _: Scope, into: Target, __: Target) -> Steps:
    return [(node.this, into), (node.expression.expressions, into)]  # what is ordered is the value


def _count(node: exp.Count, _: Scope, into: Target, __: Target) -> Steps:
    return [(child, into) for child in node.args.values() if not isinstance(child, exp.Star)]


def _window(node: exp.Window, scope: Scope, into: Target, indirect: Target) -> Steps:
    windows: list[exp.Expr] = [node]
    while windows[-1].args.get("alias"):  # OVER w, OVER (w ORDER BY ...), WINDOW w2 AS (w)
        name = fold(windows[-1].text("alias"))
        found = next((s.windows[name] for s in scope.chain() if name in s.windows), None)
        if found is None or found in windows:
            break
        windows.append(found)
    keys: Target = set()
    for window in windows:
        for key, child in window.args.items():
            if key not in ("this", "alias"):
                walk(child, scope, keys, keys)
    function = node.this
    while isinstance(function, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
        function = function.this
    by_rows = any(w.args["spec"].text("kind").upper() == "ROWS" for w in windows if w.args.get("spec"))
    scope.order |= keys
    if by_rows or not isinstance(function, _STABLE):
        scope.tied = True
        keys = scope.order
    indirect |= marked(keys, WINDOW)
    return [(node.this, into)]


def _lambda(node: exp.Lambda, scope: Scope, into: Target, indirect: Target) -> Steps:
    walk(node.this, scope.lambda_body(e.name for e in node.expressions), into, indirect)
    return ()


def _comprehension(node: exp.Comprehension, scope: Scope, into: Target, indirect: Target) -> Steps:
    body = scope.lambda_body(e.name for e in (node.expression, node.args.get("position")) if e)
    walk(node.this, body, into, indirect)
    walk(node.args.get("condition"), body, indirect, indirect)
    return [(node.args["iterator"], into)]


def _unnest(node: exp.Expr, scope: Scope, into: Target, _: Target) -> Steps:
    """One row becomes several, so the argument decides the rows."""
    arguments = [child for key, child in node.args.items() if key in ("this", "expressions")]
    decide(arguments, scope, JOIN)
    return [(arguments, into)]


def _anonymous(node: exp.Anonymous, scope: Scope, into: Target, indirect: Target) -> Steps:
    indirect |= marked(scope.given, SORT)  # it may be an aggregate
    spreads = node.name.lower() == "generate_subscripts"
    return _unnest(node, scope, into, indirect) if spreads else [(node.expressions, into)]


def _subquery(node: exp.Expr, scope: Scope, into: Target, indirect: Target) -> Steps:
    found = scope.query(node, scope)
    _take(found.everything, into, indirect)
    indirect |= found.rows | marked(found.order, SORT)
    scope.order |= found.rows | pool(found.everything).all  # DuckDB may join it, which moves rows
    return ()


def _exists(node: exp.Exists, scope: Scope, into: Target, indirect: Target) -> Steps:
    if not isinstance(node.this, exp.Query):
        return [(list(node.args.values()), into)]
    found = scope.query(node.this, scope)
    indirect |= found.rows
    scope.order |= found.rows
    return ()


def _quantified(node: exp.Expr, _: Scope, into: Target, indirect: Target) -> Steps:
    return [(node.this, indirect if isinstance(node.this, exp.Query) else into)]


_STEPS: dict[type, Callable[[Any, Scope, Target, Target], Steps]] = {
    exp.All: _quantified,
    exp.Anonymous: _anonymous,
    exp.Any: _quantified,
    exp.Column: _column,
    exp.Columns: _columns,
    exp.Comprehension: _comprehension,
    exp.Count: _count,
    exp.Dot: _dot,
    exp.Except: _subquery,
    exp.Exists: _exists,
    exp.Explode: _unnest,
    exp.Identifier: _identifier,
    exp.Intersect: _subquery,
    exp.Lambda: _lambda,
    exp.PositionalColumn: _positional,
    exp.Select: _subquery,
    exp.Star: _star,
    exp.Subquery: _subquery,
    exp.Union: _subquery,
    exp.Unnest: _unnest,
    exp.Values: _subquery,
    exp.Window: _window,
    exp.WithinGroup: _within_group,
}
"""Expressions that are more than their parts."""


def outside_aggregates(node: exp.Expr) -> Iterator[exp.Expr]:
    """The columns and subqueries of an expression that GROUP BY ALL groups by."""
    if isinstance(node, exp.Filter | exp.WithinGroup):
        yield from outside_aggregates(node.this)
    elif isinstance(node, exp.Column | exp.Query):
        yield node
    elif isinstance(node.parent, exp.Window) or not isinstance(node, exp.AggFunc):
        for child in node.iter_expressions():
            yield from outside_aggregates(child)
