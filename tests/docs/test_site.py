"""The docs site: every command, operation, rule, function and key is on it, and every link leads somewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer

from odibi.cli.app import app
from odibi.cli.docs import sections
from odibi.cli.reference import gather
from odibi.config.checks import RULES
from odibi.operations import OPERATIONS
from odibi.relational.functions import FUNCTIONS

ROOT = Path(__file__).parents[2]
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """The anchors of a page, its links, and what a browser loads to show it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        elif tag in LOADING and given.get("rel") not in ("canonical", "next", "prev"):
            self.loads.add(given.get(LOADING[tag], ""))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("docs")
    gather(ROOT, made)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", "zensical.toml"]
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[Path, Page]:
    site = (folder / "site").resolve()
    found = {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(found) == len(list((folder / "pages").rglob("*.md")))
    return found


def test_every_internal_link_leads_somewhere(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links | page.loads:
            split = urlsplit(link)
            if split.scheme or split.netloc:
                continue
            to = (path.parent / unquote(split.path)).resolve() if split.path else path
            to = to / "index.html" if to.is_dir() else to
            if not to.is_file() or (to in pages and unquote(split.fragment) not in pages[to].anchors):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_links_into_the_repository_name_files_that_exist(pages: dict[Path, Page]) -> None:
    kept = "https://github.com/odibi/odibi/blob/main/"
    named = {
        link.removeprefix(kept) for page in pages.values() for link in page.links if link.startswith(kept)
    }
    assert named
    assert [name for name in named if not (ROOT / urlsplit(name).path).exists()] == []


def test_a_page_is_shown_without_the_network(pages: dict[Path, Page]) -> None:
    loaded = {each for page in pages.values() for each in page.loads}
    assert loaded
    assert [each for each in loaded if urlsplit(each).netloc] == []


def _commands(parent: str, commands: dict[str, typer.core.TyperCommand]) -> Iterator[str]:
    for name, command in commands.items():
        yield f"{parent} {name}"
        yield from _commands(f"{parent} {name}", getattr(command, "commands", {}))


def test_everything_has_its_place_in_the_reference(folder: Path) -> None:
    root = getattr(typer.main.get_command(app), "commands")  # noqa: B009 -- not in its type
    wanted = {
        "reference/commands.md": [f"## {name}" for name in _commands("odibi", root)],
        "reference/rules.md": [f"## {name}" for name in RULES],
        "reference/config.md": [
            line
            for name, model in sections().items()
            for line in (f"## {name}", *map(_row, model["properties"]))
        ],
        "operations.md": [f"## {name}" for name in OPERATIONS],
        "functions.md": [f"| `{function.signature}` |".replace("||", r"\|\|") for function in FUNCTIONS],
    }
    for name, lines in wanted.items():
        text = (folder / "pages" / name).read_text("utf-8")
        assert [line for line in lines if f"\n{line}" not in text] == [], name


def _row(key: str) -> str:
    return f"| `{key}` |"
