"""The sources of the docs site: ``python -m odibi.cli.reference FOLDER``, run in a checkout, gathers them in FOLDER.

The pages people wrote are copied; those of commands, rules and config keys are made here from what the code
says of itself. ``zensical build`` makes the site of them (``make docs`` does both).
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["commands_page", "config_page", "gather", "rules_page"]

_SOURCE = "https://github.com/odibi/odibi/blob/main"
_LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")

_SITE = """[project]
site_name = "odibi"
site_description = "Config-driven data pipelines: plan them, run them, see what happened."
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
nav = {nav}

[project.theme]
font = false
features = ["navigation.sections", "navigation.footer", "content.code.copy", "search.highlight"]
"""


def commands_page() -> str:
    """Every command with its arguments and options, as ``--help`` tells them."""
    import typer

    from odibi.cli.app import app

    parts = [
        "# Commands",
        "What every command takes. [The command line](../cli.md) shows each of them at work.",
    ]
    parts += _commands("odibi", getattr(typer.main.get_command(app), "commands"))  # noqa: B009 - not in its type
    return _page(parts)


def _commands(parent: str, commands: Mapping[str, Any]) -> Iterator[str]:
    for name, command in sorted(commands.items()):
        yield f"## {parent} {name}"
        yield command.help or ""
        rows = [_parameter(each) for each in command.params]
        yield _table(("takes", "default", "what it is"), rows) if rows else ""
        yield from _commands(f"{parent} {name}", getattr(command, "commands", {}))


def _parameter(given: Any) -> tuple[str, str, str]:
    if given.param_type_name == "argument":
        return f"`{given.metavar or given.name.upper()}`", "", given.help or ""
    names = ", ".join(f"`{each}`" for each in (*given.opts, *given.secondary_opts))
    value = "" if given.is_flag or not given.metavar else f" {given.metavar}"
    default = "" if given.default in (None, False, "") else f"`{given.default}`"
    return names + value, default, given.help or ""


def rules_page() -> str:
    """Every rule of ``checks:`` with its keys."""
    from odibi.config.checks import RULES, Check
    from odibi.config.schema import json_schema

    common = Check.model_json_schema()
    said = (
        "What `checks:` can ask for; [checks and quarantine](../checks.md) says what becomes of a broken one."
    )
    parts = ["# Rules", f"{said} Each takes these keys too:", _keys(common["properties"], {})]
    definitions = json_schema()["definitions"]
    for name, model in RULES.items():
        schema = model.model_json_schema(by_alias=True)
        own = {k: v for k, v in schema["properties"].items() if k not in ("rule", *common["properties"])}
        parts += [
            f"## {name}",
            str(schema["description"]),
            _keys(own, {**definitions, **schema.get("$defs", {})}),
        ]
    return _page(parts)


def config_page() -> str:
    """Every key of a config, by the mapping it stands in."""
    from odibi.cli.docs import sections
    from odibi.cli.schema import config_schema

    definitions = config_schema()["definitions"]
    parts = ["# Config keys", "The mappings that a config is made of, beginning with the file itself."]
    for name, model in sections().items():
        parts += [f"## {name}", str(model["description"]), _keys(model["properties"], definitions)]
    return _page(parts)


def _keys(properties: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    from odibi.cli.docs import takes

    rows = [
        (f"`{key}`", takes(value, definitions), _default(value), value.get("description", ""))
        for key, value in properties.items()
    ]
    heads = ("key", "takes", "default", "what it is")
    used = [place for place in range(len(heads)) if place < 2 or any(row[place] for row in rows)]
    return _table([heads[n] for n in used], ([row[n] for n in used] for row in rows)) if rows else ""


def _default(schema: Mapping[str, Any]) -> str:
    given = schema.get("default")
    return "" if given in (None, "", [], {}) else f"`{json.dumps(given)}`"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    lines += [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _page(parts: Iterable[str]) -> str:
    """The parts; what docstrings mark as code, in the way of Markdown."""
    text = "\n\n".join(part for part in parts if part).replace("``", "`")
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text) + "\n"


PAGES = {"commands.md": commands_page, "config.md": config_page, "rules.md": rules_page}
"""The pages that are made, by file name."""


def gather(root: Path, folder: Path) -> None:
    """Put all pages of the checkout ``root``, and the settings of the site, into ``folder``."""
    pages = folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    docs = root / "docs"
    texts = {
        each.relative_to(docs).as_posix(): each.read_text("utf-8") for each in sorted(docs.rglob("*.md"))
    }
    readme = (root / "README.md").read_text("utf-8")
    for name, text in texts.items():
        _write(pages / name, _linked(text, f"docs/{name}", f"docs/{name}"))
    _write(pages / "index.md", _linked(readme, "README.md", "docs/index.md"))
    for name, page in PAGES.items():
        _write(pages / "reference" / name, page())
    _write(folder / "zensical.toml", _SITE.format(nav=_nav(readme, texts)))


def _linked(text: str, file: str, page: str) -> str:
    """The text of a file of the repository as a page of ``docs``: what is linked stands there, or in the repository."""

    def put(link: re.Match[str]) -> str:
        to, anchor = link[1], link[2] or ""
        if not to or "://" in to:
            return link[0]
        found = posixpath.normpath(posixpath.join(posixpath.dirname(file), to))
        if found.startswith("docs/") and found.endswith(".md"):
            return f"]({posixpath.relpath(found, posixpath.dirname(page))}{anchor})"
        return f"]({_SOURCE}/{found}{anchor})"

    return _LINK.sub(put, text)


def _nav(readme: str, texts: Mapping[str, str]) -> str:
    """The pages in the order in which the README names them, then the others, then those that are made."""
    named = [name.removeprefix("docs/") for name, _ in _LINK.findall(readme)]
    order = dict.fromkeys([name for name in named if name in texts] + sorted(texts))
    entries: list[dict[str, Any]] = [{"odibi": "index.md"}]
    entries += [{_title(texts[name]): name} for name in order if "/" not in name]
    entries.append({"Reference": [{_title(page()): f"reference/{name}"} for name, page in PAGES.items()]})
    below = [{_title(texts[name]): name} for name in order if "/" in name]
    entries += [{"Runbooks": below}] if below else []
    return f"[{', '.join(map(_entry, entries))}]"


def _entry(entry: Mapping[str, Any]) -> str:
    ((title, to),) = entry.items()
    value = json.dumps(to) if isinstance(to, str) else f"[{', '.join(map(_entry, to))}]"
    return f"{{{json.dumps(title, ensure_ascii=False)} = {value}}}"


def _title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    gather(Path.cwd(), Path(sys.argv[1]))
