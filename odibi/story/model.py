"""What the page shows, as frozen values: pure functions from records to a view of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from odibi.record.model import ColumnLineage, RunRecord, RunStatus, StepRecord, StepStatus
from odibi.story.changes import Changes, ColumnChange, compare, compare_columns
from odibi.story.graph import Graph, layout
from odibi.story.text import NONE, count, date_time, duration, percent, proved, sentence, size, stage
from odibi.story.timeline import Timeline, timeline

__all__ = [
    "Column",
    "Figure",
    "Group",
    "IndexView",
    "RunLine",
    "StepView",
    "StoryView",
    "index_view",
    "story_view",
]

_NUMERIC = re.compile(
    r"^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|REAL|DECIMAL\(.*\)|DECIMAL)$", re.IGNORECASE
)
_BAD = (StepStatus.FAILED, StepStatus.CANCELLED)
_GLYPH = {
    RunStatus.QUEUED: StepStatus.PENDING,
    RunStatus.RUNNING: StepStatus.RUNNING,
    RunStatus.SUCCEEDED: StepStatus.COMPLETED,
    RunStatus.FAILED: StepStatus.FAILED,
    RunStatus.TIMEOUT: StepStatus.FAILED,
    RunStatus.CANCELLED: StepStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Column:
    """An output column: its type, how that changed, and what it comes from."""

    name: str
    change: ColumnChange | None
    lineage: ColumnLineage | None


@dataclass(frozen=True, slots=True)
class StepView:
    """A step with what only the whole run knows of it. Links are pairs of name and anchor."""

    step: StepRecord
    anchor: str
    critical: bool
    changed: bool
    columns: tuple[Column, ...]
    numeric: frozenset[str]
    needs: tuple[tuple[str, str], ...]
    needed_by: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        """What a search over the steps looks in."""
        step = self.step
        said = (step.name, step.layer, step.node, step.operation, step.engine, step.status.value, *step.tags)
        return " ".join(said).lower()


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that stand under one heading."""

    title: str
    steps: tuple[StepView, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number worth a tile, what it is, and what to make of it."""

    value: str
    label: str
    note: str


@dataclass(frozen=True, slots=True)
class StoryView:
    """Everything on the page of one run."""

    run: RunRecord
    sentence: str
    glyph: StepStatus
    facts: tuple[tuple[str, str], ...]
    counts: tuple[tuple[StepStatus, int], ...]
    steps: Mapping[str, StepView]
    groups: tuple[Group, ...]
    failures: tuple[StepView, ...]
    first: str
    graph: Graph
    timeline: Timeline
    critical_edges: frozenset[tuple[str, str]]
    figures: tuple[Figure, ...]
    changes: Changes | None


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run on the index page; ``link`` is empty where its story is not there."""

    run: RunRecord
    sentence: str
    glyph: StepStatus
    link: str


@dataclass(frozen=True, slots=True)
class IndexView:
    """The runs of every pipeline, the newest first."""

    pipelines: tuple[tuple[str, tuple[RunLine, ...]], ...]


def story_view(run: RunRecord, previous: RunRecord | None = None) -> StoryView:
    """The view of ``run``, compared with ``previous`` where that is given."""
    line = timeline(run)
    changes = compare(run, previous) if previous else None
    steps = _steps(run, previous, frozenset(line.critical), changes)
    bad = tuple(view for view in steps.values() if view.step.status in _BAD)
    layers = dict.fromkeys(view.step.layer for view in steps.values())
    groups = [Group("needs attention", bad)] if bad else []
    groups += [
        Group(layer, tuple(v for v in steps.values() if v.step.layer == layer and v.step.status not in _BAD))
        for layer in layers
    ]
    return StoryView(
        run=run,
        sentence=sentence(run),
        glyph=_GLYPH[run.status],
        facts=_facts(run),
        counts=tuple((status, run.count(status)) for status in StepStatus if run.count(status)),
        steps=steps,
        groups=tuple(group for group in groups if group.steps),
        failures=tuple(view for view in bad if view.step.error),
        first=next((view.anchor for view in (*bad, *steps.values())), ""),
        graph=layout(run.steps),
        timeline=line,
        critical_edges=frozenset(pairwise(line.critical)),
        figures=_figures(run, line),
        changes=changes,
    )


def index_view(runs: Sequence[RunRecord], links: Mapping[str, str]) -> IndexView:
    """The view of ``runs``; ``links`` maps the id of a run to the place of its story."""
    newest = sorted(runs, key=lambda run: (run.started_at, run.run_id), reverse=True)
    names = sorted({run.pipeline for run in runs})
    lines = {
        name: tuple(
            RunLine(run, sentence(run), _GLYPH[run.status], links.get(run.run_id, ""))
            for run in newest
            if run.pipeline == name
        )
        for name in names
    }
    return IndexView(tuple(lines.items()))


def _steps(
    run: RunRecord, previous: RunRecord | None, critical: frozenset[str], changes: Changes | None
) -> dict[str, StepView]:
    anchors = _anchors([step.name for step in run.steps])
    before = {step.name: step for step in previous.steps} if previous else {}
    changed = {change.name for change in changes.steps} if changes else set()
    needed_by: dict[str, list[tuple[str, str]]] = {name: [] for name in anchors}
    for step in run.steps:
        for name in step.upstream:
            if name in needed_by:
                needed_by[name].append((step.name, anchors[step.name]))
    return {
        step.name: StepView(
            step=step,
            anchor=anchors[step.name],
            critical=step.name in critical,
            changed=step.name in changed,
            columns=_columns(step, before.get(step.name)),
            numeric=frozenset(column.name for column in step.columns if _NUMERIC.match(column.type)),
            needs=tuple((name, anchors.get(name, "")) for name in step.upstream),
            needed_by=tuple(needed_by[step.name]),
        )
        for step in run.steps
    }


def _anchors(names: Sequence[str]) -> dict[str, str]:
    """A fragment for each name that needs no quoting; names that look alike get a number."""
    taken: dict[str, str] = {}
    for name in names:
        plain = anchor = "step-" + re.sub(r"[^A-Za-z0-9_.-]", "-", name)
        again = 1
        while anchor in taken:
            again += 1
            anchor = f"{plain}-{again}"
        taken[anchor] = name
    return {name: anchor for anchor, name in taken.items()}


def _columns(step: StepRecord, before: StepRecord | None) -> tuple[Column, ...]:
    """The columns of the output in order, gone ones last, then what only lineage knows."""
    lineage = {line.column: line for line in step.lineage}
    changes = compare_columns(step.columns, before.columns if before else ()) if step.columns else ()
    known = [Column(change.name, change, lineage.pop(change.name, None)) for change in changes]
    return (*known, *(Column(name, None, line) for name, line in lineage.items()))


def _facts(run: RunRecord) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Logical date", run.logical_date),
        ("Target", run.target),
        ("Engine", run.engine),
        ("Started", date_time(run.started_at)),
        ("Duration", duration(run.seconds)),
        ("Run", run.run_id),
        ("Config", run.config),
        ("Config hash", run.config_hash[:12]),
        ("Command", run.command),
        ("Parameters", ", ".join(f"{name}={value}" for name, value in sorted(run.params.items()))),
        ("Owner", run.owner),
        ("Runbook", run.runbook),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items()))),
        ("Proved", proved(run.proof)),
        ("Sources", ", ".join(stage(s) for s in run.stages if s.successful_sources < s.total_sources)),
    ]
    return tuple(fact for fact in facts if fact[1])


