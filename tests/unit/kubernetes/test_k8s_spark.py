"""The settings of a Spark driver in a pod, and the pods of its executors."""

from __future__ import annotations

import pytest

from odibi.config.runtime import SparkPods
from odibi.errors import Permanent
from odibi.kubernetes.lint import lint
from odibi.kubernetes.published import against_schema
from odibi.kubernetes.security import security
from odibi.kubernetes.spark import conf, executor_pod
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


def test_the_pod_of_an_executor() -> None:
    labels = {"pipeline": "shop", "run-id": "r/1"}
    cluster = CLUSTER.model_copy(
        update={"profile": "seed", "node_selector": {"zone": "a"}, "priority": "high"}
    )
    made = executor_pod(cluster, labels=labels, workload_class="MemoryIntensive", excluded_nodes=("node-1",))
    golden("executor.yaml", [made])


def test_an_executor_may_do_no_more_than_others() -> None:
    made = executor_pod(CLUSTER, labels={})
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
