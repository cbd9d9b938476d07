"""User functions as their source declares them: nothing of theirs is imported before the run.

A function's parameter names are its inputs, keyword-only ones its params (Hamilton's idea). The
annotation chooses what arrives: ``pd.DataFrame`` (Arrow-backed, so NULL is never NaN),
``pa.Table``, ``pa.RecordBatchReader``, or without one the engine's own table. ``@step(per=...)`` has it
called for parts of its input, which on Spark then never leave the cluster.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from odibi.errors import OdibiError, Permanent, nearest
from odibi.operations.modules import digest, find, parse, reached
from odibi.relational.schema import Schema, schema_of
from odibi.relational.storage import from_delta, to_delta

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["CONTEXT", "Context", "Function", "inspect", "secrets_in", "step"]

F = TypeVar("F", bound=Callable[..., Any])

CONTEXT = "context"
"""The parameter that, where a function has it, receives the :class:`Context`."""


def step(
    name: str | None = None,
    *,
    schema: Mapping[str, str] | None = None,
    per: Literal["batch"] | Sequence[str] | None = None,
) -> Callable[[F], F]:
    """Mark a function in ``steps/`` as a step under a name of its own.

    All arguments are read from the source, so they must be literals.

    Args:
        name: the registered name, the function's own if None.
        schema: the columns it returns (name to DuckDB type), so that what reads them is checked
            before the run.
        per: ``"batch"`` to be called for any few rows at a time, or a list of columns to be called for
            the rows that are equal in them, in no order; never for no rows. Needs a ``schema``.
    """
    del name, schema, per  # read from the source by inspect()

    def mark(function: F) -> F:
        return function

    return mark


def _none(name: str) -> str:
    raise Permanent(f"there is no secret {name!r}: no pipeline runs")


@dataclass(frozen=True, slots=True)
class Context:
    """What a function may know of the run it is called in; ``now`` is the instant of a test, else the present."""

    run_id: str
    logical_date: str
    step: str
    params: Mapping[str, Any]
    secrets: Callable[[str], str] = field(default=_none, repr=False, compare=False)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @staticmethod
    def of(loaded: Loaded, step: str, secrets: Callable[[str], str] = _none) -> Context:
        """The context of a step in a run."""
        day, now = loaded.logical_date.isoformat(), loaded.now or datetime.now(UTC)
        return Context(loaded.run_id, day, step, loaded.params, secrets, now)

    def get_secret(self, name: str) -> str:
        """A secret of one of the pipeline's providers; it is masked wherever odibi writes text.

        Raises:
            Permanent: none of them has it.
        """
        return self.secrets(name)


@dataclass(frozen=True, slots=True)
class Function:
    """A user function as its source declares it.

    ``inputs`` maps each table parameter to what it wants to receive (``pandas``, ``arrow``,
    ``batches``, ``native`` for any engine's own table, ``duckdb`` or ``spark`` for that engine's),
    ``params`` each keyword-only one to whether it must be given. ``per`` is what it is called for:
    ``batch``, the columns of a group, or None for all rows at once.
    ``modules`` are its own and those of the project that it imports, by name: the file, and a hash of
    what it says that leaves out docstrings and comments. ``source`` is the hash of them all.
    """

    module: str
    name: str
    root: str
    file: str
    line: int
    inputs: Mapping[str, str]
    params: Mapping[str, bool]
    context: bool
    schema: Schema | None
    modules: Mapping[str, tuple[str, str]]
    per: Literal["batch"] | tuple[str, ...] | None = None

    @property
    def place(self) -> str:
        """Where it is defined, as ``file:line``."""
        return f"{self.file}:{self.line}"

    @property
    def source(self) -> str:
        """A hash of all the code the function may run through, wherever the project stands."""
        return digest("".join(sorted(said for _, said in self.modules.values())))


def secrets_in(function: Function) -> tuple[str, ...]:
    """The names that the function's module gives to ``get_secret`` as they stand there."""
    if not function.context:
        return ()
    calls = (node for node in ast.walk(parse(Path(function.file))) if isinstance(node, ast.Call))
    names = (
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "get_secret"
        and len(call.args) == 1
        and isinstance(call.args[0], ast.Constant)
    )
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def inspect(value: str, roots: Sequence[Path]) -> Function:
    """The function that ``value`` names: ``steps.scoring:score``, ``steps.scoring.score`` or a registered name.

    Nothing is imported; the source is read below ``roots`` (or where Python finds the module).

    Raises:
        Permanent: no such module or function, or a signature that cannot be a step's.
    """
    if ":" in value:
        module, _, name = value.partition(":")
    elif "." in value:
        module, _, name = value.rpartition(".")
    else:
        module, name = _registered(value, roots)
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise Permanent(f"{value!r} names no function", hint="write steps.module:function")
    file, root = find(module, roots)
    tree = parse(file)
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    if name not in functions:
        raise Permanent(
            f"module {module!r} ({file}) has no function {name!r}", hint=nearest(name, functions, "it has")
        )
    node = functions[name]
    where = f"{file}:{node.lineno}"
    arguments = node.args
    if arguments.vararg or arguments.kwarg:
        raise Permanent(f"{name}() takes *args or **kwargs; a step names its inputs and params", where=where)
    positional = [*arguments.posonlyargs, *arguments.args]
    aliases = _aliases(tree)
    inputs = {a.arg: _wants(a, aliases, where) for a in positional if a.arg != CONTEXT}
    params = {
        a.arg: default is None
        for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if a.arg != CONTEXT
    }
    has_context = any(a.arg == CONTEXT for a in (*positional, *arguments.kwonlyargs))
    function = Function(
        module, name, str(root), str(file), node.lineno, inputs, params, has_context, _declared(node, where),
        reached(module, file, roots), _per(node, where),
    )  # fmt: skip
    _refuse_whole(function)
    return function


