"""A run on a cluster that a server on this machine plays: what becomes of a Job's pods is what a test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from odibi.record.model import StepRecord
from tests.unit.kubernetes.elsewhere import worked
from tests.unit.run.project import Project, sql

Json = dict[str, Any]
NOW = "2026-01-05T00:00:0{}Z"
LINES = [f"line {number}" for number in range(60)]


class Played:
    """A cluster: its objects, and all that has happened to them since the beginning.

    Attributes:
        fates: what the pods of each Job come to, in the order in which Jobs are made.
        asked: the Jobs that were made and deleted, in order.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.fates: list[Callable[[Json], None]] = []
        self.asked: list[tuple[str, Json]] = []
        self.objects: dict[tuple[str, str], Json] = {}
        self.news: list[tuple[str, Json]] = []
        self.changed = threading.Condition()
        self.read = threading.Event()

    def put(self, kind: str, found: Json, *, gone: bool = False) -> None:
        """Let an object be so from now on, or be gone."""
        with self.changed:
            key = (kind, found["metadata"]["name"])
            how = "DELETED" if gone else "MODIFIED" if key in self.objects else "ADDED"
            found["metadata"]["resourceVersion"] = str(len(self.news) + 1)
            self.news.append((kind, {"type": how, "object": json.loads(json.dumps(found))}))
            self.objects.pop(key, None)
            if not gone:
                self.objects[key] = found
            self.changed.notify_all()

    def list(self, kind: str) -> Json:
        with self.changed:
            items = [one for (of, _), one in self.objects.items() if of == kind]
            return {"kind": "List", "metadata": {"resourceVersion": str(len(self.news))}, "items": items}

    def watch(self, kind: str, since: int) -> Iterator[Json]:
        while True:
            with self.changed:
                found = self.news[since:] or (self.changed.wait(0.1) and self.news[since:]) or []
                since += len(found)
            yield from (one for of, one in found if of == kind)
            yield {}

    def make(self, job: Json) -> None:
        self.asked.append(("made", job))
        job |= {"status": {}}
        self.put("jobs", job)
        threading.Thread(target=self.fates.pop(0), args=(job,), daemon=True).start()

    def delete(self, name: str) -> None:
        if (job := self.objects.get(("jobs", name))) is None:
            return
        self.asked.append(("deleted", job))
        for (kind, _), one in list(self.objects.items()):
            if kind == "pods" and one["metadata"]["labels"]["job-name"] == name:
                self.put("pods", one, gone=True)
        self.put("jobs", job, gone=True)

    # --- what may become of a Job

    def pod(self, job: Json, phase: str, state: Json, name: str | None = None, **metadata: Any) -> Json:
        """Its pod, in this state from now on."""
        given = job["spec"]["template"]
        labels = given["metadata"]["labels"] | {"job-name": job["metadata"]["name"]}
        number = sum(how == "made" for how, _ in self.asked)
        status = {
            "name": "job-container",
            "image": "odibi:1",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
        }
        found = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name or f"{job['metadata']['name']}-x",
                "labels": labels,
                "creationTimestamp": NOW.format(number),
                **metadata,
            },
            "spec": {**given["spec"], "nodeName": f"node-{number}"},
            "status": {"phase": phase, "containerStatuses": [{**status, "state": state}]},
        }
        self.put("pods", found)
        return found

    def end(self, job: Json, kind: str, reason: str = "") -> None:
        condition = {"type": kind, "status": "True", "reason": reason, "message": "it has ended"}
        counted = {"succeeded" if kind == "Complete" else "failed": 1}
        self.put("jobs", job | {"status": {"conditions": [condition], **counted}})

    def killed(self, code: int, reason: str = "Error") -> Callable[[Json], None]:
        """The fate of a Job whose pod ends with this code."""

        def fate(job: Json) -> None:
            self.pod(job, "Running", {"running": {"startedAt": NOW.format(1)}})
            done = {
                "exitCode": code,
                "reason": reason,
                "startedAt": NOW.format(1),
                "finishedAt": NOW.format(2),
            }
            # Of the Job it is heard first: each kind is watched on a connection of its own.
            self.end(job, "Failed", "BackoffLimitExceeded")
            time.sleep(0.2)
            self.pod(job, "Failed", {"terminated": done})

        return fate

    def late(self, job: Json) -> None:
        """The fate of a Job that takes too long."""
        self.pod(job, "Running", {"running": {"startedAt": NOW.format(1)}})
        assert self.read.wait(10), "what a pod prints is read as it works"
        done = {"exitCode": 143, "reason": "Error", "startedAt": NOW.format(1), "finishedAt": NOW.format(2)}
        pod = self.pod(job, "Failed", {"terminated": done}, deletionTimestamp=NOW.format(2))
        self.put("pods", pod, gone=True)
        self.end(job, "Failed", "DeadlineExceeded")

    def works(self, job: Json) -> None:
        """The fate of a Job that does its work."""
        self.pod(job, "Running", {"running": {"startedAt": NOW.format(1)}}, "pod-1")
        code, _, printed = worked(job["spec"]["template"]["spec"]["containers"][0]["args"][-1], self.home)
        assert code == 0, printed
        done = {"exitCode": 0, "reason": "Completed", "startedAt": NOW.format(1), "finishedAt": NOW.format(2)}
        self.pod(job, "Succeeded", {"terminated": done}, "pod-1")
        self.end(job, "Complete")


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    cluster = Played(tmp_path / "home")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url, query = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
            kind = url.path.rpartition("/")[2]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            if kind == "log":
                cluster.read.set()
                self.wfile.write("".join(f"{line}\n" for line in LINES).encode())
            elif kind == "version":
                self.wfile.write(b'{"gitVersion": "v1.34.0"}')
            elif "watch" not in query:
                self.wfile.write(json.dumps(cluster.list(kind)).encode())
            else:
                try:
                    for one in cluster.watch(kind, int(query["resourceVersion"][0])):
                        self.wfile.write(json.dumps(one).encode() + b"\n" if one else b"")
                        self.wfile.flush()
                except OSError:
                    pass  # nobody listens any more

        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answered(job)
            cluster.make(job)

        def do_DELETE(self) -> None:
            self._answered({"kind": "Status", "status": "Success"})
            cluster.delete(urlsplit(self.path).path.rpartition("/")[2])

        def _answered(self, answer: Json) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        described = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "d", "context": {"cluster": "c", "user": "u", "namespace": "etl"}}],
            "current-context": "d",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(described))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.chdir(tmp_path)
        yield cluster
        server.shutdown()


