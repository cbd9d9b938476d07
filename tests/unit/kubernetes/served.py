"""A cluster in this process: an API server that keeps Jobs, pods and events, and does Jobs with real workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.kubernetes.api import Json, Said, serving, status
from tests.unit.kubernetes.elsewhere import worked

__all__ = ["NOW", "Json", "Served", "served"]

KINDS = {"jobs": "Job", "pods": "Pod", "events": "Event"}
NOW = "2026-01-05T00:00:00Z"


class Served:
    """What it holds and was asked, and what it does when it is asked for a Job.

    Attributes:
        asked: methods and paths of all requests but watches, in order.
        down: whether it answers nobody.
        mute: whether it gives nobody a log.
        hidden: whether those who watch are told of nothing new.
        refuse: the code and the message for a Job that is to be made, None to make it.
        work: what is done with a Job that was made, on a thread of its own.
        logs: what containers have printed, by pod and container.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.down = self.hidden = self.mute = False
        self.refuse: Callable[[Json], tuple[int, str] | None] = lambda _job: None
        self.work: Callable[[Json], None] = self.done
        self.logs: dict[tuple[str, str], list[str]] = {}
        self.news = threading.Condition()
        self._objects: dict[str, dict[str, Json]] = {plural: {} for plural in KINDS}
        self._changes: list[tuple[str, str, Json]] = []

    def put(self, plural: str, found: Json) -> Json:
        """An object is there, or is another one now."""
        with self.news:
            before = self._objects[plural].get(found["metadata"]["name"])
            self._note(plural, "MODIFIED" if before else "ADDED", found)
        return found

    def drop(self, plural: str, name: str) -> bool:
        """An object is gone, and with a Job its pods; whether there was one."""
        with self.news:
            found = self._objects[plural].get(name)
            if found is not None:
                self._note(plural, "DELETED", found)
        if plural == "jobs":
            for pod in self.there("pods", {"job-name": name}):
                self.drop("pods", pod["metadata"]["name"])
        return found is not None

    def _note(self, plural: str, kind: str, found: Json) -> None:
        version = str(len(self._changes) + 1)
        found = {**found, "metadata": {**found["metadata"], "resourceVersion": version}}
        self._objects[plural][found["metadata"]["name"]] = found
        if kind == "DELETED":
            del self._objects[plural][found["metadata"]["name"]]
        self._changes.append((plural, kind, found))
        self.news.notify_all()

    def there(self, plural: str, labels: Mapping[str, str] | None = None, name: str = "") -> list[Json]:
        """The objects of a kind, with these labels, of this name."""
        with self.news:
            return [one for one in self._objects[plural].values() if _fits(one, labels or {}, name)]

    def made(self) -> list[str]:
        """The names of the Jobs that were asked for."""
        return [line.split()[-1] for line in self.asked if line.startswith("POST")]

    def pod(self, job: Json, phase: str, state: Json | None = None, **more: Any) -> Json:
        """The pod of a Job, as it is now."""
        labels = {**job["spec"]["template"]["metadata"]["labels"], "job-name": job["metadata"]["name"]}
        return self._pod(f"{job['metadata']['name']}-x", labels, "job-container", phase, state, **more)

    def executor(self, job: Json, number: int, phase: str, state: Json | None = None, **more: Any) -> Json:
        """A pod that belongs to that of a Job."""
        driver = f"{job['metadata']['name']}-x"
        own = {"spark-role": "executor", "spark-exec-id": str(number)}
        labels = {**job["spec"]["template"]["metadata"]["labels"], **own}
        owners = [{"apiVersion": "v1", "kind": "Pod", "name": driver, "uid": "u"}]
        name = f"{driver}-exec-{number}"
        return self._pod(name, labels, "executor", phase, state, owners=owners, **more)

    def _pod(
        self, name: str, labels: Json, container: str, phase: str, state: Json | None, *,
        owners: list[Json] | None = None, **status: Any,
    ) -> Json:  # fmt: skip
        said = {"name": container, "image": "odibi:1", "imageID": "", "ready": False, "restartCount": 0, "state": state or {}}  # fmt: skip
        metadata = {"name": name, "labels": labels, "creationTimestamp": NOW, "ownerReferences": owners or []}
        found = {
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"nodeName": "n1", "containers": [{"name": container, "image": "odibi:1"}]},
            "status": {"phase": phase, "containerStatuses": [said], **status},
        }  # fmt: skip
        return self.put("pods", found)

    def ended(self, job: Json, condition: str, reason: str = "", **status: Any) -> None:
        """A Job is over."""
        said = [{"type": condition, "status": "True", "reason": reason, "message": reason}]
        self.put("jobs", {**job, "status": {"conditions": said, **status}})

    def done(self, job: Json) -> None:
        """A pod does what the Job is to do."""
        name = f"{job['metadata']['name']}-x"
        self.pod(job, "Running", {"running": {"startedAt": NOW}})
        url = job["spec"]["template"]["spec"]["containers"][0]["args"][-1]
        code, _, printed = worked(url, self.folder / name, POD_NAME=name)
        self.logs[name, "job-container"] = printed.splitlines()
        over = {"terminated": {"exitCode": code, "startedAt": NOW}}
        self.pod(job, "Failed" if code else "Succeeded", over)
        self.ended(job, "Failed" if code else "Complete")

    # --- answers ---------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Json) -> Said:
        if self.down:
            raise ConnectionAbortedError
        plural, *rest = path.partition("/namespaces/etl/")[2].split("/")
        if query.get("watch"):
            return 200, self.changed(plural, query)
        made = body["metadata"]["name"] if method == "POST" else ""
        self.asked.append(f"{method} {path} {made}".strip())
        if path == "/version":
            return 200, [{"gitVersion": "v1.33.1"}]
        if method == "POST":
            return self.create(body)
        if method == "DELETE":
            there = self.drop(plural, rest[0])
            return status(200, "") if there else status(404, f'jobs.batch "{rest[0]}" not found')
        if rest[-1:] != ["log"]:
            return 200, [self.listed(plural, query)]
        if self.mute:
            return status(500, "dial tcp: connection refused")
        lines = self.logs.get((rest[0], query["container"]), [])
        return 200, (f"2026-01-05T00:00:{n:02}.5Z {line}" for n, line in enumerate(lines))

    def create(self, job: Json) -> Said:
        name = job["metadata"]["name"]
        if (refused := self.refuse(job)) is not None:
            return status(*refused)
        if self.there("jobs", name=name):
            return status(409, f'jobs.batch "{name}" already exists')
        job["metadata"]["creationTimestamp"] = NOW
        self.put("jobs", job)
        threading.Thread(target=self.work, args=(job,), daemon=True).start()
        return 201, [job]

    def listed(self, plural: str, query: Mapping[str, str]) -> Json:
        with self.news:
            version = str(len(self._changes))
            items = self.there(plural, _pairs(query.get("labelSelector")), _name(query))
        return {"kind": f"{KINDS[plural]}List", "metadata": {"resourceVersion": version}, "items": items}

    def changed(self, plural: str, query: Mapping[str, str]) -> Iterator[Json]:
        """What changes from a version on, until it is down."""
        at, labels = int(query["resourceVersion"]), _pairs(query.get("labelSelector"))
        while not self.down:
            with self.news:
                new = [] if self.hidden else self._changes[at:]
                if not new:
                    self.news.wait(0.2)
            at += len(new)
            for about, kind, found in new:
                if about == plural and _fits(found, labels, ""):
                    yield {"type": kind, "object": found}


def _fits(found: Json, labels: Mapping[str, str], name: str) -> bool:
    own = found["metadata"].get("labels") or {}
    named = not name or found["metadata"]["name"] == name
    return named and all(own.get(key) == value for key, value in labels.items())


def _pairs(text: str | None) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split(",")) if text else {}


def _name(query: Mapping[str, str]) -> str:
    return _pairs(query.get("fieldSelector")).get("metadata.name", "")


@contextmanager
def served(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A cluster, which KUBECONFIG names."""
    known = Served(folder)
    with serving(known.answer, folder, patch):
        yield known
        known.down = True
