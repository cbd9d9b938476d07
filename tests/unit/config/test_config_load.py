"""Loading: targets, dates, params, types, other pipelines, and one Step from YAML, JSON and Python."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from odibi.config import Connection, Layer, Node, Step, StepType, Write, check, from_steps, load, load_all
from odibi.config.dates import logical_date, zone
from odibi.config.digest import config_hash
from odibi.config.loaded import PYTHON
from odibi.config.short import expand_pipeline, expand_step
from odibi.errors import ConfigError

SHOP = """\
pipeline: shop            # a comment
date: 2024-01-15
variables:
  bucket: data
  batch_size: 500
connections:
  lake: {url: "{{ bucket }}/{date}", format: delta}
  files: {url: "files/${env:STAGE}"}
targets:
  prod:
    variables: {bucket: s3-data}
    connections:
      lake: {url: "s3://{{ bucket }}/{{ target }}"}
  test:
    connections:
      lake: {url: "memory://{{ only_given_in_tests }}"}
steps:
  - name: raw
    layer: bronze
    read: {from: files, path: "orders/{date}.csv", skip: "{{ batch_size }}"}
    write: {to: lake, path: "raw/{{.pipeline}}"}
  - name: orders
    layer: silver
    inputs: [raw]
    transform:
      - filter: "day = '{{ date }}'"
      - limit: "{{ batch_size }}"
  - name: summary
    layer: gold
    sql: |
      select '{{ date }}' as day,
             {'a': '{date}'} as braces
      from orders
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(SHOP)
    return tmp_path


def test_templates_are_rendered_and_references_kept(folder: Path) -> None:
    loaded = load("shop.yaml", environ={})
    raw, orders, summary = loaded.pipeline.steps
    assert raw.value == "orders/2024-01-15.csv"
    assert raw.params == {"from": "files", "skip": 500}
    assert raw.write == Write(to="lake", path="raw/shop")
    assert orders.params["operations"] == ({"filter": "day = '2024-01-15'"}, {"limit": 500})
    assert summary.value == "select '2024-01-15' as day,\n       {'a': '{date}'} as braces\nfrom orders\n"
    assert loaded.pipeline.connections["lake"] == Connection(url="data/2024-01-15", format="delta")
    assert loaded.pipeline.connections["files"].url == "files/${env:STAGE}"
    assert check(loaded, strict=True) == ()


def test_what_templates_may_name(folder: Path) -> None:
    loaded = load("shop.yaml", environ={})
    assert loaded.context == {
        "bucket": "data",
        "batch_size": 500,
        "date": "2024-01-15",
        "pipeline_id": loaded.run_id,
        "timestamp": loaded.context["timestamp"],
        "pipeline": "shop",
        "engine": "duckdb",
        "target": "dev",
    }
    assert abs(loaded.context["timestamp"] - datetime.now(UTC).timestamp()) < 60
    assert load("shop.yaml", run_id="one").context["pipeline_id"] == "one"


@pytest.mark.parametrize(
    ("target", "environ", "url"),
    [
        (None, {}, "data/2024-01-15"),
        ("dev", {"ODIBI_TARGET": "prod"}, "data/2024-01-15"),
        ("prod", {}, "s3://s3-data/prod"),
        (None, {"ODIBI_TARGET": "prod"}, "s3://s3-data/prod"),
    ],
)
def test_targets(target: str | None, environ: dict[str, str], url: str, folder: Path) -> None:
    loaded = load("shop.yaml", target=target, environ=environ)
    assert loaded.pipeline.connections["lake"].url == url
    assert loaded.target == (target or environ.get("ODIBI_TARGET", "dev"))
    place = ("shop.yaml", 13, 19) if url.startswith("s3") else ("shop.yaml", 7, 15)
    assert loaded.where(("connections", "lake", "url")) == place


def test_another_target_may_need_what_this_run_does_not_give(folder: Path) -> None:
    assert load("shop.yaml").pipeline.targets["test"].connections == {}
    with pytest.raises(ConfigError, match=r"shop\.yaml:16:19: Unresolved .*: only_given_in_tests"):
        load("shop.yaml", target="test")
    loaded = load("shop.yaml", target="test", params={"only_given_in_tests": "x"})
    assert loaded.pipeline.connections["lake"].url == "memory://x"


