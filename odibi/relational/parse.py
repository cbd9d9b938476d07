"""SQL text to trees: parsed once, refused early, its inputs found from the tree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, TokenError

from odibi.errors import Permanent
from odibi.relational.schema import Schema

__all__ = [
    "Plain",
    "Script",
    "SqlError",
    "fingerprint",
    "is_cte",
    "line_and_column",
    "parse",
    "place",
    "shape",
    "table_name",
    "tables_in",
    "target_of",
    "volatile",
]

TABLE_FUNCTIONS = frozenset(
    {"range", "generate_series", "generateseries", "unnest", "repeat", "json_each", "json_tree"}
)
"""Table functions that name nothing outside the query."""

_FILES = (
    ".csv", ".tsv", ".txt", ".json", ".ndjson", ".jsonl", ".parquet", ".gz", ".zst", ".xlsx", ".db", ".duckdb",
)  # fmt: skip


class Plain(DuckDB):
    """DuckDB's dialect as it is: sqlglot reads ``->> 'a.b'`` as a path, DuckDB as one key."""

    def to_json_path(self, path: Any) -> Any:
        """The path as it is written."""
        return path


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
    statements: tuple[exp.Expr, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Tables the script reads before it makes them, in order of first use."""
        made: set[str] = set()
        found: dict[str, str] = {}
        for statement in self.statements:
            new = target_of(statement) if isinstance(statement, exp.Create) else None
            for table in tables_in(statement):
                name = table_name(table)
                if table is not new and name.lower() not in made:
                    found.setdefault(name.lower(), name)
            if new is not None:
                made.add(table_name(new).lower())
        return tuple(found.values())

    def fold(
        self, schemas: Mapping[str, Schema], describe: Callable[[exp.Query], Schema] | None = None
    ) -> dict[str, exp.Query]:
        """The queries the script ends with: name of the table to query.

        A script that ends in a query has that one, named ``data``; otherwise it has one for each
        table it changed or made.

        Args:
            schemas: the columns of the tables the script is given.
            describe: gives the columns of a query. Without it a script cannot insert a query's rows
                nor change a table it has made.
        """
        from odibi.relational.script import fold

        return fold(self.statements, schemas, describe)


def parse(text: str) -> Script:
    """SQL text as a script.

    Raises:
        SqlError: syntax that DuckDB's dialect does not have, a statement a step cannot run, a file
            read inside the query.
    """
    try:
        found = [s for s in sqlglot.parse(text, read=Plain) if s is not None]
    except (ParseError, TokenError) as error:
        raise _syntax_error(text, error) from error
    statements = tuple(_as_query(s) for s in found if not isinstance(s, exp.Semicolon))
    if not statements:
        raise SqlError("there is no SQL here", line=1)
    for statement in statements:
        _refuse(statement)
    return Script(text, statements)


def _as_query(node: exp.Expr) -> exp.Expr:
    """A statement; PIVOT and VALUES, which DuckDB takes for queries, as a query over them."""
    if isinstance(node, exp.Create | exp.Insert) and node.expression is not None:
        node.set("expression", _as_query(node.expression))
    if not isinstance(node, exp.Pivot | exp.Values):
        return node
    ctes = node.args.get("with_")
    node.set("with_", None)
    source = exp.Subquery(this=node) if isinstance(node, exp.Pivot) else exp.alias_(node, "rows", table=True)
    query = exp.select("*").from_(source)
    if ctes is not None:
        query.set("with_", ctes)
    return query


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """The 1-based line and column of a 0-based offset in the text's UTF-8 bytes, as DuckDB counts."""
    before = text.encode()[:offset].decode(errors="ignore")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _syntax_error(text: str, error: ParseError | TokenError) -> SqlError:
    """DuckDB's own words and place where it refuses the text too, else those of our parser."""
    import duckdb

    with duckdb.connect(":memory:", config={"errors_as_json": "true"}) as database:
        try:
            database.extract_statements(text)
        except duckdb.Error as refused:
            _, brace, said = str(refused).partition("{")
            found = json.loads(brace + said) if brace else {"exception_message": str(refused)}
            line, column = line_and_column(text, int(found.get("position") or 0))
            return SqlError(f"SQL {found['exception_message'].splitlines()[0]}", line=line, column=column)
    first = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    return SqlError(
        f"SQL that odibi cannot read near {str(first.get('highlight') or '')!r}",
        line=int(first.get("line") or 1),
        column=int(first.get("col") or 1),
        hint="write it in plainer SQL",
    )


# --- what a step may not say -----------------------------------------------------------------------


def _refuse(statement: exp.Expr) -> None:
    made = isinstance(statement, exp.Create) and statement.kind == "TABLE"
    if made and not isinstance(statement.expression, exp.Query):
        raise SqlError("CREATE TABLE without AS makes an empty table", hint="give it a query", line=1)
    if not made and not isinstance(statement, exp.Query | exp.Delete | exp.Update | exp.Insert):
        kind = str(statement.this) if isinstance(statement, exp.Command) else statement.key
        if isinstance(statement, exp.Create):
            kind = f"CREATE {statement.kind}"
        raise SqlError(
            f"a SQL step cannot run {kind.upper()}",
            line=max(place(statement)[0], 1),
            hint="use SELECT, DELETE, UPDATE, INSERT or CREATE TABLE ... AS",
        )
    for table in statement.find_all(exp.Table, exp.Lateral):
        if isinstance(table.this, exp.Func):
            _refuse_function(table.this)
        elif isinstance(table, exp.Table):
            _refuse_path(table)
    for pivot in statement.find_all(exp.Pivot):
        on = pivot.args.get("fields") or pivot.expressions
        if not pivot.args.get("unpivot") and not all(isinstance(x, exp.In) and x.expressions for x in on):
            line, column = place(pivot)
            raise SqlError(
                "PIVOT must declare its values: columns are known before the run",
                line=line,
                column=column,
                hint="PIVOT ... ON status IN ('open', 'paid')",
            )


def _refuse_function(function: exp.Func) -> None:
    name = str(function.this if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
    if name not in TABLE_FUNCTIONS:
        line, column = place(function)
        raise SqlError(
            f"table function {name}() reads from outside the pipeline",
            line=line,
            column=column,
            hint="make it a read step and use its name",
        )


def _refuse_path(table: exp.Table) -> None:
    line, column = place(table)
    if "/" in table.name or "\\" in table.name or table.name.lower().endswith(_FILES):
        raise SqlError(
            f"{table.name!r} is a file, not a dataset",
            line=line,
            column=column,
            hint="make it a read step and use its name",
        )
    if table.args.get("catalog"):
        names = ".".join(part.name for part in table.parts)
        raise SqlError(f"{names!r} names a database", line=line, column=column, hint="use a dataset's name")


def place(node: exp.Expr) -> tuple[int, int]:
    """Line and column where the node begins in the text, (0, 0) if that is not known."""
    found = [n.meta for n in node.walk() if "start" in n.meta]
    if not found:
        return 0, 0
    first = min(found, key=lambda meta: int(meta["start"]))
    return int(first["line"]), int(first["col"]) - (int(first["end"]) - int(first["start"]))


# --- which tables it names -------------------------------------------------------------------------


def table_name(table: exp.Table) -> str:
    """The dataset a table node names: ``orders``, or ``other.orders`` of another pipeline."""
    return f"{table.db}.{table.name}" if table.db else table.name


def target_of(statement: exp.Expr) -> exp.Table:
    """The table that a DELETE, UPDATE, INSERT or CREATE is about."""
    found = statement.this.this if isinstance(statement.this, exp.Schema) else statement.this
    if not isinstance(found, exp.Table):
        raise SqlError(f"{statement.key.upper()} of something that is no table", line=1)
    return found


def tables_in(statement: exp.Expr) -> Iterator[exp.Table]:
    """The table nodes that name datasets: no table functions, no names of CTEs in scope."""
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and not is_cte(table):
            yield table


def is_cte(table: exp.Table) -> bool:
    """Whether the name is that of a CTE in scope there.

    A CTE sees those before it; itself only in the second half of a recursive UNION.
    """
    path: list[exp.Expr] = [table]
    while not table.db and path[-1].parent is not None:
        path.append(path[-1].parent)
        ctes = path[-1].args.get("with_")
        if ctes is not None and _sees(ctes, table.name.lower(), path):
            return True
    return False


def _sees(ctes: exp.With, name: str, path: list[exp.Expr]) -> bool:
    """Whether what stands at the beginning of the path sees a CTE of that name among these."""
    for cte in ctes.expressions:
        inside = any(cte is node for node in path)
        if cte.alias.lower() == name:
            union = cte.this if ctes.recursive and isinstance(cte.this, exp.Union) else None
            return not inside or (union is not None and any(union.expression is node for node in path))
        if inside:
            return False
    return False


# --- its identity ----------------------------------------------------------------------------------


def shape(node: Any) -> Any:
    """The tree as plain JSON data: what is hashed. Comments, positions and quoting are left out."""
    if isinstance(node, exp.Identifier):
        return node.name
    if isinstance(node, exp.Expr):
        args = sorted(node.args.items())
        return [
            type(node).__name__,
            {k: shape(v) for k, v in args if v is not None and v is not False and v != []},
        ]
    if isinstance(node, list):
        return [shape(item) for item in node]
    return node if isinstance(node, str | int | float | bool) else str(node)


def fingerprint(script: Script) -> str:
    """A hash of what the SQL says, blind to its layout."""
    text = json.dumps([shape(statement) for statement in script.statements], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


_VOLATILE = (
    exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Localtime, exp.Localtimestamp, exp.Rand, exp.Uuid,
    exp.TableSample,
)  # fmt: skip
_VOLATILE_NAMES = frozenset(
    {"now", "today", "random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "current_localtimestamp", "setseed",
     "get_current_timestamp", "transaction_timestamp", "current_localtime", "get_current_time", "nextval"}
)  # fmt: skip


def volatile(script: Script) -> bool:
    """Whether the answer depends on more than the inputs: the clock, chance."""
    return any(
        isinstance(node, _VOLATILE)
        or str(node.this).lower() in _VOLATILE_NAMES
        or (str(node.this).lower() == "age" and len(node.expressions) == 1)  # until today
        for statement in script.statements
        for node in statement.find_all(*_VOLATILE, exp.Anonymous)
    )
