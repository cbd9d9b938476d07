"""What dies while a step is at work in the cluster: the tables end as if nothing had, and nothing is left behind."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.cluster import node
from tests.cluster.kube import SMALL, Place, config, kubectl, sql, wait_until
from tests.flow.test_daily import rows_of

ROWS = 1000
TOTAL = {"rows": ROWS, "ids": ROWS, "total": sum(range(ROWS))}


class Held:
    """A run whose step in the cluster waits until the test opens its gate."""

    def __init__(self, place: Place, name: str, **of_cluster: Any) -> None:
        self.place = place
        self.gate = place.shared / "gate"
        hold = {
            "name": "held", "layer": "silver", "inputs": ["raw"], "function": "steps.waiting:hold",
            "params": {"gate": str(self.gate)}, "write": {"to": "lake", "mode": "append"}, "resources": SMALL,
        }  # fmt: skip
        steps = [
            sql("raw", "bronze", f"select range as id from range({ROWS})"),
            hold,
            sql(
                "told",
                "gold",
                "select count(*) as rows, count(distinct id) as ids, sum(id) as total from held",
            ),
        ]
        self.config = place.write(
            "held.json", config(place, name, steps, of_cluster=of_cluster, max_retries=1, retry_delay=0)
        )
        self.run = place.start("run", self.config)
        self.job: dict[str, Any] = {}

    def waits(self) -> dict[str, Any]:
        """The pod whose step waits."""
        try:
            wait_until(90, lambda: self.run.poll() is not None or Path(f"{self.gate}.waited-for").exists())
        finally:
            if self.run.poll() is not None:
                self.run.ended()
        (self.job,) = self.place.objects("jobs")
        pod = self.place.running()
        assert pod is not None
        Path(f"{self.gate}.waited-for").unlink()
        return pod

    def open(self) -> None:
        self.gate.touch()

    def assert_right(self, *, stderr: str = "") -> dict[str, Any]:
        """The tables are those of a run that nothing happened to; the record of the step."""
        lake = self.place.shared / "lake"
        assert rows_of(lake / "gold" / "told") == [TOTAL]
        assert DeltaTable(str(lake / "silver" / "held")).version() == 0, "written more than once"
        self.place.assert_clean()
        record = self.place.record()
        (step,) = [one for one in record["steps"] if one["name"] == "held"]
        assert step["status"] == "completed", stderr
        assert step["rows_out"] == ROWS
        story = self.place.story()
        for pod in step["pods"]:
            assert pod["name"] in story
        return step

    def assert_tried_again(self, status: str, pod: dict[str, Any]) -> None:
        """The run gives the step to another Job, once, and its record says what became of the first pod."""
        wait_until(90, lambda: Path(f"{self.gate}.waited-for").exists(), "the pod that follows")
        self.open()
        self.run.ended()
        step = self.assert_right()
        first, second = step["pods"]
        assert (first["status"], second["status"]) == (status, "Succeeded")
        assert first["name"] == pod["metadata"]["name"]
        assert first["job"] != second["job"]
        assert [one["status"] for one in step["attempts"]] == ["failed", "completed"]
        error = step["attempts"][0]["error"]
        assert (error["kind"], error["permanent"]) == ("Transient", False)
        assert error["exit_code"] == first["exit_code"] >= 137, error
        assert f"waiting for {self.gate}" in "\n".join(error["log"])


@pytest.fixture
def held(place: Place) -> Held:
    return Held(place, "held")


def test_nothing_dies(held: Held) -> None:
    pod = held.waits()
    held.open()
    done = held.run.ended()
    assert "[held] waiting for" in done.stderr
    (told,) = held.assert_right()["pods"]
    assert told["name"] == pod["metadata"]["name"]
    assert told["node"]
    assert told["status"] == "Succeeded"
    assert None not in (told["waited"], told["starting"], told["worked"])


@pytest.mark.parametrize("force", [False, True])
def test_the_pod_is_deleted(held: Held, force: bool) -> None:
    pod = held.waits()
    how = ("--grace-period=0", "--force") if force else ("--wait=false",)
    kubectl("delete", "pod", pod["metadata"]["name"], f"-n{held.place.name}", *how)
    held.assert_tried_again("Deleted", pod)


@pytest.mark.usefixtures("own_cluster")
def test_the_worker_is_killed(held: Held) -> None:
    pod = held.waits()
    node.kill(f"worker {held.place.shared}")
    held.assert_tried_again("Failed", pod)


def test_the_pod_is_thrown_out(held: Held) -> None:
    """That is no failure of the step: its Job makes another pod, and the run counts no attempt."""
    pod = held.waits()
    name = pod["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": held.place.name},
    }
    url = f"/api/v1/namespaces/{held.place.name}/pods/{name}/eviction"
    kubectl("create", "--raw", url, "--filename", "-", given=eviction)
    wait_until(90, lambda: Path(f"{held.gate}.waited-for").exists(), "the pod that follows")
    held.open()
    held.run.ended()
    step = held.assert_right()
    assert [one["status"] for one in step["pods"]] == ["Deleted", "Succeeded"]
    assert "EvictionByEvictionAPI" in step["pods"][0]["reason"]
    assert len({one["job"] for one in step["pods"]}) == len(step["attempts"]) == 1
    assert f"waiting for {held.gate}" in "\n".join(step["pods"][0]["log"])


def test_the_submitter_is_killed_and_goes_on_with_the_same_job(held: Held) -> None:
    held.waits()
    held.run.kill()
    held.run.wait()
    again = held.place.start("run", held.config, "--resume")
    said = f"is done by Job {held.job['metadata']['name']} already"
    wait_until(60, lambda: again.poll() is not None or said in again.says(), "the resumed run")
    # Its labels are those of the run that is dead, and yet it is waited for.
    kept = held.place.odibi("k8s", "delete", held.config, "--orphans", code=0)
    assert "has no Job of a run that is over" in kept.stdout
    held.open()
    again.ended()
    assert said in again.says()
    assert "is given to" not in again.says()
    held.assert_right()


def test_the_submitter_is_killed_and_its_job_ends_meanwhile(held: Held) -> None:
    held.waits()
    held.run.kill()
    held.run.wait()
    held.open()
    path = "--output=jsonpath={.items[0].status.conditions[?(@.type=='Complete')].status}"
    wait_until(
        60, lambda: kubectl("get", "jobs", f"-n{held.place.name}", path).stdout == "True", "the Job's end"
    )
    done = held.place.odibi("run", held.config, "--resume", code=0)
    assert "is given to" not in done.stderr
    assert DeltaTable(str(held.place.shared / "lake" / "silver" / "held")).version() == 0
    # Nothing was to be done in the cluster, because the table is there: the run removes the Job all the same
    held.place.assert_clean()
    assert not [*(held.place.shared / "tasks").rglob("task.json")]
    lake = held.place.shared / "lake"
    assert rows_of(lake / "gold" / "told") == [TOTAL]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_end_leaves_nothing(held: Held, number: signal.Signals) -> None:
    held.waits()
    held.run.send_signal(number)
    held.run.ended(code=128 + number)
    held.place.assert_clean()
    assert not (held.place.shared / "lake" / "silver").exists()


def silent_for_a_while() -> None:
    """The node's kubelet is not heard of until the node is held for lost."""
    with node.stopped("kubelet"):
        wait_until(60, lambda: not node.is_ready(), "the loss of the node")
    wait_until(60, node.is_ready, "the node's return")


