"""The settings of a Spark driver in a pod, and the pods of its executors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import pytest

from odibi.config.runtime import Kubernetes, SparkPods, WorkloadClass
from odibi.errors import Permanent
from odibi.kubernetes.driver import lead
from odibi.kubernetes.lint import lint
from odibi.kubernetes.manifest import job
from odibi.kubernetes.published import against_schema
from odibi.kubernetes.request import JobRequest
from odibi.kubernetes.security import security
from odibi.kubernetes.spark import conf, executor_pod
from odibi.kubernetes.task import parsed
from tests.unit.kubernetes.given import CLUSTER, golden

POD = {
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
    "POD_IP": "10.1.2.3",
    "POD_NAME": "shop-gold-0a1b2c3d-x7k2p",
    "POD_NAMESPACE": "etl",
}


def settings(pods: SparkPods, environ: dict[str, str] | None = None) -> dict[str, str]:
    return conf(pods, image="odibi-spark:1", template="/tmp/executor.yaml", environ=environ or POD)


def test_the_settings() -> None:
    golden("spark.yaml", [settings(SparkPods(executors=3, cores=2, memory="4g"))])


def test_executors_follow_the_work() -> None:
    found = settings(SparkPods(executors=1, max_executors=8))
    assert found["spark.dynamicAllocation.enabled"] == "true"
    assert found["spark.dynamicAllocation.shuffleTracking.enabled"] == "true"
    assert found["spark.dynamicAllocation.minExecutors"] == "1"
    assert found["spark.dynamicAllocation.maxExecutors"] == "8"
    assert found["spark.executor.maxNumFailures"] == "16"


def test_a_config_has_the_last_word() -> None:
    found = settings(
        SparkPods(conf={"spark.kubernetes.executor.request.cores": "100m", "spark.task.maxFailures": "1"})
    )
    assert found["spark.kubernetes.executor.request.cores"] == "100m"
    assert found["spark.task.maxFailures"] == "1"


def test_long_names_and_addresses_of_six() -> None:
    pod = "a" * 52 + "-x7k2p"
    found = settings(SparkPods(), POD | {"POD_NAME": pod, "KUBERNETES_SERVICE_HOST": "fd00::1"})
    assert found["spark.kubernetes.driver.pod.name"] == pod
    assert len(found["spark.kubernetes.executor.podNamePrefix"]) <= 47
    assert found["spark.master"] == "k8s://https://[fd00::1]:443"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (["POD_IP"], "POD_IP is not set: this is not a pod that odibi made"),
        (["POD_NAME", "POD_IP"], "POD_IP, POD_NAME are not set: this is not a pod that odibi made"),
    ],
)
def test_elsewhere_there_are_none(missing: list[str], message: str) -> None:
    with pytest.raises(Permanent) as caught:
        settings(SparkPods(), {name: value for name, value in POD.items() if name not in missing})
    assert caught.value.message == message


def executor(
    cluster: Kubernetes = CLUSTER,
    *,
    labels: Mapping[str, str] = MappingProxyType({}),
    annotations: Mapping[str, str] = MappingProxyType({}),
    workload_class: WorkloadClass = "MemoryIntensive",
    excluded_nodes: Sequence[str] = (),
) -> dict[str, Any]:
    return executor_pod(
        cluster,
        labels=labels,
        annotations=annotations,
        workload_class=workload_class,
        excluded_nodes=excluded_nodes,
    )


def test_the_pod_of_an_executor() -> None:
    labels = {"pipeline": "shop", "run-id": "r/1"}
    cluster = CLUSTER.model_copy(
        update={"profile": "seed", "node_selector": {"zone": "a"}, "priority": "high"}
    )
    golden("executor.yaml", [executor(cluster, labels=labels, excluded_nodes=("node-1",))])


@pytest.mark.parametrize("workload_class", get_args(WorkloadClass))
def test_executors_go_where_their_driver_goes(workload_class: WorkloadClass) -> None:
    cluster = CLUSTER.model_copy(update={"profile": "seed"})
    driver = job(
        JobRequest(
            name="x",
            image="odibi:1",
            workload_class=workload_class,
            profile="seed",
            excluded_nodes=("node-1",),
        )
    )["spec"]["template"]
    made = executor(cluster, workload_class=workload_class, excluded_nodes=("node-1",))
    for key in ("nodeSelector", "tolerations", "affinity"):
        assert made["spec"][key] == driver["spec"][key]
    assert made["metadata"]["labels"] == driver["metadata"]["labels"]
    told = {one["name"]: one.get("value") for one in made["spec"]["containers"][0]["env"]}
    assert told["WORKLOAD_CLASS"] == workload_class


def test_an_executor_is_told_who_it_is() -> None:
    annotations = {"odibi.dev/pipeline": "a shop", "odibi.dev/full-task": "orders"}
    env = executor(annotations=annotations)["spec"]["containers"][0]["env"]
    told = {one["name"]: one.get("value") or one["valueFrom"] for one in env}
    assert told["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert told["POD_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert (told["PIPELINE_NAME"], told["STEP_NAME"]) == ("a shop", "orders")


FIRST = {
    "version": 1, "task": "t", "pipeline": "shop", "run_id": "r", "logical_date": "2026-01-05", "target": "local",
    "config": "shop.yaml", "config_hash": "abc", "files": {}, "engine": "spark", "steps": ["orders"], "code": {},
    "spark": True,
}  # fmt: skip
"""A task of the first version, which says nothing of where executors go."""

SECOND = FIRST | {
    "version": 2, "workload_class": "MemoryIntensive", "excluded_nodes": ["node-1"],
    "labels": {"step": "orders"}, "annotations": {"odibi.dev/full-task": "orders"},
}  # fmt: skip


@pytest.mark.parametrize("document", [FIRST, SECOND])
def test_a_driver_places_its_executors_as_its_task_says(document: dict[str, Any], tmp_path: Path) -> None:
    task = parsed(json.dumps(document), "task.json")
    environ = dict(POD)
    lead(CLUSTER, task, tmp_path / "spark", environ)
    said = dict(
        line.split(" ", 1)
        for line in (Path(environ["SPARK_CONF_DIR"]) / "spark-defaults.conf").read_text().splitlines()
    )
    made = json.loads(Path(said["spark.kubernetes.executor.podTemplateFile"]).read_text())
    assert made == executor(
        labels=document.get("labels", {}),
        annotations=document.get("annotations", {}),
        workload_class=document.get("workload_class", "ComputeIntensive"),
        excluded_nodes=document.get("excluded_nodes", ()),
    )


def test_an_executor_that_is_deleted_hands_its_blocks_on_by_a_script_that_the_image_has() -> None:
    script = settings(SparkPods())["spark.kubernetes.decommission.script"]
    docker = Path(__file__).parents[3] / "docker"
    assert (docker / Path(script).name).is_file()
    assert re.search(
        rf"^COPY .*docker/{Path(script).name}.* /opt/$",
        (docker / "spark.Dockerfile").read_text(),
        re.MULTILINE,
    )


def test_an_executor_may_do_no_more_than_others() -> None:
    made = executor()
    spec = made["spec"]
    assert list(security(spec, "spec", [("c", spec["containers"][0])])) == []
    named = {**made, "metadata": {"name": "x", **made["metadata"]}}
    assert list(against_schema(named)) == []
    # What is left is what Spark fills in.
    assert {finding.place.rpartition("containers[0].")[2] for finding in lint(named)} == {
        "image", "resources.requests.cpu", "resources.requests.memory", "resources.limits.memory",
        "spec.restartPolicy",
    } - {"spec.restartPolicy"}  # fmt: skip
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][0]["volumeMounts"][1] == {"name": "data", "mountPath": "/data"}