@pytest.mark.parametrize(
    ("given_as", "value"),
    [
        ("7", 7),
        ("seven", "seven"),
        ("'7'", "7"),
        ("{{ date }}", "{{ date }}"),
        ("'); import os", "'); import os"),
    ],
)
def test_params_lie_over_variables_and_are_data(given_as: str, value: Any, folder: Path) -> None:
    loaded = load("shop.yaml", params={"batch_size": given_as})
    assert loaded.pipeline.steps[0].params["skip"] == value
    assert loaded.pipeline.variables["batch_size"] == value
    assert loaded.params == {"batch_size": value}


def test_a_param_may_be_meant_for_a_sql_file(folder: Path) -> None:
    Path("q.sql").write_text("select {{ days }}")
    Path("c.yaml").write_text("pipeline: p\nsteps: [{name: a, layer: gold, sql: q.sql}]")
    loaded = load("c.yaml", params={"days": "3"})
    assert loaded.context["days"] == 3
    assert loaded.find("q.sql") == folder / "q.sql"


NOW = datetime(2024, 1, 15, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "timezone", "day"),
    [
        ("2024-02-29", "UTC", date(2024, 2, 29)),
        ("today", "UTC", date(2024, 1, 15)),
        ("yesterday", "UTC", date(2024, 1, 14)),
        ("today", "Europe/Berlin", date(2024, 1, 16)),
        ("yesterday", "America/New_York", date(2024, 1, 14)),
    ],
)
def test_logical_dates(text: str, timezone: str, day: date) -> None:
    assert logical_date(text, NOW, zone(timezone)) == day


def test_a_run_early_on_the_16th_is_about_the_15th() -> None:
    assert logical_date("yesterday", datetime(2024, 1, 16, 2, tzinfo=UTC), zone("UTC")) == date(2024, 1, 15)


def test_the_argument_wins_over_the_declared_date(folder: Path) -> None:
    assert load("shop.yaml").logical_date == date(2024, 1, 15)
    assert load("shop.yaml", date="2024-02-01").pipeline.steps[0].value == "orders/2024-02-01.csv"
    yesterday = load("shop.yaml", date="yesterday").logical_date
    assert 0 < (datetime.now(UTC).date() - yesterday).days <= 2


def test_json_is_a_config_too(folder: Path) -> None:
    Path("shop.json").write_text(json.dumps(yaml.load(SHOP, yaml.BaseLoader), indent="\t"))
    from_json, from_yaml = load("shop.json", run_id="x"), load("shop.yaml", run_id="x")
    assert from_json.pipeline.steps[1:2] != ()
    assert [step.name for step in from_json.pipeline.steps] == [
        step.name for step in from_yaml.pipeline.steps
    ]
    assert from_json.pipeline.connections == from_yaml.pipeline.connections


# One step, however it is written

SHORT = {"name": "a", "layer": "bronze", "read": {"from": "lake", "path": "x.csv", "header": True}}
LONG = {
    "name": "a",
    "layer": "bronze",
    "type": "config_op",
    "value": "x.csv",
    "params": {"from": "lake", "header": True},
    "outputs": {"data": "a"},
}
TRANSFORM = {"name": "b", "layer": "silver", "inputs": ["a"], "transform": [{"filter": "x > 0"}], "tags": "t"}


def test_python_and_yaml_build_equal_steps(folder: Path) -> None:
    lake = {"lake": {"url": "lake"}}
    declared = {"pipeline": "python", "connections": lake, "steps": [SHORT, TRANSFORM]}
    Path("c.yaml").write_text(yaml.safe_dump(declared))
    in_python = [
        Step(
            name="a",
            layer=Layer.BRONZE,
            type=StepType.CONFIG_OP,
            value="x.csv",
            params={"from": "lake", "header": True},
        ),
        Step(
            name="b",
            layer=Layer.SILVER,
            type=StepType.CONFIG_OP,
            value="transform",
            params={"operations": [{"filter": "x > 0"}]},
            inputs={"a": "a"},
            tags=("t",),
        ),
    ]
    loaded = load("c.yaml")
    built = from_steps(in_python, connections={"lake": Connection(url="lake")})
    assert loaded.pipeline.steps == tuple(in_python) == built.pipeline.steps
    assert built.pipeline == loaded.pipeline
    assert built.config_hash == loaded.config_hash
    assert built.file == PYTHON


