"""``odibi lineage``: where a dataset or column comes from and where it goes, by what runs have recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.cli.exits import Exit, NotFound
from odibi.cli.runs import earlier, run_of, store_of
from odibi.cli.terminal import paint, say, say_json, table
from odibi.record.lineage import columns_of, difference, document, schema_change
from odibi.record.lineage import schema as schema_of_document
from odibi.record.model import RunRecord, StepStatus
from odibi.record.trace import Branch, Graph, makers

if TYPE_CHECKING:
    from odibi.record.store import RunStore

__all__ = ["diff", "export", "schema", "show"]

_MARKS = {
    StepStatus.REUSED: "cached",
    StepStatus.SKIPPED: "skipped",
    StepStatus.NOT_RUN: "not run",
    StepStatus.FAILED: "failed",
    StepStatus.CANCELLED: "cancelled",
}


_TOLD = (StepStatus.REUSED, StepStatus.SKIPPED, StepStatus.NOT_RUN)
"""Those whose reason says why; that of a step that failed says why it was started."""


def show(*, name: str, up: bool, down: bool, run: str | None, output: str) -> int:
    """Print the tree of a dataset or column: both ways if none is asked for."""
    graph = Graph(_runs(run))
    place = graph.find(name)
    ways = {
        way: graph.tree(place, up=way == "up")
        for way, asked in (("up", up), ("down", down))
        if asked or up == down
    }
    if output == "json":
        say_json({way: tree.as_data() for way, tree in ways.items()})
        return Exit.SUCCESS
    for number, (way, tree) in enumerate(ways.items()):
        if number:
            say()
        say(f"{_said(tree)} {'comes from' if way == 'up' else 'goes into'}")
        decided = [_decided(tree, up=way == "up")] if tree.deciding else list(_changed(tree))
        for line in [*decided, *_lines(tree.branches, up=way == "up")] or ["nothing that a run has recorded"]:
            say(line)
    return Exit.SUCCESS


def diff(*, before: str, after: str, output: str) -> int:
    """Print what is otherwise in the lineage of the second run."""
    found = difference(run_of(before, "odibi lineage diff"), run_of(after, "odibi lineage diff"))
    if output == "json":
        say_json(found)
    elif not found:
        say("The lineage is the same.")
    else:
        rows = [(c["step"], c["what"], c["was"] or "", c["is"] or "") for c in found]
        signs = [("+ " if not was else "- " if not now else "~ ") + what for _, what, was, now in rows]
        say(
            table(
                ("Step", "Change", "Was", "Is"),
                [(r[0], s, r[2], r[3]) for r, s in zip(rows, signs, strict=True)],
            )
        )
    return Exit.SUCCESS


def export(*, run: str | None, file: str | None) -> int:
    """Write the lineage of a run as JSON, or print it."""
    text = json.dumps(
        document(run_of(run, "odibi lineage export")), ensure_ascii=False, indent=2, default=str
    )
    if file is None:
        say(text)
    else:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(text + "\n", encoding="utf-8", newline="\n")
        say(file)
    return Exit.SUCCESS


def schema() -> int:
    """Print the JSON schema of what is exported."""
    say_json(schema_of_document())
    return Exit.SUCCESS


def _runs(run: str | None) -> list[RunRecord]:
    """The run that is asked for, if one is, then the last ones of all pipelines that made their datasets, newest first."""
    chosen = [run_of(run, "odibi lineage")] if run is not None else []
    with store_of() as store:
        if store is None:
            raise NotFound("no run is recorded here", hint="odibi lineage looks where odibi run was started")
        first = [*chosen, *_last(store, {each.pipeline for each in chosen})]
        found = [each for one in first for each in makers(one, earlier(store, one))]
    others = [each for each in found if each not in chosen]
    return [*chosen, *sorted(others, key=lambda each: each.started_at, reverse=True)]


def _last(store: RunStore, but: set[str]) -> Iterator[RunRecord]:
    for pipeline in store.pipelines():
        if pipeline not in but and (found := store.last_run(pipeline)) is not None:
            yield found


def _changed(branch: Branch) -> Iterator[str]:
    """What the step that made a dataset changed of the columns and the number of rows that it was given."""
    step, run = branch.made, branch.run
    if step is None or run is None or branch.place.column:
        return
    change = schema_change(step, columns_of(run))
    said = [f"+ {column.name} ({column.type})" for column in change.added]
    said += [f"- {name}" for name in change.removed]
    said += [f"~ {name} ({before} to {now})" for name, before, now in change.retyped]
    if said:
        yield paint(f"columns {', '.join(said)}", "dim")
    rows = ", ".join(f"{name} {'?' if n is None else n}" for name, n in step.rows_in.items())
    if rows and step.rows_out is not None:
        yield paint(f"rows {step.rows_out} of {rows}", "dim")


def _decided(branch: Branch, *, up: bool) -> str:
    """What has no part in the values of a column, and decides which rows there are."""
    names = ", ".join(f"{name} ({', '.join(kinds)})" for name, kinds in branch.deciding)
    return paint(f"{'decided by' if up else 'decides about'} {names}", "dim")


def _lines(branches: tuple[Branch, ...], before: str = "", *, up: bool) -> list[str]:
    found: list[str] = []
    for number, branch in enumerate(branches, 1):
        last = number == len(branches)
        found.append(f"{before}{'└─ ' if last else '├─ '}{_said(branch)}")
        below = before + ("   " if last else "│  ")
        if branch.deciding:
            found.append(below + _decided(branch, up=up))
        found += _lines(branch.branches, below, up=up)
    return found


def _said(branch: Branch) -> str:
    """A place in one line: its name, how it is used, what made it, and where it stands."""
    name = f"{branch.name}.{branch.place.column}" if branch.place.column else branch.name
    said = [paint(name, "bold")]
    if branch.kinds:
        said.append(f"({', '.join(branch.kinds)})")
    if branch.made is not None and branch.run is not None:
        how = branch.made.code or branch.made.operation
        said.append(paint(f"by {branch.made.name} [{how}] in run {branch.run.run_id[:8]}", "dim"))
        mark = "synthetic" if branch.made.synthetic else _MARKS.get(branch.made.status, "")
        if mark:
            told = branch.made.status in _TOLD and not branch.made.synthetic
            said.append(paint(f"{mark}: {branch.made.reason}" if told else mark, "yellow"))
    if "://" in branch.place.key and not branch.place.column:
        said.append(paint(f"at {branch.place.key}{_version(branch)}", "dim"))
    if branch.shown:
        said.append(paint("(see above)", "dim"))
    return " ".join(said)


def _version(branch: Branch) -> str:
    if not branch.version:
        return ""
    return f", version {branch.version if branch.version.isdigit() else branch.version[:12]}"
