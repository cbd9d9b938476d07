"""Runs told as events of the OpenLineage standard (https://openlineage.io), to a server or a file."""

from __future__ import annotations

from odibi.openlineage.emitter import Emitter

__all__ = ["Emitter"]
