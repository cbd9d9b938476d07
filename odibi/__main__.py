"""``python -m odibi`` is the console script ``odibi``."""

from __future__ import annotations

from odibi.cli import main

main()
