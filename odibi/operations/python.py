"""User functions as their source declares them: nothing of theirs is imported before the run.

A function's parameter names are its inputs, keyword-only ones its params (Hamilton's idea). The
annotation chooses what arrives: ``pd.DataFrame`` (Arrow-backed, so NULL is never NaN),
``pa.Table``, ``pa.RecordBatchReader``, or without one the engine's own table.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from odibi.errors import OdibiError, Permanent, nearest
from odibi.relational.schema import Schema, schema_of
from odibi.relational.storage import from_delta, to_delta

__all__ = ["CONTEXT", "Context", "Function", "inspect", "step"]

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

    @property
    def source(self) -> str:
        """A hash of all the code the function may run through, wherever the project stands."""
        return _hash("".join(sorted(said for _, said in self.modules.values())))


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
    file, root = _find(module, roots)
    tree = _parse(file)
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
    return Function(
        module, name, str(root), str(file), node.lineno, inputs, params, has_context, _declared(node, where),
        _modules(module, file, roots),
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


_ARRIVES = {
    "pandas.DataFrame": "pandas",
    "pandas.core.frame.DataFrame": "pandas",
    "DataFrame": "pandas",
    "pyarrow.Table": "arrow",
    "pyarrow.lib.Table": "arrow",
    "pyarrow.RecordBatchReader": "batches",
    "pyarrow.lib.RecordBatchReader": "batches",
    "duckdb.DuckDBPyRelation": "native",
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


def _find(module: str, roots: Sequence[Path]) -> tuple[Path, Path]:
    """The file of a module and the folder it is imported from: of the project, else as installed."""
    for root in (*roots, *_installed(module.partition(".")[0])):
        file = _below(root, module)
        if file is not None:
            return file, root
    known = {
        ".".join(file.relative_to(root).with_suffix("").parts)
        for root in roots
        for file in (root / "steps").rglob("*.py")
    }
    raise Permanent(f"there is no Python module {module!r}", hint=nearest(module, known, "modules in steps/"))


def _installed(package: str) -> Iterator[Path]:
    """Where Python would import a top-level name from. Asking for a module inside would import its package."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module made by hand, such as __main__
        return
    if spec is not None and spec.submodule_search_locations:
        yield from (Path(folder).parent for folder in spec.submodule_search_locations)
    elif spec is not None and spec.has_location and spec.origin is not None:
        yield Path(spec.origin).parent


def _below(root: Path, module: str) -> Path | None:
    relative = Path(*module.split("."))
    files = (root / relative.with_suffix(".py"), root / relative / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        raise Permanent(f"Python syntax error: {error.msg}", where=f"{file}:{error.lineno or 1}") from error
    except ValueError as error:
        raise Permanent(f"this is no Python: {error}", where=str(file)) from error


def _modules(module: str, file: Path, roots: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """The module and those of the project that it imports, directly or not: their files and what they say."""
    found: dict[str, tuple[str, str]] = {}
    waiting = [(module, file)]
    while waiting:
        name, current = waiting.pop()
        if name in found:
            continue
        tree = _parse(current)
        for other in _imports(tree, name, is_package=current.name == "__init__.py"):
            path = next((path for root in roots if (path := _below(root, other)) is not None), None)
            if path is not None:
                waiting.append((other, path))
        found[name] = (str(current), _hash(ast.dump(_Bare().visit(tree))))
    return found


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[str]:
    """Names that may be modules which a module imports, with the packages they are in."""
    yield from _with_parents(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                above = parts[: len(parts) - node.level + is_package]
                base = ".".join([*above, base] if base else above)
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1) if module)


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
