"""SQL text to trees: parsed once, refused early, scripts folded into queries.

A script may change its inputs (DELETE, UPDATE, INSERT) and make tables (CREATE TABLE ... AS).
Each statement becomes a query over what the table was before, so the sources stay untouched, no
working copy is needed, and the same tree runs on every engine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from odibi.errors import Permanent
from odibi.relational.schema import Schema

__all__ = ["Script", "SqlError", "fingerprint", "parse", "place", "shape", "table_name", "tables_in", "volatile"]

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "generateseries"})
"""Table functions that name nothing outside the query."""


class SqlError(Permanent):
    """SQL that odibi refuses; ``line`` and ``column`` are 1-based places in the text."""

    def __init__(self, message: str, *, line: int = 0, column: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Script:
    """Parsed SQL: one query, or the statements of a script in order."""

    text: str
    statements: tuple[exp.Expression, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Tables the script reads before it makes them, in order of first use."""
        made: set[str] = set()
        found: dict[str, str] = {}
        for statement in self.statements:
            for table in tables_in(statement):
                name = table_name(table)
                if name.lower() not in made:
                    found.setdefault(name.lower(), name)
            if isinstance(statement, exp.Create):
                made.add(table_name(_target(statement)).lower())
        for statement in self.statements:
            if isinstance(statement, exp.Create):
                found.pop(table_name(_target(statement)).lower(), None)
        return tuple(found.values())

    def fold(self, schemas: Mapping[str, Schema]) -> dict[str, exp.Query]:
        """The queries the script ends with: name of the table to query.

        A script that ends in a query has that one, named ``data``; otherwise it has one for each
        table it changed or made. ``schemas`` gives the columns of the tables that UPDATE and
        INSERT change.
        """
        state: dict[str, exp.Query] = {}
        columns = {name.lower(): schema for name, schema in schemas.items()}
        names: dict[str, str] = {}
        for statement in self.statements:
            if isinstance(statement, exp.Query):
                query = _inline(statement, state)
                if statement is self.statements[-1]:
                    return {"data": query}
                raise SqlError("a SELECT in the middle of a script has no effect", hint="make it the last statement")
            table = _target(statement)
            name = table_name(table)
            names.setdefault(name.lower(), name)
            if isinstance(statement, exp.Create):
                state[name.lower()] = _inline(statement.expression, state)
                continue
            if name.lower() not in columns:
                raise SqlError(f"cannot change {name!r}: its columns are not known here")
            state[name.lower()] = _inline(_changed(statement, table, columns[name.lower()]), state)
        return {names[key]: query for key, query in state.items()}


def parse(text: str) -> Script:
    """SQL text as a script.

    Raises:
        SqlError: syntax that DuckDB's dialect does not have, a statement a step cannot run, a file
            read inside the query.
    """
    try:
        statements = tuple(s for s in sqlglot.parse(text, read="duckdb") if s is not None)
    except (ParseError, TokenError) as error:
        raise _syntax_error(text, error) from error
    if not statements:
        raise SqlError("there is no SQL here", line=1)
    for statement in statements:
        _refuse(statement)
    return Script(text, statements)


def _syntax_error(text: str, error: ParseError | TokenError) -> SqlError:
    """DuckDB's own words and place where it refuses the text too, else those of our parser."""
    import duckdb

    with duckdb.connect(":memory:", config={"errors_as_json": "true"}) as database:
        try:
            database.extract_statements(text)
        except duckdb.Error as refused:
            found = json.loads(str(refused)[str(refused).index("{") :])
            before = text[: int(found.get("position") or 0)]
            return SqlError(
                f"SQL {found['exception_message'].splitlines()[0]}",
                line=before.count("\n") + 1,
                column=len(before) - (before.rfind("\n") + 1) + 1,
            )
    first = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    return SqlError(
        f"SQL that odibi cannot read near {str(first.get('highlight') or '')!r}",
        line=int(first.get("line") or 1),
        column=int(first.get("col") or 1),
        hint="write it in plainer SQL",
    )


