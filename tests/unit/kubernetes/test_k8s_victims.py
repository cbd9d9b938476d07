"""Who kills pods of a cluster that does not always answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from odibi.config.runtime import Kubernetes
from odibi.errors import KubernetesError, Unavailable
from odibi.kubernetes import victims
from odibi.kubernetes.victims import Victims
from tests.unit.kubernetes.api import served

SILENT = 503, [{"kind": "Status", "code": 503, "message": "restarting"}]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(victims, "PAUSE", 0.05)
    monkeypatch.setattr(victims, "PATIENCE", 0.5)


def pod(name: str, role: str = "", phase: str = "Running") -> dict[str, Any]:
    labels = {"pipeline": "shop", **({"spark-role": role} if role else {})}
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}}


def there() -> Victims:
    return Victims(Kubernetes(image="odibi:1", tasks="/tasks"), "shop", spark=True)


def test_a_cluster_that_is_silent_for_a_moment_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(_method: str, path: str, _query: Any, _body: Any) -> tuple[int, list[Any]]:
        asked.append(path.rpartition("/")[2])
        if len(asked) % 3:
            return SILENT
        return 200, [
            {"metadata": {"resourceVersion": "1"}, "items": [pod("a")] if asked[-1] == "pods" else []}
        ]

    with served(answer, tmp_path, monkeypatch):
        assert there().alive() == ["pod a"]
    assert asked == ["jobs"] * 3 + ["pods"] * 3


def test_one_that_stays_silent_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        served(lambda *_: SILENT, tmp_path, monkeypatch),
        pytest.raises(Unavailable, match="the cluster answered 503: restarting"),
    ):
        there().alive()


def test_executors_are_told_from_drivers_and_what_does_not_run_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods = [pod("early", "executor", "Pending"), pod("driver"), pod("late", "executor")]
    killed: list[str] = []

    def answer(method: str, path: str, _query: Any, _body: Any) -> tuple[int, list[Any]]:
        if method == "DELETE":
            killed.append(path.rpartition("/")[2])
        return 200, [{"metadata": {"resourceVersion": "1"}, "items": pods}]

    with served(answer, tmp_path, monkeypatch):
        assert there().victims[0] == "executor"
        assert [there().kill(victim) for victim in ("executor", "pod")] == [True, True]
    assert killed == ["late", "driver"]


def test_a_kill_waits_for_an_answer_but_not_for_the_right_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [503, 403]

    def answer(*_: Any) -> tuple[int, list[Any]]:
        code = codes.pop(0)
        return code, [{"kind": "Status", "code": code, "message": "pods is forbidden"}]

    with served(answer, tmp_path, monkeypatch):
        assert not there().kill("pod")
        with pytest.raises(KubernetesError, match="cannot list pods in namespace etl"):
            there().kill("pod")
