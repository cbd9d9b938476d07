"""Pipelines in stages: what their three documents become, and what is wrong with them, by file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from odibi.config import check, load
from odibi.config.load import from_steps
from odibi.config.loaded import Loaded
from odibi.config.models import Step
from odibi.errors import ConfigError

PIPELINE = """
pipeline: p
variables: {api: http://127.0.0.1:9}
connections: {raw: {url: raw}, lake: {url: lake, format: delta}, out: {url: out}}
ingestion: {config: docs/ingestion.json, to: raw}
validation: {config: docs/validation.json, to: lake}
transformation: {config: docs/transformation.json, to: out}
steps:
  - {name: counted, layer: gold, sql: select count(*) as n from users, inputs: {users: transformed_users}}
"""
INGESTION: dict[str, Any] = {
    "sources": [
        {"name": "users", "url": "{{ api }}/users", "fallback_to_sample": True},
        {"name": "users_archive", "url": "{{ api }}/archive.csv", "format": "csv", "params": {"limit": 5}},
    ]
}
VALIDATION: dict[str, Any] = {
    "files": [
        {
            "name": "users",
            "schema": {"type": "array", "items": {"type": "object", "required": ["email"]}},
            "rules": {
                "min_records": 10,
                "required_fields": ["id", "email"],
                "check_duplicates": True,
                "unique_field": "id",
            },
            "cleaning": {
                "remove_nulls": True,
                "standardize_fields": True,
                "transformations": {"name": "trim"},
            },
        }
    ]
}
TRANSFORMATION: dict[str, Any] = {
    "files": [
        {
            "name": "users",
            "transformations": [
                {"type": "filter", "conditions": [{"field": "active", "operator": "equals", "value": True}]},
                {"type": "aggregate", "group_by": ["id"], "aggregations": {"age": ["sum", "mean"]}},
                {
                    "type": "enrich",
                    "enrichments": {
                        "both": {"type": "concatenate", "fields": ["id", "age_sum"]},
                        "at": {"type": "timestamp"},
                        "kind": {"type": "constant", "value": "standard"},
                    },
                },
            ],
        }
    ]
}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    Path("p.yaml").write_text(PIPELINE)
    for name, said in (
        ("ingestion", INGESTION), ("validation", VALIDATION), ("transformation", TRANSFORMATION),
    ):  # fmt: skip
        document(name, said)


def document(name: str, said: Any) -> None:
    Path(f"docs/{name}.json").write_text(json.dumps(said, indent=1))


def changed(said: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at a path."""
    copy: dict[str, Any] = json.loads(json.dumps(said))
    at: Any = copy
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return copy


def by_name(loaded: Loaded) -> dict[str, Step]:
    return {step.name: step for step in loaded.pipeline.steps}


def refused() -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load("p.yaml")
    return [str(problem) for problem in raised.value.problems]


def test_the_documents_become_ordinary_steps() -> None:
    loaded = load("p.yaml", date="2026-01-05")
    steps = by_name(loaded)
    assert list(steps) == [
        "counted",
        *(f"{kind}_{name}" for kind in ("raw", "validated", "transformed") for name in ("users", "users_archive")),
    ]  # fmt: skip
    assert loaded.pipeline.ingestion is None, "nothing after the loading knows stages"
    raw = steps["raw_users"]
    assert raw.value == "http://127.0.0.1:9/users"
    assert raw.params == {
        "format": "json", "fallback_to_sample": True, "records": "$",
        "land": {"to": "raw", "path": "users/2026-01-05"},
    }  # fmt: skip
    assert "records" not in steps["raw_users_archive"].params
    valid = steps["validated_users"]
    assert [next(iter(each)) for each in valid.params["operations"]] == [
        "remove_nulls", "standardize_fields", "normalize_formats",
    ]  # fmt: skip
    assert [(vars(each)["rule"], each.on_fail) for each in valid.checks] == [
        ("json_schema", "error"), ("row_count", "error"), ("row_count", None), ("not_null", None), ("unique", None),
    ]  # fmt: skip
    assert (valid.validation_rules, valid.layer, valid.write and valid.write.to) == (
        "standard", "silver", "lake",
    )  # fmt: skip
    made = steps["transformed_users"]
    assert [next(iter(each)) for each in made.params["operations"]] == ["filter", "aggregate", "enrich"]
    assert made.params["operations"][2]["enrich"]["both"] == {
        "type": "concatenate",
        "fields": ["id", "age_sum"],
    }
    assert made.write is not None
    assert (made.count_rows, made.write.formats) == (True, ("csv", "json"))


def test_the_canonical_form_is_the_same_pipeline_without_stages() -> None:
    loaded = load("p.yaml", date="2026-01-05")
    printed = loaded.pipeline.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    Path("canonical.json").write_text(json.dumps(printed))
    assert load("canonical.json", date="2026-01-05").pipeline == loaded.pipeline


def test_another_rule_set_is_that_of_the_pipeline_and_documents_count_for_its_identity() -> None:
    before = load("p.yaml")
    Path("p.yaml").write_text(PIPELINE + "validation_rules: strict\n")
    assert by_name(load("p.yaml"))["validated_users"].validation_rules == "strict"
    Path("p.yaml").write_text(PIPELINE)
    assert load("p.yaml").config_hash == before.config_hash
    document("validation", changed(VALIDATION, ("files", 0, "rules", "min_records"), 11))
    assert load("p.yaml").config_hash != before.config_hash


def test_a_dataset_is_meant_by_its_name_or_by_a_pattern_but_never_by_a_part_of_its_name() -> None:
    archive = by_name(load("p.yaml"))["validated_users_archive"]
    assert archive.checks == (), "the rules of users are not those of users_archive"
    assert [str(problem) for problem in check(load("p.yaml"))] == [
        f"docs/{stage}.json:2:11: warning: step '{made}_users_archive': docs/{stage}.json says nothing of "
        "'users_archive', which is taken as it is (give it an entry there)"
        for stage, made in (("transformation", "transformed"), ("validation", "validated"))
    ]
    pattern = {"name": "users*", "rules": {"min_records": 3}}
    document("validation", {"files": [pattern, *VALIDATION["files"]]})
    steps = by_name(load("p.yaml"))
    assert [vars(each).get("min") for each in steps["validated_users_archive"].checks] == [1, 3]
    assert len(steps["validated_users"].checks) == 5, "its own name wins"
    document("validation", {"files": [pattern, {"name": "*_archive"}]})
    assert refused() == [
        "docs/validation.json:10:12: 'users_archive' is meant by the entry in line 3 too (keep one of them)"
    ]


@pytest.mark.parametrize(
    ("name", "said", "expected", "where"),
    [
        ("ingestion", changed(INGESTION, ("sources", 0, "header"), {}), "unknown key 'header' (did you mean 'headers'?", '"header"'),
        ("validation", changed(VALIDATION, ("files", 0, "rules", "min_record"), 1), "unknown key 'min_record' (did you mean 'min_records'?", '"min_record"'),
        ("validation", changed(VALIDATION, ("files", 0, "cleaning", "transformations", "name"), "title"), "found 'title' (allowed: trim, uppercase, lowercase)", '"title"'),
        ("validation", changed(VALIDATION, ("files", 0, "name"), "user"), "there is no source 'user' (did you mean 'users'?", '"user"'),
        ("transformation", changed(TRANSFORMATION, ("files", 0, "transformations", 0, "condition"), []), "unknown key 'condition' (did you mean 'conditions'?", '"condition"'),
        ("transformation", changed(TRANSFORMATION, ("files", 0, "transformations", 0, "conditions", 0, "operator"), "equal"), "found 'equal' (did you mean 'equals'?", '"equal"'),
        ("transformation", changed(TRANSFORMATION, ("files", 0, "transformations", 1, "group_by"), []), "at least 1 is needed", "[]"),
        ("transformation", changed(TRANSFORMATION, ("files", 0, "transformations", 2, "enrichments", "at", "value"), 1), "timestamp has no 'value'", "{"),
        ("transformation", changed(TRANSFORMATION, ("files", 0, "transformations", 0, "type"), "filtre"), "found 'filtre' (did you mean 'filter'?", "{"),
        ("transformation", changed(TRANSFORMATION, ("files", 0, "transformations", 0), {"conditions": []}), "'type' is missing", "{"),
        ("transformation", changed(TRANSFORMATION, ("files", 0, "transformations", 2, "enrichments", "at", "valeu"), 1), "unknown key 'valeu' (did you mean 'value'?", '"valeu"'),
        ("ingestion", {"sources": []}, "at least 1 is needed", "[]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_line_of_the_document(
    name: str, said: dict[str, Any], expected: str, where: str
) -> None:
    document(name, said)
    found = refused()
    assert [each for each in found if expected in each], found
    (only,) = found
    file, line, column = only.split(":")[:3]
    assert file == f"docs/{name}.json"
    text = Path(file).read_text("utf-8").splitlines()[int(line) - 1][int(column) - 1 :]
    assert text.startswith(where), f"it points at {text!r}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("to: raw}", "to: rwa}", "p.yaml:5:46: ingestion: unknown connection 'rwa' (did you mean 'raw'?"),
        ("docs/ingestion.json", "docs/ingestoin.json", "p.yaml:5:21: there is no file 'docs/ingestoin.json' (did you mean 'ingestion.json'?"),
        ("config: docs/ingestion.json, to: raw", "config: docs/ingestion.json", "p.yaml:5:12: 'to' is missing"),
        ("{config: docs/ingestion.json, to: raw}", "docs/ingestion.json", "p.yaml:5:12: ingestion: expected {config: file, to: connection}"),
        ("ingestion: {config: docs/ingestion.json, to: raw}\n", "", "p.yaml:5:1: validation needs ingestion, which says what there is"),
        ("ingestion:", "ingestoin:", "p.yaml:5:1: unknown key 'ingestoin' (did you mean 'ingestion'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_stage_is_said_where_the_pipeline_names_it(
    old: str, new: str, expected: str
) -> None:
    Path("p.yaml").write_text(PIPELINE.replace(old, new, 1))
    found = refused()
    assert [each for each in found if each.startswith(expected)], found


def test_stages_may_be_all_there_is_also_from_python() -> None:
    Path("p.yaml").write_text(PIPELINE.partition("steps:")[0].replace("validation:", "# validation:"))
    steps = by_name(load("p.yaml"))
    assert list(steps["transformed_users"].inputs.values()) == ["raw_users"]
    built = from_steps(
        [],
        connections={"raw": {"url": "raw"}},
        variables={"api": "http://127.0.0.1:9"},
        ingestion={"config": "docs/ingestion.json", "to": "raw"},
    )
    assert list(by_name(built)) == ["raw_users", "raw_users_archive"]


def test_the_documents_of_the_example_have_just_the_keys_that_such_documents_have() -> None:
    root = Path(__file__).parents[3]
    loaded = load(root / "configs/ex5_data_processing.yaml")
    assert check(loaded, strict=True) == ()
    sources = json.loads((root / "configs/ex5/ingestion.json").read_text("utf-8"))["sources"]
    assert {key for source in sources for key in source} == {
        "name", "url", "format", "headers", "params", "fallback_to_sample", "sample_size",
    }  # fmt: skip
