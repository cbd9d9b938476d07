"""A step's SQL or operations compiled to queries with known columns.

The main sequence: parse, name the datasets, apply the rules, bind, cast to what can be stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from odibi.errors import nearest
from odibi.relational.bind import Binder, BindError, refusal
from odibi.relational.clock import at_instant
from odibi.relational.parse import Script, SqlError, is_cte, line_and_column, place, table_name, tables_in
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
    try:
        folded = script.fold(
            {name: relation.columns for name, relation in inputs.items()},
            lambda query: _bound(_named(query, tables), binder),
        )
        return {name: compile_query(query, tables, binder) for name, query in folded.items()}
    except BindError as error:
        raise _placed(error, script, tables) from error


def compile_query(query: exp.Query, tables: Mapping[str, Relation], binder: Binder) -> Compiled:
    """One query compiled; ``tables`` maps lower-case table names to the datasets they mean.

    Raises:
        SqlError: a table that is no input.
        BindError: DuckDB's binder refuses it.
    """
    named = _named(query, tables)
    ruled = apply_rules(at_instant(named.query, binder.now))
    schema = _bound(_Named(ruled, named.inputs), binder)
    names = [column.name for column in schema]
    if any("(" in name for name in names) and ruled != named.query:
        names = [column.name for column in _bound(named, binder)]  # not named after what the rules made of it
    _refuse_twins(names)
    closed, schema = closing_cast(ruled, schema, names)
    return Compiled(closed, named.query, schema, tuple(named.inputs))


@dataclass(frozen=True, slots=True)
class _Named:
    """A query whose tables are datasets, and their columns."""

    query: exp.Query
    inputs: Mapping[str, Schema]


def _named(query: exp.Query, tables: Mapping[str, Relation]) -> _Named:
    meaning = query.copy()
    used: dict[str, Schema] = {}
    for table in list(tables_in(meaning)):
        name = table_name(table)
        line, column = place(table)
        relation = tables.get(name.lower())
        if relation is None:
            raise SqlError(
                f"unknown table {name!r}", line=line, column=column, hint=nearest(name, tables, "inputs")
            )
        used[relation.name] = relation.columns
        if not table.alias and relation.name.lower() != table.name.lower():
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
        if table.db:
            _without_schema(table)
        table.set("this", exp.to_identifier(relation.name, quoted=True))
        table.set("db", None)
        if is_cte(table):
            raise SqlError(
                f"{name!r} is the dataset {relation.name!r}, and a CTE has that name",
                line=line,
                column=column,
                hint="call the CTE otherwise",
            )
    return _Named(meaning, used)


def _without_schema(table: exp.Table) -> None:
    """Columns written as ``other.orders.id`` become ``orders.id``, as the table is called from now on."""
    select = table.find_ancestor(exp.Select)
    for column in select.find_all(exp.Column) if select is not None else ():
        if (column.db.lower(), column.table.lower()) == (table.db.lower(), table.name.lower()):
            column.set("db", None)


def _bound(named: _Named, binder: Binder) -> Schema:
    return binder.describe(named.query.sql("duckdb"), named.inputs)


def _refuse_twins(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise BindError(f"two columns are called {name!r}; give one another name", name=name)
        seen.add(name.lower())


def _placed(error: BindError, script: Script, tables: Mapping[str, Relation]) -> SqlError:
    """The binder's error at its line and column in the text the user wrote."""
    found = refusal(script.text, {alias: relation.columns for alias, relation in tables.items()})
    if found is not None and found.position is not None:
        line, column = line_and_column(script.text, found.position)
        return SqlError(found.message, line=line, column=column, hint=found.hint)
    for statement in script.statements:
        for node in statement.find_all(exp.Identifier):
            if error.name and node.name.lower() == error.name.lower():
                line, column = place(node)
                return SqlError(error.message, line=line or 1, column=column, hint=error.hint)
    return SqlError(error.message, line=1, hint=error.hint)
