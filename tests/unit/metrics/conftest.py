from __future__ import annotations

from tests.unit.record.conftest import postgres_url, store, url

__all__ = ["postgres_url", "store", "url"]
