"""What is printed, and how it ends, without a process."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from odibi.cli.config import parameters
from odibi.cli.exits import Exit, NotFound, UsageError, ended
from odibi.cli.status import since
from odibi.cli.terminal import ClosedPipe, clean, paint, say, table
from odibi.errors import ConfigError, MissingExtra, Permanent, Problem, Transient


@pytest.fixture(autouse=True)
def _no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "ODIBI_DEBUG"):
        monkeypatch.delenv(name, raising=False)


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    drawn = table(("Name", "Rows"), [("a", "1"), ("日本", "1,000")], right=["Rows"])
    assert drawn.splitlines() == ["Name   Rows", "a         1", "日本  1,000"]


def test_nothing_is_cut_where_no_terminal_is() -> None:
    assert "x" * 5_000 in table(("A", "B"), [("x" * 5_000, "[bold]y")])
    assert "[bold]y" in table(("A",), [("[bold]y",)])


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\u202eevil", "\\u202eevil"),
        ("Crème \N{SNOWMAN}", "Crème \N{SNOWMAN}"),
    ],
)
def test_data_cannot_drive_the_terminal(data: str, shown: str) -> None:
    assert clean(data) == shown
    assert table(("A",), [(data,)]).splitlines()[1] == shown


@pytest.mark.parametrize(
    ("environment", "painted"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], painted: bool) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert paint("ok", "green") == ("\x1b[32mok\x1b[0m" if painted else "ok")
    assert ("\x1b[" in table(("A",), [(("ok", "green"),)])) is painted


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "Unknown"),
        (0.04, "0.0s"),
        (3.24, "3.2s"),
        (59.96, "1m"),
        (12 * 60, "12m"),
        (45 * 60 + 59, "45m"),
        (2 * 3600 + 15 * 60, "2h 15m"),
        (49 * 3600, "49h 0m"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert since(seconds) == shown


def test_parameters() -> None:
    assert parameters(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    assert parameters(None) == {}
    for wrong in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(UsageError, match="--param"):
            parameters(wrong)


PROBLEMS = [Problem("a.yaml", 3, 5, "unknown key 'x'", "did you mean 'y'?"), Problem("a.yaml", 1, 1, "b")]


def raises(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError(PROBLEMS), 2, "a.yaml:1:1: b\na.yaml:3:5: unknown key 'x' (did you mean 'y'?)\n2 errors\n"),
        (UsageError("no", hint="do"), 2, "error: no (do)\n"),
        (NotFound("gone", where="x:1"), 5, "error: x:1: gone\n"),
        (Permanent("no", where="f:2", hint="do"), 3, "error: f:2: no (do)\n"),
        (Transient("lost"), 3, "error: lost\n"),
        (MissingExtra("psycopg", "postgres"), 3, "error: psycopg is not installed (pip install 'odibi[postgres]')\n"),
        (OSError(28, "No space left on device", "x.csv"), 3, "error: x.csv: No space left on device\n"),
        (KeyboardInterrupt(), 130, ""),
        (ClosedPipe(), 141, ""),
    ],
)  # fmt: skip
def test_errors_become_messages_and_codes(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    assert ended(raises(error)) == code
    assert capsys.readouterr() == ("", said)


def test_a_bug_says_so_and_shows_where_when_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ended(raises(ZeroDivisionError("division by zero"))) == Exit.ERROR
    message, bug = capsys.readouterr().err.splitlines()
    assert message == "error: ZeroDivisionError: division by zero"
    assert bug.startswith("this is a bug in odibi")
    monkeypatch.setenv("ODIBI_DEBUG", "1")
    ended(raises(ZeroDivisionError("division by zero")))
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_told_once(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

        def fileno(self) -> int:
            return nowhere.fileno()

    with open("/dev/null", "w") as nowhere:  # noqa: PTH123 -- a descriptor to be replaced
        monkeypatch.setattr(sys, "stdout", Closed())
        with pytest.raises(ClosedPipe):
            say("x")
