"""The cluster is one on which what follows can run: pods are hardened, Spark gets its executors, data is shared."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kube import IMAGE, SPARK, kubectl, wait_until

HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


@pytest.fixture(scope="session")
def namespace(cluster: None) -> Iterator[str]:
    """A namespace with the strictest rules for pods."""
    name = f"odibi-test-{os.getpid()}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    kubectl("apply", "--filename", "-", given=made)
    wait_until(
        30, lambda: kubectl("get", "serviceaccount", "default", f"-n{name}", check=False).returncode == 0
    )
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def pod(name: str, image: str, *arguments: str, uid: int = 10001) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [*arguments],
        "securityContext": HARDENED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    whole = {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "securityContext": whole,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def ended(name: str, namespace: str, seconds: float = 60) -> str:
    """The log of a pod that has succeeded."""

    def phase() -> str:
        return kubectl("get", "pod", name, f"-n{namespace}", "--output=jsonpath={.status.phase}").stdout

    wait_until(seconds, lambda: phase() in ("Succeeded", "Failed"))
    log = kubectl("logs", name, f"-n{namespace}").stdout
    assert phase() == "Succeeded", log
    return log


def test_a_node_is_ready() -> None:
    nodes = json.loads(kubectl("get", "nodes", "--output=json").stdout)["items"]
    ready = [c["status"] for node in nodes for c in node["status"]["conditions"] if c["type"] == "Ready"]
    assert "True" in ready


@pytest.mark.parametrize("image", [IMAGE, SPARK])
@pytest.mark.parametrize("uid", [10001, 4242])
def test_odibi_runs_hardened_under_any_user(namespace: str, image: str, uid: int) -> None:
    name = f"help-{uid}-{image == SPARK:d}"
    kubectl("apply", f"-n{namespace}", "--filename", "-", given=pod(name, image, "--help", uid=uid))
    assert "Usage:" in ended(name, namespace)


def test_a_privileged_pod_is_refused(namespace: str) -> None:
    wanted = pod("privileged", IMAGE, "--help")
    wanted["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    done = kubectl("apply", f"-n{namespace}", "--filename", "-", given=wanted, check=False)
    assert done.returncode != 0
    assert "violates PodSecurity" in done.stderr


SESSION = """
import os
from pyspark.sql import SparkSession, functions

builder = SparkSession.builder.appName("test")
account = "/var/run/secrets/kubernetes.io/serviceaccount"
executor = "spark.kubernetes.executor.volumes.hostPath.data"
for key, value in {
    "spark.master": "k8s://https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}".format(**os.environ),
    "spark.kubernetes.namespace": os.environ["POD_NAMESPACE"],
    "spark.kubernetes.driver.pod.name": os.environ["POD_NAME"],
    "spark.kubernetes.container.image": os.environ["IMAGE"],
    "spark.kubernetes.authenticate.caCertFile": account + "/ca.crt",
    "spark.kubernetes.authenticate.oauthTokenFile": account + "/token",
    "spark.driver.host": os.environ["POD_IP"],
    "spark.driver.bindAddress": "0.0.0.0",
    "spark.driver.port": "7078",
    "spark.blockManager.port": "7079",
    "spark.driver.memory": "512m",
    "spark.executor.memory": "512m",
    "spark.executor.instances": "2",
    "spark.kubernetes.executor.request.cores": "100m",
    executor + ".mount.path": "/data",
    executor + ".options.path": os.environ["SHARED"],
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "60s",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
where = functions.udf(lambda _: os.environ.get("SPARK_EXECUTOR_POD_NAME", "driver"))
rows = spark.range(1000, numPartitions=4).withColumn("pod", where("id"))
rows.write.parquet("/data/" + os.environ["POD_NAME"])
rows.write.format("delta").save("/data/" + os.environ["POD_NAME"] + "-delta")
print("SUM", spark.read.format("delta").load("/data/" + os.environ["POD_NAME"] + "-delta").agg({"id": "sum"}).first()[0])
spark.stop()
"""
RIGHTS = [
    {
        "apiGroups": [""],
        "resources": ["pods"],
        "verbs": ["get", "list", "watch", "create", "delete", "deletecollection"],
    },
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "delete", "deletecollection"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["deletecollection"]},
    {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["list", "deletecollection"]},
]


@pytest.fixture
def open_namespace(cluster: None) -> Iterator[str]:
    """A namespace whose pods may mount folders of the node, with an account that may make pods."""
    name = f"odibi-spark-{os.getpid()}"
    meta = {"name": "spark", "namespace": name}
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "spark", "namespace": name}
    items = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": RIGHTS},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "spark"},
            "subjects": [subject],
        },
    ]
    kubectl("apply", "--filename", "-", given={"apiVersion": "v1", "kind": "List", "items": items})
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def test_spark_writes_with_two_executors(open_namespace: str, shared: Path) -> None:
    name = f"driver-{os.getpid()}"
    wanted = pod(name, SPARK)
    wanted["spec"]["serviceAccountName"] = "spark"
    wanted["spec"]["volumes"].append({"name": "data", "hostPath": {"path": str(shared), "type": "Directory"}})
    driver = wanted["spec"]["containers"][0]
    driver |= {"command": ["python", "-c", SESSION], "args": []}
    driver["volumeMounts"].append({"name": "data", "mountPath": "/data"})
    fields = {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace", "POD_IP": "status.podIP"}
    driver["env"] = [
        *({"name": n, "valueFrom": {"fieldRef": {"fieldPath": f}}} for n, f in fields.items()),
        *({"name": n, "value": v} for n, v in {"IMAGE": SPARK, "SHARED": str(shared)}.items()),
    ]
    kubectl("apply", f"-n{open_namespace}", "--filename", "-", given=wanted)
    assert "SUM 499500" in ended(name, open_namespace, 400)

    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows = pq.read_table(shared / name)
    assert pc.sum(rows["id"]).as_py() == 499500
    assert len(pc.unique(rows["pod"])) == 2
    assert "driver" not in rows["pod"].to_pylist()
