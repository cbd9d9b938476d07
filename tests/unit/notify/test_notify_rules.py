"""Which rules fire, by a clock that is given."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from odibi.config.alerts import AlertRule
from odibi.config.hooks import Severity
from odibi.errors import Permanent
from odibi.notify.rules import Alert, Known, evaluate
from odibi.record import RunRecord, RunStatus
from odibi.record.notices import AlertState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ran(
    ago: float, minutes: float | None = 1, status: RunStatus = RunStatus.SUCCEEDED, pipeline: str = "daily"
) -> RunRecord:
    """A run that began so many minutes ago and took so many."""
    began = NOW - timedelta(minutes=ago)
    ended = None if minutes is None else began + timedelta(minutes=minutes)
    return RunRecord(
        run_id=f"{pipeline}-{ago}", pipeline=pipeline, config="c.yaml", config_hash="c", logical_date="2026-03-01",
        target="dev", engine="duckdb", status=RunStatus.RUNNING if ended is None else status, started_at=began,
        ended_at=ended, error="it broke" if status is RunStatus.FAILED else "",
    )  # fmt: skip


def alerts(
    condition: Any,
    *runs: RunRecord,
    states: Iterable[AlertState] = (),
    share: float = 0.0,
    now: datetime = NOW,
    **rule: Any,
) -> list[Alert]:
    by_name: dict[str, tuple[RunRecord, ...]] = {"daily": ()}
    for run in sorted(runs, key=lambda run: run.started_at, reverse=True):
        by_name[run.pipeline] = (*by_name.get(run.pipeline, ()), run)
    known = Known("daily", by_name, frozenset(run.run_id for run in runs), lambda _resource, _path: share)
    rules = [AlertRule.model_validate({"name": "rule", "condition": condition, **rule})]
    return list(evaluate(rules, known, {(s.rule, s.pipeline): s for s in states}, "dev", now))


HISTORY = [ran(10_000 + number, minutes) for number, minutes in enumerate((9, 10, 300))]
BAD = [ran(number, 0, RunStatus.FAILED) for number in (20, 30, 40)]
GOOD = [ran(number, 0) for number in range(50, 57)]
KILLED = ran(500, None).model_copy(update={"status": RunStatus.FAILED})
LONG_AGO = ran(999, 0, RunStatus.FAILED)


@pytest.mark.parametrize(
    ("condition", "runs", "value"),
    [
        ({"PipelineStuckFor": {"minutes": 60}}, [ran(59, None)], None),
        ({"PipelineStuckFor": {"minutes": 60}}, [ran(61, None)], 61),
        ({"PipelineStuckFor": {"minutes": 60}}, [ran(90, 61)], None),
        ({"HighFailureRate": {"threshold": 0.25, "window_minutes": 60}}, [*BAD, *GOOD, LONG_AGO], 0.3),
        ({"HighFailureRate": {"threshold": 0.35, "window_minutes": 60}}, [*BAD, *GOOD, LONG_AGO], None),
        ({"HighFailureRate": {"threshold": 0.35, "window_minutes": 60}}, [], None),
        ({"UnusualDuration": {"multiplier": 2}}, [*HISTORY, ran(19, 19)], None),
        ({"UnusualDuration": {"multiplier": 2}}, [*HISTORY, ran(21, 21)], 21 * 60),
        ({"UnusualDuration": {"multiplier": 2}}, [*HISTORY, ran(21, None)], 21 * 60),
        ({"UnusualDuration": {"multiplier": 2}}, [ran(500, None)], None),
        ({"UnusualDuration": {"multiplier": 2}}, [*HISTORY, KILLED], None),
        ({"UnusualDuration": {"multiplier": 2}}, [ran(900, 10, RunStatus.FAILED), ran(500, 90)], None),
        ("Failure", [ran(9, 1, RunStatus.FAILED), ran(5, None)], 1),
        ("Failure", [ran(9, 1, RunStatus.TIMEOUT), ran(5, 1, RunStatus.CANCELLED)], 1),
        ("Failure", [ran(9, 1, RunStatus.FAILED), ran(5, 1)], None),
    ],
)
def test_a_condition(condition: Any, runs: list[RunRecord], value: float | None) -> None:
    found = alerts(condition, *runs)
    assert [alert.found.value for alert in found if alert.found] == ([] if value is None else [value])


def test_a_resource_is_exhausted_above_its_threshold() -> None:
    condition = {"ResourceExhaustion": {"resource": "disk", "threshold": 0.9}}
    assert alerts(condition, share=0.9) == []
    (alert,) = alerts(condition, share=0.95)
    assert (alert.state.pipeline, alert.found and alert.found.said) == ("daily", "95% of the disk is in use")


def test_a_rule_that_cannot_be_measured_silences_no_other() -> None:
    def unknown(_resource: str, _path: str) -> float:
        raise Permanent("there is no /proc/meminfo")

    rules = [
        AlertRule.model_validate({"name": name, "condition": condition})
        for name, condition in (
            ("full", {"ResourceExhaustion": {"resource": "memory", "threshold": 0.5}}),
            ("failed", "Failure"),
        )
    ]
    runs = (ran(9, 1, RunStatus.FAILED),)
    said: list[str] = []
    found = list(
        evaluate(rules, Known("daily", {"daily": runs}, frozenset(), unknown), {}, "dev", NOW, said.append)
    )
    assert [alert.rule.name for alert in found] == ["failed"]
    assert said == ["alert 'full' could not be checked: there is no /proc/meminfo"]


@pytest.mark.parametrize("minutes", ["inf", 1e9])
def test_a_span_without_an_end_is_refused(minutes: float) -> None:
    for given in (
        {"cooldown_minutes": minutes},
        {"condition": {"HighFailureRate": {"threshold": 0.5, "window_minutes": minutes}}},
    ):
        with pytest.raises(ValidationError, match="less than or equal"):
            AlertRule.model_validate({"name": "rule", "condition": "Failure", **given})


def test_a_pattern_means_other_pipelines_each_for_itself() -> None:
    stuck = [ran(61, None, pipeline=name) for name in ("daily", "hourly_a", "hourly_b", "weekly")]
    condition: dict[str, Any] = {"PipelineStuckFor": {"minutes": 60}}
    assert [alert.state.pipeline for alert in alerts(condition, *stuck)] == ["daily"]
    condition["PipelineStuckFor"]["pipeline_pattern"] = "hourly*"
    first = alerts(condition, *stuck)
    assert [alert.state.pipeline for alert in first] == ["hourly_a", "hourly_b"]
    assert alerts(condition, *stuck, states=[alert.state for alert in first]) == []


def test_it_fires_once_for_a_run_and_after_its_cooldown_for_another() -> None:
    first = ran(30, 1, RunStatus.FAILED)
    (fired,) = alerts("Failure", first, cooldown_minutes=20)
    state = fired.state
    assert state == AlertState("rule", "daily", "dev", True, first.run_id, NOW)
    day = NOW + timedelta(days=1)
    assert alerts("Failure", first, states=[state], cooldown_minutes=20, now=day) == []
    for minutes, number in ((19, 0), (20, 1)):
        now = NOW + timedelta(minutes=minutes)
        found = alerts(
            "Failure", first, ran(5, 1, RunStatus.FAILED), states=[state], cooldown_minutes=20, now=now
        )
        assert len(found) == number


def test_what_is_no_run_fires_again_after_each_cooldown() -> None:
    condition = {"ResourceExhaustion": {"resource": "cpu", "threshold": 0.9}}
    (fired,) = alerts(condition, share=0.95)
    assert alerts(condition, share=0.95, states=[fired.state], now=NOW + timedelta(minutes=29)) == []
    assert len(alerts(condition, share=0.95, states=[fired.state], now=NOW + timedelta(minutes=30))) == 1


def test_it_is_over_once_when_its_condition_is() -> None:
    (fired,) = alerts("Failure", ran(30, 1, RunStatus.FAILED))
    (over,) = alerts("Failure", ran(5, 1), states=[fired.state])
    assert over.found is None
    assert (over.state.firing, over.state.last_fired) == (False, NOW)
    assert alerts("Failure", ran(5, 1), states=[over.state]) == []
    other = AlertState("rule", "another", "dev", True, "", NOW)  # of a config of its own
    assert alerts("Failure", ran(5, 1), states=[other]) == []


def test_last_fired_of_the_config_counts_until_the_store_knows() -> None:
    failed = ran(30, 1, RunStatus.FAILED)
    recently = (NOW - timedelta(minutes=5)).isoformat()
    assert alerts("Failure", failed, last_fired=recently) == []
    state = AlertState("rule", "daily", "dev", False, "", NOW - timedelta(hours=1))
    assert len(alerts("Failure", failed, last_fired=recently, states=[state])) == 1


@pytest.mark.parametrize("said", ["high", "critical", "Critical", "HIGH"])
def test_high_is_critical(said: str) -> None:
    (alert,) = alerts("Failure", ran(30, 1, RunStatus.FAILED), severity=said)
    assert alert.rule.severity is Severity.CRITICAL
