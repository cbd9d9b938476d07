"""A request as a Job: every field where Kubernetes looks for it, and nothing that a cluster or a rule refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from odibi.config.runtime import Mount, SecretKey
from odibi.kubernetes.lint import lint
from odibi.kubernetes.manifest import cron_job, job, priority_class, priority_classes
from odibi.kubernetes.names import label_value
from odibi.kubernetes.request import JobRequest
from tests.unit.kubernetes.given import FULL, golden, requests

LEAST = JobRequest(name="a", image="odibi:1", deadline=1, requests={"cpu": "1"}, limits={"memory": "1Gi"})


def pod(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return found


def container(request: JobRequest) -> dict[str, Any]:
    (found,) = pod(job(request))["containers"]
    assert isinstance(found, dict)
    return found


def variables(request: JobRequest) -> dict[str, Any]:
    env = container(request)["env"]
    assert len({one["name"] for one in env}) == len(env)
    return {one["name"]: one.get("value") or one["valueFrom"] for one in env}


def test_every_field_of_a_full_request() -> None:
    golden("job.yaml", [job(FULL)])


def test_a_cron_job() -> None:
    golden("cronjob.yaml", [cron_job(replace(FULL, parallelism=None, completions=None), "0 2 * * *")])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests)
def test_whatever_is_asked_for_passes_the_rules_and_the_schema(request: JobRequest) -> None:
    assert lint(job(request)) == []
    assert lint(cron_job(request, "0 2 * * *")) == []


def test_what_is_empty_is_left_out() -> None:
    found = container(LEAST)
    assert not found.keys() & {"command", "args", "ports", "workingDir"}
    assert found["name"] == "job-container"
    assert pod(job(LEAST))["restartPolicy"] == "Never"
    assert not pod(job(LEAST)).keys() & {"nodeSelector", "tolerations", "priorityClassName"}
    assert not job(LEAST)["spec"].keys() & {"parallelism", "completions"}


def test_the_defaults_of_a_job() -> None:
    spec = job(LEAST)["spec"]
    assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (3, 3600)
    assert job(replace(LEAST, parallelism=4))["spec"]["parallelism"] == 4


def test_what_a_pod_is_told() -> None:
    found = variables(replace(FULL, workload_class="NetworkIntensive"))
    assert found["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert found["POD_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert found["POD_IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert found["NODE_NAME"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert found["TOKEN"] == {"secretKeyRef": {"name": "api", "key": "token"}}
    plain = {name: value for name, value in found.items() if isinstance(value, str)}
    assert plain == {
        "HOME": "/tmp",
        "ODIBI_HOME": "/tmp/odibi",
        "ENABLE_METRICS": "true",
        "REGION": "eu",
        "PIPELINE_NAME": "shop",
        "STEP_NAME": "orders",
        "WORKLOAD_CLASS": "NetworkIntensive",
    }


def test_a_config_may_move_the_home_and_not_the_name_of_the_pod() -> None:
    env = {"ODIBI_HOME": "/data/odibi", "POD_NAME": "me", "STEP_NAME": "mine"}
    found = variables(replace(FULL, env=env, secrets={"HOME": SecretKey(secret="s", key="k")}))
    assert found["ODIBI_HOME"] == "/data/odibi"
    assert found["HOME"] == {"secretKeyRef": {"name": "s", "key": "k"}}
    assert found["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert found["STEP_NAME"] == "orders"


def test_labels_are_on_the_job_and_its_pods() -> None:
    made = job(replace(FULL, labels={"pipeline": "a/b", "step": "x" * 80}))
    labels = made["metadata"]["labels"]
    assert made["spec"]["template"]["metadata"]["labels"] == labels
    assert labels["app"] == labels["app.kubernetes.io/name"] == "odibi"
    assert labels["pipeline"] == label_value("a/b")
    assert len(labels["step"]) == 63
    assert made["spec"]["template"]["metadata"]["annotations"]["odibi.dev/config-hash"] == "abc"


def test_failures_that_another_pod_would_repeat_end_the_job() -> None:
    rules = job(LEAST)["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "FailJob"]
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert rules[1]["onExitCodes"] == {
        "containerName": "job-container", "operator": "In", "values": [1, 2, 4, 5]
    }  # fmt: skip
    assert job(LEAST)["spec"]["podReplacementPolicy"] == "Failed"


def test_pods_keep_off_nodes_where_they_failed() -> None:
    (term,) = pod(job(FULL))["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchFields"] == [
        {"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]},
        {"key": "metadata.name", "operator": "NotIn", "values": ["node-2"]},
    ]


@pytest.mark.parametrize(
    ("mount", "volume", "mounted"),
    [
        (Mount(name="v", mount="/m", claim="c"), {"persistentVolumeClaim": {"claimName": "c"}}, {}),
        (
            Mount(name="v", mount="/m", claim="c", read_only=True),
            {"persistentVolumeClaim": {"claimName": "c", "readOnly": True}},
            {"readOnly": True},
        ),
        (Mount(name="v", mount="/m", secret="s"), {"secret": {"secretName": "s"}}, {"readOnly": True}),
        (Mount(name="v", mount="/m", config_map="c"), {"configMap": {"name": "c"}}, {"readOnly": True}),
        (Mount(name="v", mount="/m", empty_dir=True), {"emptyDir": {}}, {}),
        (Mount(name="v", mount="/m", host_path="/x"), {"hostPath": {"path": "/x"}}, {}),
    ],
)
def test_volumes(mount: Mount, volume: dict[str, Any], mounted: dict[str, Any]) -> None:
    request = replace(LEAST, volumes=(mount,))
    assert pod(job(request))["volumes"] == [
        {"name": "odibi-scratch", "emptyDir": {}}, {"name": "v", **volume}
    ]  # fmt: skip
    assert container(request)["volumeMounts"][1:] == [{"name": "v", "mountPath": "/m", **mounted}]


def test_a_volume_may_take_the_place_of_the_scratch() -> None:
    request = replace(LEAST, volumes=(Mount(name="my.own", mount="/tmp/", empty_dir=True),))
    (volume,), (mount,) = pod(job(request))["volumes"], container(request)["volumeMounts"]
    assert volume["name"] == mount["name"]
    assert volume["name"].startswith("my-own-")


@pytest.mark.parametrize("token", [True, False])
def test_only_who_talks_to_the_cluster_gets_a_token(token: bool) -> None:
    assert pod(job(replace(LEAST, token=token)))["automountServiceAccountToken"] is token


def test_priorities() -> None:
    made = priority_classes()
    assert [one["metadata"]["name"] for one in made] == [
        "odibi-low", "odibi-normal", "odibi-high", "odibi-critical"
    ]  # fmt: skip
    assert [one["value"] for one in made] == sorted({one["value"] for one in made})
    assert pod(job(FULL))["priorityClassName"] == made[-1]["metadata"]["name"] == priority_class("critical")
    assert [finding for one in made for finding in lint(one)] == []