def _refuse(statement: exp.Expression) -> None:
    made = isinstance(statement, exp.Create) and isinstance(statement.expression, exp.Query)
    if not made and not isinstance(statement, exp.Query | exp.Delete | exp.Update | exp.Insert):
        kind = statement.key.upper() if not isinstance(statement, exp.Command) else str(statement.this).upper()
        raise SqlError(
            f"a SQL step cannot run {kind}", line=1, hint="use SELECT, DELETE, UPDATE, INSERT or CREATE TABLE ... AS"
        )
    for table in statement.find_all(exp.Table):
        source = table.this
        if isinstance(source, exp.Func):
            name = str(source.this if isinstance(source, exp.Anonymous) else source.sql_name()).lower()
            if name not in TABLE_FUNCTIONS:
                line, column = place(source)
                raise SqlError(
                    f"table function {name}() reads from outside the pipeline", line=line, column=column,
                    hint="make it a read step and use its name",
                )
        elif "/" in table.name or "\\" in table.name or table.name.lower().endswith(_FILES):
            line, column = place(table)
            raise SqlError(
                f"{table.name!r} is a file, not a dataset", line=line, column=column,
                hint="make it a read step and use its name",
            )
        elif table.args.get("catalog"):
            line, column = place(table)
            raise SqlError(f"{table.sql()!r} names a database", line=line, column=column, hint="use a dataset's name")


_FILES = (".csv", ".parquet", ".json", ".ndjson", ".jsonl", ".gz", ".zst", ".tsv", ".txt", ".xlsx", ".db", ".duckdb")


def place(node: exp.Expression) -> tuple[int, int]:
    """Line and column of the first identifier at or below the node, (0, 0) if it has none."""
    for found in node.find_all(exp.Identifier, exp.Anonymous):
        if "line" in found.meta:
            return int(found.meta["line"]), int(found.meta["col"]) - len(found.name) + 1
    return 0, 0


def table_name(table: exp.Table) -> str:
    """The dataset a table node names: ``orders``, or ``other.orders`` of another pipeline."""
    return f"{table.db}.{table.name}" if table.db else table.name


def tables_in(statement: exp.Expression) -> Iterator[exp.Table]:
    """The table nodes that name datasets: no table functions, no names of CTEs in scope."""
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and not _is_cte(table):
            yield table


def _is_cte(table: exp.Table) -> bool:
    if table.db:
        return False
    node: exp.Expression | None = table
    inside: exp.Expression | None = None
    while node is not None:
        with_ = node.args.get("with_") if isinstance(node, exp.Expression) else None
        if with_ is not None:
            for cte in with_.expressions:
                if cte is inside and not with_.recursive:
                    break  # a CTE sees only those before it
                if cte.alias.lower() == table.name.lower():
                    return True
        inside = node if isinstance(node, exp.CTE) else inside
        node = node.parent
    return False


def _target(statement: exp.Expression) -> exp.Table:
    this = statement.this
    return this.this if isinstance(this, exp.Schema) else this


def _inline(query: exp.Expression, state: Mapping[str, exp.Query]) -> exp.Query:
    """The query with each table a script has changed replaced by what it is by then."""
    copy = query.copy()
    for table in list(tables_in(copy)):
        made = state.get(table_name(table).lower())
        if made is not None:
            source = made.copy().subquery(table.alias or table.name)
            for join in table.args.get("joins") or ():
                source.append("joins", join)
            table.replace(source)
    assert isinstance(copy, exp.Query)
    return copy


