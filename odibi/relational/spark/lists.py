"""Lists, structs and maps: NULL elements, positions beyond the end."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from odibi.relational.spark.build import Rule, spark, spark_type
from odibi.relational.spark.casts import converted
from odibi.relational.spark.kinds import UNKNOWN, element, fields, kind, known
from odibi.relational.spark.refusal import refuse
from odibi.relational.types import nested

__all__ = ["RULES"]


def _of(node: exp.Expr) -> str:
    """The type of a list's elements."""
    found = element(kind(node))
    if found is None:
        refuse(f"`{node.sql('duckdb')}` of {kind(node)}", "it is no list there", "give a list", node)
    return found


def _simple(node: exp.Expr, what: str) -> None:
    """Refuses what orders nested elements: Spark puts NULL elsewhere in them."""
    inside = _of(node)
    if element(inside) or fields(inside) or inside.startswith("MAP("):
        refuse(f"{what} over {inside}", "Spark orders nested values otherwise", "take a field of each", node)


def made(node: exp.Expr) -> exp.Expr:
    """A list, its elements in one type."""
    inside = _of(node)
    values = [converted(each, inside) for each in node.expressions]
    array = exp.Array(expressions=values)
    return array if values else exp.Cast(this=array, to=spark_type(kind(node)).copy())


def size(node: exp.Expr) -> exp.Expr:
    """As BIGINT."""
    return spark("CAST(ARRAY_SIZE(:x) AS BIGINT)", x=node.this)


def has(node: exp.Expr) -> exp.Expr:
    """False where it is not found; Spark says NULL where a NULL element hides the answer."""
    inside, value = _of(node.this), node.expression
    if known(value) == UNKNOWN:
        return spark("CASE WHEN NOT :l IS NULL THEN CAST(NULL AS BOOLEAN) END", l=node.this)
    if inside != kind(value):
        value = converted(value, inside)
    return spark(
        "COALESCE(ARRAY_CONTAINS(:l, :v), CASE WHEN NOT :l IS NULL AND NOT :v IS NULL THEN FALSE END)",
        l=node.this,
        v=value,
    )


def item(node: exp.Expr) -> exp.Expr:
    """list_extract(list, n): NULL beyond the end."""
    return _item(node.expressions[0], node.expressions[1], node)


def _item(of: exp.Expr, position: exp.Expr, node: exp.Expr) -> exp.Expr:
    if kind(of) == "VARCHAR":
        return spark("SUBSTRING(:x, :n, 1)", x=of, n=_above_zero(position, node))
    if kind(of).startswith("MAP("):
        key = nested(kind(of))
        return spark(
            "TRY_ELEMENT_AT(:m, :k)", m=of, k=converted(position, key.parts[0][1] if key else "VARCHAR")
        )
    _of(of)
    n = converted(position, "INTEGER")
    if isinstance(n, exp.Literal) and int(n.this) > 0:
        return spark("TRY_ELEMENT_AT(:l, :n)", l=of, n=n)
    return spark("CASE WHEN :n <> 0 THEN TRY_ELEMENT_AT(:l, :n) END", l=of, n=n)


def _above_zero(position: exp.Expr, node: exp.Expr) -> exp.Expr:
    if isinstance(position, exp.Literal) and not position.is_string and int(position.this) > 0:
        return position
    refuse("a character at a computed position", "Spark counts others", "use substring(text, n, 1)", node)
    return None


def bracket(node: exp.Expr) -> exp.Expr:
    """list[n], list[a:b], map[key], struct['field']."""
    (inside,) = node.expressions
    if isinstance(inside, exp.Slice):
        return _slice(node.this, inside.this, inside.expression)
    if fields(kind(node.this)) is not None:
        return _field(node.this, str(inside.name), node)
    return _item(node.this, inside, node)


def cut(node: exp.Expr) -> exp.Expr:
    """array_slice(list, start, end)."""
    return _slice(node.this, node.args.get("start"), node.args.get("end"))


def _slice(of: exp.Expr, start: exp.Expr | None, end: exp.Expr | None) -> exp.Expr:
    """Positions from the end, and those beyond it, are errors on Spark."""
    text = kind(of) == "VARCHAR"
    if not text:
        _of(of)
    length = spark("LENGTH(:l)" if text else "ARRAY_SIZE(:l)", l=of)
    here = [
        default
        if bound is None or isinstance(bound, exp.Placeholder)
        else spark("CASE WHEN :b < 0 THEN :n + :b + 1 ELSE :b END", b=converted(bound, "INTEGER"), n=length)
        for bound, default in ((start, exp.Literal.number(1)), (end, length))
    ]
    sql = "SUBSTRING(:l, GREATEST(:a, 1), GREATEST(:b - GREATEST(:a, 1) + 1, 0))"
    if not text:
        sql = sql.replace("SUBSTRING", "SLICE")
    sql = f"CASE WHEN NOT :l IS NULL AND NOT :a IS NULL AND NOT :b IS NULL THEN {sql} END"
    return spark(sql, l=of, a=here[0], b=spark("LEAST(:b, :n)", b=here[1], n=length))


