"""Talking to a cluster whose connections break, and that refuses: a server on this machine that answers as one does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from lightkube.resources.batch_v1 import Job

from odibi.config.runtime import Kubernetes
from odibi.errors import KubernetesError, OdibiError, ResourceQuotaExceeded, Unavailable
from odibi.kubernetes import client
from odibi.kubernetes.client import Api, Watched, exceeded
from tests.unit.kubernetes.api import Json, Said, serving, status

JOBS = "/apis/batch/v1/namespaces/etl/jobs"
MANIFEST = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": {"template": {"spec": {"containers": []}}}}  # fmt: skip


class Cluster:
    """Answers by method and path; ``asked`` is what came, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Callable[[Json, Mapping[str, str]], Said]] = {}

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Json) -> Said:
        assert path.startswith((JOBS, "/version")), path
        kind = "WATCH" if "watch" in query else "VERSION" if path == "/version" else method
        self.asked.append(f"{kind} {query.get('resourceVersion', '')}".strip())
        return self.answers[kind](body, query)

    def job(self, name: str, version: int) -> Json:
        return {**MANIFEST, "metadata": {"name": name, "resourceVersion": str(version)}}

    def refuse(self, method: str, code: int, message: str) -> None:
        self.answers[method] = lambda _body, _query: status(code, message)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    known = Cluster()
    with serving(known.answer, tmp_path, monkeypatch):
        yield known


Asking = Callable[..., Api]


@pytest.fixture
def api() -> Iterator[Asking]:
    """Makes what asks the cluster, and closes it after the test."""
    made: list[Api] = []

    def ask(**more: Any) -> Api:
        made.append(Api(Kubernetes(image="odibi:1", tasks="/tasks", **more)))
        return made[-1]

    yield ask
    for each in made:
        each.close()


def test_the_namespace_is_that_of_the_context_or_of_the_config(cluster: Cluster, api: Asking) -> None:
    assert (api().namespace, api(namespace="other").namespace) == ("etl", "other")
    assert api(cluster_endpoint="http://127.0.0.1:1").server == "http://127.0.0.1:1"
    assert cluster.asked == [], "nothing is asked before it must"


REFUSED = [
    ("POST", 403, "jobs.batch is forbidden: User x cannot create", KubernetesError, "cannot create jobs.batch in namespace etl"),
    ("POST", 403, "jobs is forbidden: exceeded quota: q", ResourceQuotaExceeded, "the quota of namespace etl is used up"),
    ("POST", 404, 'namespaces "etl" not found', KubernetesError, "there is no namespace 'etl'"),
    ("POST", 403, "because it is being terminated", KubernetesError, "namespace etl is being deleted"),
    ("POST", 422, "spec.template: Required value", KubernetesError, "refuses to create jobs.batch: spec.template"),
    ("POST", 500, "etcdserver: request timed out", Unavailable, "the cluster answered 500"),
    ("POST", 401, "Unauthorized", KubernetesError, "cannot create jobs.batch"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "code", "message", "kind", "said"), REFUSED)
def test_what_is_refused(
    cluster: Cluster, api: Asking, method: str, code: int, message: str, kind: type[OdibiError], said: str
) -> None:
    cluster.refuse(method, code, message)
    with pytest.raises(kind, match=said):
        api().create(MANIFEST)


def test_which_quota_is_exceeded(cluster: Cluster, api: Asking) -> None:
    said = "exceeded quota: small, requested: pods=1,requests.memory=200Mi, used: pods=3,requests.memory=1Gi, limited: pods=3,requests.memory=1Gi"
    cluster.refuse("POST", 403, f'pods "a" is forbidden: {said}')
    with pytest.raises(ResourceQuotaExceeded) as refused:
        api().create(MANIFEST)
    assert refused.value.resource_type == "pods, requests.memory"
    assert exceeded("exceeded quota in other words") == "quota"


def test_a_server_says_which_it_is_if_it_likes(cluster: Cluster, api: Asking) -> None:
    cluster.answers["VERSION"] = lambda _body, _query: (200, [{"major": "1", "gitVersion": "v1.33.1"}])
    assert api().version() == "v1.33.1"
    cluster.refuse("VERSION", 403, "forbidden")
    assert api().version() == ""
    cluster.refuse("VERSION", 503, "restarting")
    with pytest.raises(Unavailable, match="503"):
        api().version()


def test_creating_twice_is_creating_once(cluster: Cluster, api: Asking) -> None:
    cluster.answers["POST"] = lambda body, _query: (201, [body])
    assert api().create(MANIFEST)
    cluster.refuse("POST", 409, 'jobs.batch "a" already exists')
    assert not api().create(MANIFEST)


def test_deleting_what_is_gone_is_done_and_what_resists_is_forced(cluster: Cluster, api: Asking) -> None:
    cluster.refuse("DELETE", 404, 'jobs.batch "a" not found')
    api().delete("a")
    queries: list[Mapping[str, str]] = []

    def once(_body: Json, query: Mapping[str, str]) -> Said:
        queries.append(query)
        return status(500, "no") if len(queries) == 1 else (200, [{}])

    cluster.answers["DELETE"] = once
    api().delete("a")
    assert [query.get("gracePeriodSeconds") for query in queries] == [None, "0"]
    assert [query["propagationPolicy"] for query in queries] == ["Background", "Background"]


