"""``odibi prove``: the same rows through every step on every engine, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from odibi.cli.config import load_config
from odibi.cli.differences import drawn
from odibi.cli.exits import Exit, UsageError
from odibi.cli.terminal import paint, say, say_json
from odibi.config.loaded import Loaded
from odibi.errors import ConfigError, MissingExtra, Permanent
from odibi.home import Home
from odibi.orchestrator import plan as planned
from odibi.plan.model import Plan
from odibi.plan.select import select
from odibi.prove.certificate import issue, withdraw
from odibi.prove.engines import named
from odibi.prove.model import Difference, Proof, StepProof, Verdict
from odibi.prove.pipeline import prove as proved
from odibi.prove.show import Block, blocks
from odibi.story.text import count

__all__ = ["prove"]

_COLOURS = {
    Verdict.PROVED: "green",
    Verdict.DIFFERENT: "red",
    Verdict.REFUSED: "yellow",
    Verdict.FAILED: "red",
    Verdict.LEFT_OUT: "dim",
}


def prove(
    *, config: str | None, given: Mapping[str, Any], engines: Sequence[str] | None, step: Sequence[str] | None,
    rows: int, seed: int, output: str,
) -> int:  # fmt: skip
    """Prove the steps, and keep a certificate if nothing differs."""
    wanted = [name.strip() for item in engines or () for name in item.split(",") if name.strip()]
    loaded = load_config(config, **given)
    the_plan, chosen = _asked(loaded, wanted, step or ())
    text = output == "text"
    width = max(len(name) for name in chosen)
    proof = proved(
        loaded,
        the_plan,
        engines=wanted,
        chosen=chosen,
        rows=rows,
        seed=seed,
        begun=(lambda names, absent: _started(loaded, names, absent)) if text else None,
        told=(lambda one: _told(one, width)) if text else None,
    )
    home = Home.find()
    certificate = ""
    if proof.holds and proof.count(Verdict.PROVED):
        certificate = issue(home, loaded, the_plan, proof).as_posix()
    elif not proof.holds:
        withdraw(home, loaded, proof)
    if text:
        _ended(loaded, proof, certificate)
    else:
        say_json(_as_data(loaded, proof) | {"certificate": certificate or None})
    return Exit.SUCCESS if proof.holds else Exit.FAILED


def _asked(loaded: Loaded, engines: Sequence[str], steps: Sequence[str]) -> tuple[Plan, frozenset[str]]:
    """The plan and the steps that are meant. Raises UsageError for what is not there, MissingExtra, ConfigError."""
    try:
        named(engines)  # what is not installed is said before anything else is done
        the_plan = planned(loaded)
        upstream = {step.name: step.upstream for step in the_plan.steps}
        return the_plan, select(loaded.pipeline.steps, upstream, steps)
    except (ConfigError, MissingExtra):
        raise
    except Permanent as error:
        raise UsageError(error.message, hint=error.hint) from error


# --- for people ------------------------------------------------------------------------------------


def _started(loaded: Loaded, engines: Sequence[str], absent: Mapping[str, str]) -> None:
    name = loaded.pipeline.pipeline
    say(f"Proving {name} on {_and(engines)} (date {loaded.logical_date}, target {loaded.target})")
    for engine, why in absent.items():
        say(f"without {engine}: {why}")


def _told(step: StepProof, width: int) -> None:
    said = {
        Verdict.PROVED: _tried(step),
        Verdict.DIFFERENT: ", ".join(f"{each.engine} {each.said}" for each in step.differences),
    }.get(step.verdict, step.reason)
    verdict = paint(f"{step.verdict:<9}", _COLOURS[step.verdict])
    say(f"{verdict}  {step.name:<{width}}  {said}".rstrip())
    for problem in step.problems:
        say(f"           {problem}")


def _tried(step: StepProof) -> str:
    edges = f", {step.edges:,} of them edges" if step.edges else ""
    return count(step.rows, "row") + edges + (f", {step.dropped:,} more dropped" if step.dropped else "")


def _ended(loaded: Loaded, proof: Proof, certificate: str) -> None:
    for step in proof.steps:
        for difference in step.differences:
            say()
            for line in drawn(step, difference, loaded.pipeline.sensitive):
                say(line)
    say()
    rows = sum(step.rows for step in proof.steps)
    counts = [f"{proof.count(verdict)} {verdict}" for verdict in Verdict if proof.count(verdict)]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(proof.versions.items()) if version)
    say(
        f"{count(len(proof.steps), 'step')} tried with {count(rows, 'row')} on {_and(proof.engines)}: {', '.join(counts)}"
    )
    say(f"seed {proof.seed}, {versions}")
    if certificate:
        say(f"Certificate: {certificate}")


def _and(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"


# --- for programs ----------------------------------------------------------------------------------


def _as_data(loaded: Loaded, proof: Proof) -> dict[str, Any]:
    return {
        "pipeline": loaded.pipeline.pipeline,
        "config": loaded.file,
        "date": loaded.logical_date.isoformat(),
        "target": loaded.target,
        "holds": proof.holds,
        "engines": list(proof.engines),
        "absent": dict(proof.absent),
        "versions": dict(proof.versions),
        "seed": proof.seed,
        "totals": {str(verdict): proof.count(verdict) for verdict in Verdict},
        "steps": [_step(step, loaded.pipeline.sensitive) for step in proof.steps],
    }


def _step(step: StepProof, sensitive: Sequence[str]) -> dict[str, Any]:
    return {
        "name": step.name,
        "operation": step.operation,
        "verdict": str(step.verdict),
        "where": step.where,
        "rows": step.rows,
        "edges": step.edges,
        "dropped": step.dropped,
        "trials": step.trials,
        "reason": step.reason,
        "problems": [asdict(problem) for problem in step.problems],
        "differences": [_difference(each, sensitive) for each in step.differences],
    }


def _difference(difference: Difference, sensitive: Sequence[str]) -> dict[str, Any]:
    inputs, answers = blocks(difference, sensitive)
    return {
        "engine": difference.engine,
        "reference": difference.reference,
        "said": difference.said,
        "depends_on_order": difference.ordered,
        "inputs": {block.label: _block(block) for block in inputs},
        "answers": {block.label: _block(block) for block in answers},
    }


def _block(block: Block) -> dict[str, Any]:
    columns = {column.name: column.type for column in block.schema}
    rows = [list(row) for row in block.rows]
    return {"columns": columns, "rows": rows, "note": block.note, "message": block.message}