def test_python_steps_are_rendered_and_checked_alike() -> None:
    step = Step(
        name="a", layer=Layer.INGEST, type=StepType.CONFIG_OP, value="x/{date}.csv", params={"n": "{{ n }}"}
    )
    loaded = from_steps([step], date="2024-01-15", variables={"n": 5}, pipeline="mine")
    assert loaded.pipeline.steps[0].value == "x/2024-01-15.csv"
    assert loaded.pipeline.steps[0].params == {"n": 5}
    with pytest.raises(ConfigError) as caught:
        from_steps([step.model_copy(update={"params": {"from": "lake"}})], engine="pandas", zzz=True)
    assert str(caught.value).split("\n") == [
        "<python>: step 'a': unknown connection 'lake' (declare it in connections)",
        (
            "<python>: unknown key 'zzz' (known keys: alerts, backend, cache_dir, cache_keep_days, cache_max_size, "
            "checkpoint_dir, checkpoint_interval, checkpoint_keep, ...)"
        ),
    ]
    with pytest.raises(ConfigError, match="--param x: nothing in the config uses it"):
        from_steps([step], variables={"n": 5}, params={"x": "1"})


def test_the_seven_steps_of_the_second_example_have_their_nodes() -> None:
    shapes: list[dict[str, Any]] = [
        {"layer": "bronze", "type": "config_op", "value": "in", "outputs": {"data": "raw"}},
        {"layer": "bronze", "type": "config_op", "value": "out", "inputs": {"data": "raw"}},
        {
            "layer": "silver",
            "type": "sql",
            "value": "select 1",
            "inputs": {"r": "raw"},
            "outputs": {"data": "clean"},
        },
        {
            "layer": "silver",
            "type": "sql",
            "value": "select 1",
            "inputs": {"r": "clean"},
            "outputs": {"data": "one"},
        },
        {"layer": "silver", "type": "config_op", "value": "out", "inputs": {"data": "one"}},
        {
            "layer": "gold",
            "type": "function",
            "value": "f",
            "inputs": {"r": "one"},
            "outputs": {"data": "sum"},
        },
        {"layer": "gold", "type": "config_op", "value": "out", "inputs": {"data": "sum"}},
    ]
    nodes = [Step.model_validate({"name": f"s{n}", **shape}).node for n, shape in enumerate(shapes)]
    assert "".join(node.value[0] for node in nodes) == "ISTTSTS"
    assert Step.model_validate({**shapes[1], "name": "p", "layer": "publish"}).node is Node.PUBLISH
    assert Step.model_validate({**shapes[0], "name": "c", "layer": "connect"}).node is Node.CONNECT


WORDS = st.text("abcxyz_", min_size=1, max_size=6)
STEPS = st.one_of(
    st.fixed_dictionaries({"read": WORDS}),
    st.fixed_dictionaries({"read": st.fixed_dictionaries({"path": WORDS, "from": WORDS})}),
    st.fixed_dictionaries({"sql": WORDS, "inputs": st.lists(WORDS, unique=True)}),
    st.fixed_dictionaries(
        {"function": WORDS, "inputs": WORDS, "params": st.dictionaries(WORDS, st.integers())}
    ),
    st.fixed_dictionaries(
        {"inputs": st.just([{"from": "o.x", "as": "y"}]), "transform": st.just([{"filter": "x"}])}
    ),
    st.fixed_dictionaries(
        {"type": st.just("config_op"), "value": WORDS, "inputs": st.dictionaries(WORDS, WORDS)}
    ),
).flatmap(
    lambda step: st.fixed_dictionaries(
        {
            "name": WORDS,
            "layer": st.sampled_from(list(Layer)),
            **{key: st.just(value) for key, value in step.items()},
        },
        optional={
            "tags": WORDS,
            "dependsOn": st.lists(WORDS),
            "outputs": WORDS | st.lists(WORDS, min_size=1, unique=True),
        },
    )
)


