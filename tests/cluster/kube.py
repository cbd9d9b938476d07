"""A cluster as tests use it: kubectl, a namespace with all that a run needs, and odibi that runs on it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from odibi import __version__
from odibi.kubernetes import rbac
from tests.cluster import cluster
from tests.flow.helpers import COMMAND, environment

__all__ = [
    "DATE", "IMAGE", "PROJECT", "SMALL", "SPARK", "Place", "asked", "config", "kubectl", "kubectl_json", "own",
    "program", "said", "sql", "wait_until",
]  # fmt: skip

REGISTRY = os.environ.get("ODIBI_CLUSTER_REGISTRY", "localhost")
"""Where the cluster has the images from, if it is not the project's own."""

IMAGE, SPARK, PROJECT = (
    f"{REGISTRY}/{name}:{__version__}" for name in ("odibi", "odibi-spark", "odibi-tests")
)
DATE = "2026-01-05"

SMALL = {"requests": {"cpu": "50m", "memory": "200Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
"""What a step of a test is given: many fit on one node."""

Json = dict[str, Any]


def own() -> bool:
    """Whether the cluster is the one that `make cluster` starts, so that it may be disturbed."""
    return os.environ.get("KUBECONFIG") == str(cluster.KUBECONFIG)


def program() -> str:
    """The kubectl that was built with the project's own cluster, else the system's."""
    found = cluster.BIN / "kubectl"
    return str(found) if own() and found.is_file() else "kubectl"


def kubectl(
    *words: str, given: object = None, check: bool = True, config: str | Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What kubectl says; ``config`` is another kubeconfig than the tests' own."""
    done = subprocess.run(
        [program(), *words],
        input=None if given is None else json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | ({"KUBECONFIG": str(config)} if config is not None else {}),
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def kubectl_json(*words: str) -> Any:
    """What kubectl says as JSON, as it is."""
    return json.loads(kubectl(*words, "--output=json").stdout)


def wait_until(seconds: float, condition: Callable[[], Any], what: str = "it") -> Any:
    """Wait until the condition holds, and return what it says."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.1)
    return found


def shared() -> Path | None:
    """A folder of this machine that all nodes have under the same name; None where there is none."""
    if found := os.environ.get("ODIBI_CLUSTER_SHARED"):
        return Path(found)
    return cluster.DATA if own() else None


Done = subprocess.CompletedProcess[str]


class Started(subprocess.Popen[str]):
    """A command under way, whose output can be read meanwhile."""

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str], log: Path) -> None:
        self.files = (log.with_suffix(".out"), log.with_suffix(".err"))
        with self.files[0].open("w") as out, self.files[1].open("w") as errors:
            # Pods are another user.
            super().__init__(command, cwd=folder, env=environ, stdout=out, stderr=errors, text=True, umask=0)

    def says(self) -> str:
        """All that it has said."""
        return "".join(file.read_text("utf-8") for file in self.files)

    def ended(self, *, code: int | None = 0, timeout: float = 400) -> Done:
        """What it has said when it ends."""
        self.wait(timeout)
        out, errors = (file.read_text("utf-8") for file in self.files)
        done = subprocess.CompletedProcess(self.args, self.returncode, out, errors)
        assert code is None or done.returncode == code, said(done)
        assert "Traceback" not in out + errors, said(done)
        return done


@dataclass
class Place:
    """A namespace with a shared folder, accounts with odibi's own roles, and a project whose runs start here.

    Attributes:
        name: of the namespace.
        shared: the folder, called alike here and in the pods.
        project: where runs start.
        kubeconfig: of the submitter: what its role does not allow, no test can do.
    """

    name: str
    shared: Path
    project: Path
    kubeconfig: Path
    started: list[Started] = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path, shared: Path, labels: Mapping[str, str] | None = None) -> Place:
        """A new one, under the strictest rules for pods."""
        name = f"odibi-{uuid4().hex[:8]}"
        below = shared / name
        below.mkdir()
        below.chmod(0o777)
        folder.mkdir(parents=True, exist_ok=True)
        place = cls(name, below, folder, folder / "kubeconfig")
        restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        place.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": restricted | dict(labels or {})}},
            *claim(name, below),
            *rbac.submitter(name),
            *rbac.worker(name),
        )  # fmt: skip
        place.kubeconfig.write_text(json.dumps(place.account(rbac.SUBMITTER)), "utf-8")
        return place

    def apply(self, *manifests: Json) -> None:
        """Create these objects."""
        kubectl("apply", "--filename", "-", given={"apiVersion": "v1", "kind": "List", "items": [*manifests]})

    def account(self, account: str) -> Json:
        """The kubeconfig of a service account."""
        found: Json = kubectl_json("config", "view", "--raw", "--minify", "--flatten")
        token = kubectl("create", "token", account, f"-n{self.name}", "--duration=3h").stdout.strip()
        found["users"] = [{"name": "account", "user": {"token": token}}]
        context = {
            "cluster": found["contexts"][0]["context"]["cluster"],
            "user": "account",
            "namespace": self.name,
        }
        found["contexts"] = [{"name": "account", "context": context}]
        return found | {"current-context": "account"}

    def remove(self) -> None:
        """Let the namespace go, and end what still runs."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
        kubectl("delete", "namespace", self.name, "--wait=false", check=False)
        kubectl("delete", "persistentvolume", self.name, "--wait=false", check=False)

    def environ(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """That of a run."""
        return environment({"KUBECONFIG": str(self.kubeconfig), **(env or {})})

    def odibi(
        self,
        *args: object,
        code: int | None = None,
        timeout: float = 400,
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run ``odibi args`` and wait for it."""
        return self.start(*args, env=env).ended(code=code, timeout=timeout)

    def start(self, *args: object, env: Mapping[str, str] | None = None) -> Started:
        """Start ``odibi args``."""
        logs = self.shared.parent / f"{self.name}-logs"
        logs.mkdir(exist_ok=True)
        started = Started(
            [*COMMAND, *map(str, args)], self.project, self.environ(env), logs / str(len(self.started))
        )
        self.started.append(started)
        return started

    def objects(self, *kinds: str) -> list[Json]:
        """What the namespace holds of these kinds."""
        found: list[Json] = kubectl_json("get", ",".join(kinds), f"-n{self.name}")["items"]
        return found

    def named(self, *kinds: str) -> list[str]:
        """The names of that."""
        return [one["metadata"]["name"] for one in self.objects(*kinds)]

    def running(self, role: str | None = None) -> Json | None:
        """A pod that runs: one of a Job, or an executor."""
        for pod in self.objects("pods"):
            if (
                pod["status"].get("phase") == "Running"
                and pod["metadata"]["labels"].get("spark-role") == role
            ):
                return pod
        return None

    def assert_clean(self, seconds: float = 60) -> None:
        """Nothing that odibi or Spark made is left."""

        def left() -> list[str]:
            found = self.named("jobs", "pods", "services", "configmaps")
            return [name for name in found if name != "kube-root-ca.crt"]

        try:
            wait_until(seconds, lambda: not left())
        except AssertionError:
            raise AssertionError(f"left in the cluster: {left()}") from None

    def story(self) -> str:
        """The page of the last run."""
        page = self.project / "story.html"
        self.odibi("story", "--file", page, code=0)
        return page.read_text("utf-8")

    def record(self) -> Json:
        """The record of the last run."""
        found: Json = json.loads(self.odibi("story", "--json", "-", code=0).stdout)["run"]
        return found

    def write(self, name: str, said: Json) -> str:
        """A config of the project."""
        (self.project / name).write_text(json.dumps(said, indent=1), "utf-8")
        return name


def claim(name: str, folder: Path) -> tuple[Json, Json]:
    """A volume that is a folder of the node, and the claim on it, both of that name."""
    size, mode = {"storage": "10Gi"}, ["ReadWriteMany"]
    volume = {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": size, "accessModes": mode, "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "",
            "claimRef": {"namespace": name, "name": "odibi"},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }  # fmt: skip
    wanted = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "odibi", "namespace": name},
        "spec": {"accessModes": mode, "storageClassName": "", "volumeName": name, "resources": {"requests": size}},
    }  # fmt: skip
    return volume, wanted


def config(
    place: Place, name: str, steps: Sequence[Json], *, of_cluster: Json | None = None, **fields: Any
) -> Json:
    """A pipeline whose silver layer runs in the cluster."""
    volume = {"name": "shared", "mount": str(place.shared), "claim": "odibi"}
    given = {
        "namespace": place.name, "image": PROJECT, "spark_image": SPARK, "pull_policy": "IfNotPresent",
        "tasks": str(place.shared / "tasks"), "volumes": [volume],
    }  # fmt: skip
    return {
        "pipeline": name,
        "date": DATE,
        "connections": {"lake": {"url": str(place.shared / "lake"), "format": "delta"}},
        "runtime": {"silver": "kubernetes"},
        "kubernetes": given | (of_cluster or {}),
        "max_retries": 0,
        "steps": [*steps],
        **fields,
    }


def sql(name: str, layer: str, query: str, **said: Any) -> Json:
    """A step that keeps what a query gives."""
    return {"name": name, "layer": layer, "sql": query, "write": {"to": "lake"}, **said}


def said(done: subprocess.CompletedProcess[str]) -> str:
    """All that a process said, for a failure."""
    return f"exit code {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"


def audited() -> Iterator[Json]:
    """The requests of service accounts since the cluster was started, as the API server wrote them down."""
    if cluster.AUDIT.is_file():
        for line in cluster.AUDIT.read_text("utf-8").splitlines():
            yield json.loads(line)


def asked(place: Place, account: str) -> Counter[tuple[str, str]]:
    """How often an account of a namespace asked for what: verb and resource."""
    user = f"system:serviceaccount:{place.name}:{account}"
    found: Counter[tuple[str, str]] = Counter()
    for one in audited():
        about = one.get("objectRef")  # who the server is, everybody may ask
        if (
            about
            and one["user"]["username"] == user
            and one["stage"] in ("ResponseComplete", "ResponseStarted")
        ):
            resource = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
            found[one["verb"], resource] += one["stage"] == "ResponseComplete" or one["verb"] == "watch"
    return found