def far(folder: Path, **said: Any) -> StepRecord:
    """The record of a step in the cluster, after a run with these retries."""
    project = Project(folder)
    volumes = [{"name": "all", "host_path": str(folder), "mount": str(folder)}]
    given = {"image": "odibi:1", "tasks": str(folder / "tasks"), "volumes": volumes}
    steps = [sql("raw", "SELECT 1 AS n", layer="bronze"), sql("far", "SELECT n FROM raw", layer="silver")]
    fields = {"retry_delay": 0, "max_retries": 1, "runtime": {"silver": "kubernetes"}, "kubernetes": given}
    return project.run(steps, **(fields | said)).run.steps[1]


def test_a_pod_without_memory_is_followed_by_another_job_and_stays_in_the_record(
    played: Played, tmp_path: Path
) -> None:
    played.fates = [played.killed(137, "OOMKilled"), played.works]
    step = far(tmp_path)
    assert step.status == "completed", step.error
    first, second = step.attempts
    assert (first.which, first.status, second.which, second.status) == (
        "1 of 2", "failed", "2 of 2", "completed"
    )  # fmt: skip
    error = first.error
    assert error is not None
    assert (error.kind, error.exit_code, error.permanent) == ("ResourceExhausted", 137, False)
    assert error.log == tuple(LINES[-50:])
    lost, done = step.pods
    assert (lost.status, lost.reason, lost.exit_code) == ("Failed", "OOMKilled, exit code 137", 137)
    assert (lost.log, lost.node, lost.waited) == (error.log, "node-1", 0)
    assert (done.name, done.status, done.exit_code, done.log) == ("pod-1", "Succeeded", 0, ())
    # The run owns retries, and the first Job is gone before the second one comes.
    assert [how for how, _ in played.asked] == ["made", "deleted", "made", "deleted"]
    jobs = [job["spec"] for how, job in played.asked if how == "made"]
    assert [job["backoffLimit"] for job in jobs] == [0, 0]
    assert "node-1" in json.dumps(jobs[1]["template"]["spec"]["affinity"])


@pytest.mark.parametrize(
    ("code", "kind", "attempts"),
    [(3, "Transient", 2), (137, "Transient", 2), (143, "Transient", 2), (2, "KubernetesError", 1)],
)
def test_an_exit_code_says_whether_there_is_another_attempt(
    played: Played, tmp_path: Path, code: int, kind: str, attempts: int
) -> None:
    played.fates = [played.killed(code), played.killed(code)]
    step = far(tmp_path)
    assert step.status == "failed"
    assert [(one.error.kind, one.error.exit_code) for one in step.attempts if one.error is not None] == [
        (kind, code)
    ] * attempts
    assert [pod.exit_code for pod in step.pods] == [code] * attempts
    assert step.error is not None
    assert (step.error.permanent, step.error.log) == (attempts == 1, tuple(LINES[-50:]))


def test_a_job_that_took_too_long_tells_what_its_pod_said(played: Played, tmp_path: Path) -> None:
    played.fates = [played.late]
    step = far(tmp_path, max_retries=0)
    assert step.error is not None
    assert (step.error.kind, step.error.exit_code, step.error.log) == ("Timeout", 143, tuple(LINES[-50:]))
    (pod,) = step.pods
    assert (pod.status, pod.exit_code, pod.log) == ("Deleted", 143, step.error.log)
