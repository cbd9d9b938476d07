"""What the page shows, as frozen values: pure functions from records to a view of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from odibi.record.model import CheckRecord, RunRecord, RunStatus, StepRecord, StepStatus
from odibi.story.changes import Changes, compare, compare_columns
from odibi.story.graph import Graph, layout
from odibi.story.origins import Column, Origin, columns_of, names_of
from odibi.story.text import NONE, count, date_time, duration, percent, proved, sentence, size, stage
from odibi.story.timeline import Bar, Timeline, timeline

__all__ = [
    "GLYPHS",
    "Figure",
    "Group",
    "IndexView",
    "LayerView",
    "Reason",
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
_WORST = ("failed", "quarantined", "warned")
_MANY, _COSTLY = 100, 30  # so many steps are all named in the time line; of more, so many by each cost
GLYPHS = {
    RunStatus.QUEUED: StepStatus.PENDING,
    RunStatus.RUNNING: StepStatus.RUNNING,
    RunStatus.SUCCEEDED: StepStatus.COMPLETED,
    RunStatus.FAILED: StepStatus.FAILED,
    RunStatus.TIMEOUT: StepStatus.FAILED,
    RunStatus.CANCELLED: StepStatus.CANCELLED,
}
"""The shape that stands for the status of a run."""


@dataclass(frozen=True, slots=True)
class StepView:
    """A step with what only the whole run knows of it. Links are pairs of name and anchor.

    ``share`` is its part of the time that all steps took, None where it did not run. ``decided_by`` are
    the columns that every column of the step depends on besides its own.
    """

    step: StepRecord
    anchor: str
    critical: bool
    changed: bool
    before: StepRecord | None
    share: float | None
    columns: tuple[Column, ...]
    decided_by: tuple[Origin, ...]
    numeric: frozenset[str]
    needs: tuple[tuple[str, str], ...]
    needed_by: tuple[tuple[str, str], ...]

    @property
    def bytes(self) -> int | None:
        """How much it wrote, None where that is not known."""
        known = [write.bytes for write in self.step.writes if write.bytes is not None]
        return sum(known) if known else None

    @property
    def traced(self) -> bool:
        """Whether it is known of any column where it comes from."""
        return bool(self.decided_by) or any(column.direct or column.indirect for column in self.columns)

    @property
    def apart(self) -> bool:
        """Whether any column is decided by others than all columns are."""
        return any(column.indirect for column in self.columns)

    @property
    def moved(self) -> bool:
        """Whether any column is another one than in the last run."""
        return any(column.change is not None and column.change.kind != "same" for column in self.columns)


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that stand under one heading."""

    title: str
    anchor: str
    steps: tuple[StepView, ...]


