"""What is rendered is accepted, and the rights that are rendered are those that are used: no more, no less."""

from __future__ import annotations

import json
from collections import Counter
from typing import get_args

import pytest
import yaml

from odibi.config.runtime import Kubernetes, WorkloadClass
from odibi.kubernetes import rbac
from odibi.kubernetes.spark import executor_pod
from tests.cluster.kube import IMAGE, PROJECT, SMALL, SPARK, Place, asked, config, kubectl, sql

RENDERED = [
    pytest.param((), id="jobs"),
    pytest.param(("--rbac",), id="roles"),
    pytest.param(("--priority-classes",), id="priorities"),
    pytest.param(("--schedule", "0 2 * * *"), id="schedule"),
]


def accepted(place: Place, *args: str) -> int:
    """How many manifests the cluster has nothing against, and does not warn of."""
    done = place.odibi("k8s", "render", *args, code=0)
    manifests = [*yaml.safe_load_all(done.stdout)]
    items = {"apiVersion": "v1", "kind": "List", "items": manifests}
    judged = kubectl("create", "--dry-run=server", "--filename", "-", given=items)
    assert "Warning" not in judged.stderr, judged.stderr
    lint = place.odibi("k8s", "lint", place.write("rendered.json", items))
    jobs = [one for one in manifests if one["kind"] in ("Job", "CronJob")]
    assert lint.returncode == 0 or not jobs, lint.stderr
    return len(manifests)


@pytest.mark.parametrize("args", RENDERED)
def test_what_is_rendered_is_accepted(place: Place, args: tuple[str, ...]) -> None:
    if args == ("--rbac",):
        for account in ("odibi", rbac.SUBMITTER):
            kubectl("delete", "serviceaccount,role,rolebinding", account, f"-n{place.name}")
    given = {"shared": place.shared, "namespace": place.name, "image": IMAGE, "spark_image": SPARK}
    params = [word for name, value in given.items() for word in ("--param", f"{name}={value}")]
    assert accepted(place, "configs/daily_cluster.yaml", *params, *args) >= 1


def test_stages_are_accepted(place: Place) -> None:
    steps = [
        sql(name, layer, "select 1 as a") for name, layer in (("b", "bronze"), ("s", "silver"), ("g", "gold"))
    ]
    local = config(place, "staged", steps, runtime="local")
    assert accepted(place, place.write("staged.json", local), "--stages") == 3


@pytest.mark.parametrize(("how", "number"), [(("--stages",), 4), (("--schedule", "0 2 * * *"), 1)])
def test_the_example_of_stages_is_accepted(place: Place, how: tuple[str, ...], number: int) -> None:
    given = {"shared": place.shared, "namespace": place.name, "image": PROJECT}
    params = [word for name, value in given.items() for word in ("--param", f"{name}={value}")]
    assert accepted(place, "configs/ex5_data_processing.yaml", *params, *how) == number


def test_a_database_beside_a_step_is_accepted(place: Place) -> None:
    steps = [
        sql("raw", "bronze", "select 1 as a"),
        sql("far", "silver", "select a from raw", operation="postgres"),
    ]
    password = {"secrets": {"PG_PASSWORD": {"secret": "db", "key": "password"}}}
    assert (
        accepted(place, place.write("beside.json", config(place, "beside", steps, of_cluster=password))) == 1
    )


def test_executors_of_every_class_are_accepted(place: Place) -> None:
    """As Spark makes them of the template: with what it fills in."""
    cluster = Kubernetes(
        image=IMAGE,
        tasks="/tmp/tasks",
        namespace=place.name,
        profile="seed",
        node_selectors={"IOIntensive": {"disk": "fast"}},
    )
    for name in get_args(WorkloadClass):
        pod = executor_pod(
            cluster,
            labels={},
            annotations={"odibi.dev/full-task": "far"},
            workload_class=name,
            excluded_nodes=("n",),
        )
        pod["metadata"]["name"] = f"executor-{name.lower()}"
        pod["spec"]["containers"][0]["image"] = SPARK
        judged = kubectl("create", "--dry-run=server", "--filename", "-", f"-n{place.name}", given=pod)
        assert "Warning" not in judged.stderr, judged.stderr


def test_a_pod_that_does_what_it_may_not_is_refused(place: Place) -> None:
    """So that what is accepted says something."""
    done = place.odibi("k8s", "render", cluster_of(place), "--output", "json", code=0)
    (job,) = json.loads(done.stdout)
    job["spec"]["template"]["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    judged = kubectl("create", "--dry-run=server", "--filename", "-", given=job)
    assert "would violate PodSecurity" in judged.stderr


def cluster_of(place: Place) -> str:
    steps = [
        sql("raw", "bronze", "select 1 as a"),
        sql("far", "silver", "select a from raw", resources=SMALL),
    ]
    return place.write("far.json", config(place, "far", steps))


def granted(name: str, account: str) -> Counter[tuple[str, str]]:
    roles = rbac.submitter(name) if account == rbac.SUBMITTER else rbac.worker(name)
    (role,) = [one for one in roles if one["kind"] == "Role"]
    return Counter(
        (verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    )


@pytest.mark.usefixtures("own_cluster")
def test_the_rights_are_those_that_are_used(place: Place) -> None:
    """Held against what the API server saw: a run on Spark, whose executors come and go, and a delete."""
    steps = [
        sql("raw", "bronze", "select range as id from range(1000)"),
        sql("far", "silver", "select id % 7 as rest, count(*) as n from raw group by id % 7"),
    ]
    spark = {"executors": 1, "max_executors": 2, "memory": "512m", "conf": {
        "spark.kubernetes.executor.request.cores": "100m", "spark.dynamicAllocation.schedulerBacklogTimeout": "1s",
    }}  # fmt: skip
    given = config(place, "rights", steps, engines={"silver": "spark"}, of_cluster={"spark": spark})
    file = place.write("rights.json", given)
    done = place.odibi("run", file, code=0)
    assert "[far executor-1] " in done.stderr  # their logs are read with the same right
    assert not [*(place.shared / "tasks").rglob("task.json")]  # what is merged is not kept
    scheduled = place.odibi("k8s", "render", file, "--schedule", "0 2 * * *", "--output", "json", code=0)
    place.apply(*json.loads(scheduled.stdout))
    assert "deleted CronJob rights-run-" in place.odibi("k8s", "delete", file, code=0).stdout
    assert not place.named("cronjobs")
    for account in (rbac.SUBMITTER, "odibi"):
        used, may = asked(place, account), granted(place.name, account)
        print(account, dict(used))
        assert not used.keys() - may.keys()
        unused = may.keys() - used.keys()
        print("never used here:", sorted(unused))
        assert unused <= SELDOM[account]


SELDOM: dict[str, set[tuple[str, str]]] = {
    rbac.SUBMITTER: set(),
    "odibi": {("patch", "pods"), ("delete", "pods"), ("delete", "configmaps"), ("get", "pods")},
}
"""What is asked for only where something goes wrong, or executors go early."""