def _figures(run: RunRecord, line: Timeline) -> tuple[Figure, ...]:
    writes = [write for step in run.steps for write in step.writes]
    figures = [Figure(duration(run.seconds), "duration", f"{duration(line.busy)} of work in the steps")]
    if line.slowest:
        share = (
            f"{percent(line.critical_seconds / line.span)} of the run, {count(len(line.critical), 'step')}"
        )
        at_once = f"{line.at_once:.1f} steps at once on average, {line.peak} at most"
        figures += [
            Figure(duration(line.critical_seconds), "critical path", share),
            Figure(duration(line.slowest.seconds), "slowest step", line.slowest.name),
            Figure(percent(line.efficiency), "parallel efficiency", at_once),
        ]
    if writes:
        held = size(sum(write.bytes or 0 for write in writes))
        files = count(sum(write.files or 0 for write in writes), "file")
        figures.append(
            Figure(count(sum(write.rows or 0 for write in writes)), "rows written", f"{held} in {files}")
        )
    taken = [step for step in run.steps if step.quality is not None and step.quality.quarantined]
    if taken:
        rows = sum(step.quality.quarantined for step in taken if step.quality is not None)
        figures.append(
            Figure(count(rows), "rows in quarantine", f"of {', '.join(step.name for step in taken[:3])}")
        )
    peak = max((step.peak_memory for step in run.steps if step.peak_memory), default=None)
    if peak is not None:
        figures.append(Figure(size(peak), "peak memory", "the most the process held when a step ended"))
    return tuple(figure for figure in figures if figure.value != NONE)
