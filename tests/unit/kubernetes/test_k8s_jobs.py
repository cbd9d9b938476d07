"""Which Jobs a plan means, and what they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from odibi.config.loaded import Loaded
from odibi.kubernetes.jobs import job_request, requests_of
from odibi.kubernetes.lint import lint
from odibi.kubernetes.manifest import job
from odibi.kubernetes.names import job_name
from odibi.kubernetes.request import JobRequest
from odibi.plan import Plan
from tests.unit.kubernetes.given import golden
from tests.unit.run.project import Project

CLUSTER = {
    "image": "odibi:1",
    "spark_image": "odibi-spark:1",
    "tasks": "/data/tasks/",
    "namespace": "etl",
    "env": {"REGION": "eu"},
    "secrets": {"KEY": {"secret": "s", "key": "k"}},
}
KEPT = {"to": "lake"}
RAW = {"name": "raw", "layer": "bronze", "sql": "SELECT 1 AS x", "write": KEPT}


@pytest.fixture
def planned(tmp_path: Path) -> Any:
    project = Project(tmp_path)

    def plan(
        steps: Sequence[Mapping[str, Any]], cluster: Mapping[str, Any] = CLUSTER, **fields: Any
    ) -> tuple[Loaded, Plan]:
        mounts = {"lake": str(tmp_path), "tasks": "/data"}
        volumes = [{"name": name, "mount": mount, "claim": name} for name, mount in mounts.items()]
        config = project.config([RAW, *steps], kubernetes={"volumes": volumes, **cluster}, **fields)
        return project.load(config), project.plan(config)

    return plan


def step(name: str, layer: str = "silver", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "layer": layer,
        "inputs": ["raw"],
        "sql": "SELECT x FROM raw",
        "write": KEPT,
        **fields,
    }


def one(loaded: Loaded, plan: Plan) -> JobRequest:
    (found,) = requests_of(loaded, plan)
    return found


def test_a_layer_shares_a_job_and_a_step_that_says_so_has_its_own(planned: Any) -> None:
    steps = [
        step("a"),
        step("b", runtime="kubernetes"),
        step("c"),
        step("d", "gold"),
        step("e", runtime="local"),
    ]
    loaded, plan = planned(steps, runtime={"silver": "kubernetes"})
    found = {
        request.labels["step"]: request.annotations["odibi.dev/steps"]
        for request in requests_of(loaded, plan)
    }
    assert found == {"silver": "a,c", "b": "b"}


def test_what_is_not_run_has_no_job(planned: Any) -> None:
    loaded, plan = planned([step("a")])
    assert requests_of(loaded, plan) == ()


def test_what_a_job_is_given(planned: Any) -> None:
    loaded, plan = planned([step("a", runtime="kubernetes", workload_class="IOIntensive")])
    found = job_request(
        loaded, [plan["a"]], name="a", task_url="s3://tasks/1", task="shop/a", run_id="r1", attempt=2,
        excluded_nodes=["node-1"],
    )  # fmt: skip
    assert found.name == job_name("shop", "a", "r1", 2)
    assert (found.image, found.command, found.args) == ("odibi:1", (), ("worker", "s3://tasks/1"))
    assert (found.namespace, found.service_account, found.token) == ("etl", "odibi", False)
    assert found.env == {"REGION": "eu"}
    assert found.secrets["KEY"].secret == "s"
    assert found.volumes[0].claim == "lake"
    assert (found.backoff_limit, found.ttl, found.deadline) == (0, 3600, 300)
    assert found.excluded_nodes == ("node-1",)
    assert found.requests == {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "10Gi"}
    assert found.limits["ephemeral-storage"] == "50Gi"
    assert {**found.labels, "version": ""} == {
        "pipeline": "shop", "step": "a", "step-type": "sql", "stage": "silver", "run-id": "r1", "version": "",
        "odibi.dev/task": "shop-a-" + found.labels["odibi.dev/task"][-8:],
        "odibi.dev/logical-date": "2026-01-05", "odibi.dev/target": "dev",
    }  # fmt: skip
    assert found.annotations["odibi.dev/config-hash"] == loaded.config_hash
    assert found.annotations["odibi.dev/attempt"] == "2"
    assert lint(job(found)) == []


@pytest.mark.parametrize(
    ("fields", "cluster", "pipeline", "deadline"),
    [
        ({}, {}, {}, 300),
        ({"timeout": 42}, {}, {}, 42),
        ({"timeout": 41.5}, {"deadline_seconds": 99}, {}, 42),
        ({}, {"deadline_seconds": 99}, {}, 99),
        ({}, {"deadline_seconds": 99}, {"timeout_seconds": 60}, 60),
    ],
)
def test_when_it_is_ended(
    planned: Any, fields: dict[str, Any], cluster: dict[str, Any], pipeline: dict[str, Any], deadline: int
) -> None:
    loaded, plan = planned([step("a", runtime="kubernetes", **fields)], {**CLUSTER, **cluster}, **pipeline)
    assert one(loaded, plan).deadline == deadline


def test_the_run_counts_attempts_unless_pods_are_to_be_followed_by_others(planned: Any) -> None:
    """One owner of retries: two of them would multiply theirs."""
    given = [step("a", runtime="kubernetes")]
    assert one(*planned(given, max_retries=3)).backoff_limit == 0
    assert one(*planned(given, {**CLUSTER, "backoff_limit": 2})).backoff_limit == 2


@pytest.mark.parametrize(
    ("fields", "memory"),
    [
        ({}, [("4Gi", "8Gi"), ("8Gi", "16384Mi"), ("16384Mi", "32768Mi"), ("32768Mi", "32768Mi")]),
        ({"workload_class": "MemoryIntensive"}, [("8Gi", "32Gi"), ("32Gi", "32768Mi")]),
        ({"resources": {"limits": {"memory": "6Gi"}}}, [("4Gi", "6Gi"), ("6Gi", "6144Mi")]),
        ({"resources": {"limits": {"cpu": "9"}}}, [("4Gi", "8Gi"), ("8Gi", "16384Mi")]),
        ({"engine": "spark"}, [("1536Mi", "2048Mi"), ("2048Mi", "2048Mi")]),
    ],
)
def test_what_had_too_little_memory_gets_more(
    planned: Any, fields: dict[str, Any], memory: list[tuple[str, str]]
) -> None:
    """A limit that the config sets stands: then it is sure to get that much."""
    loaded, plan = planned([step("a", runtime="kubernetes", **fields)])
    for short, expected in enumerate(memory):
        found = job_request(
            loaded, [plan["a"]], name="a", task_url="u", task="t", run_id="r", attempt=1, short=short
        )
        assert (found.requests["memory"], found.limits["memory"]) == expected
        assert lint(job(found)) == []


def test_ingesting_may_take_longer_and_steps_in_one_pod_take_turns(planned: Any, tmp_path: Path) -> None:
    read = {
        "name": "files",
        "layer": "bronze",
        "read": {"from": "in", "path": "a.csv", "schema": {"x": "INTEGER"}},
    }
    Project(tmp_path).csv("in/a.csv", "x", [1])
    loaded, plan = planned([read, step("a", timeout=10), step("b")], runtime={"silver": "kubernetes"})
    assert one(loaded, plan).deadline == 310
    found = job_request(loaded, [plan["files"]], name="f", task_url="u", task="t", run_id="r", attempt=1)
    assert found.deadline == 600


def test_nodes_by_workload_class(planned: Any) -> None:
    large = {"node_selectors": {"MemoryIntensive": {"pool": "large"}}}
    steps = [
        step(name, runtime="kubernetes", workload_class=name) for name in ("MemoryIntensive", "IOIntensive")
    ]
    loaded, plan = planned(steps, {**CLUSTER, **large})
    made = [
        job(request)["spec"]["template"]["spec"].get("nodeSelector") for request in requests_of(loaded, plan)
    ]
    assert made == [{"pool": "large"}, None]


def test_spark_has_its_own_image_and_starts_its_executors(planned: Any) -> None:
    spark = {"spark": {"driver_memory": "2g"}}
    loaded, plan = planned([step("a", engine="spark", runtime="kubernetes")], {**CLUSTER, **spark})
    found = one(loaded, plan)
    assert (found.image, found.token) == ("odibi-spark:1", True)
    assert found.env == {"SPARK_LOCAL_DIRS": "/tmp/spark", "REGION": "eu"}
    assert found.ports == {"driver": 7078, "block-manager": 7079}
    assert (found.requests["memory"], found.limits["memory"]) == ("2560Mi", "3072Mi")
    assert lint(job(found)) == []


def test_what_a_step_says_of_resources(planned: Any) -> None:
    own = {"requests": {"cpu": "100m"}, "limits": {"memory": "6Gi"}}
    loaded, plan = planned([step("a", runtime="kubernetes", resources=own)])
    found = one(loaded, plan)
    assert (found.requests, found.limits) == ({"cpu": "100m", "memory": "4Gi"}, {"cpu": "8", "memory": "6Gi"})


def test_a_pod_has_room_for_the_memory_of_its_step(planned: Any) -> None:
    loaded, plan = planned([step("a", runtime="kubernetes", resources={"memory": "16Gi"})])
    assert one(loaded, plan).limits["memory"] == "20992Mi"  # a quarter more, and the worker's own


@pytest.mark.parametrize(
    ("sql", "fields", "expected"),
    [
        ("SELECT x FROM raw", {}, "ComputeIntensive"),
        ("SELECT x FROM raw", {"workload_class": "NetworkIntensive"}, "NetworkIntensive"),
        (
            f"SELECT raw.x FROM raw JOIN raw AS o ON o.x = raw.x {'AND raw.x > 0 ' * 80}",
            {},
            "MemoryIntensive",
        ),
    ],
)
def test_the_class_of_a_planned_step(planned: Any, sql: str, fields: dict[str, Any], expected: str) -> None:
    loaded, plan = planned([{**step("a", runtime="kubernetes", **fields), "sql": sql}])
    assert one(loaded, plan).workload_class == expected


@pytest.mark.parametrize(("threshold", "leaves"), [("1B", ["files"]), ("1GB", [])])
def test_what_is_read_decides_where_auto_is(
    planned: Any, tmp_path: Path, threshold: str, leaves: list[str]
) -> None:
    Project(tmp_path).csv("in/a.csv", "x", [1], [2])
    read = {
        "name": "files",
        "layer": "bronze",
        "read": {"from": "in", "path": "a.csv"},
        "runtime": "auto",
        "write": KEPT,
    }
    loaded, plan = planned([read], {**CLUSTER, "threshold": threshold})
    assert plan["files"].size == 9
    assert [request.labels["step"] for request in requests_of(loaded, plan)] == leaves


BESIDE = {**CLUSTER, "secrets": {"PG_PASSWORD": {"secret": "revenue-db", "key": "password"}}}


@pytest.fixture
def postgres(planned: Any) -> dict[str, Any]:
    """The Job of a step that PostgreSQL computes."""
    loaded, plan = planned([step("revenue", "gold", operation="postgres", runtime="kubernetes")], BESIDE)
    (planned_step,) = (each for each in plan.steps if each.name == "revenue")
    request = job_request(
        loaded, [planned_step], name="revenue", task_url="/data/tasks/1/task.json", task="t", run_id="r1", attempt=1
    )  # fmt: skip
    same = replace(request, volumes=(), annotations={**request.annotations, "odibi.dev/config-hash": "abc"})
    return job(same)


def test_sql_with_postgres(postgres: dict[str, Any]) -> None:
    golden("postgres.yaml", [postgres])
    assert lint(postgres) == []


def test_the_database_is_a_sidecar_that_is_ready_first(postgres: dict[str, Any]) -> None:
    pod = postgres["spec"]["template"]["spec"]
    (database,) = pod["initContainers"]
    assert database["restartPolicy"] == "Always"
    assert "pg_isready" in database["startupProbe"]["exec"]["command"]
    assert database["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    (main,) = pod["containers"]
    assert main["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "4", "memory": "8Gi"}
    }  # fmt: skip
    env = {one["name"]: one.get("value") for one in main["env"]}
    assert (env["PG_HOST"], env["PG_USER"]) == ("127.0.0.1", "odibi")
    assert (env["INPUT_BUCKET"], env["OUTPUT_BUCKET"]) == ("data-staging", "data-processed")


@pytest.mark.parametrize("name", ["PG_PASSWORD", "POSTGRES_PASSWORD"])
def test_the_password_is_known_to_the_cluster_only(postgres: dict[str, Any], name: str) -> None:
    pod = postgres["spec"]["template"]["spec"]
    env = [one for each in (*pod["initContainers"], *pod["containers"]) for one in each["env"]]
    (found,) = (one for one in env if one["name"] == name)
    assert found["valueFrom"] == {"secretKeyRef": {"name": "revenue-db", "key": "password"}}


def test_every_container_is_told_who_it_is(postgres: dict[str, Any]) -> None:
    pod = postgres["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        told = {one["name"]: one.get("value") or one["valueFrom"] for one in container["env"]}
        assert told["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
        assert told["POD_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
        assert (told["PIPELINE_NAME"], told["STEP_NAME"]) == ("shop", "revenue")
        assert not any("SELECT" in str(value).upper() for value in told.values())


def test_a_database_may_be_another(planned: Any) -> None:
    steps = [step("a", operation="postgres", runtime="kubernetes")]
    assert one(*planned(steps, {**CLUSTER, "env": {"PG_HOST": "db.example"}})).postgres == ""


def test_fetching_from_a_server(planned: Any, tmp_path: Path) -> None:
    read = {"from": "partner", "path": "out/a.csv", "schema": {"x": "INTEGER"}}
    steps = [
        {"name": name, "layer": "bronze", "read": read, "write": KEPT, "runtime": "kubernetes"}
        for name in "ab"
    ]
    partner = {"url": "sftp://shop@sftp.example:2222"}
    lake = {"url": str(tmp_path / "lake"), "format": "delta"}
    loaded, plan = planned(steps, connections={"partner": partner, "lake": lake})
    request, other = requests_of(loaded, plan)
    assert request.env == {
        "SFTP_SERVER": "sftp.example:2222", "SFTP_PATH": "/out/a.csv",
        "OUTPUT_BUCKET": str(tmp_path / "lake/bronze/a"), "REGION": "eu",
    }  # fmt: skip
    told = {
        one["name"]: one.get("value")
        for one in job(request)["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert (told["PIPELINE_NAME"], told["STEP_NAME"]) == ("shop", "a")
    assert (request.requests, request.limits) == (
        {"cpu": "500m", "memory": "512Mi"}, {"cpu": "1", "memory": "1Gi"}
    )  # fmt: skip
    assert (request.backoff_limit, request.deadline, request.workload_class) == (0, 600, "NetworkIntensive")
    assert request.image == CLUSTER["image"]
    assert lint(job(request)) == []
    assert other.env["OUTPUT_BUCKET"] == str(tmp_path / "lake/bronze/b")
    both = [each for each in plan.steps if each.name in "ab"]
    together = job_request(loaded, both, name="bronze", task_url="u", task="t", run_id="r", attempt=1)
    assert together.env == {"REGION": "eu"}, "of several nobody could tell which is meant"
