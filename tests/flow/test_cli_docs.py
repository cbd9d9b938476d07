"""docs/cli.md names everything that can be typed, and its examples give what it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from odibi.cli.app import app
from odibi.cli.exits import Exit
from tests.flow.helpers import odibi

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)}
COMMANDS: dict[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009 -- not in its type

# Runs, times and the blanks that depend on their width are not the same twice.
DIFFERS = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "RUN"),
    (r"\b[0-9a-f]{8}\b", "RUN"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"\b\d+(\.\d+)? ?(ms|s)\b", "DURATION"),
    (r" +", " "),
)


def examples() -> Iterator[tuple[str, str]]:
    """Each command of the page, in order, with what it prints."""
    for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL):
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = command.partition("\n")
            yield line, output


def normal(text: str) -> str:
    for pattern, word in DIFFERS:
        text = re.sub(pattern, word, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_documented(command: str) -> None:
    section = SECTIONS[f"odibi {command}"]
    assert f"$ odibi {command}" in section, "an example"
    own = getattr(COMMANDS[command], "commands", {})
    for parameter in [*COMMANDS[command].params, *(one for sub in own.values() for one in sub.params)]:
        names = parameter.opts if parameter.param_type_name == "option" else []
        for name in names:
            if name not in ("--help", "-h"):  # what a letter means is said once
                assert f"`{name}" in (section if name.startswith("--") else PAGE), name


def test_every_exit_code_is_documented() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", SECTIONS["Exit codes"], re.MULTILINE)}
    assert codes == {*map(int, Exit), 143}


def test_the_examples_give_what_the_page_says(tmp_path: Path) -> None:
    folder = tmp_path
    for line, output in examples():
        program, *args = shlex.split(line)
        if program == "cd":
            folder = folder / args[0]
            continue
        done = odibi(*args, cwd=folder)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        expected = re.escape(normal(output)).replace(re.escape("..."), ".*")
        assert re.fullmatch(expected, normal(done.stdout + done.stderr), re.DOTALL), f"{line}:\n{done.stdout}"
