"""What a cluster refuses, or cannot do: one clear message, the right exit code, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from odibi.kubernetes import rbac
from tests.cluster.kube import SMALL, Done, Place, config, kubectl, said, sql, wait_until

Json = dict[str, Any]
SLOW = 200.0
"""Seconds in which a refusal must be told."""

PENDING = 15
"""Seconds for which one that may pass is waited for."""


def given(place: Place, step: Json | None = None, of_cluster: Json | None = None, **fields: Any) -> str:
    """A config with one step in the cluster."""
    raw = sql("raw", "bronze", "select range as id from range(10)")
    far = sql("far", "silver", "select id from raw", resources=SMALL) if step is None else step
    waiting = {"pending_seconds": PENDING, **(of_cluster or {})}
    return place.write("refused.json", config(place, "refused", [raw, far], of_cluster=waiting, **fields))


def function(name: str, params: Json, **more: Any) -> Json:
    """A step in the cluster by one of the tests' functions."""
    return {
        "name": "far", "layer": "silver", "inputs": ["raw"], "function": f"steps.waiting:{name}", "params": params,
        "write": {"to": "lake"}, "resources": SMALL, **more,
    }  # fmt: skip


def assert_told(done: Done, *words: str) -> None:
    """The step says why, once, in one sentence, and the run has failed."""
    assert done.returncode == 1, said(done)
    for word in words:
        assert word in done.stdout + done.stderr, said(done)
    lines = [line for line in done.stdout.splitlines() if words[0] in line]
    assert len(lines) <= 2, said(done)  # where it stands in the list of steps, and as the run's result


def refused(place: Place, *words: str, **fields: Any) -> Done:
    done = place.odibi("run", given(place, **fields), timeout=SLOW)
    assert_told(done, *words)
    return done


@pytest.mark.parametrize(
    ("group", "resource", "verb", "says"),
    [
        ("batch", "jobs", "create", "cannot create jobs.batch in namespace {}"),
        ("batch", "jobs", "watch", "cannot watch jobs.batch in namespace {}"),
        ("batch", "jobs", "list", "cannot list jobs.batch in namespace {}"),
        ("", "pods", "list", "cannot list pods in namespace {}"),
    ],
)
def test_a_right_is_missing(place: Place, group: str, resource: str, verb: str, says: str) -> None:
    _, role, _ = rbac.submitter(place.name)
    rules = [
        {**rule, "verbs": [one for one in rule["verbs"] if one != verb]}
        if (rule["apiGroups"], rule["resources"]) == ([group], [resource])
        else rule
        for rule in role["rules"]
    ]
    assert rules != role["rules"]
    place.apply({**role, "rules": rules})
    done = refused(place, says.format(place.name))
    assert "odibi k8s render --rbac" in done.stderr
    place.assert_clean()


def test_logs_may_not_be_read(place: Place) -> None:
    """The run does not fail for that."""
    _, role, _ = rbac.submitter(place.name)
    place.apply({**role, "rules": [rule for rule in role["rules"] if rule["resources"] != ["pods/log"]]})
    done = place.odibi("run", given(place), code=0)
    assert f"could not be read: cannot get pods/log in namespace {place.name}" in done.stderr
    place.assert_clean()


def test_the_quota_of_jobs_is_used_up(place: Place) -> None:
    place.apply(quota(place, {"count/jobs.batch": "0"}))
    done = refused(place, f"the quota of namespace {place.name} is used up")
    assert "waits: the quota" in done.stderr
    assert_kind(place, "ResourceQuotaExceeded")
    place.assert_clean()


def test_the_quota_of_pods_is_used_up(place: Place) -> None:
    place.apply(quota(place, {"requests.memory": "1Mi"}))
    done = refused(place, "exceeded quota")
    assert "waits: no pod can be made" in done.stderr
    assert_kind(place, "ResourceQuotaExceeded")
    place.assert_clean()


def test_a_pod_may_not_have_that_much_memory(place: Place) -> None:
    limits = [{"type": "Container", "max": {"memory": "100Mi"}}]
    metadata = {"name": "small", "namespace": place.name}
    place.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": limits}})
    refused(
        place, "maximum memory usage per Container is 100Mi", of_cluster={"pending_seconds": 1000}
    )  # nobody waits for that
    place.assert_clean()


