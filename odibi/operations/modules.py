"""The modules of a project: where they are, what they import, what they say. None of them is imported."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

from odibi.errors import Permanent, nearest

__all__ = ["digest", "find", "parse", "reached"]


def find(module: str, roots: Sequence[Path]) -> tuple[Path, Path]:
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


def parse(file: Path) -> ast.Module:
    """The syntax tree of a file. Raises Permanent where it is no Python."""
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        raise Permanent(f"Python syntax error: {error.msg}", where=f"{file}:{error.lineno or 1}") from error
    except ValueError as error:
        raise Permanent(f"this is no Python: {error}", where=str(file)) from error


def reached(module: str, file: Path, roots: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """The module and those of the project that it imports, directly or not: their files and what they say."""
    found: dict[str, tuple[str, str]] = {}
    waiting = [(module, file)]
    while waiting:
        name, current = waiting.pop()
        if name in found:
            continue
        tree = parse(current)
        for other in _imports(tree, name, is_package=current.name == "__init__.py"):
            path = next((path for root in roots if (path := _below(root, other)) is not None), None)
            if path is not None:
                waiting.append((other, path))
        found[name] = (str(current), digest(ast.dump(_Bare().visit(tree))))
    return found


def digest(text: str) -> str:
    """A hash of a text."""
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
