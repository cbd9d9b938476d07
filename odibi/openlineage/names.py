"""What OpenLineage calls datasets and runs.

The rules for datasets are those of https://openlineage.io/docs/spec/naming.
"""

from __future__ import annotations

from functools import lru_cache
from uuid import NAMESPACE_URL, UUID, uuid5

__all__ = ["dataset_name", "run_id", "step_id"]

_SPELLED = {"postgresql": "postgres", "gs": "gs", "s3a": "s3"}


def dataset_name(uri: str, namespace: str, otherwise: str) -> tuple[str, str]:
    """The namespace and name of a dataset by its URI; ``otherwise`` is its name if it is kept nowhere."""
    scheme, found, path = uri.partition("://")
    if not found:
        return namespace, otherwise
    if scheme in ("file", "sqlite"):
        return scheme, path
    host, _, path = path.partition("/")
    place, mark, table = path.partition("#")
    return f"{_SPELLED.get(scheme, scheme)}://{host}", f"{place}.{table}" if mark else place


@lru_cache(maxsize=8)
def run_id(text: str) -> str:
    """The id of a run as the UUID that the standard asks for."""
    try:
        return str(UUID(text))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, f"odibi:{text}"))


def step_id(run: str, step: str) -> str:
    """The id of a step's run: the same whenever it is told."""
    return str(uuid5(UUID(run_id(run)), step))
