"""A cluster in this process: an API server that keeps Jobs, pods and events, and does Jobs with real workers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.unit.kubernetes.elsewhere import worked

__all__ = ["Served", "served"]

Json = dict[str, Any]
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

    def create(self, job: Json) -> tuple[int, Json]:
        name = job["metadata"]["name"]
        if (refused := self.refuse(job)) is not None:
            return _status(*refused)
        if self.there("jobs", name=name):
            return _status(409, f'jobs.batch "{name}" already exists')
        job["metadata"]["creationTimestamp"] = NOW
        self.put("jobs", job)
        threading.Thread(target=self.work, args=(job,), daemon=True).start()
        return 201, job

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


def _status(code: int, message: str) -> tuple[int, Json]:
    return code, {"kind": "Status", "code": code, "message": message}


@contextmanager
def served(folder: Path) -> Iterator[tuple[Served, Path]]:
    """A cluster, and the kubeconfig that names it."""
    known = Served(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = parts.path.partition("/namespaces/etl/")[2].split("/")
            if known.down:
                self.close_connection = True
                return
            if query.get("watch"):
                self._stream(f"{json.dumps(one)}\n" for one in known.changed(path[0], query))
                return
            made = json.loads(body) if self.command == "POST" else {}
            name = made["metadata"]["name"] if made else ""
            known.asked.append(f"{self.command} {parts.path} {name}".strip())
            if path[-1] == "log" and known.mute:
                self._whole(*_status(500, "dial tcp: connection refused"))
            elif path[-1] == "log":
                lines = known.logs.get((path[1], query["container"]), [])
                self._stream(f"2026-01-05T00:00:{n:02}.5Z {line}\n" for n, line in enumerate(lines))
            elif self.command == "POST":
                self._whole(*known.create(made))
            elif self.command == "DELETE":
                there = known.drop(path[0], path[1])
                self._whole(
                    *(_status(200, "") if there else _status(404, f'jobs.batch "{path[1]}" not found'))
                )
            elif parts.path == "/version":
                self._whole(200, {"gitVersion": "v1.33.1"})
            else:
                self._whole(200, known.listed(path[0], query))

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

        def _whole(self, code: int, said: Json) -> None:
            text = json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _stream(self, lines: Any) -> None:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                for line in lines:
                    self.wfile.write(line.encode())
                    self.wfile.flush()
            except OSError:  # nobody listens any more
                pass

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Whoever hangs up is done."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        described = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "d", "context": {"cluster": "c", "user": "u", "namespace": "etl"}}],
            "current-context": "d",
        }
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(described))
        yield known, kubeconfig
        known.down = True
        server.shutdown()
