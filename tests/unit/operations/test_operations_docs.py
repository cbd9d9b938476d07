"""The reference pages are what the docstrings and the table say today."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from odibi.operations.docs import PAGES, main

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(("name", "page"), PAGES.items())
def test_the_page_is_current(name: str, page: Callable[[], str]) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == page(), "run python -m odibi.operations.docs docs"


def test_pages_are_written_or_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(PAGES)
    main([])
    assert capsys.readouterr().out == "".join((tmp_path / name).read_text(encoding="utf-8") for name in PAGES)
