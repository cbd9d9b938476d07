"""What was proved, kept in odibi's home so that a story can cite it: which steps, on what, with how many rows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.config.check import is_sql_file
from odibi.prove.engines import versions
from odibi.prove.model import Proof, Verdict
from odibi.record.model import ProofRecord

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.home import Home
    from odibi.plan.model import Plan, PlannedStep

__all__ = ["Certificate", "cited", "issue", "path_of", "withdraw"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Certificate:
    """A proof that held.

    ``subject`` is what was proved: the pipeline, its config, target, parameters and the code it names.
    ``steps`` have, by name, the rows that were tried, how many of them were edges, and how many were
    dropped.
    """

    subject: Mapping[str, Any]
    engines: tuple[str, ...]
    versions: Mapping[str, str]
    seed: int
    proved_at: str
    steps: Mapping[str, Mapping[str, int]]
    total: int
    format: int = FORMAT


def issue(home: Home, loaded: Loaded, plan: Plan, proof: Proof) -> Path:
    """Write the certificate of a proof that holds.

    What the one before it says of other steps stays, if it is still true; one of more steps on other
    engines stays as it is.

    Raises:
        OSError: the home cannot be written.
    """
    path = path_of(home, loaded)
    subject = _subject(loaded, plan)
    steps = {
        step.name: {"rows": step.rows, "edges": step.edges, "dropped": step.dropped, "trials": step.trials}
        for step in proof.steps
        if step.verdict is Verdict.PROVED
    }
    before = _valid(path, subject)
    if before is not None and before.engines == proof.engines:
        steps = {**{name: dict(step) for name, step in before.steps.items()}, **steps}
    elif before is not None and len(before.steps) > len(steps):
        return path
    now = datetime.now(UTC).isoformat(timespec="seconds")
    certificate = Certificate(subject, proof.engines, proof.versions, proof.seed, now, steps, len(plan.steps))
    _replace(path, json.dumps(asdict(certificate), indent=2) + "\n")
    return path


def withdraw(home: Home, loaded: Loaded, proof: Proof) -> None:
    """Remove the pipeline's certificate if a proof found what it denies."""
    path = path_of(home, loaded)
    before = _read(path)
    different = {difference.engine for step in proof.steps for difference in step.differences}
    if before is not None and different & set(before.engines):
        path.unlink(missing_ok=True)


def path_of(home: Home, loaded: Loaded) -> Path:
    """Where the pipeline's certificate is kept."""
    return home.certificates / f"{loaded.pipeline.pipeline}.json"


def cited(home: Home, loaded: Loaded, plan: Plan) -> ProofRecord | None:
    """What the story of a run may say of proofs: nothing unless the certificate is for this very config and odibi."""
    found = _valid(path_of(home, loaded), _subject(loaded, plan))
    if found is None:
        return None
    return ProofRecord(
        engines=found.engines,
        proved_at=datetime.fromisoformat(found.proved_at),
        rows=sum(step["rows"] for step in found.steps.values()),
        steps=len(found.steps),
        total=found.total,
    )


def _valid(path: Path, subject: Mapping[str, Any]) -> Certificate | None:
    """The certificate if it is for this subject and what is installed now."""
    found = _read(path)
    holds = found is not None and found.subject == subject and found.versions == versions(found.engines)
    return found if holds else None


def _read(path: Path) -> Certificate | None:
    """The certificate; None where there is none that this odibi can read."""
    try:
        data = json.loads(path.read_text("utf-8"))
        certificate = Certificate(**{**data, "engines": tuple(data["engines"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return certificate if certificate.format == FORMAT else None


def _subject(loaded: Loaded, plan: Plan) -> dict[str, Any]:
    code = {step.name: said for step in plan.steps if (said := _code(loaded, step))}
    return {
        "pipeline": loaded.pipeline.pipeline,
        "config": loaded.config_hash,
        "target": loaded.target,
        "params": {name: str(value) for name, value in sorted(loaded.params.items())},
        "code": _hash(json.dumps(code, sort_keys=True)),
    }


def _code(loaded: Loaded, step: PlannedStep) -> str:
    """What the step's code outside the config says, before anything is put into it; empty where it has none."""
    if step.function is not None:
        return step.function.source
    file = loaded.find(step.step.value.strip()) if is_sql_file(step.step) else None
    return _hash(file.read_text("utf-8")) if file is not None else ""


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _replace(path: Path, content: str) -> None:
    """Write aside, then rename: a reader sees the old certificate or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(content, encoding="utf-8", newline="\n")
        aside.replace(path)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
