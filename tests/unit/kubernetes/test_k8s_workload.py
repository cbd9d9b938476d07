"""What the pods of a workload class get and where they go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from odibi.config.retry import Resources
from odibi.config.runtime import WorkloadClass
from odibi.errors import Permanent
from odibi.kubernetes.manifest import job
from odibi.kubernetes.workload import (
    BASE,
    Given,
    classify,
    largest,
    merged,
    mib,
    most,
    node_selector,
    tolerations,
)
from tests.unit.kubernetes.given import FULL, golden

CLASSES: tuple[WorkloadClass, ...] = get_args(WorkloadClass)
JOIN = "SELECT * FROM a JOIN b USING (id)"
LONG = f"{JOIN} WHERE {'x = 1 AND ' * 100} true"
GB = 10**9


def test_what_each_class_gets() -> None:
    table = {
        name: {"requests": dict(BASE[name].requests), "limits": dict(BASE[name].limits)} for name in CLASSES
    }
    golden("resources.yaml", [table])


@pytest.mark.parametrize(
    ("operation", "sql", "read", "expected"),
    [
        ("sftp", "", None, "NetworkIntensive"),
        ("http", "", 50 * GB, "NetworkIntensive"),
        ("fetch", "", None, "NetworkIntensive"),
        ("api_calls", "", None, "NetworkIntensive"),
        ("opensearch", "", None, "IOIntensive"),
        ("warehouse", "", None, "IOIntensive"),
        ("file_processing", "", None, "IOIntensive"),
        ("ml_inference", "", None, "ComputeIntensive"),
        ("anything", "", None, "ComputeIntensive"),
        ("sql", "SELECT 1", None, "ComputeIntensive"),
        ("sql", JOIN, None, "ComputeIntensive"),
        ("sql", LONG, None, "MemoryIntensive"),
        ("sql", LONG.lower(), None, "MemoryIntensive"),
        ("sql", LONG.replace("JOIN", "joined"), None, "ComputeIntensive"),
        # What was measured says more than how long the text is.
        ("sql", LONG, 1 * GB, "ComputeIntensive"),
        ("sql", JOIN, 3 * GB, "MemoryIntensive"),
        ("sql", "SELECT 1", 300 * GB, "ComputeIntensive"),
    ],
)
def test_the_class_of_a_step(operation: str, sql: str, read: int | None, expected: str) -> None:
    assert classify(operation, sql, read) == expected


def test_what_a_step_says_is_laid_over_its_class() -> None:
    base = BASE["IOIntensive"]
    own = Resources(limits={"memory": "16Gi"})
    assert merged(base, own) == Given(base.requests, {**base.limits, "memory": "16Gi"})
    own = Resources(requests={"cpu": "250m"}, limits={"ephemeral-storage": "99Gi"})
    assert merged(base, own) == Given(
        {**base.requests, "cpu": "250m"}, {**base.limits, "ephemeral-storage": "99Gi"}
    )
    assert merged(base, None) == merged(base, Resources(memory="1GB")) == base


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            Resources(requests={"memory": "10Gi"}),
            (
                "resources: the pod requests 10Gi of memory, and its limit is 8Gi "
                "(raise limits.memory, or lower requests.memory)"
            ),
        ),
        (
            Resources(limits={"cpu": "1500m"}),
            (
                "resources: the pod requests 2 of cpu, and its limit is 1500m "
                "(raise limits.cpu, or lower requests.cpu)"
            ),
        ),
    ],
)
def test_no_more_is_requested_than_allowed(own: Resources, message: str) -> None:
    with pytest.raises(Permanent) as caught:
        merged(BASE["ComputeIntensive"], own)
    assert str(caught.value) == message


def test_steps_that_share_a_pod_get_what_the_largest_needs() -> None:
    together = most([BASE["NetworkIntensive"], BASE["IOIntensive"], BASE["ComputeIntensive"]])
    assert dict(together.requests) == {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi"}
    assert dict(together.limits) == {"cpu": "8", "memory": "8Gi", "ephemeral-storage": "50Gi"}
    assert largest(["NetworkIntensive", "MemoryIntensive", "ComputeIntensive"]) == "MemoryIntensive"


def test_memory_is_rounded_up() -> None:
    assert (mib(1), mib(2**20), mib(2**20 + 1)) == ("1Mi", "1Mi", "2Mi")


@pytest.mark.parametrize(
    ("workload_class", "nodes", "taint"),
    [
        ("NetworkIntensive", {"workload-type": "network", "network-speed": "10gbps"}, "network-intensive"),
        (
            "ComputeIntensive",
            {"workload-type": "compute", "cpu-type": "high-performance"},
            "compute-intensive",
        ),
        ("MemoryIntensive", {"workload-type": "memory", "memory-class": "xlarge"}, "memory-intensive"),
        ("IOIntensive", {"workload-type": "storage", "disk-type": "nvme"}, "storage-intensive"),
    ],
)
def test_where_pods_go(workload_class: WorkloadClass, nodes: dict[str, str], taint: str) -> None:
    tolerated = {"key": taint, "operator": "Equal", "value": "true", "effect": "NoSchedule"}
    assert node_selector(workload_class, "seed") == nodes
    assert tolerations(workload_class, "seed") == [tolerated]
    assert (node_selector(workload_class, "none"), tolerations(workload_class, "none")) == ({}, [])


@pytest.mark.parametrize("workload_class", CLASSES)
def test_a_class_changes_the_pod(workload_class: WorkloadClass) -> None:
    def spec(profile: str) -> dict[str, Any]:
        request = replace(
            FULL, workload_class=workload_class, profile=profile, node_selector={}, excluded_nodes=()
        )
        found: dict[str, Any] = job(request)["spec"]["template"]
        return found

    made = spec("seed")
    assert made["metadata"]["labels"]["workload-class"] == workload_class.lower()
    assert made["spec"]["nodeSelector"] == node_selector(workload_class, "seed")
    assert made["spec"]["tolerations"] == tolerations(workload_class, "seed")
    assert not spec("none")["spec"].keys() & {"nodeSelector", "tolerations"}


def test_nodes_of_a_class_are_those_that_the_config_names() -> None:
    def selected(workload_class: WorkloadClass, profile: str) -> dict[str, str]:
        request = replace(
            FULL, workload_class=workload_class, profile=profile, node_selector={"zone": "a"},
            node_selectors={"MemoryIntensive": {"pool": "large"}},
        )  # fmt: skip
        found: dict[str, str] = job(request)["spec"]["template"]["spec"]["nodeSelector"]
        return found

    for profile in ("seed", "none"):
        assert selected("MemoryIntensive", profile) == {"pool": "large", "zone": "a"}
    assert selected("IOIntensive", "seed") == {"workload-type": "storage", "disk-type": "nvme", "zone": "a"}
    assert selected("IOIntensive", "none") == {"zone": "a"}


def test_pods_that_compute_rather_stay_away_from_each_other() -> None:
    template = job(replace(FULL, workload_class="ComputeIntensive"))["spec"]["template"]
    affinity = template["spec"]["affinity"]["podAntiAffinity"]
    (term,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    (asked,) = term["podAffinityTerm"]["labelSelector"]["matchExpressions"]
    assert term["weight"] == 100
    assert template["metadata"]["labels"][asked["key"]] in asked["values"]
    assert asked["key"] not in job(FULL)["spec"]["template"]["metadata"]["labels"]
