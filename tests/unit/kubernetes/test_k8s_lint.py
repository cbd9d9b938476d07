"""Every rule about manifests: a clean one is left alone, each mistake is told once at its place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from odibi.kubernetes import published
from odibi.kubernetes.lint import lint
from odibi.kubernetes.manifest import cron_job, job
from tests.unit.kubernetes.given import FULL

Change = Callable[[dict[str, Any]], Any]
POD = "spec.template.spec"
MAIN = f"{POD}.containers[0]"


def pod(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["spec"]["template"]["spec"]
    return found


def main(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod(made)["containers"][0]
    return found


def sidecar(**fields: Any) -> Change:
    def change(made: dict[str, Any]) -> None:
        extra = copy.deepcopy(main(made)) | {"name": "db", "restartPolicy": "Always", **fields}
        pod(made)["initContainers"] = [extra]

    return change


WRONG: dict[str, tuple[Change, list[str]]] = {
    "no deadline": (
        lambda j: j["spec"].pop("activeDeadlineSeconds"),
        ["spec.activeDeadlineSeconds: nothing ends it if it hangs (say after how many seconds it is ended)"],
    ),
    "no ttl": (
        lambda j: j["spec"].pop("ttlSecondsAfterFinished"),
        [
            "spec.ttlSecondsAfterFinished: it stays when it has ended (say after how many seconds it is deleted)"
        ],
    ),
    "no backoff": (
        lambda j: j["spec"].pop("backoffLimit"),
        ["spec.backoffLimit: it does not say how often a pod is followed by another (such as 3)"],
    ),
    "restarted in place": (
        lambda j: pod(j).update(restartPolicy="OnFailure"),
        [
            (
                f"{POD}.restartPolicy: the container is started again in its pod, whose logs of the first time are gone "
                "(Never)"
            )
        ],
    ),
    "no labels": (
        lambda j: j["metadata"].pop("labels"),
        [
            (
                "metadata.labels[app.kubernetes.io/name]: nothing finds it "
                "(give it the label app.kubernetes.io/name, and what it is part of)"
            )
        ],
    ),
    "labels on the Job only": (
        lambda j: j["spec"]["template"]["metadata"]["labels"].clear(),
        [
            (
                "spec.template.metadata.labels[app.kubernetes.io/name]: nothing finds it "
                "(give it the label app.kubernetes.io/name, and what it is part of)"
            )
        ],
    ),
    "the account of all": (
        lambda j: pod(j).update(serviceAccountName="default"),
        [
            (
                f"{POD}.serviceAccountName: it runs as the service account that all pods of the namespace share "
                "(name one of its own, with the rights it needs)"
            )
        ],
    ),
    "latest": (
        lambda j: main(j).update(image="odibi:latest"),
        [
            (
                f"{MAIN}.image: the image 'odibi:latest' is another one tomorrow "
                "(end it with a tag other than latest, or with a digest)"
            )
        ],
    ),
    "no tag, although there is a port": (
        lambda j: main(j).update(image="registry:5000/odibi"),
        [
            (
                f"{MAIN}.image: the image 'registry:5000/odibi' is another one tomorrow "
                "(end it with a tag other than latest, or with a digest)"
            )
        ],
    ),
    "no resources": (
        lambda j: main(j).pop("resources"),
        [
            f"{MAIN}.resources.requests.cpu: nobody knows what it needs (request cpu)",
            f"{MAIN}.resources.requests.memory: nobody knows what it needs (request memory)",
            f"{MAIN}.resources.limits.memory: it may take all the memory of its node (limit it)",
        ],
    ),
    "more requested than allowed": (
        lambda j: main(j)["resources"]["requests"].update(memory="10Gi"),
        [
            (
                f"{MAIN}.resources.requests.memory: it requests 10Gi, and its limit is 8Gi "
                "(request no more than the limit)"
            )
        ],
    ),
    "a server that nobody waits for": (
        sidecar(),
        [
            (
                f"{POD}.initContainers[0].startupProbe: what comes after it starts before it is ready "
                "(give it a startupProbe)"
            )
        ],
    ),
    "installs when it starts": (
        lambda j: main(j).update(command=["sh", "-c", "pip install pandas && python run.py"]),
        [f"{MAIN}.command: it installs packages when it starts (pip install) (build them into the image)"],
    ),
    "waits in a loop": (
        lambda j: main(j).update(args=["sh", "-c", "until [ -f /data/done ]; do sleep 5; done"]),
        [
            (
                f"{MAIN}.args: it waits in a loop for something that another pod does "
                "(start it when the other one has succeeded)"
            )
        ],
    ),
    "data in an emptyDir": (
        lambda j: (
            pod(j)["volumes"].append({"name": "shared", "emptyDir": {}}),
            main(j)["volumeMounts"].append({"name": "shared", "mountPath": "/data/shared"}),
        ),
        [
            (
                f"{POD}.volumes[5].emptyDir: what is written to /data/shared is gone with this pod, and no other one sees "
                "it (use a persistentVolumeClaim or a URL for data, and a path such as /tmp for scratch)"
            )
        ],
    ),
    "a folder of the node": (
        lambda j: (
            pod(j)["volumes"][1].update(hostPath={"path": "/x"})
            or pod(j)["volumes"][1].pop("persistentVolumeClaim")
        ),
        [
            f"{POD}.volumes[1].hostPath: Pod Security restricted allows no hostPath (use a persistentVolumeClaim)"
        ],
    ),
    "the network of the node": (
        lambda j: pod(j).update(hostNetwork=True),
        [f"{POD}.hostNetwork: it shares what belongs to its node (remove it)"],
    ),
    "no security context": (
        lambda j: (pod(j).pop("securityContext"), main(j).pop("securityContext")),
        [
            f"{MAIN}.securityContext.runAsNonRoot: it may run as root (true)",
            f"{MAIN}.securityContext.seccompProfile.type: it may make any system call (RuntimeDefault)",
            f"{MAIN}.securityContext.allowPrivilegeEscalation: it may gain rights that it was not given (false)",
            f"{MAIN}.securityContext.capabilities.drop: it keeps rights of root ([ALL])",
            f"{MAIN}.securityContext.readOnlyRootFilesystem: it may change its own programs (true)",
        ],
    ),
    "a container that takes back what its pod says": (
        lambda j: main(j)["securityContext"].update(runAsUser=0, runAsNonRoot=False, privileged=True),
        [
            f"{MAIN}.securityContext.runAsNonRoot: it may run as root (true)",
            f"{MAIN}.securityContext.runAsUser: it runs as root (such as 10001)",
            f"{MAIN}.securityContext.privileged: it may do everything on its node (remove it)",
        ],
    ),
    "rights that are added": (
        lambda j: main(j)["securityContext"]["capabilities"].update(add=["NET_ADMIN", "NET_BIND_SERVICE"]),
        [f"{MAIN}.securityContext.capabilities.add: it is given NET_ADMIN (remove it)"],
    ),
    "a port of the node": (
        lambda j: main(j)["ports"][0].update(hostPort=7078),
        [f"{MAIN}.ports[0].hostPort: it takes a port of its node (remove it)"],
    ),
    "an unknown key": (
        lambda j: j["spec"].update(backofLimit=3),
        [
            "spec: Additional properties are not allowed ('backofLimit' was unexpected) (as Kubernetes 1.31 has it)"
        ],
    ),
}


def clean() -> dict[str, Any]:
    # What is mounted at /spill is data to whoever reads the manifest.
    made = job(FULL)
    volume = next(each for each in pod(made)["volumes"] if each["name"] == "spill")
    assert "emptyDir" in volume
    return copy.deepcopy(made)


def test_a_clean_one() -> None:
    assert lint(clean()) == []


@pytest.mark.parametrize(("change", "expected"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong(change: Change, expected: list[str]) -> None:
    made = clean()
    change(made)
    assert [str(finding) for finding in lint(made)] == expected


def test_places_in_a_cron_job_and_a_pod() -> None:
    scheduled = copy.deepcopy(cron_job(FULL, "0 2 * * *"))
    template = scheduled["spec"]["jobTemplate"]["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "odibi"
    del scheduled["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]
    assert [finding.place for finding in lint(scheduled)] == [
        "spec.jobTemplate.spec.activeDeadlineSeconds",
        "spec.jobTemplate.spec.template.spec.containers[0].image",
    ]
    alone = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", **template["metadata"]},
        "spec": template["spec"],
    }
    assert [finding.place for finding in lint(alone)] == ["spec.containers[0].image"]


@pytest.mark.parametrize(
    "kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"]
)
def test_whatever_makes_pods_is_judged(kind: str) -> None:
    template = copy.deepcopy(clean()["spec"]["template"])
    template["spec"]["restartPolicy"] = "Always"
    labels = template["metadata"]["labels"]
    selector = labels if kind == "ReplicationController" else {"matchLabels": labels}
    made = {
        "apiVersion": "v1" if kind == "ReplicationController" else "apps/v1",
        "kind": kind,
        "metadata": {"name": "x", "labels": labels},
        "spec": {"selector": selector, "template": template}
        | ({"serviceName": "x"} if kind == "StatefulSet" else {}),
    }
    assert lint(made) == []
    container = template["spec"]["containers"][0]
    container["image"] = "odibi:latest"
    container["args"] = ["pip install odibi"]
    container["securityContext"]["privileged"] = True
    template["spec"]["volumes"].append({"name": "shared-data", "emptyDir": {}})
    container["volumeMounts"].append({"name": "shared-data", "mountPath": "/data/shared"})
    template["metadata"]["labels"] = {}
    found = {finding.place for finding in lint(made)}
    number = len(template["spec"]["volumes"]) - 1
    assert found >= {
        f"{MAIN}.image",
        f"{MAIN}.args",
        f"{MAIN}.securityContext.privileged",
        f"{POD}.volumes[{number}].emptyDir",
        "spec.template.metadata.labels[app.kubernetes.io/name]",
    }


def test_what_is_no_object_has_findings_and_no_error() -> None:
    for kind in ("Deployment", "CronJob", "Pod", "PodTemplate"):
        for spec in (None, [], "x", {"template": [1], "jobTemplate": 3, "containers": "x"}):
            lint({"apiVersion": "v1", "kind": kind, "metadata": "x", "spec": spec, "template": spec})


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ({"query.sql": "SELECT 1 FROM a"}, False),
        ({"run.py": ""}, True),
        ({"script": "import os\nprint(os.getcwd())\n"}, True),
        ({"script": "def run():\n    pass\n"}, True),
        ({"settings": "import: yes\nfrom: here\n"}, False),
    ],
)
def test_code_is_in_images(data: dict[str, str], wrong: bool) -> None:
    found = lint({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data})
    assert [finding.message for finding in found] == ["it holds Python code"] * wrong


def test_what_is_no_manifest() -> None:
    assert next(str(finding) for finding in lint({"kind": "Job"})) == (
        "apiVersion: it is missing (say what kind of object this is)"
    )
    (note,) = lint({"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "x"}})
    assert note.level == "note"
    assert str(note) == "kind: note: no schema is published for Thing of x.example/v1"


def test_shapes_that_no_rule_expects() -> None:
    for spec in (
        {},
        {"template": None},
        {"template": {"spec": {"containers": [None], "volumes": [None]}}},
        None,
        3,
    ):
        assert lint({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": spec})


def test_where_the_schema_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "schema_installed", lambda: False)
    (note,) = lint(clean())
    assert note.level == "note"
    assert "not checked against the published schema" in note.message
