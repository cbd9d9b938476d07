"""The cluster's API as odibi uses it: errors in its words, and one watch of everything that belongs to a run.

What a cluster holds is listed once and then watched (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes):
a connection that breaks is opened again where it broke off, and where the cluster has forgotten that point (410)
everything is listed anew. Nothing is asked for at intervals.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
from lightkube import ApiError, Client, KubeConfig
from lightkube.codecs import from_dict
from lightkube.core import decoders
from lightkube.core.exceptions import ConfigError as BadConfig
from lightkube.resources.batch_v1 import CronJob, Job
from lightkube.resources.core_v1 import Event, Pod
from lightkube.types import CascadeType
from yaml import YAMLError

from odibi.config.runtime import Kubernetes
from odibi.errors import KubernetesError, OdibiError, Permanent, ResourceQuotaExceeded, Unavailable

__all__ = ["Api", "Watched", "exceeded"]

PATIENCE = httpx2.Timeout(15.0)
"""How long an answer may take."""
RESTART = 30.0
"""For how many seconds a server may refuse what it allowed before: one that has just started knows no roles yet."""

WATCH = 300
"""Seconds after which the cluster ends a watch, which then goes on."""

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before a watch that broke off is tried again: the next one each time, the last one for ever."""


class Api:
    """What is asked of one namespace.

    Args:
        cluster: which one, by what the config says of it; that of the pod we are in, or of the kubeconfig.

    Attributes:
        calls: how many requests were made.

    Raises:
        KubernetesError: there is no cluster, or what describes it cannot be read.
    """

    def __init__(self, cluster: Kubernetes) -> None:
        self.calls = 0
        _prepare()
        try:
            single = KubeConfig.from_env().get(context_name=cluster.context)
        except (BadConfig, OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise KubernetesError(
                f"the description of the cluster cannot be read: {said}",
                hint="see KUBECONFIG, ~/.kube/config, and context of kubernetes",
            ) from error
        if single is None:
            raise KubernetesError("no cluster is described", hint="set KUBECONFIG, or context of kubernetes")
        if cluster.cluster_endpoint is not None:
            single.cluster.server = cluster.cluster_endpoint
        self.server = str(single.cluster.server)
        self.namespace = cluster.namespace or str(single.namespace or "default")
        self._client = Client(config=single, namespace=self.namespace, timeout=PATIENCE)
        below = self._client._client  # noqa: SLF001 - only what is in it can be closed, and asked for a version
        self._http: httpx2.Client = below._client  # noqa: SLF001
        # A connection that died without a word would be listened to for ever.
        below._watch_timeout.read = WATCH + (PATIENCE.read or 0)  # noqa: SLF001

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def version(self) -> str:
        """Which Kubernetes it is, such as ``v1.33.1``; empty where it does not tell us. Raises Unavailable."""
        with self._telling("get", "version"):
            answer = self._http.get("/version")
            if answer.is_server_error:
                answer.raise_for_status()
        found = re.search(r'"gitVersion":\s*"([^"]+)"', answer.text)
        return found[1] if found else ""

    def create(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> bool:
        """Create an object; False where there is one of that name. With ``dry_run`` the cluster only judges it."""
        try:
            with self._telling("create", str(manifest["kind"])):
                made: Any = from_dict(dict(manifest))
                self._client.create(made, namespace=self.namespace, dry_run=dry_run)
        except _Conflict:
            return False
        return True

    def jobs(self, labels: Mapping[str, str], name: str = "") -> list[Any]:
        """The Jobs with these labels; with ``name`` only the one of that name."""
        fields: Any = {"metadata.name": name} if name else None  # who may list may not always get
        with self._telling("list", "Job"):
            return list(self._client.list(Job, namespace=self.namespace, labels=dict(labels), fields=fields))

    def cron_jobs(self, labels: Mapping[str, str]) -> list[Any]:
        """The CronJobs with these labels."""
        with self._telling("list", "cronjobs.batch"):
            return list(self._client.list(CronJob, namespace=self.namespace, labels=dict(labels)))

    def delete_cron_job(self, name: str) -> None:
        """Delete a CronJob with the Jobs that it made."""
        with suppress(_Missing), self._telling("delete", "cronjobs.batch"):
            self._client.delete(CronJob, name, namespace=self.namespace, cascade=CascadeType.BACKGROUND)

    def pods(self, labels: Mapping[str, str]) -> list[Any]:
        """The pods with these labels."""
        with self._telling("list", "Pod"):
            return list(self._client.list(Pod, namespace=self.namespace, labels=dict(labels)))

    def end(self, pod: str) -> bool:
        """Delete a pod at once, without letting it end what it does; whether there was one."""
        try:
            with self._telling("delete", "Pod"):
                self._client.delete(Pod, pod, namespace=self.namespace, grace_period=0)
        except _Missing:
            return False
        return True

    def delete(self, name: str) -> None:
        """Delete a Job with all that belongs to it; at once if the cluster does not want to do it gently."""
        try:
            with self._telling("delete", "Job"):
                self._client.delete(Job, name, namespace=self.namespace, cascade=CascadeType.BACKGROUND)
        except _Missing:
            pass
        except Unavailable:
            with self._telling("delete", "Job"):
                self._client.delete(
                    Job, name, namespace=self.namespace, cascade=CascadeType.BACKGROUND, grace_period=0
                )

    def log(self, pod: str, container: str, *, follow: bool = True, last: int | None = None) -> Iterator[str]:
        """The lines of a container, each behind its time: as they come, until it ends, or the ``last`` so far."""
        with self._telling("get", "pods/log"):
            yield from self._client.log(
                pod, namespace=self.namespace, container=container, follow=follow, tail_lines=last,
                timestamps=True, newlines=False,
            )  # fmt: skip

    def watch(self, kind: type[Any], labels: Mapping[str, str] | None) -> Watched:
        """Everything of a kind with these labels, from now on."""
        return Watched(self, self._client, kind, labels)

    @contextmanager
    def _telling(self, verb: str, kind: str) -> Iterator[None]:
        self.calls += 1
        try:
            yield
        except ApiError as error:
            raise self.said(*_answer(error), verb, kind) from error
        except httpx2.HTTPError as error:
            said = str(error) or type(error).__name__
            raise Unavailable(f"the cluster at {self.server} cannot be reached: {said}") from error

    def said(self, code: int, said: str, verb: str, kind: str) -> OdibiError:
        """What the cluster refuses with this code and message, in words to act on."""
        what = _PLURALS.get(kind, kind.lower())
        if code == 409:
            return _Conflict(said)
        if code == 404 and "namespaces" in said:
            return KubernetesError(
                f"there is no namespace {self.namespace!r}", hint=f"kubectl create namespace {self.namespace}"
            )
        if code == 404:
            return _Missing(said)
        if code == 403 and "exceeded quota" in said:
            message = f"the quota of namespace {self.namespace} is used up: {said}"
            return ResourceQuotaExceeded(exceeded(said), message, hint=QUOTA)
        if code == 403 and "being terminated" in said:
            return KubernetesError(f"namespace {self.namespace} is being deleted")
        if code in (401, 403):
            return KubernetesError(
                f"cannot {verb} {what} in namespace {self.namespace}",
                hint="odibi k8s render --rbac prints the role that is needed",
            )
        if code == 429 or code >= 500:
            return Unavailable(f"the cluster answered {code}: {said}")
        return KubernetesError(f"the cluster refuses to {verb} {what}: {said}")


QUOTA = "ask for less in resources, or have the quota raised"


def exceeded(said: str) -> str:
    """The resources whose quota is exceeded, by what the cluster says of that: ``requests.memory``."""
    asked = re.search(r"requested: (.+?), used: ", said)
    return ", ".join(re.findall(r"([^\s,=]+)=", asked[1])) if asked else "quota"


_PLURALS = {
    "Job": "jobs.batch",
    "CronJob": "cronjobs.batch",
    "Pod": "pods",
    "Event": "events",
    "PriorityClass": "priorityclasses",
}


class _Conflict(Permanent):
    """There is an object of that name."""


class _Missing(Permanent):
    """There is no object of that name."""


def _answer(error: Exception) -> tuple[int, str]:
    """The code and the message of an answer; 0 where none came. What refuses a watch is not an ApiError."""
    if isinstance(error, ApiError):
        return error.status.code or 0, str(error.status.message or error)
    code = error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else 0
    return code, str(error) or type(error).__name__


_preparing = threading.Lock()


def _prepare() -> None:
    """Let msgspec look at the classes it decodes into while one thread only does: two at a time crash it (0.22)."""
    with _preparing:
        for kind in KINDS:
            decoders.decode_list(b'{"items": []}', kind)
        decoders.decode_watch_event(b'{"type": "", "object": {}}')
        decoders.decode_status(b"{}")


class Watched:
    """The objects of one kind as they are now; who wants to know of changes is told on a thread of its own.

    Attributes:
        objects: by name.
        trouble: why nothing is heard of the cluster at the moment, empty while it is.
    """

    def __init__(self, api: Api, client: Client, kind: type[Any], labels: Mapping[str, str] | None) -> None:
        self.objects: dict[str, Any] = {}
        self.trouble = ""
        self.refused: OdibiError | None = None
        self._api, self._client, self._kind = api, client, kind
        self._labels: Any = dict(labels) if labels is not None else None
        self._over = threading.Event()
        self._synced = threading.Event()
        self._changed: Callable[[str, Any], None] = lambda _name, _object: None
        self._thread = threading.Thread(
            target=self._run, daemon=True, name=f"odibi-watch-{kind.__name__.lower()}"
        )

    def start(self, changed: Callable[[str, Any], None]) -> None:
        """Begin; ``changed`` is told the name of what changed, and the object, None once that is gone."""
        self._changed = changed
        self._thread.start()

    def synced(self, seconds: float) -> bool:
        """Whether what there is has been listed, after that long at most."""
        return self._synced.wait(seconds)

    def stop(self) -> None:
        """Hear no more; the thread ends with its connection, and holds nothing of the run until then."""
        self._over.set()
        self._changed = lambda _name, _object: None

    def _run(self) -> None:
        failures, version = 0, None
        refused: float | None = None
        allowed: set[str] = set()
        while not self._over.is_set():
            try:
                if version is None:
                    version = self._list()
                    allowed.add("list")
                elif self.trouble:
                    self._api.version()  # a watch says nothing until something changes
                    self.trouble = ""
                for kind, one in self._events(version):
                    allowed.add("watch")
                    failures, self.trouble = 0, ""
                    version = one.metadata.resourceVersion
                    self._note(one.metadata.name, None if kind == "DELETED" else one)
                    if self._over.is_set():
                        return
                refused = None
            except (ApiError, httpx2.HTTPError, OSError, RuntimeError, OdibiError) as error:
                if self._over.is_set():  # the client was closed under it
                    return
                code, said = _answer(error)
                if code == 410:  # forgotten: what is there is listed anew
                    version = None
                    continue
                now, verb = time.monotonic(), "list" if version is None else "watch"
                refused = (refused or now) if code in (401, 403) else None
                if refused is not None and (verb not in allowed or now - refused > RESTART):
                    self.refused = self._api.said(code, said, verb, self._kind.__name__)
                    self._changed("", None)
                    return
                self.trouble = said
                self._over.wait(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1

    def _list(self) -> str:
        self._api.calls += 1
        found = self._client.list(self._kind, namespace=self._api.namespace, labels=self._labels)
        there = {one.metadata.name: one for one in found}
        for name in [name for name in self.objects if name not in there]:
            self._note(name, None)
        for name, one in there.items():
            self._note(name, one)
        self.trouble = ""
        self._synced.set()
        return found.resourceVersion

    def _events(self, version: str) -> Iterator[tuple[str, Any]]:
        self._api.calls += 1
        return self._client.watch(
            self._kind, namespace=self._api.namespace, labels=self._labels, server_timeout=WATCH, resource_version=version
        )  # fmt: skip

    def _note(self, name: str, found: Any | None) -> None:
        if found is None:
            self.objects.pop(name, None)
        else:
            self.objects[name] = found
        self._changed(name, found)


KINDS = (Job, Pod, Event)
