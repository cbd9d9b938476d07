"""Metrics as Prometheus reads them, and how they get to a Pushgateway.

The format is that of https://prometheus.io/docs/instrumenting/exposition_formats/ (text, version 0.0.4), the
protocol that of https://github.com/prometheus/pushgateway#put-method: a PUT replaces a group of metrics.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from odibi.errors import Permanent
from odibi.metrics.families import FAMILIES, Amounts, Family, Labels
from odibi.metrics.totals import Totals

__all__ = ["CONTENT_TYPE", "exposition", "push"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE = 5.0
"""Seconds that a gateway has to answer."""


def exposition(found: Totals) -> str:
    """The text of all series, metric by metric. A metric that has none is left out."""
    of_steps = [(_written(labels), amounts) for labels, amounts in found.items() if labels.step]
    of_runs = [(_written(labels), amounts) for labels, amounts in found.items() if not labels.step]
    return "".join(
        line for family in FAMILIES for line in _lines(family, of_steps if family.of_step else of_runs)
    )


def push(url: str, found: Totals) -> None:
    """Send the series of each pipeline to the gateway, in place of those it has.

    Args:
        url: where the gateway is, or the address of a job of it: ``http://host:9091/metrics/job/etl``.
        found: the series.

    Raises:
        Permanent: the gateway cannot be reached, or does not take them.
    """
    wrong = Permanent("the address of a gateway is like http://localhost:9091")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong
    job, host = parts.path.rstrip("/"), parts.netloc.rpartition("@")[2]
    if "/metrics/job/" not in job:
        job += "/metrics/job/odibi"
    headers = {"Content-Type": CONTENT_TYPE}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(user).decode()}"
    for pipeline in sorted({labels.pipeline for labels in found}):
        own = {labels: amounts for labels, amounts in found.items() if labels.pipeline == pipeline}
        # Names of pipelines are made of letters, digits, _ and -, so they need no quoting.
        place = urlunsplit((parts.scheme, host, f"{job}/pipeline/{pipeline}", parts.query, ""))
        request = Request(place, exposition(own).encode(), headers, method="PUT")  # noqa: S310 - see above
        try:
            with urlopen(request, timeout=PATIENCE):  # noqa: S310
                pass
        except HTTPError as error:
            with error:
                said = error.read(300).decode("utf-8", "replace").strip() or str(error.reason)
            raise Permanent(f"the gateway answered {error.code}: {said.splitlines()[0]}") from error
        except URLError as error:
            raise Permanent(f"the gateway cannot be reached: {error.reason}") from error
        except (OSError, HTTPException, ValueError) as error:
            raise Permanent(f"the gateway cannot be reached: {error or type(error).__name__}") from error


def _lines(family: Family, series: Sequence[tuple[str, Amounts]]) -> Iterator[str]:
    told = False
    for labels, amounts in series:
        for sample in family.samples:
            if sample not in amounts:
                continue
            if not told:
                yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}\n"
                told = True
            amount = amounts[sample]
            number = repr(amount) if isinstance(amount, float) else str(amount)
            name, _, bound = sample.partition(":")
            if bound:
                yield f'{name}{{{labels},le="{bound}.0"}} {number}\n'
                continue
            if family.type == "histogram" and name.endswith("_count"):
                yield f'{family.name}_bucket{{{labels},le="+Inf"}} {number}\n'
            yield f"{name}{{{labels}}} {number}\n"


def _written(labels: Labels) -> str:
    """The labels as they stand in braces; those of a pipeline are of no step and no layer."""
    pairs = ((name, value) for name, value in labels._asdict().items() if value or labels.step)
    return ",".join(f'{name}="{_quoted(value)}"' for name, value in pairs)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