def test_no_answer_is_unavailable(cluster: Cluster, api: Asking) -> None:
    assert cluster.asked == []
    with pytest.raises(Unavailable, match="cannot be reached"):
        api(cluster_endpoint="http://127.0.0.1:9").create(MANIFEST)


@pytest.mark.parametrize("text", ["{", "[]", "apiVersion: v1\nkind: Config\ncontexts: []\n"])
def test_a_kubeconfig_that_is_none(
    text: str, api: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "broken"))
    with pytest.raises(KubernetesError, match="cluster"):
        api()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(KubernetesError, match="nowhere"):
        api()


def follow(watched: Watched, until: Callable[[], bool]) -> list[tuple[str, bool]]:
    """What a watch tells until something is so: names, and whether there is such an object."""
    heard: list[tuple[str, bool]] = []
    news = threading.Condition()

    def changed(name: str, found: Any) -> None:
        with news:
            heard.append((name, found is not None))
            news.notify_all()

    watched.start(changed)
    with news:
        assert news.wait_for(until, 20), heard
    watched.stop()
    return heard


FORGOTTEN = {"kind": "Status", "code": 410, "message": "too old"}


@pytest.mark.parametrize(
    "forgotten",
    [(200, [{"type": "ERROR", "object": FORGOTTEN}]), (410, [FORGOTTEN])],
    ids=["event", "answer"],
)
def test_a_watch_goes_on_where_it_broke_off_and_misses_nothing(
    cluster: Cluster, api: Asking, forgotten: Said
) -> None:
    """The stream ends after each event, once with an error; then the cluster has forgotten where it was."""
    lists = [
        (10, [cluster.job("a", 9)]),
        (30, [cluster.job("b", 20), cluster.job("c", 29)]),  # a went while nobody listened
    ]
    streams: list[Said] = [
        (200, [{"type": "ADDED", "object": cluster.job("b", 11)}]),
        status(503, "restarting"),
        status(403, "no roles are known yet"),
        (200, [{"type": "MODIFIED", "object": cluster.job("b", 12)}, {"type": "BOOKMARK", "object": cluster.job("", 13)}]),
        forgotten,
        (200, [{"type": "DELETED", "object": cluster.job("c", 31)}]),
    ]  # fmt: skip

    def listed(_body: Json, _query: Mapping[str, str]) -> Said:
        version, jobs = lists.pop(0)
        return 200, [{"kind": "JobList", "metadata": {"resourceVersion": str(version)}, "items": jobs}]

    cluster.answers["GET"] = listed
    cluster.answers["VERSION"] = lambda _body, _query: (200, [{}])
    cluster.answers["WATCH"] = lambda _body, _query: streams.pop(0) if streams else (200, [])
    watched = api().watch(Job, None)
    follow(watched, lambda: not streams and set(watched.objects) == {"b"})
    assert watched.objects["b"].metadata.resourceVersion == "20"
    assert [each for each in cluster.asked if each.startswith("GET")] == ["GET", "GET"]
    assert [each for each in cluster.asked if each.startswith("WATCH")][:6] == [
        "WATCH 10", "WATCH 11", "WATCH 11", "WATCH 11", "WATCH 13", "WATCH 30"
    ]  # fmt: skip
    assert watched.trouble == ""


def test_a_watch_that_was_broken_off_is_well_again_before_anything_changes(
    cluster: Cluster, api: Asking
) -> None:
    cluster.answers["GET"] = lambda _body, _query: (
        200,
        [{"metadata": {"resourceVersion": "1"}, "items": []}],
    )
    cluster.answers["VERSION"] = lambda _body, _query: (200, [{}])
    cluster.refuse("WATCH", 503, "restarting")
    watched = api().watch(Job, None)
    watched.start(lambda _name, _found: None)
    wait_until(lambda: "503" in watched.trouble)
    cluster.answers["WATCH"] = lambda _body, _query: (200, [])
    wait_until(lambda: not watched.trouble)
    watched.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(("verb", "asked"), [("list", "GET"), ("watch", "WATCH")])
def test_a_watch_that_may_not_be_says_so(cluster: Cluster, api: Asking, verb: str, asked: str) -> None:
    cluster.answers["GET"] = lambda _body, _query: (
        200,
        [{"metadata": {"resourceVersion": "1"}, "items": []}],
    )
    cluster.refuse(asked, 403, "jobs.batch is forbidden")
    watched = api().watch(Job, None)
    follow(watched, lambda: watched.refused is not None)
    assert watched.refused is not None
    assert f"cannot {verb} jobs.batch in namespace etl" in watched.refused.message


def test_a_right_that_was_taken_away_is_said_after_a_while(
    cluster: Cluster, api: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RESTART", 0.5)
    streams = [(200, [{"type": "ADDED", "object": cluster.job("b", 11)}])]
    none = (200, [{"metadata": {"resourceVersion": "1"}, "items": []}])
    refused = status(403, "jobs.batch is forbidden")
    cluster.answers |= dict.fromkeys(("GET", "VERSION"), lambda _body, _query: none)
    cluster.answers["WATCH"] = lambda _body, _query: streams.pop() if streams else refused
    watched = api().watch(Job, None)
    follow(watched, lambda: watched.refused is not None)
    assert cluster.asked.count("WATCH 11") > 1
