"""Steps in pods of a cluster: what is asked of it, as plain values and manifests, before anybody talks to it."""

from __future__ import annotations