@settings(max_examples=80, deadline=None)
@given(step=STEPS)
def test_expanding_twice_is_expanding_once(step: dict[str, Any]) -> None:
    once = expand_step(step)
    assert expand_step(once) == once
    assert "read" not in once
    assert expand_pipeline(expand_pipeline({"name": "p", "engine_type": "x"})) == {
        "pipeline": "p",
        "engine": "x",
    }


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(STEPS, min_size=1, max_size=4),
    flow=st.booleans(),
    random=st.randoms(use_true_random=False),
)
def test_the_hash_tells_what_is_said_and_not_how(
    steps: list[dict[str, Any]], flow: bool, random: Any
) -> None:
    data = {"pipeline": "p", "variables": {"a": 1, "b": [1, 2]}, "steps": steps}

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = list(value.items())
            random.shuffle(items)
            return {key: shuffled(item) for key, item in items}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    text = yaml.safe_dump(json.loads(json.dumps(shuffled(data))), default_flow_style=flow, sort_keys=False)
    assert config_hash(yaml.safe_load("# a comment\n" + text)) == config_hash(data)
    expanded = {**data, "steps": [expand_step(step) for step in steps]}
    assert config_hash(expanded) == config_hash(data)
    assert config_hash({**data, "description": "x"}) != config_hash(data)
    assert config_hash({**data, "steps": [*steps, steps[0]]}) != config_hash(data)


def test_the_hash_takes_any_keys() -> None:
    assert config_hash({"a": {1: "x", "b": 2, None: 3}}) != config_hash({"a": {1: "y", "b": 2, None: 3}})


def test_the_hash_does_not_know_the_run(folder: Path) -> None:
    hashes = {
        load("shop.yaml").config_hash,
        load("shop.yaml", date="2020-01-01", target="prod", params={"bucket": "x"}).config_hash,
    }
    assert len(hashes) == 1


def test_canonical_steps_load_again(folder: Path) -> None:
    for step in load("shop.yaml").pipeline.steps:
        assert Step.model_validate(json.loads(step.model_dump_json(by_alias=True))) == step


# Places


def test_canonical_paths_lead_to_what_was_written(folder: Path) -> None:
    Path("c.yaml").write_text(
        "name: p\nengine_type: duckdb\nconnections: {lake: {url: l}}\nsteps:\n"
        "  - {name: a, layer: bronze, read: {from: lake, path: x}}\n"
        "  - name: b\n    layer: silver\n    inputs: [a, {from: a, as: c}]\n"
        "    transform:\n      - filter: x\n      - limit: 5\n"
        "    dependsOn: a\n    outputs: [out]\n"
        "    write: {to: lake, format: [csv, json], partitionBy: x, schema: widen}\n"
        "  - name: d\n    layer: gold\n    inputs: {b: out}\n    transform: {limit: 3}\n"
        "  - name: e\n    layer: gold\n    sql: |\n      select 1,\n        2\n"
    )
    loaded = load("c.yaml")
    places = {
        ("pipeline",): (1, 7),
        ("engine",): (2, 14),
        ("steps", 0, "value"): (5, 55),
        ("steps", 0, "params", "from"): (5, 43),
        ("steps", 1, "inputs", "a"): (8, 14),
        ("steps", 1, "inputs", "c"): (8, 17),
        ("steps", 1, "value"): (6, 5),
        ("steps", 1, "params", "operations", 1, "limit"): (11, 16),
        ("steps", 1, "depends_on", 0): (12, 16),
        ("steps", 1, "outputs", "out"): (13, 15),
        ("steps", 1, "write", "formats"): (14, 31),
        ("steps", 1, "write", "partition_by"): (14, 57),
        ("steps", 1, "write", "schema_policy"): (14, 68),
        ("steps", 2, "params", "operations", 0, "limit"): (18, 24),
        ("steps", 3, "value"): (21, 10),
    }
    assert {path: loaded.where(path)[1:] for path in places} == places
    assert loaded.inside(("steps", 3, "value"), 2, 3) == ("c.yaml", 23, 9)
    problem = loaded.problem(("steps", 2), "odd", "look", level="warning")
    assert str(problem) == "c.yaml:15:5: warning: odd (look)"


# Several files

OTHER = """\
pipeline: crm
connections: {lake: {url: lake}}
steps:
  - {name: people, layer: bronze, read: {from: lake, path: "{{ date }}.csv"}, write: {to: lake}}
  - {name: passing, layer: bronze, read: {from: lake, path: x.csv}}
"""