def _registered(name: str, roots: Sequence[Path]) -> tuple[str, str]:
    found: dict[str, tuple[str, str]] = {}
    for root in roots:
        for file in sorted((root / "steps").rglob("*.py")):
            module = ".".join(file.relative_to(root).with_suffix("").parts)
            for node in parse(file).body:
                if not isinstance(node, ast.FunctionDef):
                    continue
                for call_ in _decorators(node):
                    given = next((a.value for a in call_.args if isinstance(a, ast.Constant)), None) or next(
                        (
                            k.value.value
                            for k in call_.keywords
                            if k.arg == "name" and isinstance(k.value, ast.Constant)
                        ),
                        node.name,
                    )
                    other = found.setdefault(str(given), (module, node.name))
                    if other != (module, node.name):
                        raise Permanent(
                            f"two functions are registered as {given!r}: {other[0]}:{other[1]} and {module}:{node.name}"
                        )
        if found:
            break
    if name not in found:
        raise Permanent(
            f"no function is registered as {name!r}",
            hint=nearest(name, found, "registered") or "name it by its path: steps.module:function",
        )
    return found[name]


def _decorators(node: ast.FunctionDef) -> Iterator[ast.Call]:
    """The ``@step(...)`` calls on a function; a bare ``@step`` counts as ``@step()``."""
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if name == "step":
            yield (
                decorator if isinstance(decorator, ast.Call) else ast.Call(func=target, args=[], keywords=[])
            )


def _declared(node: ast.FunctionDef, where: str) -> Schema | None:
    for call_ in _decorators(node):
        for keyword in call_.keywords:
            if keyword.arg == "schema":
                try:
                    columns = schema_of(dict(ast.literal_eval(keyword.value)).items())
                except (ValueError, TypeError) as error:
                    message = "the schema of @step must be a literal dict of column to type"
                    raise Permanent(message, where=where) from error
                try:
                    return from_delta(to_delta(columns))
                except OdibiError as error:
                    raise Permanent(error.message, where=where, hint=error.hint) from error
    return None


def _per(node: ast.FunctionDef, where: str) -> Literal["batch"] | tuple[str, ...] | None:
    for keyword in (keyword for call_ in _decorators(node) for keyword in call_.keywords):
        if keyword.arg == "per":
            try:
                found = ast.literal_eval(keyword.value)
            except ValueError:
                found = ast.unparse(keyword.value)
            if found is None:
                return None
            if found == "batch":
                return "batch"
            if isinstance(found, list | tuple) and found and all(isinstance(each, str) for each in found):
                return tuple(dict.fromkeys(found))
            message = f"the per of @step cannot be {found!r}"
            raise Permanent(
                message, where=where, hint='write per="batch", or a list of columns: per=["region"]'
            )
    return None


def _refuse_whole(function: Function) -> None:
    """Raise Permanent where a function declares ``per`` but cannot be called for a part of its input."""
    if function.per is None:
        return
    called = "batch" if function.per == "batch" else "group"
    if len(function.inputs) != 1:
        message = f"{function.name}() is called per {called} and takes {len(function.inputs)} tables, not one"
        raise Permanent(message, where=function.place, hint="join them in a step before it")
    ((name, wants),) = function.inputs.items()
    if wants not in ("pandas", "arrow"):
        message = (
            f"{function.name}() is called per {called}, and {name!r} is annotated neither DataFrame nor Table"
        )
        raise Permanent(message, where=function.place, hint="annotate pd.DataFrame or pa.Table")
    if function.schema is None:
        message = f"{function.name}() is called per {called} and does not declare what it returns"
        raise Permanent(message, where=function.place, hint='add schema={"column": "TYPE", ...} to @step')


_ARRIVES = {
    "pandas.DataFrame": "pandas",
    "pandas.core.frame.DataFrame": "pandas",
    "DataFrame": "pandas",
    "pyarrow.Table": "arrow",
    "pyarrow.lib.Table": "arrow",
    "pyarrow.RecordBatchReader": "batches",
    "pyarrow.lib.RecordBatchReader": "batches",
    "duckdb.DuckDBPyRelation": "duckdb",
    "pyspark.sql.DataFrame": "spark",
    "pyspark.sql.dataframe.DataFrame": "spark",
    "pyspark.sql.connect.dataframe.DataFrame": "spark",
    "typing.Any": "native",
    "object": "native",
}


def _aliases(tree: ast.Module) -> dict[str, str]:
    """What the names a module imports stand for; the usual short names without an import too."""
    found = {"pd": "pandas", "pa": "pyarrow"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def _wants(argument: ast.arg, aliases: Mapping[str, str], where: str) -> str:
    """What arrives for a parameter: chosen by its annotation, ``| None`` left aside."""
    if argument.annotation is None:
        return "native"
    text = ast.unparse(_bare_annotation(argument.annotation))
    head, dot, rest = text.partition(".")
    name = f"{aliases.get(head, head)}{dot}{rest}"
    if name not in _ARRIVES:
        raise Permanent(
            f"the parameter {argument.arg!r} is annotated {text}, which odibi does not give",
            where=where,
            hint="annotate pd.DataFrame, pa.Table or pa.RecordBatchReader, or nothing for the engine's own table",
        )
    return _ARRIVES[name]


def _bare_annotation(node: ast.expr) -> ast.expr:
    """The annotation without quotes and without None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return _bare_annotation(ast.parse(node.value, mode="eval").body)
        except SyntaxError:
            return node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        is_none = isinstance(node.left, ast.Constant) and node.left.value is None
        return _bare_annotation(node.right if is_none else node.left)
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).rsplit(".", 1)[-1] == "Optional":
        return _bare_annotation(node.slice)
    return node
