"""What a read asks of a server, made from its options and its connection; no server is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi.datasets.fetching import WAREHOUSES, Remote, Sample, refuse_connection, with_params
from odibi.datasets.source import ReadOptions
from odibi.errors import Permanent
from odibi.places import is_remote, options_of

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.config.secrets import Redactor
    from odibi.relational.schema import Schema

__all__ = ["asked_of"]

PRODUCTION = ("prod", "production")
"""Targets, and values of the variable ``env``, in which no made-up rows stand in for a source."""


def asked_of(
    loaded: Loaded,
    step: str,
    url: str,
    given: ReadOptions,
    folder: str,
    expected: Schema | None,
    redactor: Redactor,
) -> Remote:
    """What a step asks of the server at ``url``.

    Args:
        loaded: the config.
        step: the name of the step.
        url: where, with the options of its connection.
        given: the options of the read.
        folder: where the answer lands; empty for odibi's own place.
        expected: the columns that an earlier run made of it.
        redactor: knows the secrets that have been used in all of this.

    Raises:
        Permanent: the connection has an option that servers of its kind do not have, or the folder is no local one.
    """
    options = options_of(url)
    refuse_connection(url, options)
    scheme = url.partition("://")[0]
    if scheme in WAREHOUSES:
        raise Permanent(f"nothing is read from {scheme}://", hint="rows can be written there")
    if is_remote(folder):
        message = f"land: what servers send lands in local folders, not at {folder}"
        raise Permanent(message, hint="land: {path: ...} without a connection, and write the rows there")
    params = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given.params.items()
    }
    sample = Sample(given.sample_size, loaded.logical_date) if given.fallback_to_sample else None
    production = _production(loaded)
    return Remote(
        name=step,
        url=url,
        shown=redactor.mask(with_params(url, params)),
        headers={**options.get("headers", {}), **given.headers},
        params=params,
        options=options,
        pagination=given.pagination,
        records=given.records,
        timeout=given.timeout,
        folder=folder,
        sample=None if production else sample,
        caution=f"fallback_to_sample is off: {production}" if production and sample else "",
        expected=expected,
        extension=given.extension or "",
    )


def _production(loaded: Loaded) -> str:
    """What says that the run is in production; empty where nothing does."""
    said = {"target": loaded.target, "env": loaded.context.get("env")}
    return next((f"{name} is {value}" for name, value in said.items() if value in PRODUCTION), "")
