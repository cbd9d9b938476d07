"""Where metrics go when a run has ended: a file about it, a file about all runs, a gateway."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.boundaries import cross
from odibi.config.secrets import Redactor, Secrets, resolve
from odibi.metrics.prometheus import exposition, push
from odibi.metrics.summary import summary
from odibi.metrics.totals import Totals, totals

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.record.model import RunRecord
    from odibi.record.store import RunStore

__all__ = ["as_json", "exported", "put"]


def exported(
    store: RunStore, loaded: Loaded, run: RunRecord, redactor: Redactor, aside: Callable[[Path], Path]
) -> Iterator[str]:
    """Write and send what the config asks for; gives a sentence for each that cannot be done.

    Args:
        store: the run store, in which the run has ended.
        loaded: the config.
        run: the record of the run.
        redactor: is told of secrets in the address of the gateway.
        aside: gives the name that a file has until it is whole.
    """
    asked = loaded.pipeline.metrics
    if asked is None:
        return
    if asked.file is not None:
        yield from _tried(f"written to {asked.file}", lambda: put(Path(str(asked.file)), as_json(run), aside))
    if asked.prometheus is None and asked.push is None:
        return
    found: Totals = {}
    wrong = list(_tried("computed", lambda: found.update(totals(store, run))))
    yield from wrong
    if wrong:
        return
    if asked.prometheus is not None:
        path = Path(asked.prometheus)
        yield from _tried(f"written to {path}", lambda: put(path, exposition(found), aside))
    if asked.push is not None:
        secrets = Secrets(loaded.pipeline.secrets, loaded.environ, redactor)
        own = {labels: amounts for labels, amounts in found.items() if labels.pipeline == run.pipeline}
        for sentence in _tried(
            f"sent to {asked.push}", lambda: push(resolve(str(asked.push), secrets=secrets), own)
        ):
            yield redactor.mask(sentence)


def as_json(run: RunRecord) -> str:
    """The summary of a run as JSON text."""
    return json.dumps(summary(run), ensure_ascii=False, indent=2) + "\n"


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def put(path: Path, text: str, aside: Callable[[Path], Path] = _aside) -> None:
    """Write a file: a reader sees the old one or the new one, never a part. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = aside(path)
    try:
        cross("before metrics")
        new.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        cross("amid metrics")
        new.replace(path)
        cross("after metrics")
    finally:
        new.unlink(missing_ok=True)


def _tried(what: str, do: Callable[[], None]) -> Iterator[str]:
    """Do it; a run does not fail for its metrics."""
    try:
        do()
    except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended and is recorded
        yield f"the metrics could not be {what}: {error}"