@pytest.mark.usefixtures("own_cluster")
@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(lambda: node.restarted("kube-apiserver"), id="API server killed"),
        pytest.param(lambda: node.restarted("containerd"), id="containerd killed"),
        pytest.param(lambda: node.restarted("kubelet"), id="kubelet killed"),
        pytest.param(lambda: node.restarted("kube-controller-manager"), id="controller manager killed"),
        pytest.param(silent_for_a_while, id="node not heard of"),
    ],
)
def test_the_cluster_is_disturbed(held: Held, disturb: Callable[[], None]) -> None:
    held.waits()
    disturb()
    held.open()
    done = held.run.ended()
    wait_until(60, node.is_ready)
    step = held.assert_right(stderr=done.stderr)
    assert step["pods"][-1]["status"] == "Succeeded"


@pytest.mark.usefixtures("own_cluster")
def test_the_node_is_lost(held: Held) -> None:
    """For good, as the cluster sees it: its pods are gone with it, although their processes go on meanwhile."""
    pod = held.waits()
    with node.stopped("kubelet"):
        wait_until(60, lambda: not node.is_ready(), "the loss of the node")
        kubectl("delete", "node", "--all")
        gone = ("get", "pod", pod["metadata"]["name"], f"-n{held.place.name}")
        wait_until(150, lambda: kubectl(*gone, check=False).returncode, "the end of its pods")
        node.restarted("kubelet")
    wait_until(60, node.is_ready, "another node")
    wait_until(90, lambda: Path(f"{held.gate}.waited-for").exists(), "the pod that follows")
    held.open()
    held.run.ended()
    pods = held.assert_right()["pods"]
    assert [one["status"] for one in pods] == ["Deleted", "Succeeded"]
    assert "PodGC" in pods[0]["reason"]


def test_what_dead_runs_left_is_deleted(held: Held) -> None:
    place = held.place
    held.waits()
    name = held.job["metadata"]["name"]
    # the run is alive: what it has is no orphan
    assert (
        "has no Job of a run that is over"
        in place.odibi("k8s", "delete", held.config, "--orphans", code=0).stdout
    )
    held.run.kill()
    held.run.wait()
    assert re.search(
        f"deleted Job {name} of run", place.odibi("k8s", "delete", held.config, "--orphans", code=0).stdout
    )
    place.assert_clean()
    assert "has no Job" in place.odibi("k8s", "delete", held.config, code=0).stdout


def test_delete_ends_a_run_that_is_under_way(held: Held) -> None:
    held.waits()
    name = held.job["metadata"]["name"]
    assert f"deleted Job {name}" in held.place.odibi("k8s", "delete", held.config, code=0).stdout
    done = held.run.ended(code=1)
    assert f"Job {name} was deleted while it was waited for" in done.stdout + done.stderr
    held.place.assert_clean()