def reading(*inputs: str, name: str = "p") -> str:
    return (
        f"pipeline: {name}\nsteps: [{{name: a, layer: gold, sql: select 1, inputs: [{', '.join(inputs)}]}}]"
    )


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_inputs_from_another_pipeline(suffix: str, folder: Path) -> None:
    text = json.dumps(yaml.safe_load(OTHER)) if suffix == ".json" else OTHER
    Path(f"crm{suffix}").write_text(text)
    Path("c.yaml").write_text(reading("crm.people"))
    loaded = load("c.yaml", date="2024-01-15")
    assert loaded.pipeline.steps[0].inputs == {"people": "crm.people"}
    assert loaded.others["crm"].pipeline.steps[0].value == "2024-01-15.csv"
    assert loaded.others["crm"].file == f"crm{suffix}"


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("crm.poeple", "c.yaml:2:56: step 'a': unknown input dataset 'crm.poeple' (did you mean 'people'?)"),
        (
            "crn.people",
            (
                "c.yaml:2:56: step 'a': unknown input dataset 'crn.people': there is no crn.yaml beside c.yaml "
                "(did you mean 'crm'?)"
            ),
        ),
        (
            "crm.passing",
            (
                "c.yaml:2:56: step 'a': the input 'crm.passing' is not kept by its pipeline "
                "(give its step in crm.yaml a write)"
            ),
        ),
        (
            "../crm.people",
            "c.yaml:2:56: step 'a': unknown input dataset '../crm.people': there is no ../crm.yaml",
        ),
    ],
)
def test_inputs_that_another_pipeline_does_not_have(dataset: str, message: str, folder: Path) -> None:
    Path("crm.yaml").write_text(OTHER)
    Path("c.yaml").write_text(reading(dataset))
    with pytest.raises(ConfigError) as caught:
        load("c.yaml")
    assert str(caught.value).startswith(message)
    assert len(caught.value.problems) == 1


def test_the_problems_of_another_pipeline_are_its_own(folder: Path) -> None:
    Path("crm.yaml").write_text(OTHER.replace("bronze", "brnze"))
    Path("c.yaml").write_text(reading("crm.people", "crm.passing"))
    with pytest.raises(ConfigError) as caught:
        load("c.yaml")
    assert [problem.where for problem in caught.value.problems] == ["crm.yaml:4:27", "crm.yaml:5:28"]


def test_pipelines_that_wait_for_each_other(folder: Path) -> None:
    Path("x.yaml").write_text(reading("y.a", name="x"))
    Path("y.yaml").write_text(reading("z.a", name="y"))
    Path("z.yaml").write_text(reading("x.a", name="z"))
    with pytest.raises(ConfigError) as caught:
        load("x.yaml")
    assert str(caught.value) == "z.yaml:2:56: step 'a': the pipelines wait for each other: x -> y -> z -> x"


def test_problems_of_all_files_are_found(folder: Path) -> None:
    Path("b.yaml").write_text("pipeline: p\nstep: []\n")
    Path("c.yaml").write_text("pipeline: p\npipeline: q\n")
    loaded, problems = load_all(["shop.yaml", "b.yaml", "c.yaml", "d.yaml"], params={"unheard_of": "1"})
    assert [one.pipeline.pipeline for one in loaded] == ["shop"]
    assert [problem.where for problem in problems] == ["b.yaml:2:1", "c.yaml:2:1", "d.yaml"]
    _, problems = load_all(["shop.yaml"], params={"unheard_of": "1"})
    assert [problem.where for problem in problems] == ["shop.yaml"]


def test_each_file_is_a_run_of_its_own(folder: Path) -> None:
    Path("crm.yaml").write_text(OTHER)
    (one, other), problems = load_all(["shop.yaml", "crm.yaml"])
    assert problems == ()
    assert one.run_id != other.run_id


def test_nothing_to_load() -> None:
    assert load_all([]) == ((), ())


def test_importing_the_config_is_light() -> None:
    code = (
        "import sys, odibi.config; from odibi import load, Step; "
        "heavy = {'jinja2', 'duckdb', 'pandas', 'pyarrow', 'sqlglot', 'sqlalchemy', 'deltalake', 'fsspec', 'rich'}; "
        "print(sorted(heavy & set(sys.modules)), callable(load))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[] True"
