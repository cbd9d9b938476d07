"""Hooks and alerts in YAML: what loads, and what is said of what does not, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from odibi.config.check import check
from odibi.config.hooks import Severity
from odibi.config.load import load
from odibi.config.loaded import Loaded
from odibi.errors import ConfigError


def loaded(folder: Path, text: str) -> Loaded:
    (folder / "c.yaml").write_text(
        f"pipeline: p\n{text}\nsteps: [{{name: a, layer: gold, sql: SELECT 1 AS x}}]\n"
    )
    return load(folder / "c.yaml")


def test_every_condition_loads(tmp_path: Path) -> None:
    rules = """
alerts:
  - {name: a, condition: Failure, severity: high, cooldown_minutes: 5, last_fired: 2026-01-05T12:00:00Z}
  - {name: b, condition: {PipelineStuckFor: {minutes: 60}}, severity: info}
  - {name: c, condition: {HighFailureRate: {threshold: 0.25, window_minutes: 60}}}
  - {name: d, condition: {ResourceExhaustion: {resource: disk, threshold: 0.9, path: /tmp}}}
  - {name: e, condition: {UnusualDuration: {pipeline_pattern: "daily*", multiplier: 2}}}
"""
    alerts = loaded(tmp_path, rules).pipeline.alerts
    assert [str(rule.condition) for rule in alerts.rules] == [
        "Failure{}",
        "PipelineStuckFor{minutes: 60.0}",
        "HighFailureRate{threshold: 0.25, window_minutes: 60.0}",
        "ResourceExhaustion{resource: disk, threshold: 0.9, path: /tmp}",
        "UnusualDuration{pipeline_pattern: daily*, multiplier: 2.0}",
    ]
    assert [rule.severity for rule in alerts.rules[:3]] == [
        Severity.CRITICAL,
        Severity.INFO,
        Severity.WARNING,
    ]
    assert alerts.route(Severity.CRITICAL) == ("pagerduty",)


def test_event_bus_is_another_word_for_hooks(tmp_path: Path) -> None:
    hooks, bus = (
        loaded(tmp_path, f"{word}: [{{type: log, on: node_error}}]").pipeline
        for word in ("hooks", "event_bus")
    )
    assert hooks == bus


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hooks: [{type: slak}]", "2:16: hooks.0.type: found 'slak' (did you mean 'slack'?"),
        ("hooks: [{type: log, on: node_eror}]", "2:25: unknown event 'node_eror'; did you mean 'node_error'?"),
        ("event_bus: [{type: log, pth: x}]", "2:25: unknown key 'pth' (did you mean 'path'?)"),
        ("hooks: [{type: slack}]", "2:9: a hook of type slack needs url"),
        ("hooks: [{type: log, url: x}]", "2:9: url does not belong to a hook of type log; it has: path"),
        ("hooks: [{type: log}, {type: log}]", "2:22: the name 'log' is taken by another hook (give it a name)"),
        ("hooks: [{type: log, steps: b}]", "2:28: hook 'log': no step is called 'b' (steps: a)"),
        ("hooks: [{type: log, layers: godl}]", "2:29: hook 'log': unknown layer 'godl' (did you mean 'gold'?)"),
        ("hooks: [{type: log, targets: prd}]", "2:30: hook 'log': unknown target 'prd' (targets: dev)"),
        (
            "hooks: [{type: webhook, url: '${env:A}', headers: {a: '${env X}'}}]",
            "2:55: '${env X}' is not a reference (write ${env:NAME}",
        ),
        ("alerts: [{name: a, condition: {Fail: {}}}]", "2:32: unknown key 'Fail' (did you mean 'Failure'?)"),
        ("alerts: [{name: a, condition: {}}]", "2:31: a condition is one of Failure, PipelineStuckFor, "),
        ("alerts: [{name: a, condition: Failure, severity: bad}]", "2:50: alerts.rules.0.severity: found 'Bad'"),
        ("alerts: {routes: {info: x}}", "2:18: alerts of severity Info go to an unknown hook 'x' (hooks: log)"),
        (
            "alerts: [{name: a, condition: Failure}, {name: a, condition: Failure}]",
            "2:48: the name 'a' is taken by another rule (give it another name)",
        ),
    ],
)  # fmt: skip
def test_what_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, text)
    assert f"c.yaml:{said}" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hooks: [{type: slack, url: 'https://hooks.slack.com/services/T/B/x'}]", "a webhook of Slack stands in the config"),
        ("hooks: [{type: pagerduty, routing_key: abc}]", "the value of 'routing_key' stands in the config"),
        ("alerts: [{name: a, condition: Failure}]", "alerts of severity Warning go to slack, and there is no such hook"),
    ],
)  # fmt: skip
def test_what_is_warned_of(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = check(loaded(tmp_path, text))
    assert problem.level == "warning"
    assert said in problem.message