def assert_kind(place: Place, kind: str) -> None:
    """The step's error is of this kind."""
    (step,) = [one for one in place.record()["steps"] if one["name"] == "far"]
    assert step["error"]["kind"] == kind, step["error"]


def quota(place: Place, hard: Json) -> Json:
    metadata = {"name": "small", "namespace": place.name}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}}


@pytest.mark.parametrize(
    ("pull_policy", "says"), [("Never", "ErrImageNeverPull"), ("IfNotPresent", "cannot be had")]
)
def test_there_is_no_such_image(place: Place, pull_policy: str, says: str) -> None:
    image = "localhost:1/nobody/made-this:1"
    refused(place, says, image, of_cluster={"image": image, "pull_policy": pull_policy})
    place.assert_clean()


def test_no_node_takes_the_pod(place: Place) -> None:
    done = refused(place, "Unschedulable", of_cluster={"node_selector": {"odibi.dev/nowhere": "true"}})
    assert "node affinity/selector" in done.stderr
    assert "waits: no node takes pod" in done.stderr
    place.assert_clean()


def on_spark(conf: Json, **fields: Any) -> Json:
    """The fields of a config whose step has an executor with these settings."""
    small = {"spark.kubernetes.executor.request.cores": "100m", **conf}
    spark = {"executors": 1, "memory": "512m", "driver_memory": "512m", "conf": small}
    step = sql("far", "silver", "select id % 3 as rest, count(*) as n from raw group by 1", timeout=150)
    return {
        "step": step,
        "engines": {"silver": "spark"},
        "of_cluster": {"spark": spark, "pending_seconds": PENDING, "backoff_limit": 0},
        **fields,
    }


NOWHERE = {"spark.kubernetes.executor.node.selector.odibi.dev/nowhere": "true"}


def test_no_node_takes_the_executors(place: Place) -> None:
    done = refused(place, "cannot run: no executor can start: no node takes pod", **on_spark(NOWHERE))
    assert "node affinity/selector" in done.stdout + done.stderr
    assert "waits: no executor can start" in done.stderr
    place.assert_clean()


def test_the_deadline_passes_while_no_node_takes_the_executors(place: Place) -> None:
    fields = on_spark(NOWHERE)
    fields["step"]["timeout"], fields["of_cluster"]["pending_seconds"] = 30, 100
    done = refused(place, "30 s: no executor can start: no node takes pod", **fields)
    assert_kind(place, "Timeout")
    assert "Unschedulable" in done.stdout + done.stderr
    place.assert_clean()


def test_the_executors_have_no_image(place: Place) -> None:
    image = {"spark.kubernetes.executor.container.image": "localhost:1/nobody/made-this:1"}
    done = refused(place, "no executor can start: the image", **on_spark(image))
    assert "'localhost:1/nobody/made-this:1' cannot be had" in done.stdout + done.stderr
    place.assert_clean()


def test_the_executors_need_more_memory_than_their_limit(place: Place) -> None:
    """A heap that is touched as a whole, in a pod with no room for anything else."""
    hungry = {
        "spark.executor.memoryOverhead": "10m",
        "spark.executor.extraJavaOptions": "-XX:+AlwaysPreTouch -Xms512m",
    }
    refused(place, "executor refused-far-", "failed: OOMKilled", **on_spark(hungry))
    place.assert_clean()


def test_the_quota_leaves_no_room_for_executors(place: Place) -> None:
    place.apply(quota(place, {"pods": "1"}))
    refused(place, "an executor was refused", "exceeded quota: small", **on_spark({}))
    place.assert_clean()


