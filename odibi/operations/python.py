"""User functions: read without importing them before the run, called with real rows in it.

A function's parameter names are its inputs, keyword-only ones its params (Hamilton's idea). The
annotation chooses what arrives: ``pd.DataFrame`` (Arrow-backed, so NULL is never NaN),
``pa.Table``, ``pa.RecordBatchReader``, or without one the engine's own table.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from odibi.errors import Permanent, nearest
from odibi.relational.schema import Schema, schema_of

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.engines.base import Engine, Frame

__all__ = ["CONTEXT", "Context", "Function", "call", "inspect", "step"]

F = TypeVar("F", bound=Callable[..., Any])

CONTEXT = "context"
"""The parameter that, where a function has it, receives the :class:`Context`."""


def step(name: str | None = None, *, schema: Mapping[str, str] | None = None) -> Callable[[F], F]:
    """Mark a function in ``steps/`` as a step under a name of its own.

    Args:
        name: the registered name, the function's own if None.
        schema: the columns it returns (name to DuckDB type), so that what reads them is checked
            before the run. Both are read from the source, so they must be literals.
    """
    del name, schema  # read from the source by inspect()

    def mark(function: F) -> F:
        return function

    return mark


@dataclass(frozen=True, slots=True)
class Context:
    """What a function may know of the run it is called in."""

    run_id: str
    logical_date: str
    step: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Function:
    """A user function as its source declares it.

    ``inputs`` maps each table parameter to what it wants to receive (``pandas``, ``arrow``,
    ``batches`` or ``native``), ``params`` each keyword-only one to whether it must be given.
    ``source`` is a hash of its module and of the project modules that one imports, docstrings and
    comments left out.
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
    source: str


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
    file, root = _find(module, roots)
    tree = _parse(file)
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    if name not in functions:
        raise Permanent(
            f"module {module!r} ({file}) has no function {name!r}", hint=nearest(name, functions, "it has")
        )
    node = functions[name]
    arguments = node.args
    if arguments.vararg or arguments.kwarg:
        raise Permanent(
            f"{file}:{node.lineno}: {name}() takes *args or **kwargs; a step names its inputs and params",
        )
    positional = [*arguments.posonlyargs, *arguments.args]
    inputs = {a.arg: _wants(a.annotation) for a in positional if a.arg != CONTEXT}
    params = {
        a.arg: default is None
        for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if a.arg != CONTEXT
    }
    has_context = any(a.arg == CONTEXT for a in (*positional, *arguments.kwonlyargs))
    return Function(
        module, name, str(root), str(file), node.lineno, inputs, params, has_context, _declared(node),
        _source_hash(file, roots),
    )  # fmt: skip


def _registered(name: str, roots: Sequence[Path]) -> tuple[str, str]:
    found: dict[str, tuple[str, str]] = {}
    for root in roots:
        for file in sorted((root / "steps").rglob("*.py")):
            module = ".".join(file.relative_to(root).with_suffix("").parts)
            for node in _parse(file).body:
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


def _declared(node: ast.FunctionDef) -> Schema | None:
    for call_ in _decorators(node):
        for keyword in call_.keywords:
            if keyword.arg == "schema":
                try:
                    return schema_of(ast.literal_eval(keyword.value))
                except ValueError as error:
                    raise Permanent(f"{node.name}: the schema of @step must be a literal dict") from error
    return None


def _wants(annotation: ast.expr | None) -> str:
    text = ast.unparse(annotation).strip("'\"").lower() if annotation is not None else ""
    if "recordbatchreader" in text:
        return "batches"
    if text in ("pa.table", "pyarrow.table"):
        return "arrow"
    if text.rsplit(".", 1)[-1] == "dataframe":
        return "pandas"
    return "native"