@dataclass(frozen=True, slots=True)
class LayerView:
    """A layer as a whole: ``needs`` are (other layer, number of links from it)."""

    name: str
    anchor: str
    steps: int
    counts: tuple[tuple[StepStatus, int], ...]
    rows: int
    seconds: float
    needs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """A decision with its reason, and the steps it is that of."""

    decision: str
    reason: str
    steps: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number worth a tile, what it is, and what to make of it."""

    value: str
    label: str
    note: str


@dataclass(frozen=True, slots=True)
class StoryView:
    """Everything on the page of one run.

    ``checks`` are the rules that were broken, with their steps, ``rules`` how many rules had which outcome;
    ``listed`` are the bars of the time line that have a row with a name.
    """

    run: RunRecord
    sentence: str
    glyph: StepStatus
    facts: tuple[tuple[str, str], ...]
    counts: tuple[tuple[StepStatus, int], ...]
    steps: Mapping[str, StepView]
    groups: tuple[Group, ...]
    layers: tuple[LayerView, ...]
    reasons: tuple[Reason, ...]
    checks: tuple[tuple[StepView, CheckRecord], ...]
    rules: tuple[tuple[str, int], ...]
    failures: tuple[StepView, ...]
    first: str
    graph: Graph
    timeline: Timeline
    listed: tuple[Bar, ...]
    critical_edges: frozenset[tuple[str, str]]
    figures: tuple[Figure, ...]
    changes: Changes | None


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run on the index page; ``link`` is empty where its story is not there.

    ``rows`` are those of all its steps' results; ``before`` is the run before it, ``taller`` its duration as a
    share of the longest of the pipeline.
    """

    run: RunRecord
    sentence: str
    glyph: StepStatus
    link: str
    rows: int
    before: tuple[float | None, int] | None
    taller: float


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
    layers = _anchors(list(dict.fromkeys(step.layer for step in run.steps)), "layer-")
    groups = [Group("needs attention", "attention", bad)] if bad else []
    for layer, anchor in layers.items():
        own = (view for view in steps.values() if view.step.layer == layer and view.step.status not in _BAD)
        groups.append(Group(layer, anchor, tuple(own)))
    broken = [
        (view, check) for view in steps.values() for check in view.step.checks if check.status != "passed"
    ]
    return StoryView(
        run=run,
        sentence=sentence(run),
        glyph=GLYPHS[run.status],
        facts=_facts(run),
        counts=tuple((status, run.count(status)) for status in StepStatus if run.count(status)),
        steps=steps,
        groups=tuple(group for group in groups if group.steps),
        layers=_layers(run, layers),
        reasons=_reasons(steps.values()),
        checks=tuple(
            sorted(broken, key=lambda pair: _WORST.index(pair[1].status) if pair[1].status in _WORST else 9)
        ),
        rules=tuple(Counter(check.status for step in run.steps for check in step.checks).most_common()),
        failures=tuple(view for view in bad if view.step.error),
        first=next((view.anchor for view in (*bad, *steps.values())), ""),
        graph=layout(run.steps),
        timeline=line,
        listed=_listed(line, steps),
        critical_edges=frozenset(pairwise(line.critical)),
        figures=_figures(run, line),
        changes=changes,
    )


def index_view(runs: Sequence[RunRecord], links: Mapping[str, str]) -> IndexView:
    """The view of ``runs``; ``links`` maps the id of a run to the place of its story."""
    newest = sorted(runs, key=lambda run: (run.started_at, run.run_id), reverse=True)
    return IndexView(
        tuple(
            (name, _lines([run for run in newest if run.pipeline == name], links))
            for name in sorted({run.pipeline for run in runs})
        )
    )


def _lines(runs: Sequence[RunRecord], links: Mapping[str, str]) -> tuple[RunLine, ...]:
    """The runs of one pipeline, the newest first, each beside the one before it."""
    rows = [sum(step.rows_out or 0 for step in run.steps) for run in runs]
    longest = max((run.seconds or 0.0 for run in runs), default=0.0) or 1.0
    before = [(run.seconds, number) for run, number in zip(runs[1:], rows[1:], strict=True)]
    return tuple(
        RunLine(run, sentence(run), GLYPHS[run.status], links.get(run.run_id, ""), number, last, (run.seconds or 0.0) / longest)
        for run, number, last in zip(runs, rows, [*before, None], strict=True)
    )  # fmt: skip


