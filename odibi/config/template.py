"""Placeholders in values: ``{{ date }}``, ``{{.date}}`` and, in paths, ``{date}``.

Rendering happens after parsing, value by value, in a sandbox without functions: a template never
sees YAML text, a key, or another value's result, so what it puts in cannot become syntax and is
never rendered again. ``${...}`` references pass through untouched (see :mod:`odibi.config.secrets`).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from odibi.errors import ConfigError, Problem, TemplateError, nearest

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["TemplateError", "names", "render", "render_sql"]

UNRESOLVED = "Unresolved template placeholders found: "


def render(text: str, context: Mapping[str, Any], *, path: bool = False) -> Any:
    """``text`` with its placeholders replaced from ``context``; plain text comes back as it is.

    Text that is exactly one placeholder becomes the value itself, of whatever type. ``path`` says
    that ``{name}`` is a placeholder too and that the result is text. Raises TemplateError.
    """
    template = _as_jinja(text, path=path)
    if not _is_template(template):
        return text
    plain = _plain_names(template)
    if plain is not None and plain <= context.keys():
        value = _substituted(template, context)
        return str(value) if path else value
    tree, used = _parse(template)
    unknown = _unresolved(tree, used - set(context))
    if unknown:
        hint = "; ".join(filter(None, (nearest(name, context, "known") for name in unknown)))
        raise TemplateError(UNRESOLVED + ", ".join(unknown), hint=hint, line=_line_of(unknown, tree))
    value = _evaluate(template, tree, context)
    return str(value) if path else value


def names(text: str, *, path: bool = False) -> set[str]:
    """The names that the placeholders of ``text`` use. Raises TemplateError for a syntax error."""
    template = _as_jinja(text, path=path)
    if not _is_template(template):
        return set()
    plain = _plain_names(template)
    return _parse(template)[1] if plain is None else plain


def render_sql(text: str, context: Mapping[str, Any], file: str) -> str:
    """The text of a ``.sql`` file, rendered only where it holds ``{{`` or ``{%``.

    Raises ConfigError with the file and, where it is known, the line.
    """
    try:
        return str(render(text, context))
    except TemplateError as error:
        raise ConfigError([Problem(file, error.line, 0, error.message, error.hint)]) from error


_DOTTED = re.compile(r"\{\{(-?)\s*\.\s*([A-Za-z_]\w*)")
_NAME = re.compile(r"\{\{ *([A-Za-z_]\w*) *\}\}")
_CONSTANTS = frozenset({"true", "false", "none", "True", "False", "None", "self"})
_BRACES = re.compile(r"(?<![{$])\{([A-Za-z_]\w*)\}(?!\})")


def _as_jinja(text: str, *, path: bool) -> str:
    """All accepted spellings as one."""
    if path and "{" in text:
        text = _BRACES.sub(r"{{ \1 }}", text)
    return _DOTTED.sub(r"{{\1 \2", text)


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


def _plain_names(template: str) -> set[str] | None:
    """The names in a template of names alone, which needs no Jinja (and not its 90 ms); else None."""
    found = set(_NAME.findall(template))
    rest = _NAME.sub("", template)
    return None if _is_template(rest) or "{#" in rest or found & _CONSTANTS else found


def _substituted(template: str, context: Mapping[str, Any]) -> Any:
    alone = _NAME.fullmatch(template.strip())
    return context[alone[1]] if alone else _NAME.sub(lambda match: str(context[match[1]]), template)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.globals.clear()  # names come from the config alone
    return environment


def _parse(template: str) -> tuple[nodes.Template, set[str]]:
    """The tree of a template and the names it takes from outside."""
    from jinja2 import TemplateSyntaxError
    from jinja2.meta import find_undeclared_variables

    try:
        tree = _environment().parse(template)
        return tree, find_undeclared_variables(tree)
    except TemplateSyntaxError as error:
        hint = "put {% raw %} and {% endraw %} around braces that are meant as such"
        raise TemplateError(f"not a template: {error.message}", line=error.lineno, hint=hint) from error


def _unresolved(tree: nodes.Template, unknown: set[str]) -> list[str]:
    """The ``unknown`` names, but for those the template provides for (``default``, ``is defined``)."""
    from jinja2 import nodes

    provided = {
        node.node.name
        for node in tree.find_all((nodes.Filter, nodes.Test))
        if isinstance(node.node, nodes.Name) and node.name in {"default", "d", "defined", "undefined"}
    }
    return sorted(unknown - provided)


def _line_of(names: Collection[str], tree: nodes.Template) -> int:
    """The first line that uses one of the names."""
    from jinja2 import nodes

    return min((node.lineno for node in tree.find_all(nodes.Name) if node.name in names), default=0)


def _line_reached(error: BaseException) -> int:
    """The line of the template that raised, as Jinja puts it into the traceback."""
    codes = ((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
    lines = [line for code, line in codes if code.co_filename == "<template>" and code.co_name != "root"]
    return lines[-1] if lines else 0


def _evaluate(template: str, tree: nodes.Template, context: Mapping[str, Any]) -> Any:
    from jinja2 import UndefinedError
    from jinja2.exceptions import SecurityError

    environment = _environment()
    try:
        if _is_one_placeholder(template, tree):
            expression = template.strip()[2:-2].strip("-")
            return _plain(environment.compile_expression(expression, undefined_to_none=False)(**context))
        return environment.from_string(tree).render(**context)
    except UndefinedError as error:
        raise TemplateError(f"{UNRESOLVED}{error.message}", line=_line_reached(error)) from error
    except SecurityError as error:
        message = f"the template asks for what is not allowed: {error}"
        raise TemplateError(message, line=_line_reached(error)) from error
    except TemplateError:
        raise
    except Exception as error:  # what a user's expression raises is not known beforehand
        message = f"the template fails: {type(error).__name__}: {error}"
        raise TemplateError(message, line=_line_reached(error)) from error


def _is_one_placeholder(template: str, tree: nodes.Template) -> bool:
    from jinja2 import nodes

    text = template.strip()
    if not (text.startswith("{{") and text.endswith("}}")) or len(tree.body) != 1:
        return False
    parts = tree.body[0].iter_child_nodes()
    return sum(not (isinstance(part, nodes.TemplateData) and part.data.isspace()) for part in parts) == 1


def _plain(value: Any) -> Any:
    """``value`` if it is data; a method or an undefined thing is not."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    text = str(value)  # of something undefined: raises
    if not isinstance(value, str):
        hint = "end it with | list or | string"
        raise TemplateError(f"the template gives {type(value).__name__}, not a value", hint=hint)
    return text
