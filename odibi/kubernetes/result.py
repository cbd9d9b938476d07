"""What a worker leaves: its records as lines of JSON, one file for each pod that came to an end.

The first line says what the file is and who wrote it, the last how it ended; a line of a step is its whole record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from odibi.errors import Permanent
from odibi.record.model import RunRecord, StepRecord
from odibi.record.rows import reason

__all__ = ["FORMAT", "VERSION", "WorkerResult", "lines", "parsed"]

FORMAT = "odibi result"
VERSION = 1


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """What became of a task in one pod.

    Attributes:
        task: which work it was.
        pod: who did it.
        node: where that ran.
        started_at: when the worker began.
        ended_at: when its steps had ended.
        exit_code: what the worker ended with.
        steps: the records of the steps that were asked of it.
        error: why it came to no steps, empty if it did.
    """

    task: str
    pod: str
    node: str
    started_at: datetime
    ended_at: datetime
    exit_code: int
    steps: tuple[StepRecord, ...] = ()
    error: str = ""


def lines(result: WorkerResult) -> str:
    """The result as text."""
    begin = {
        "format": FORMAT,
        "version": VERSION,
        "task": result.task,
        "pod": result.pod,
        "node": result.node,
        "started_at": result.started_at.isoformat(),
    }
    end = {"ended_at": result.ended_at.isoformat(), "exit_code": result.exit_code, "error": result.error}
    steps = (f'{{"step": {step.model_dump_json()}}}' for step in result.steps)
    return "\n".join([json.dumps(begin), *steps, json.dumps({"end": end}), ""])


def parsed(text: str, place: str) -> WorkerResult:
    """The result of a text.

    Raises:
        Permanent: it is no result, one that was cut off, or one of a newer odibi.
    """
    try:
        begin, *steps, end = (json.loads(line) for line in text.splitlines())
        known = begin["format"] == FORMAT and begin["version"] <= VERSION
        found = WorkerResult(
            **{key: begin[key] for key in ("task", "pod", "node")},
            started_at=datetime.fromisoformat(begin["started_at"]),
            ended_at=datetime.fromisoformat(end["end"]["ended_at"]),
            exit_code=end["end"]["exit_code"],
            steps=tuple(StepRecord.model_validate(line["step"]) for line in steps),
            error=end["end"]["error"],
        )
    except (KeyError, TypeError) as error:
        raise Permanent(f"{place} is no result: {type(error).__name__}: {error}") from error
    except ValueError as error:
        raise Permanent(f"{place} is no result: {reason(error)}") from error
    if not known:
        raise Permanent(
            f"{place} is a {begin['format']} of version {begin['version']}, which this odibi does not know"
        )
    return found


def of_run(run: RunRecord, asked: tuple[str, ...], **about: Any) -> WorkerResult:
    """The result of a run that was asked for some steps; of others nothing is told."""
    return WorkerResult(steps=tuple(step for step in run.steps if step.name in asked), **about)
