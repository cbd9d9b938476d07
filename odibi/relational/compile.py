"""A step's SQL or operations compiled to queries with known columns.

The main sequence: parse, name the datasets, apply the rules, bind, cast to what can be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from odibi.errors import nearest
from odibi.relational.bind import Binder, BindError
from odibi.relational.parse import Script, SqlError, place, table_name, tables_in
from odibi.relational.rules import apply_rules, closing_cast
from odibi.relational.schema import Relation, Schema

__all__ = ["Compiled", "compile_query", "compile_script"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A query ready to run.

    ``query`` is the tree that runs, in DuckDB's spelling, with rules and closing cast; its tables
    are dataset names. ``meaning`` is what the user wrote with tables named by dataset: lineage is
    read from it. ``inputs`` are the datasets it names.
    """

    query: exp.Query
    meaning: exp.Query
    schema: Schema
    inputs: tuple[str, ...]

    @property
    def sql(self) -> str:
        """The query as DuckDB runs it, laid out for people."""
        return self.query.sql("duckdb", pretty=True)


def compile_script(script: Script, inputs: Mapping[str, Relation], binder: Binder) -> dict[str, Compiled]:
    """The queries of a script by output name; ``inputs`` maps a table's name to its dataset.

    Raises:
        SqlError: an unknown table, column or function, or types that do not fit, with the place.
    """
    tables = {alias.lower(): relation for alias, relation in inputs.items()}
    folded = script.fold({name: relation.columns for name, relation in inputs.items()})
    out = {}
    for name, query in folded.items():
        try:
            out[name] = compile_query(query, tables, binder)
        except BindError as error:
            raise _placed(error, script, tables, binder) from error
    return out


def compile_query(query: exp.Query, tables: Mapping[str, Relation], binder: Binder) -> Compiled:
    """One query compiled; ``tables`` maps lower-case table names to the datasets they mean.

    Raises:
        SqlError: a table that is no input.
        BindError: DuckDB's binder refuses it.
    """
    meaning = query.copy()
    used: dict[str, Schema] = {}
    for table in list(tables_in(meaning)):
        name = table_name(table)
        relation = tables.get(name.lower())
        if relation is None:
            line, column = place(table)
            raise SqlError(
                f"unknown table {name!r}", line=line, column=column,
                hint=nearest(name, (r.name for r in tables.values()), "inputs"),
            )
        used[relation.name] = relation.columns
        if not table.alias and relation.name.lower() != table.name.lower():
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
        table.set("this", exp.to_identifier(relation.name, quoted=True))
        table.set("db", None)
    ruled = apply_rules(meaning)
    schema = binder.describe(ruled.sql("duckdb"), used)
    _refuse_twins(schema)
    closed, schema = closing_cast(ruled, schema)
    return Compiled(closed, meaning, schema, tuple(used))


def _refuse_twins(schema: Schema) -> None:
    seen: dict[str, str] = {}
    for column in schema:
        twin = seen.setdefault(column.name.lower(), column.name)
        if twin is not column.name:
            raise BindError(f"two columns are called {column.name!r}; give one another name", name=column.name)


def _placed(error: BindError, script: Script, tables: Mapping[str, Relation], binder: Binder) -> SqlError:
    """The binder's error at its line and column in the text the user wrote."""
    line, column = 0, 0
    if len(script.statements) == 1 and all(r.name.lower() == a for a, r in tables.items()):
        try:  # the very text gives the exact offset
            binder.describe(script.text, {r.name: r.columns for r in tables.values()})
        except BindError as exact:
            if exact.position is not None and exact.message == error.message:
                before = script.text[: exact.position]
                line, column = before.count("\n") + 1, exact.position - (before.rfind("\n") + 1) + 1
    if not line and error.name:
        for statement in script.statements:
            for node in statement.find_all(exp.Identifier):
                if node.name.lower() == error.name.lower() and not line:
                    line, column = place(node)
    return SqlError(error.message, line=line or 1, column=column, hint=error.hint)
