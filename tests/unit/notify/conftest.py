from __future__ import annotations

from tests.unit.record.conftest import postgres_url, store, url
from tests.unit.run.conftest import project

__all__ = ["postgres_url", "project", "store", "url"]