def text_of(node: exp.Expr) -> exp.Expr:
    """Elements as DuckDB writes them; of NULLs alone it is NULL, of nothing it is empty."""
    inside = _of(node.this)
    values = node.this if inside == "VARCHAR" else converted(node.this, "VARCHAR[]")
    by = converted(node.expression, "VARCHAR")
    return spark(
        "CASE WHEN ARRAY_SIZE(:l) = 0 OR EXISTS(:l, e -> NOT e IS NULL) THEN ARRAY_JOIN(:l, :by) END",
        l=values,
        by=by,
    )


def appended(node: exp.Expr) -> exp.Expr:
    """A NULL list counts as an empty one."""
    inside, result = _of(node.this), kind(node)
    target = element(result) or inside
    values, value = converted(node.this, result), converted(node.expression, target)
    empty = exp.Cast(this=exp.Array(expressions=[]), to=spark_type(result).copy())
    return spark("CONCAT(COALESCE(:l, :empty), ARRAY(:v))", l=values, empty=empty, v=value)


def with_lambda(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for list_filter and list_transform."""

    def rule(node: exp.Expr) -> exp.Expr:
        _of(node.this)
        function = node.expression
        if not isinstance(function, exp.Lambda) or len(function.expressions) != 1:
            refuse(
                f"`{node.sql('duckdb')}`", "Spark counts positions from 0", "use a lambda of one value", node
            )
        body = function.this
        if name == "FILTER":
            body = body if isinstance(body, exp.Null) else converted(body, "BOOLEAN")
        return exp.Anonymous(
            this=name, expressions=[node.this, exp.Lambda(this=body, expressions=function.expressions)]
        )

    return rule


def extreme(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for list_max and list_min."""

    def rule(node: exp.Expr) -> exp.Expr:
        _simple(node.this, f"list_{name.lower()}()")
        return spark(f"ARRAY_{name}(:l)", l=node.this)

    return rule


def reversed_(node: exp.Expr) -> exp.Expr:
    """reverse() on Spark."""
    value = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
    _of(value)
    return spark("REVERSE(:l)", l=value)


def sorted_(node: exp.Expr) -> exp.Expr:
    """NULLs last unless told otherwise; SORT_ARRAY puts them first."""
    _simple(node.this, "list_sort()")
    descending = node.args.get("asc") == exp.false()
    first = node.args.get("nulls_first") == exp.true()
    if first and descending:
        refuse(
            "list_sort() from the greatest with NULLs first",
            "Spark has none",
            "use list_reverse(list_sort(list))",
            node,
        )
    template = "SORT_ARRAY(:l, FALSE)" if descending else "SORT_ARRAY(:l)" if first else "ARRAY_SORT(:l)"
    return spark(template, l=node.this)


def struct(node: exp.Expr) -> exp.Expr:
    """Fields by name."""
    names = fields(kind(node))
    if names is None or len(names) != len(node.expressions):
        refuse("a struct without field names", "Spark names them otherwise", "use {'name': value}", node)
    values = [each.expression if isinstance(each, exp.PropertyEQ) else each for each in node.expressions]
    return exp.Struct(
        expressions=[
            exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=converted(value, found))
            for (name, found), value in zip(names.items(), values, strict=True)
        ]
    )


def field(node: exp.Expr) -> exp.Expr:
    """struct_extract(struct, 'name')."""
    return _field(node.this, str(node.expression.name), node)


def dotted(node: exp.Expr) -> exp.Expr:
    """struct.name."""
    return _field(node.this, str(node.expression.name), node)


def _field(of: exp.Expr, name: str, node: exp.Expr) -> exp.Expr:
    names = fields(kind(of)) or {}
    found = next((each for each in names if each.lower() == name.lower()), None)
    if found is None:
        refuse(f"`{node.sql('duckdb')}`", "the field cannot be found", "write struct.name", node)
    of = of if isinstance(of, exp.Column | exp.Dot | exp.Identifier) else exp.Paren(this=of)
    return exp.Dot(this=of, expression=exp.to_identifier(found, quoted=True))


RULES: tuple[Rule, ...] = (
    Rule(exp.Array, made),
    Rule(exp.ArraySize, size),
    Rule(exp.ArrayContains, has),
    Rule("list_extract", item),
    Rule("list_element", item),
    Rule("array_extract", item),
    Rule(exp.Bracket, bracket, "offset"),
    Rule(exp.ArraySlice, cut, "start end"),
    Rule(exp.ArrayToString, text_of),
    Rule(exp.ArrayAppend, appended),
    Rule(exp.ArrayFilter, with_lambda("FILTER")),
    Rule(exp.Transform, with_lambda("TRANSFORM")),
    Rule(exp.ArrayMax, extreme("MAX")),
    Rule(exp.ArrayMin, extreme("MIN")),
    Rule("list_reverse", reversed_),
    Rule(exp.ArrayReverse, reversed_),
    Rule(exp.ArraySort, sorted_, "asc nulls_first"),
    Rule(exp.Struct, struct),
    Rule(exp.StructExtract, field),
    Rule(exp.Dot, dotted),
)
