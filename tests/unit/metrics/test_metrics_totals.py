"""Metrics over runs: what each adds, once; nothing that was counted is lost; what is written is valid."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from sqlalchemy import text

from odibi.config.telling import Metrics
from odibi.errors import Permanent
from odibi.metrics import MetricsManager
from odibi.metrics.families import FAMILIES, RUNNING, amounts_of
from odibi.metrics.prometheus import exposition, push
from odibi.metrics.summary import summary
from odibi.metrics.totals import totals
from odibi.record import (
    AttemptRecord,
    ErrorRecord,
    RunRecord,
    RunStatus,
    RunStore,
    StepRecord,
    StepStatus,
    WriteRecord,
    open_store,
)
from odibi.record.model import CheckRecord, PodRecord, QualityRecord
from tests.unit.record.records import NOON, a_run, a_step

LABELS = {"pipeline", "step", "layer", "engine", "tenant"}
ERROR = ErrorRecord(kind="ValueError", message='no "good"\nrow')


def tried(number: int, status: StepStatus) -> AttemptRecord:
    return AttemptRecord(number=number, of=3, status=status, started_at=NOON, ended_at=NOON)


def a_computed(name: str, seconds: float, rows: int, **fields: Any) -> StepRecord:
    write = WriteRecord(uri=f"lake/{name}", format="delta", mode="append", rows=rows, bytes=10 * rows)
    return a_step(
        name, status=StepStatus.COMPLETED, started_at=NOON, ended_at=NOON + timedelta(seconds=seconds),
        rows_out=rows, writes=(write,), peak_memory=50_000_000, **fields,
    )  # fmt: skip


STEPS = (
    a_computed(
        "orders", 2, 100, rows_in={"raw_orders": 104},
        attempts=(tried(1, StepStatus.FAILED), tried(2, StepStatus.COMPLETED)),
        checks=(
            CheckRecord(name="a", rule="not_null", on_fail="quarantine", status="quarantined"),
            CheckRecord(name="b", rule="unique", on_fail="fail", status="passed"),
        ),
        quality=QualityRecord(before=0.5, after=1, quarantined=4),
    ),
    a_step("kept", status=StepStatus.REUSED, rows_out=7),
    a_step("broken", status=StepStatus.FAILED, started_at=NOON, ended_at=NOON, error=ERROR),
)  # fmt: skip


def ended(run_id: str, minute: int, status: RunStatus = RunStatus.FAILED, **fields: Any) -> RunRecord:
    given: dict[str, Any] = {"steps": STEPS, "ended_at": NOON + timedelta(minutes=minute, seconds=4)}
    return a_run(run_id, minute, status=status, **given | fields)


def samples(store: RunStore) -> dict[tuple[str, str, str], float]:
    """What a scrape sees: values by sample, step and bound."""
    found = {}
    for family in text_string_to_metric_families(exposition(totals(store))):
        for sample in family.samples:
            found[sample.name, sample.labels.get("step", ""), sample.labels.get("le", "")] = sample.value
    return found


def test_a_run_is_counted_once_whoever_looks_and_however_often(store: RunStore) -> None:
    for number in range(3):
        run = ended(f"run-{number}", number, RunStatus.SUCCEEDED if number else RunStatus.FAILED)
        store.start_run(run.model_copy(update={"status": RunStatus.RUNNING, "ended_at": None}))
        store.finish_run(run)
        totals(store, run)
    first = samples(store)
    assert [samples(store) for _ in range(4)] == [first] * 4
    assert first["pipeline_starts_total", "", ""] == 3
    assert first["pipeline_failures_total", "", ""] == 1
    assert first["pipeline_duration_seconds_count", "", ""] == 3
    assert first["pipeline_duration_seconds_sum", "", ""] == 12
    assert first["pipeline_duration_seconds_bucket", "", "1.0"] == 0
    assert first["pipeline_duration_seconds_bucket", "", "5.0"] == 3
    assert first["pipeline_duration_seconds_bucket", "", "+Inf"] == 3
    assert first["active_pipelines", "", ""] == 0
    assert first["pipeline_last_success_timestamp_seconds", "", ""] == NOON.timestamp() + 124
    of_orders = {name: value for (name, step, _), value in first.items() if step == "orders"}
    assert of_orders == {
        "pipeline_step_failures_total": 0,
        "pipeline_step_retries_total": 3,
        "pipeline_step_duration_seconds_count": 3,
        "pipeline_step_duration_seconds_sum": 6,
        "pipeline_step_rows_total": 300,
        "pipeline_step_bytes_total": 3000,
        "pipeline_step_cache_hits_total": 0,
        "pipeline_step_cache_misses_total": 3,
        "pipeline_step_quarantined_rows_total": 12,
        "pipeline_step_check_failures_total": 3,
        "pipeline_step_peak_memory_bytes": 50_000_000,
    }
    assert first["pipeline_step_failures_total", "broken", ""] == 3
    assert first["pipeline_step_cache_hits_total", "kept", ""] == 3
    assert first["pipeline_step_rows_total", "kept", ""] == 0, "its rows were given before"


def test_counters_never_go_down_although_runs_are_deleted(store: RunStore) -> None:
    store.start_run(ended("run-0", 0))
    before = samples(store)
    with store.database.write() as connection:
        connection.execute(text("DELETE FROM runs"))
    assert samples(store) == before
    store.start_run(ended("run-1", 1))
    assert samples(store)["pipeline_starts_total", "", ""] == 2


def test_a_run_under_way_is_active_and_counts_as_far_as_it_has_come(store: RunStore) -> None:
    run = ended("run-0", 0, RunStatus.RUNNING, ended_at=None, started_at=NOON)
    store.start_run(run)
    going = samples(store)
    assert going["active_pipelines", "", ""] == 1
    assert going[RUNNING, "", ""] > 0
    assert (going["pipeline_starts_total", "", ""], going["pipeline_duration_seconds_count", "", ""]) == (
        1,
        0,
    )
    assert going["pipeline_step_failures_total", "broken", ""] == 1
    store.finish_run(ended("run-0", 0))
    over = samples(store)
    assert over["active_pipelines", "", ""] == 0
    assert all(over[key] >= value for key, value in going.items() if key[0].endswith("_total"))
    assert over["pipeline_step_failures_total", "broken", ""] == 1


def test_a_run_whose_process_died_is_not_active(store: RunStore) -> None:
    store.start_run(ended("run-0", 0, RunStatus.RUNNING, ended_at=None))
    with store.database.write() as connection:
        connection.execute(text("UPDATE runs SET process_start = 1, pid = :pid"), {"pid": os.getpid()})
    found = samples(store)
    assert found["active_pipelines", "", ""] == 0
    assert found["pipeline_failures_total", "", ""] == 1
    assert found["pipeline_duration_seconds_count", "", ""] == 0, "nobody knows how long it took"


def test_series_do_not_grow_with_runs_and_have_just_these_labels(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "state.db")) as store:
        sizes = set()
        for number in range(50):
            store.start_run(ended(f"run-{number}", number))
            sizes.add(len(samples(store)))
        assert len(sizes) == 1
        found = list(text_string_to_metric_families(exposition(totals(store))))
    used = {name for family in found for sample in family.samples for name in sample.labels}
    assert used == LABELS | {"le"}
    assert {family.type for family in found} == {"counter", "gauge", "histogram", "summary"}
    assert not any("run-" in str(sample.labels) for family in found for sample in family.samples)


def test_label_values_are_quoted() -> None:
    odd = a_run(engine='a\\b"c\nd', status=RunStatus.FAILED)
    (family, *_) = text_string_to_metric_families(exposition(amounts_of(odd)))
    assert family.samples[0].labels["engine"] == 'a\\b"c\nd'


def test_the_facade_tells_of_one_run(tmp_path: Path) -> None:
    run = ended("run-0", 0)
    manager = MetricsManager()
    manager.observe(run)
    found = manager.get_summary()
    assert found == summary(run)
    assert math.isclose(found["total_duration_ms"], 4000)
    assert (found["cache_hits"], found["cache_misses"], found["cache_hit_rate"]) == (1, 2, 0.3333)
    assert found["errors"] == [{"node": "broken", "error": ERROR.message}]
    manager.save_to_file(tmp_path / "new" / "metrics.json")
    node = json.loads((tmp_path / "new" / "metrics.json").read_text("utf-8"))["nodes"][0]
    assert (node["duration_ms"], node["rows"], node["throughput"]) == (2000, 100, 50)
    assert (node["memory_mb"], node["retries"], node["quarantined_rows"]) == (50, 1, 4)
    manager.export_prometheus(tmp_path / "metrics.prom")
    names = {f.name for f in text_string_to_metric_families((tmp_path / "metrics.prom").read_text("utf-8"))}
    assert "pipeline_starts" in names


def test_pods_are_counted_with_their_times_and_once_where_steps_share_them(store: RunStore) -> None:
    lost = PodRecord(
        name="p1", job="j1", node="n1", status="Deleted", waited=1.5, executors=2, log=("the end",)
    )
    done = PodRecord(
        name="p2", job="j2", node="n2", status="Succeeded", waited=0.5, starting=1, worked=20, executors=3
    )
    first, second = (a_computed(name, 2, 9, pods=(lost, done)) for name in ("orders", "lines"))
    run = ended("run-0", 0, RunStatus.SUCCEEDED, steps=(first, second, a_computed("here", 1, 1)))
    store.start_run(run)
    store.finish_run(run)
    found = samples(store)
    expected = {
        "pods_total": 2, "pod_failures_total": 1, "pod_waiting_seconds_total": 2, "pod_starting_seconds_total": 1,
        "pod_working_seconds_total": 20, "executors_total": 5,
    }  # fmt: skip
    assert {name: found[f"pipeline_step_{name}", "orders", ""] for name in expected} == expected
    assert not any("pod" in name or "executors" in name for name, step, _ in found if step != "orders")
    orders, lines, here = summary(run)["nodes"]
    assert orders["pods"] == lines["pods"]
    assert [(pod["name"], pod["status"], pod["worked"]) for pod in orders["pods"]] == [
        ("p1", "Deleted", None), ("p2", "Succeeded", 20)
    ]  # fmt: skip
    assert "log" not in orders["pods"][0]
    assert here["pods"] == []


def test_where_metrics_go_has_to_make_sense() -> None:
    for wrong, said in (
        ({}, "needs file, prometheus or push"),
        ({"push": "localhost:9091"}, "http://localhost"),
        ({"file": "s3://bucket/metrics.json"}, "a file of this machine"),
    ):
        with pytest.raises(ValidationError, match=said):
            Metrics.model_validate(wrong)
    with pytest.raises(Permanent, match="is like http://localhost:9091"):
        push("ftp://host", {})
    with pytest.raises(Permanent, match="no metrics before a run"):
        MetricsManager().get_summary()


# --- what others are given ------------------------------------------------------------------------------

FOLDER = Path(__file__).parents[3] / "odibi/metrics"


def expressions() -> Iterator[tuple[str, str]]:
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("info", "warning", "critical")
            yield rule["alert"], rule["expr"]
    board = json.loads((FOLDER / "grafana.json").read_text("utf-8"))
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"][1:]:
        yield variable["name"], variable["definition"]


def test_every_metric_of_the_dashboard_and_the_alert_rules_exists(store: RunStore) -> None:
    far = a_step("far", pods=(PodRecord(name="p0", job="j0"),))
    store.start_run(ended("run-0", 0, RunStatus.SUCCEEDED, steps=(*STEPS, far)))
    exported = {name for name, _, _ in samples(store)}
    used = set()
    for where, expression in expressions():
        names = set(re.findall(r"\b(?:active_pipelines|pipeline_\w+)\b", expression))
        assert names, where
        assert names <= exported, where
        used |= names
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in labels.split(",")} <= LABELS | {"le"}, where
    known = {sample.partition(":")[0] for family in FAMILIES for sample in family.samples}
    assert exported == known, "what is exported is what is listed"
    assert {
        family.name for family in FAMILIES if not any(name.startswith(family.name) for name in used)
    } == set()
