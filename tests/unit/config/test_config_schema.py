"""The JSON schema says yes to what odibi loads, and no to what it refuses by shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from odibi.config.models import Pipeline, Step, Write
from odibi.config.schema import json_schema
from odibi.config.short import VERBS
from odibi.config.yaml import parse

ROOT = Path(__file__).resolve().parents[3]
VALIDATOR = Draft7Validator(json_schema())
CONFIGS = sorted((ROOT / "configs").glob("*.y*ml")) + sorted((ROOT / "configs").glob("*.json"))


def errors(data: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(data)]


def test_it_is_a_schema_of_draft_07() -> None:
    schema = json_schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    assert "$defs" not in text
    assert "prefixItems" not in text


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_example_fits(path: Path) -> None:
    assert errors(parse(path.read_bytes(), path.name).data) == []


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for item in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from nodes(item)


def test_no_object_lets_unknown_keys_pass_unnoticed() -> None:
    schema = json_schema(operations={}, read={})
    open_ones = [node for node in nodes(schema) if node.get("type") == "object" and "properties" in node]
    assert open_ones
    assert [node for node in open_ones if node.get("additionalProperties") is not False] == []


def test_everything_is_described() -> None:
    schema = json_schema()
    for name in (
        "Hook",
        "Alerts",
        "AlertRule",
        "Condition",
        "Step",
        "StepTest",
        "Write",
        "Retry",
        "RetryRule",
        "Resources",
        "Connection",
        "Target",
    ):
        assert schema["definitions"][name]["description"]
        for key, item in schema["definitions"][name]["properties"].items():
            assert item.get("description"), f"{name}.{key}"
    assert [key for key, item in schema["properties"].items() if not item.get("description")] == []


def test_every_field_and_spelling_is_there() -> None:
    schema = json_schema()
    step, write = (schema["definitions"][name]["properties"].keys() for name in ("Step", "Write"))
    assert step == {*Step.model_fields, *VERBS, "dependsOn"}
    assert write == {field.alias or name for name, field in Write.model_fields.items()} | {
        "format",
        "partitionBy",
        "table",
    }
    assert schema["properties"].keys() == {
        *Pipeline.model_fields,
        "name",
        "engine_type",
        "metrics_manager",
        "event_bus",
    }


def config(step: str, rest: str = "pipeline: p") -> Any:
    return yaml.safe_load(f"{rest}\nsteps:\n  - {{name: a, layer: gold, {step}}}")


FITS = [
    "read: x.csv",
    "read: {path: x.csv, from: lake, header: true}",
    "transform: [{filter: x}, {limit: 3}], inputs: a",
    "transform: {filter: x}, inputs: [a, {from: b, as: c}]",
    "sql: q, inputs: [{from: b, as: c, rows: new, watermark: at, late: 2 days}]",
    "sql: q, inputs: {a: b}, incremental: {a: {watermark: at}}",
    "read: {path: x/, files: new, date: '{{ date }}', incremental: {column: at, lookback: 2 days}}",
    "sql: q.sql, inputs: {a: b}, outputs: [a, b], dependsOn: c, tags: t",
    "function: 'steps.a:b', params: {x: [1]}, outputs: b",
    "type: config_op, value: x, params: {operations: [{filter: x}]}",
    "sql: q, write: {to: lake, format: csv, partitionBy: x, mode: append, schema: widen}",
    "sql: q, write: {to: lake, formats: [csv, delta], partition_by: [x], mode: '{{ mode }}'}",
    "read: {from: wh, tables: [a, b], partition_column: day, partition_date: '{{ date }}'}",
    "read: {from: lake, prefix: year=2024/, format: json}, write: {to: wh, table: s.t, mode: append}",
    "sql: q, engine: '{{ engine }}'",
    "sql: q, retry: 3, timeout: 1.5, resources: {memory: 2Gi}",
    "sql: q, retry: {max_retries: 3, retry_rules: [{error: KeyError, then: skip}]}, timeout: '{{ t }}'",
]
FITS_NOT = [
    "bogus: 1, sql: x",
    "sql: x, read: y",
    "inputs: [a]",
    "sql: 5",
    "transform: []",
    "transform: [{a: 1, b: 2}]",
    "read: {from: lake}",
    "type: sequel, value: x",
    "sql: x, write: {mode: upsert}",
    "sql: x, write: {formt: csv}",
    "sql: x, write: {format: xml}",
    "sql: x, tags: 5",
    "sql: x, inputs: [{from: a, rows: old}]",
    "sql: x, checks: [{betwen: {}}]",
    "sql: x, retry: {delay: 3}",
    "sql: x, timeout: 5m",
    "sql: x, resources: {memory: 200 megabytes}",
]


@pytest.mark.parametrize("step", FITS)
def test_what_fits(step: str) -> None:
    assert errors(config(step)) == []


@pytest.mark.parametrize("step", FITS_NOT)
def test_what_does_not_fit(step: str) -> None:
    assert errors(config(step))


@pytest.mark.parametrize(
    ("rest", "fits"),
    [
        ("name: p\nengine_type: duckdb\nsamples: 3", True),
        ("name: p\nhooks: [{type: email, url: 'smtp://h', to: a@b, 'on': node_error, severity: high}]", True),
        ("name: p\nevent_bus: [{type: log, 'on': [], timeout: 3, path: x}]", True),
        ("name: p\nhooks: [{type: fax}]", False),
        ("name: p\nalerts: [{name: a, condition: Failure, severity: warning, cooldown_minutes: 0}]", True),
        (
            "name: p\nalerts: {rules: [{name: a, condition: {PipelineStuckFor: {minutes: 5}}}], routes: {high: a}}",
            True,
        ),
        ("name: p\nalerts: [{name: a, condition: {StuckFor: {minutes: 5}}}]", False),
        ("pipeline: p\nsamples: '{{ n }}'\nfail_fast: true", True),
        (
            "pipeline: p\nconnections: {lake: {url: x, options: {k: v}}}\ntargets: {prod: {variables: {a: [1]}}}",
            True,
        ),
        ("description: no name", False),
        ("pipeline: p\nname: p", False),
        ("pipeline: p\nsamples: many", False),
        ("pipeline: p\nschedule: x", False),
        ("pipeline: p\nconnections: {lake: {ulr: x}}", False),
        ("pipeline: p\nconnections: {my lake: {url: x}}", False),
        ("pipeline: '{{ name }}'", False),
    ],
)
def test_the_pipeline_itself(rest: str, fits: bool) -> None:
    assert (errors(config("sql: x", rest)) == []) is fits


def test_there_are_steps_or_stages_that_become_some() -> None:
    assert errors({"pipeline": "p", "ingestion": {"config": "i.json", "to": "raw"}}) == []
    assert errors({"pipeline": "p"})
    assert errors({"pipeline": "p", "ingestion": {"config": "i.json"}})


@pytest.mark.parametrize(
    "secrets", ["{provider: env}", "[{provider: env}, {provider: databricks, scope: s}]"]
)
def test_secrets_are_one_provider_or_several(secrets: str) -> None:
    fits = Draft7Validator(json_schema()).is_valid
    assert fits(
        config("sql: q", f"pipeline: p\nsecrets: {secrets}\ntargets: {{prod: {{secrets: {secrets}}}}}")
    )
    assert not fits(config("sql: q", "pipeline: p\nsecrets: {provider: vault}"))


def test_known_operations_and_options_close_the_schema() -> None:
    operations: dict[str, Any] = {
        "filter": {"$ref": "#/$defs/F", "$defs": {"F": {"type": "string"}}},
        "pair": {"prefixItems": [{}]},
    }
    schema = json_schema(operations=operations, read={"header": {"type": "boolean"}})
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)
    assert validator.is_valid(config("transform: [{filter: x}], inputs: a"))
    assert not validator.is_valid(config("transform: [{filtre: x}], inputs: a"))
    assert not validator.is_valid(config("transform: [{filter: 5}], inputs: a"))
    assert validator.is_valid(config("read: {path: x, header: true}"))
    assert validator.is_valid(config("read: {path: x, header: '{{ header }}'}"))
    assert not validator.is_valid(config("read: {path: x, haeder: true}"))
