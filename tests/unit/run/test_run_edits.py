"""Random edits of random small pipelines: a planned re-run of all dates gives what a rebuild gives.

The share of steps that were not run again is printed. ``ODIBI_EDITS=2000`` makes it a long search.

Two things are left out, because a rebuild rightly gives something else there: rows that are gone from
a source stay in a merge, and scd2 remembers what a source once said. So both read a source that only
grows, whose changes have later sequences.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odibi import orchestrator
from odibi.config.load import load
from odibi.home import Home
from odibi.record.model import StepStatus
from tests.unit.run.project import Project, Row

EDITS = int(os.environ.get("ODIBI_EDITS", "24"))
PER_EXAMPLE = 8
DATES = ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04")

FUNCTION = """
import pyarrow as pa
import pyarrow.compute as pc

LIMIT = {constant}


def flagged(rows: pa.Table) -> pa.Table:
    {comment}
    return rows.append_column("flag", pc.greater(rows["v"], LIMIT))
"""


@dataclass
class Made:
    """A step: what it is, what it reads, and what an edit may change in it."""

    name: str
    kind: str
    reads: str
    columns: tuple[str, ...]
    constant: int = 0
    kept: bool = True
    style: int = 0


@dataclass
class World:
    """The sources and the steps as they are after some edits."""

    files: dict[str, dict[int, tuple[str, int, int]]] = field(
        default_factory=dict
    )  # date -> id -> grp, v, seq
    names: dict[str, str] = field(default_factory=lambda: {"x": "ex", "y": "why"})
    steps: list[Made] = field(default_factory=list)
    clock: int = 0

    def tick(self) -> int:
        self.clock += 1
        return self.clock


KINDS = {  # what a step needs of its input, and what it makes of its columns
    "filter": ({"v"}, lambda c: c),
    "derive": ({"v"}, lambda c: tuple(dict.fromkeys((*c, "w")))),
    "sums": ({"v", "grp"}, lambda _: ("grp", "v")),
    "names": ({"grp"}, lambda c: tuple(dict.fromkeys((*c, "name")))),
    "latest": ({"id", "seq"}, lambda c: c),
    "project": ({"v", "grp"}, lambda _: ("grp", "v")),
    "flagged": ({"v"}, lambda c: tuple(dict.fromkeys((*c, "flag")))),
    "merge": ({"id", "seq", "raw"}, lambda c: c),
    "scd2": ({"id", "seq", "raw"}, lambda c: c),
    "counted": (set(), lambda _: ("n",)),
}


def declared(made: Made) -> dict[str, Any]:
    """The step in YAML's short form; ``style`` changes how it is written and not what it says."""
    pad = " " * (made.style % 3 + 1)
    note = f"-- {made.style}\n" if made.style else ""
    write: dict[str, Any] = {"to": "lake"}
    body: dict[str, Any]
    if made.kind in ("filter", "derive", "latest"):
        operation = {
            "filter": {"filter": f"v{pad}>{pad}{made.constant}"},
            "derive": {"derive": {"w": f"v{pad}+ {made.constant}"}},
            "latest": {"deduplicate": {"keys": ["id"], "order_by": ["seq desc", f"v{pad}desc"]}},
        }[made.kind]
        body = {"inputs": [made.reads], "transform": [operation]}
    elif made.kind == "flagged":
        body = {"inputs": {"rows": made.reads}, "function": f"edited_steps.{made.name}:flagged"}
    else:
        select = {
            "sums": f"grp, sum(v){pad}+ {made.constant} AS v FROM {made.reads} GROUP BY grp",
            "names": f"t.*, b.label AS name FROM {made.reads} t LEFT JOIN raw_b b ON t.grp ={pad}b.grp",
            "project": f"grp, v{pad}* {made.constant + 1} AS v FROM {made.reads}",
            "merge": f"id, grp, v + {made.constant} AS v, seq FROM {made.reads}",
            "scd2": f"id, grp,{pad}v, seq FROM {made.reads}",
            "counted": f"count(*) +{pad}{made.constant} AS n FROM {made.reads}",
        }[made.kind]
        body = {"sql": f"{note}SELECT{pad}{select}"}
    if made.kind in ("merge", "scd2"):
        write |= {"mode": made.kind, "keys": ["id"], "sequence_by": "seq", "on_code_change": "rebuild"}
    step = {"name": made.name, "layer": "silver", **body}
    if made.kept:
        step["write"] = write
    return dict(reversed(step.items())) if made.style % 2 else step