def _find(module: str, roots: Sequence[Path]) -> tuple[Path, Path]:
    relative = Path(*module.split("."))
    for root in roots:
        for file in (root / relative.with_suffix(".py"), root / relative / "__init__.py"):
            if file.is_file():
                return file, root
    if module.split(".", maxsplit=1)[0] not in sys.builtin_module_names:
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            spec = None
        if spec is not None and spec.origin and spec.origin.endswith(".py"):
            return Path(spec.origin), Path(spec.origin).parents[module.count(".")]
    known = {
        ".".join(file.relative_to(root).with_suffix("").parts)
        for root in roots
        for file in (root / "steps").rglob("*.py")
    }
    raise Permanent(f"there is no Python module {module!r}", hint=nearest(module, known, "modules in steps/"))


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text("utf-8"), filename=str(file))
    except SyntaxError as error:
        raise Permanent(f"{file}:{error.lineno}: Python syntax error: {error.msg}") from error


def _source_hash(file: Path, roots: Sequence[Path]) -> str:
    """A hash of the module and of the project modules it imports, directly or not."""
    seen: dict[Path, str] = {}
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        tree = _parse(current)
        waiting += [found for name in _imports(tree) if (found := _project_file(name, roots)) is not None]
        seen[current] = ast.dump(_Bare().visit(tree))
    text = "\n".join(seen[path] for path in sorted(seen))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _project_file(module: str, roots: Sequence[Path]) -> Path | None:
    relative = Path(*module.split("."))
    for root in roots:
        for file in (root / relative.with_suffix(".py"), root / relative / "__init__.py"):
            if file.is_file():
                return file
    return None


class _Bare(ast.NodeTransformer):
    """Takes docstrings out."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
        return node


# --- in the run ------------------------------------------------------------------------------------


def call(
    engine: Engine,
    function: Function,
    tables: Mapping[str, Frame],
    params: Mapping[str, Any],
    context: Context,
) -> tuple[pa.RecordBatchReader, tuple[str, ...]]:
    """Call the function; the rows it returned, and what the story should warn about.

    Raises:
        Permanent: it returned something that is no table.
        Exception: whatever the function raises.
    """
    given = [_received(engine, tables[name], wants) for name, wants in function.inputs.items()]
    keywords = dict(params)
    if function.context:
        keywords[CONTEXT] = context
    return _batches(_load(function)(*given, **keywords), function)


def _load(function: Function) -> Callable[..., Any]:
    if function.root not in sys.path:
        sys.path.insert(0, function.root)
    found: Callable[..., Any] = getattr(importlib.import_module(function.module), function.name)
    return found


def _received(engine: Engine, frame: Frame, wants: str) -> Any:
    if wants == "native":
        return engine.native(frame)
    batches = engine.to_arrow(frame)
    if wants == "batches":
        return batches
    table = batches.read_all()
    if wants == "arrow":
        return table
    import pandas as pd

    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _batches(result: Any, function: Function) -> tuple[pa.RecordBatchReader, tuple[str, ...]]:
    import pyarrow as pa

    warnings: tuple[str, ...] = ()
    if isinstance(result, pa.RecordBatchReader):
        return result, warnings
    if isinstance(result, list) and all(isinstance(row, Mapping) for row in result) and result:
        result = pa.Table.from_pylist(result)
    elif type(result).__module__.split(".")[0] == "pandas" and hasattr(result, "dtypes"):
        numpy = [
            str(n)
            for n, t in zip(result.columns, result.dtypes, strict=True)
            if getattr(t, "kind", "") == "f" and "pyarrow" not in str(t)
        ]
        if numpy:
            warnings = (f"NumPy columns were converted, NaN became NULL: {', '.join(numpy[:8])}",)
        result = pa.Table.from_pandas(result, preserve_index=False)
    elif hasattr(result, "to_arrow_reader"):
        result = result.to_arrow_reader()
        return result, warnings
    elif not isinstance(result, pa.Table) and hasattr(result, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(result), warnings
    if not isinstance(result, pa.Table):
        raise Permanent(
            f"{function.name}() returned {type(result).__name__}",
            where=f"{function.file}:{function.line}",
            hint="return a pandas DataFrame, a pyarrow Table or batches, or the engine's own table",
        )
    twins = [name for name in result.column_names if result.column_names.count(name) > 1]
    if twins:
        raise Permanent(
            f"{function.name}() returned two columns called {twins[0]!r}",
            where=f"{function.file}:{function.line}",
        )
    return result.to_reader(), warnings