def _steps(
    run: RunRecord, previous: RunRecord | None, critical: frozenset[str], compared: Changes | None
) -> dict[str, StepView]:
    anchors = _anchors([step.name for step in run.steps], "step-")
    before = {step.name: step for step in previous.steps} if previous else {}
    spent = sum(step.seconds or 0.0 for step in run.steps)
    names = names_of(run.steps)
    changed = {change.name for change in compared.steps} if compared else set()
    needed_by: dict[str, list[tuple[str, str]]] = {name: [] for name in anchors}
    for step in run.steps:
        for name in step.upstream:
            if name in needed_by:
                needed_by[name].append((step.name, anchors[step.name]))
    views = {}
    for step in run.steps:
        last = before.get(step.name)
        changes = compare_columns(step.columns, last.columns if last else ()) if step.columns else ()
        columns, decided_by = columns_of(step, changes, names)
        views[step.name] = StepView(
            step=step,
            anchor=anchors[step.name],
            critical=step.name in critical,
            changed=step.name in changed,
            before=last,
            share=step.seconds / spent if step.seconds is not None and spent else None,
            columns=columns,
            decided_by=decided_by,
            numeric=frozenset(column.name for column in step.columns if _NUMERIC.match(column.type)),
            needs=tuple((name, anchors.get(name, "")) for name in step.upstream),
            needed_by=tuple(needed_by[step.name]),
        )
    return views


def _anchors(names: Sequence[str], prefix: str) -> dict[str, str]:
    """A fragment for each name that needs no quoting; names that look alike get a number."""
    taken: dict[str, str] = {}
    for name in names:
        plain = anchor = prefix + re.sub(r"[^A-Za-z0-9_.-]", "-", name)
        again = 1
        while anchor in taken:
            again += 1
            anchor = f"{plain}-{again}"
        taken[anchor] = name
    return {name: anchor for anchor, name in taken.items()}


def _layers(run: RunRecord, anchors: Mapping[str, str]) -> tuple[LayerView, ...]:
    """The layers in the order of the plan, each as one."""
    layer_of = {step.name: step.layer for step in run.steps}
    found = []
    for layer, anchor in anchors.items():
        own = [step for step in run.steps if step.layer == layer]
        statuses = Counter(step.status for step in own)
        needs = Counter(layer_of[name] for step in own for name in step.upstream if name in layer_of)
        found.append(
            LayerView(
                name=layer,
                anchor=anchor,
                steps=len(own),
                counts=tuple((status, statuses[status]) for status in StepStatus if statuses[status]),
                rows=sum(step.rows_out or 0 for step in own),
                seconds=sum(step.seconds or 0.0 for step in own),
                needs=tuple((other, needs[other]) for other in anchors if needs[other] and other != layer),
            )
        )
    return tuple(found)


def _reasons(views: Iterable[StepView]) -> tuple[Reason, ...]:
    """The decisions by their reason, those of most steps first."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for view in views:
        found.setdefault((view.step.decision, view.step.reason), []).append((view.step.name, view.anchor))
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return tuple(Reason(decision, reason, tuple(steps)) for (decision, reason), steps in ordered)


def _listed(line: Timeline, steps: Mapping[str, StepView]) -> tuple[Bar, ...]:
    """The bars worth a row with a name: all, or of very many the critical and the most costly."""
    if len(line.bars) <= _MANY:
        return line.bars
    costs: tuple[Callable[[StepView], float], ...] = (
        lambda view: view.step.seconds or 0.0,
        lambda view: view.step.rows_out or 0,
        lambda view: view.bytes or 0,
    )
    chosen = {bar.name for bar in line.bars if bar.critical}
    for cost in costs:
        most = sorted(steps.values(), key=cost, reverse=True)[:_COSTLY]
        chosen |= {view.step.name for view in most if cost(view)}
    return tuple(bar for bar in line.bars if bar.name in chosen)


def _facts(run: RunRecord) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Logical date", run.logical_date),
        ("Target", run.target),
        ("Engine", run.engine),
        ("Started", date_time(run.started_at)),
        ("Duration", duration(run.seconds)),
        ("Run", run.run_id),
        ("Resumed from", run.resumed_from),
        ("Checkpoints", _checkpoints(run)),
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


def _checkpoints(run: RunRecord) -> str:
    """``after bronze, silver; 18 steps in the last``."""
    if not run.checkpoints:
        return ""
    last = run.checkpoints[-1]
    return f"{', '.join(one.reason for one in run.checkpoints)}; {count(last.completed, 'step')} in the last"


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