@st.composite
def steps(draw: st.DrawFn, number: int, before: list[Made]) -> Made:
    """One more step over the sources or a step before."""
    sources = {"raw_a": ("id", "grp", "v", "seq", "raw")} | {
        made.name: made.columns for made in before if made.kind not in ("merge", "scd2")
    }
    reads = draw(st.sampled_from(sorted(sources)))
    kinds = [kind for kind, (needs, _) in KINDS.items() if needs <= set(sources[reads])]
    kind = draw(st.sampled_from([k for k in kinds if k != "derive" or "w" not in sources[reads]]))
    columns = tuple(c for c in sources[reads] if c != "raw")
    made = KINDS[kind][1](columns)
    if kind in ("names", "flagged") and len(made) == len(columns):
        kind, made = "counted", ("n",)  # the column is there already
    kept = kind in ("merge", "scd2") or draw(st.booleans())
    return Made(f"s{number}", kind, reads, made, draw(st.integers(0, 3)), kept)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    for date in DATES[: draw(st.integers(1, 2))]:
        world.files[date] = {}
        for _ in range(draw(st.integers(1, 3))):
            _add(draw, world, date)
    for number in range(draw(st.integers(2, 5))):
        world.steps.append(draw(steps(number, world.steps)))
    return world


def _add(draw: st.DrawFn, world: World, date: str) -> None:
    seq = world.tick()
    world.files[date][100 + seq] = (draw(st.sampled_from("xyz")), draw(st.integers(0, 4)), seq)


EDIT = ("nothing", "style", "constant", "row", "new_row", "same_row", "label", "date", "step", "drop", "lose", "foreign")  # fmt: skip


def edit(draw: st.DrawFn, world: World, lake: Path) -> str:
    """Change something; what was changed."""
    what = draw(st.sampled_from(EDIT))
    made = draw(st.sampled_from(world.steps)) if world.steps else None
    date = draw(st.sampled_from(sorted(world.files)))
    history = any(step.kind == "scd2" for step in world.steps)
    if what == "style" and made:
        made.style += 1
    elif what == "constant" and made:
        made.constant = draw(st.integers(0, 3))
    elif what in ("row", "same_row") and world.files[date] and not (history and what == "row"):
        key = draw(st.sampled_from(sorted(world.files[date])))
        grp, v, seq = world.files[date][key]
        if what == "row":
            world.files[date][key] = (draw(st.sampled_from("xyz")), draw(st.integers(0, 4)), world.tick())
        else:  # the file is written again, its rows turned round: its bytes are others, its rows are not
            del world.files[date][key]
            world.files[date][key] = (grp, v, seq)
    elif what == "new_row":
        _add(draw, world, date)
    elif what == "label":
        world.names[draw(st.sampled_from("xyz"))] = draw(st.sampled_from(["ex", "why", "zed"]))
    elif what == "date" and len(world.files) < len(DATES):
        world.files[DATES[len(world.files)]] = {}
        _add(draw, world, DATES[len(world.files) - 1])
    elif what == "step" and len(world.steps) < 7:
        world.steps.append(draw(steps(len(world.steps) + 10 * world.tick(), world.steps)))
    elif what == "drop" and made and not any(step.reads == made.name for step in world.steps):
        world.steps.remove(made)
    elif what == "lose" and made and made.kept:
        shutil.rmtree(lake / "silver" / made.name, ignore_errors=True)
    elif what == "foreign" and made and made.kept and made.kind not in ("merge", "scd2"):
        table = lake / "silver" / made.name
        if (table / "_delta_log").is_dir():
            from deltalake import DeltaTable

            rows = DeltaTable(str(table)).to_pyarrow_table()
            write_deltalake(str(table), rows.slice(0, 1), mode="append")
    else:
        return "nothing"
    return what


