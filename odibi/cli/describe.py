"""``odibi describe``: all there is to say of a run, as ``kubectl describe`` says it of a pod."""

from __future__ import annotations

from typing import Any

from odibi.cli.exits import Exit
from odibi.cli.runs import run_of
from odibi.cli.status import COLOURS, PHASES, fields
from odibi.cli.terminal import clean, paint, say, say_json, table
from odibi.logs.entries import entries
from odibi.record.model import RunRecord
from odibi.story.text import count, date_time, duration

__all__ = ["describe"]


def describe(*, name: str | None, output: str) -> int:
    """Print what was asked of a run, how it stands, the attempts at its steps and its events."""
    run = run_of(name, "odibi describe")
    if output == "json":
        say_json(_data(run))
    else:
        _print(run)
    return Exit.SUCCESS


def _data(run: RunRecord) -> dict[str, Any]:
    keys = (
        "config",
        "config_hash",
        "description",
        "owner",
        "runbook",
        "engine",
        "target",
        "params",
        "command",
    )
    steps = ("name", "layer", "node", "operation", "engine", "upstream", "description", "owner", "tags")
    return {
        "name": run.pipeline,
        "run_id": run.run_id,
        "spec": {
            **{key: getattr(run, key) for key in keys},
            "date": run.logical_date,
            "versions": run.versions,
            "steps": [{key: getattr(step, key) for key in steps} for step in run.steps],
        },
        "status": {
            "phase": PHASES[run.status],
            "status": run.status,
            "steps": fields(run)["steps"],
            "started_at": run.started_at.isoformat(),
            "ended_at": run.ended_at.isoformat() if run.ended_at is not None else None,
            "duration_secs": run.seconds,
            "error": run.error,
            "details": [
                {
                    "step": step.name,
                    "status": step.status,
                    "decision": step.decision,
                    "reason": step.reason,
                    "attempts": [
                        each.model_dump(mode="json", exclude={"error": {"detail"}}) for each in step.attempts
                    ],
                    "pods": [pod.model_dump(mode="json") for pod in step.pods],
                }
                for step in run.steps
            ],
        },
        "events": [{"reason": entry.reason, **entry.as_data()} for entry in entries(run)],
    }


def _print(run: RunRecord) -> None:
    told = fields(run)
    said = {
        "Name": run.pipeline,
        "Run": run.run_id,
        "Description": run.description,
        "Owner": run.owner,
        "Runbook": run.runbook,
        "Config": run.config,
        "Command": run.command,
        "Engine": run.engine,
        "Target": run.target,
        "Date": run.logical_date,
        "Parameters": ", ".join(f"{key}={value}" for key, value in run.params.items()),
        "Resumed": run.resumed_from,
        "Phase": told["phase"],
        "Steps": f"{told['steps']} completed",
        "Started": date_time(run.started_at),
        "Ended": date_time(run.ended_at) if run.ended_at is not None else "",
        "Duration": told["duration"],
        "Error": run.error,
    }
    for label, text in said.items():
        if text:
            style = COLOURS.get(text, "") if label == "Phase" else ""
            say(f"{label + ':':14}{paint(clean(text), style)}")
    _section(
        "Steps",
        ("Step", "Layer", "Operation", "Engine", "Needs", "Status", "Attempts", "Duration", "Rows"),
        [
            (
                step.name, step.layer, step.operation, step.engine, ", ".join(step.upstream),
                step.status.value.replace("_", " "), str(len(step.attempts)), duration(step.seconds), count(step.rows_out),
            )
            for step in run.steps
        ],
    )  # fmt: skip
    _section(
        "Attempts",
        ("Step", "Attempt", "Started", "Status", "Duration", "Waited", "Error"),
        [
            (
                step.name, each.which, date_time(each.started_at), each.status.value,
                duration((each.ended_at - each.started_at).total_seconds() if each.ended_at else None),
                duration(each.delay) if each.delay else "", each.error.message if each.error is not None else "",
            )
            for step in run.steps
            for each in step.attempts
        ],
    )  # fmt: skip
    _section(
        "Pods",
        ("Step", "Pod", "Node", "Status", "Waited", "Starting", "Worked", "Executors"),
        [
            (
                step.name, pod.name, pod.node, ": ".join(filter(None, (pod.status, pod.reason))),
                duration(pod.waited), duration(pod.starting), duration(pod.worked), count(pod.executors),
            )
            for step in run.steps
            for pod in step.pods
        ],
    )  # fmt: skip
    _section(
        "Events",
        ("Time", "Type", "Reason", "Step", "Message"),
        [
            (
                date_time(entry.at), "Normal" if entry.level == "INFO" else "Warning", entry.reason, entry.step,
                entry.message.removeprefix(f"{run.pipeline}: ").removeprefix(f"step {entry.step} "),
            )
            for entry in entries(run)
        ],
    )  # fmt: skip


def _section(title: str, headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if rows:
        say(f"\n{title}:")
        say(table(headers, rows))