def test_the_pod_needs_more_memory_than_its_limit(place: Place) -> None:
    limited = {"requests": {"cpu": "50m", "memory": "100Mi"}, "limits": {"memory": "400Mi"}}
    done = refused(
        place, "used more memory than its limit 400Mi", step=function("hog", {"mib": 2000}, resources=limited),
        max_retries=1, retry_delay=0,
    )  # fmt: skip
    far = step_of(place)
    assert [one["status"] for one in far["attempts"]] == ["failed", "failed"], said(done)
    for pod, attempt in zip(
        far["pods"], far["attempts"], strict=True
    ):  # one for each: the run counts attempts
        assert (pod["status"], pod["reason"], pod["exit_code"]) == ("Failed", "OOMKilled, exit code 137", 137)
        error = attempt["error"]
        assert (error["kind"], error["exit_code"], error["permanent"]) == ("ResourceExhausted", 137, False)
        assert any(line.endswith("Z taking 2000 MiB") for line in error["log"]), error["log"]
        assert pod["log"] == error["log"]
        assert pod["name"] in place.story()
    place.assert_clean()


def step_of(place: Place) -> Json:
    """The step in the cluster, as the last run recorded it."""
    (far,) = [one for one in place.record()["steps"] if one["name"] == "far"]
    return far


def test_the_job_takes_longer_than_it_may(place: Place) -> None:
    step = function("hold", {"gate": str(place.shared / "never")}, timeout=10)
    done = refused(place, "10 s", step=step)
    far = step_of(place)
    assert (far["error"]["kind"], far["error"]["exit_code"]) == ("Timeout", 143), said(done)
    words = f"waiting for {place.shared / 'never'}"
    (told,) = [line for line in far["error"]["log"] if words in line]
    (pod,) = far["pods"]
    assert (pod["status"], pod["log"]) == ("Deleted", far["error"]["log"])
    assert told in place.story()
    verbose = place.odibi("status", "refused", "--verbose", code=0).stdout
    assert pod["name"] in verbose
    assert f"| {told}" in verbose
    place.assert_clean()


def test_there_is_no_such_namespace(place: Place) -> None:
    """A stranger may not know that: the cluster says that it may not be looked at."""
    done = place.odibi("run", given(place, of_cluster={"namespace": "gone"}), timeout=SLOW)
    assert_told(done, "in namespace gone")


def test_there_is_no_such_namespace_for_one_who_may_know(place: Place) -> None:
    config_file = given(place, of_cluster={"namespace": "gone"})
    done = place.odibi("run", config_file, timeout=SLOW, env={"KUBECONFIG": admin(place)})
    assert_told(done, "there is no namespace 'gone'")


def test_the_namespace_goes_while_its_job_runs(place: Place) -> None:
    gate = place.shared / "gate"
    config = given(place, step=function("hold", {"gate": str(gate)}), max_retries=1)
    run = place.start("run", config)
    wait_until(90, lambda: run.poll() is not None or Path(f"{gate}.waited-for").exists())
    kubectl("delete", "namespace", place.name)
    done = run.ended(code=1, timeout=SLOW)
    # Which of the two is deleted first is the cluster's choice; nothing can be made there any more.
    says = ("was deleted while it was waited for", f"namespace {place.name} is being deleted")
    assert any(words in done.stdout for words in says), said(done)


def admin(place: Place) -> str:
    """The kubeconfig of one who may do all."""
    path = place.project / "admin"
    path.write_text(
        kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json").stdout, "utf-8"
    )
    return str(path)


def test_the_cluster_cannot_be_reached(place: Place) -> None:
    said = json.loads(place.kubeconfig.read_text("utf-8"))
    said["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    place.kubeconfig.write_text(json.dumps(said), "utf-8")
    refused(place, "the cluster at https://127.0.0.1:1 cannot be reached")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "the description of the cluster cannot be read"),
        ("clusters: 7", "the description of the cluster cannot be read"),
        ('{"current-context": "nobody"}', "the description of the cluster cannot be read"),
        (None, "the description of the cluster cannot be read"),
    ],
)
def test_the_kubeconfig_is_broken(place: Place, text: str | None, says: str) -> None:
    place.kubeconfig.unlink()
    if text is not None:
        place.kubeconfig.write_text(text, "utf-8")
    done = refused(place, says)
    assert "see KUBECONFIG" in done.stderr


def test_the_token_is_not_known(place: Place) -> None:
    known = json.loads(place.kubeconfig.read_text("utf-8"))
    known["users"][0]["user"]["token"] = "nobody"
    place.kubeconfig.write_text(json.dumps(known), "utf-8")
    refused(place, f"in namespace {place.name}")