def lay_out(world: World, root: Path) -> None:
    for date, rows in world.files.items():
        lines = [f"{key},{grp},{v},{seq}" for key, (grp, v, seq) in rows.items()]
        _write(root / f"in/{date}.csv", "\n".join(["id,grp,v,seq", *lines, ""]))
    _write(root / "in/b.csv", "\n".join(["grp,label", *(f"{g},{n}" for g, n in world.names.items()), ""]))
    for made in world.steps:
        if made.kind == "flagged":
            text = FUNCTION.format(constant=made.constant, comment=f"# {made.style}")
            _write(root / f"edited_steps/{made.name}.py", text)
    for lake in ("lake", "again"):
        config = {
            "pipeline": "edited",
            "enable_tracker": False,
            "connections": {"in": {"url": "in"}, "lake": {"url": lake, "format": "delta"}},
            "steps": [
                {
                    "name": "raw_a",
                    "layer": "bronze",
                    "read": {
                        "from": "in",
                        "path": "{{ date }}.csv",
                        "schema": {"id": "BIGINT", "grp": "VARCHAR", "v": "BIGINT", "seq": "BIGINT"},
                    },
                    "write": {"to": "lake", "mode": "append"},
                },
                {"name": "raw_b", "layer": "bronze", "read": {"from": "in", "path": "b.csv"}, "write": {"to": "lake"}},
                *(declared(made) for made in world.steps),
            ],
        }  # fmt: skip
        _write(root / f"{lake}.yaml", yaml.safe_dump(config, sort_keys=False))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def replay(root: Path, lake: str, dates: list[str]) -> Counter[StepStatus]:
    """All dates in order; how steps that keep their result ended."""
    found: Counter[StepStatus] = Counter()
    home = Home(root / f".{lake}", f"sqlite:///{root}/.{lake}/state.db")
    for date in dates:
        result = orchestrator.run(load(f"{lake}.yaml", date=date), home=home)
        assert result.success, result.error
        found.update(step.status for step in result.run.steps if step.status is not StepStatus.SKIPPED)
    return found


def tables(root: Path, lake: str, world: World) -> dict[str, list[Row]]:
    kept = ["bronze/raw_a", "bronze/raw_b", *(f"silver/{made.name}" for made in world.steps if made.kept)]
    return {name: Project(root).rows(f"../{lake}/{name}") for name in kept}


SEEN: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def _printed(request: pytest.FixtureRequest) -> Iterator[None]:
    SEEN.clear()
    yield
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    total = SEEN["reused"] + SEEN["run"]
    if terminal is not None and total:
        terminal.write_line(
            f"\n{SEEN['edits']} edits: {SEEN['reused']} of {total} steps ({SEEN['reused'] / total:.0%}) "
            f"were not run again"
        )


@settings(
    max_examples=max(1, EDITS // PER_EXAMPLE),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
@given(data=st.data())
def test_after_any_edit_a_planned_rerun_is_a_rebuild(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path_factory.mktemp("edits")
    monkeypatch.chdir(root)
    world = data.draw(worlds())
    lay_out(world, root)
    replay(root, "lake", list(world.files))
    expected: dict[str, list[Row]] = {}
    draw: Any = data.draw
    for _ in range(PER_EXAMPLE):
        what = edit(draw, world, root / "lake")
        if what in ("nothing", "style"):
            replay(root, "lake", list(world.files))  # the merges of early dates look at what came later
        lay_out(world, root)
        ended = replay(root, "lake", list(world.files))
        if what in ("nothing", "style"):
            again = {status for status in ended if status is not StepStatus.REUSED}
            ends = [made for made in world.steps if not made.kept and not _read(made, world)]
            assert not again or ends, f"{what} made steps run: {ended}"
        SEEN.update(edits=1, reused=ended[StepStatus.REUSED], run=ended[StepStatus.COMPLETED])
        if not expected or what not in ("nothing", "style", "same_row", "lose", "foreign"):
            for folder in ("again", ".again"):
                shutil.rmtree(root / folder, ignore_errors=True)
            replay(root, "again", list(world.files))
            expected = tables(root, "again", world)
        assert tables(root, "lake", world) == expected, f"after the edit {what!r}"
    shutil.rmtree(root)


def _read(made: Made, world: World) -> bool:
    return any(step.reads == made.name for step in world.steps)
