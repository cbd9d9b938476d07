"""Scripts folded into queries: a table after a statement is a query over what it was before.

A script may change its inputs (DELETE, UPDATE, INSERT) and make tables (CREATE TABLE ... AS). Each
state of a table becomes a CTE, so the sources stay untouched, no working copy is needed, and the same
tree runs on every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from odibi.relational.parse import SqlError, is_cte, place, table_name, tables_in, target_of
from odibi.relational.schema import Column, Schema

__all__ = ["fold"]

Describe = Callable[[exp.Query], Schema]


def fold(
    statements: Sequence[exp.Expr], schemas: Mapping[str, Schema], describe: Describe | None = None
) -> dict[str, exp.Query]:
    """The queries the statements end with: see :meth:`odibi.relational.parse.Script.fold`.

    Raises:
        SqlError: a statement that cannot be a query.
    """
    state = _State(
        {name.lower(): schema for name, schema in schemas.items()}, describe, _names_in(statements)
    )
    for number, statement in enumerate(statements):
        if isinstance(statement, exp.Query):
            if number == len(statements) - 1:
                return {"data": state.query(statement)}
            line, column = place(statement)
            raise SqlError(
                "a SELECT in the middle of a script has no effect",
                line=line,
                column=column,
                hint="make it the last statement",
            )
        state.apply(statement)
    return {state.spelled[name]: state.result(name) for name in state.newest}


def _names_in(statements: Sequence[exp.Expr]) -> set[str]:
    return {node.name.lower() for statement in statements for node in statement.find_all(exp.Identifier)}


@dataclass
class _State:
    """What the tables are by now: each state of a table is a CTE, the newest one is what is read."""

    columns: dict[str, Schema]
    describe: Describe | None
    taken: set[str]
    newest: dict[str, str] = field(default_factory=dict)  # table to the CTE that is its newest state
    states: dict[str, exp.Query] = field(default_factory=dict)  # CTE to its query
    spelled: dict[str, str] = field(default_factory=dict)

    def apply(self, statement: exp.Expr) -> None:
        table = target_of(statement)
        name = table_name(table).lower()
        if isinstance(statement, exp.Create):
            made = self._made(statement, name)
            if made is None:
                return
        else:
            if is_cte(table):
                raise SqlError(f"the CTE {table.name!r} has the name of the table that is changed", line=1)
            made = self._changed(statement, table, name)
        state = next(s for i in range(1, 10_000) if (s := f"{table.name}_{i}").lower() not in self.taken)
        self.taken.add(state.lower())
        self.states[state] = made
        self.newest[name] = state
        self.spelled.setdefault(name, table_name(table))

    def query(self, query: exp.Query) -> exp.Query:
        """The query over the newest states, with the CTEs that takes in front of its own."""
        return self._with_states(self._renamed(query)) if self.newest else query

    def result(self, name: str) -> exp.Query:
        """The query for the newest state of a table."""
        return self._with_states(self.states[self.newest[name]].copy())

    def _renamed(self, query: exp.Expr) -> exp.Query:
        copy = query.copy()
        for table in list(tables_in(copy)):
            state = self.newest.get(table_name(table).lower())
            if state is not None:
                if not table.alias:
                    table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
                table.set("this", exp.to_identifier(state, quoted=True))
                table.set("db", None)
        if not isinstance(copy, exp.Query):
            raise SqlError(f"{copy.key.upper()} is no query", line=max(place(copy)[0], 1))
        return copy

    def _with_states(self, query: exp.Query) -> exp.Query:
        needed: dict[str, None] = {}
        waiting: list[exp.Query] = [query]
        while waiting:
            for table in waiting.pop().find_all(exp.Table):
                if table.name in self.states and table.name not in needed:
                    needed[table.name] = None
                    waiting.append(self.states[table.name])
        own = query.args.get("with_")
        ctes = [
            exp.CTE(this=made.copy(), alias=exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
            for name, made in self.states.items()
            if name in needed
        ]
        if ctes:
            before = own.expressions if own is not None else []
            query.set(
                "with_", exp.With(expressions=[*ctes, *before], recursive=own is not None and own.recursive)
            )
        return query

    def _described(self, query: exp.Query, why: str) -> Schema:
        if self.describe is None:
            raise SqlError(f"{why}: its columns are not known here")
        return self.describe(self._with_states(query.copy()))

    def _schema(self, table: exp.Table, name: str) -> Schema:
        if name not in self.columns:
            if name not in self.newest:
                line, column = place(table)
                raise SqlError(
                    f"cannot change {table_name(table)!r}: no such table", line=line, column=column
                )
            self.columns[name] = self._described(
                self.states[self.newest[name]], f"cannot change {table_name(table)!r}"
            )
        return self.columns[name]

    # --- statements --------------------------------------------------------------------------------

    def _made(self, statement: exp.Create, name: str) -> exp.Query | None:
        exists = name in self.newest or name in self.columns
        if exists and not statement.args.get("replace"):
            if statement.args.get("exists"):
                return None
            line, column = place(target_of(statement))
            raise SqlError(
                f"table {table_name(target_of(statement))!r} exists already",
                line=line,
                column=column,
                hint="CREATE OR REPLACE TABLE",
            )
        _refuse_parts(statement, {"this", "kind", "expression", "replace", "exists", "properties"})
        query = self._renamed(statement.expression)
        self.columns.pop(name, None)
        if isinstance(statement.this, exp.Schema):
            names = [exp.to_identifier(e.name, quoted=True) for e in statement.this.expressions]
            source = exp.Subquery(
                this=query, alias=exp.TableAlias(this=exp.to_identifier("made"), columns=names)
            )
            return exp.select("*").from_(source)
        return query

    def _changed(self, statement: exp.Expr, table: exp.Table, name: str) -> exp.Query:
        """What the table holds after DELETE, UPDATE or INSERT, as a query over what it held before."""
        _refuse_parts(statement, _PARTS)
        schema = self._schema(table, name)
        if isinstance(statement, exp.Insert):
            changed = self._inserted(statement, table, schema)
        else:
            where = statement.args.get("where")
            condition = where.this if where is not None else exp.true()
            make = _kept if isinstance(statement, exp.Delete) else _updated
            changed = make(statement, table, schema, condition)
            changed.set("with_", statement.args.get("with_"))
        return self._renamed(changed)

    def _inserted(self, statement: exp.Insert, table: exp.Table, schema: Schema) -> exp.Query:
        rows = statement.expression.copy()
        if statement.args.get("with_") is not None:
            inner = exp.Subquery(this=rows, alias=exp.TableAlias(this=exp.to_identifier("given")))
            rows = exp.select("*").from_(inner)
            rows.set("with_", statement.args["with_"])
        given = [
            column.name for column in self._described(self._renamed(rows), "cannot INSERT a query's rows")
        ]
        named = [e.name for e in statement.this.expressions] if isinstance(statement.this, exp.Schema) else []
        names = given if statement.args.get("by_name") else named or [column.name for column in schema]
        line, column = place(table)
        _known(names, schema, "INSERT", (line, column))
        if len(names) != len(given):
            raise SqlError(
                f"INSERT into {table.name!r} needs {len(names)} columns, found {len(given)}",
                line=line,
                column=column,
            )
        aliases = [exp.to_identifier(f"c{i}") for i in range(len(names))]
        new = exp.Subquery(this=rows, alias=exp.TableAlias(this=exp.to_identifier("rows"), columns=aliases))
        place_of = {name.lower(): f"c{i}" for i, name in enumerate(names)}
        values = [
            _cast(exp.column(place_of[c.name.lower()]) if c.name.lower() in place_of else exp.null(), c)
            for c in schema
        ]
        kept = exp.select(*_columns(schema)).from_(table.copy())
        return exp.union(kept, exp.select(*values).from_(new), distinct=False)


_PARTS = {"with_", "this", "expression", "expressions", "where", "by_name"}
_SPOKEN = {
    "from_": "FROM",
    "conflict": "ON CONFLICT",
    "alternative": "OR REPLACE",
    "default": "DEFAULT VALUES",
}


def _refuse_parts(statement: exp.Expr, known: set[str]) -> None:
    """Refuse what a statement says beyond the parts that are understood."""
    parts = [
        _SPOKEN.get(key, key.upper()) for key, value in statement.args.items() if value and key not in known
    ]
    for of in (exp.Property, exp.ColumnDef) if isinstance(statement, exp.Create) else ():
        parts += [
            node.sql("duckdb")
            for node in statement.find_all(of)
            if not isinstance(node, exp.TemporaryProperty)
        ]
    if parts:
        line, column = place(statement)
        raise SqlError(
            f"{statement.key.upper()} with {parts[0]} is not supported in a step",
            line=line,
            column=column,
            hint="write it as a SELECT",
        )


def _columns(schema: Schema) -> list[exp.Column]:
    return [exp.column(column.name, quoted=True) for column in schema]


def _cast(value: exp.Expr, column: Column) -> exp.Expr:
    return exp.cast(value, column.type, dialect="duckdb").as_(column.name, quoted=True)


def _kept(statement: exp.Expr, table: exp.Table, schema: Schema, condition: exp.Expr) -> exp.Select:
    del statement
    gone = exp.Is(this=exp.Paren(this=condition.copy()), expression=exp.true())
    return exp.select(*_columns(schema)).from_(table.copy()).where(exp.Not(this=exp.Paren(this=gone)))


def _updated(statement: exp.Expr, table: exp.Table, schema: Schema, condition: exp.Expr) -> exp.Select:
    values = {e.this.name.lower(): e.expression for e in statement.expressions}
    names = [
        e.this.sql("duckdb") if e.this.find(exp.Tuple, exp.Dot) else e.this.name
        for e in statement.expressions
    ]
    _known(names, schema, "UPDATE", place(statement.expressions[0]))
    projected: list[exp.Expr] = []
    for column, old in zip(schema, _columns(schema), strict=True):
        new = values.get(column.name.lower())
        if new is None:
            projected.append(old)
        else:
            # The value is cast before the two meet: else an old BIGINT would pass through the new DOUBLE.
            value = exp.cast(new.copy(), column.type, dialect="duckdb")
            case = exp.Case(ifs=[exp.If(this=condition.copy(), true=value)], default=old)
            projected.append(case.as_(column.name, quoted=True))
    return exp.select(*projected).from_(table.copy())


def _known(names: Sequence[str], schema: Schema, what: str, at: tuple[int, int]) -> None:
    from odibi.errors import nearest

    have = {column.name.lower(): column.name for column in schema}
    seen: set[str] = set()
    for name in names:
        if name.lower() not in have:
            hint = nearest(name, have.values(), "columns")
            raise SqlError(f"{what} names unknown column {name!r}", line=at[0], column=at[1], hint=hint)
        if name.lower() in seen:
            raise SqlError(f"{what} names column {name!r} twice", line=at[0], column=at[1])
        seen.add(name.lower())
