"""Whatever was edited, run, selected and deleted before: after a whole run every table is what it should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odibi.errors import ConfigError
from tests.unit.run.project import Project, actions, read, sql

DATES = ("2026-01-01", "2026-01-02", "2026-01-03")
SELECTIONS = ("", "raw", "ref", "+total", "total", "scored", "op", "raw ref lazy+")

edits = st.one_of(
    st.tuples(st.just("file"), st.sampled_from(DATES), st.integers(0, 3)),
    st.tuples(st.just("ref"), st.integers(1, 3)),
    st.tuples(st.just("sql"), st.integers(0, 2)),
    st.tuples(st.just("function"), st.integers(1, 3)),
    st.tuples(st.just("delete"), st.sampled_from(("silver/total", "gold/scored", "bronze/ref"))),
)
runs = st.tuples(st.just("run"), st.sampled_from(DATES), st.sampled_from(SELECTIONS))


@dataclass
class Model:
    """What the tables of the project should be, told in plain Python."""

    project: Project
    files: dict[str, list[int]] = field(default_factory=dict)
    loaded: dict[str, list[int]] = field(default_factory=dict)
    ref: int = 1
    least: int = 0
    factor: int = 1

    def write(self) -> str:
        for date in DATES:
            self.project.csv(f"in/{date}.csv", "id", *[(i,) for i in self.files.setdefault(date, [1])])
        self.project.csv("in/ref.csv", "k", (self.ref,))
        self.project.write(
            "steps/code.py", f"def f(lazy):\n    return lazy.project('id * {self.factor} AS x')\n"
        )
        raw = read("raw", "{date}.csv", write={"to": "lake", "mode": "append"})
        raw["read"]["schema"] = {"id": "BIGINT"}
        steps: list[dict[str, Any]] = [
            raw,
            read("ref", "ref.csv"),
            sql("lazy", f"SELECT id + k AS id FROM raw, ref WHERE id >= {self.least}", kept=False),
            sql("total", "SELECT count(*) AS n, sum(id) AS s FROM lazy"),
            {"name": "scored", "layer": "gold", "function": "steps.code:f", "write": {"to": "lake"}},
            {"name": "op", "layer": "gold", "inputs": ["total"], "transform": [{"derive": {"m": "n * 2"}}], "write": {"to": "lake"}},
        ]  # fmt: skip
        return self.project.config(steps)

    def run(self, date: str, selection: str) -> None:
        path = self.write()
        try:
            assert self.project.run(path, *selection.split(), date=date).success
        except ConfigError:
            return  # it needs a table that was never written
        if not selection or "raw" in selection or selection.startswith("+"):
            self.loaded[date] = list(self.files[date])

    def check(self) -> None:
        rows = self.project.rows
        loaded = [(i, date) for date, ids in self.loaded.items() for i in ids]
        assert sorted((row[0], str(row[1])) for row in rows("bronze/raw")) == sorted(loaded)
        lazy = [i + self.ref for i, _ in loaded if i >= self.least]
        assert rows("silver/total") == [(len(lazy), sum(lazy) if lazy else None)]
        assert sorted(row[0] for row in rows("gold/scored")) == sorted(i * self.factor for i in lazy)
        assert rows("gold/op") == [(len(lazy), sum(lazy) if lazy else None, len(lazy) * 2)]


@settings(max_examples=12, deadline=None, derandomize=True, print_blob=False)
@given(history=st.lists(st.one_of(edits, runs), min_size=3, max_size=9), last=st.sampled_from(DATES))
def test_after_any_history_a_whole_run_leaves_what_should_be(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[Any, ...]], last: str
) -> None:
    folder: Path = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        model = Model(Project(folder))
        for what, *given_ in history:
            if what == "run":
                model.run(*given_)
            elif what == "file":
                model.files[given_[0]] = [given_[1] * 10 + i for i in range(given_[1])]
            elif what == "delete":
                rmtree(folder / "lake" / given_[0], ignore_errors=True)
            else:
                setattr(model, {"ref": "ref", "sql": "least", "function": "factor"}[what], given_[0])
        model.run(last, "")
        model.check()
        plan = model.project.plan(model.write(), date=last)
        found = actions(plan)
        assert found.pop("lazy") in ("skip", "reuse")
        assert found == dict.fromkeys(("raw", "ref", "total", "scored", "op"), "reuse")