def _changed(statement: exp.Expression, table: exp.Table, schema: Schema) -> exp.Query:
    """What the table holds after DELETE, UPDATE or INSERT, as a query over what it held before."""
    source = table.copy()
    where = statement.args.get("where")
    if statement.args.get("returning") or statement.args.get("using") or statement.args.get("from_"):
        raise SqlError(
            f"{statement.key.upper()} with RETURNING, USING or FROM is not supported in a step",
            hint="write a SELECT with a join",
        )
    columns = [exp.column(column.name, quoted=True) for column in schema]
    if isinstance(statement, exp.Delete):
        kept = exp.select(*columns).from_(source)
        if where is None:
            return kept.where(exp.false())
        return kept.where(exp.Not(this=exp.Paren(this=exp.Is(this=exp.Paren(this=where.this.copy()), expression=exp.true()))))
    if isinstance(statement, exp.Update):
        values = {e.this.name.lower(): e.expression for e in statement.expressions}
        unknown = set(values) - {column.name.lower() for column in schema}
        if unknown:
            raise SqlError(f"UPDATE sets unknown column {sorted(unknown)[0]!r}")
        projected: list[exp.Expression] = []
        for column in schema:
            old = exp.column(column.name, quoted=True)
            new = values.get(column.name.lower())
            if new is None:
                projected.append(old)
                continue
            value: exp.Expression = new.copy()
            if where is not None:
                value = exp.Case(ifs=[exp.If(this=where.this.copy(), true=value)], default=old)
            projected.append(exp.cast(value, column.type, dialect="duckdb").as_(column.name, quoted=True))
        return exp.select(*projected).from_(source)
    return _inserted(statement, source, schema, columns)


def _inserted(
    statement: exp.Expression, source: exp.Table, schema: Schema, columns: list[exp.Column]
) -> exp.Query:
    named = [e.name for e in statement.this.expressions] if isinstance(statement.this, exp.Schema) else []
    order = named or [column.name for column in schema]
    rows = statement.expression
    if isinstance(rows, exp.Values):
        rows = exp.select("*").from_(exp.alias_(rows, "rows", table=True))
    if not isinstance(rows, exp.Query):
        raise SqlError("INSERT needs VALUES or a SELECT")
    names = [exp.to_identifier(f"c{i}") for i in range(len(order))]
    new = exp.Subquery(this=rows.copy(), alias=exp.TableAlias(this=exp.to_identifier("rows"), columns=names))
    by_name = {name.lower(): f"c{i}" for i, name in enumerate(order)}
    values = [
        exp.cast(
            exp.column(by_name[column.name.lower()]) if column.name.lower() in by_name else exp.null(),
            column.type,
            dialect="duckdb",
        ).as_(column.name, quoted=True)
        for column in schema
    ]
    return exp.union(exp.select(*columns).from_(source), exp.select(*values).from_(new), distinct=False)


def shape(node: Any) -> Any:
    """The tree as plain JSON data: what is hashed. Comments, positions and quoting are left out."""
    if isinstance(node, exp.Expression):
        if isinstance(node, exp.Identifier):
            return node.name
        args = {key: shape(value) for key, value in sorted(node.args.items()) if value not in (None, False, [])}
        return [type(node).__name__, args]
    if isinstance(node, list):
        return [shape(item) for item in node]
    return node if isinstance(node, str | int | float | bool) else str(node)


def fingerprint(script: Script) -> str:
    """A hash of what the SQL says, blind to its layout."""
    text = json.dumps([shape(statement) for statement in script.statements], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


_VOLATILE = (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.Rand, exp.Uuid)
_VOLATILE_NAMES = frozenset(
    {"now", "today", "random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "current_localtimestamp",
     "get_current_timestamp", "transaction_timestamp", "current_localtime", "nextval"}
)  # fmt: skip


def volatile(script: Script) -> bool:
    """Whether the answer depends on more than the inputs: the clock, chance."""
    return any(
        isinstance(node, _VOLATILE) or str(node.this).lower() in _VOLATILE_NAMES
        for statement in script.statements
        for node in statement.find_all(*_VOLATILE, exp.Anonymous)
    )
