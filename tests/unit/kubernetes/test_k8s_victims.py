"""Who kills pods of a cluster that does not always answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from odibi.config.runtime import Kubernetes
from odibi.errors import KubernetesError, Unavailable
from odibi.kubernetes import victims
from odibi.kubernetes.victims import Victims
from tests.unit.kubernetes.api import Answer, Json, Said, serving, status

SILENT = status(503, "restarting")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(victims, "PAUSE", 0.05)
    monkeypatch.setattr(victims, "PATIENCE", 0.5)


def pod(name: str, role: str = "", phase: str = "Running") -> Json:
    labels = {"pipeline": "shop", **({"spark-role": role} if role else {})}
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}}


@contextmanager
def there(answer: Answer, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Victims]:
    config = Kubernetes(image="odibi:1", tasks="/tasks")
    with serving(answer, folder, patch), closing(Victims(config, "shop", spark=True)) as found:
        yield found


def test_a_cluster_that_is_silent_for_a_moment_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(_method: str, path: str, *_: Any) -> Said:
        asked.append(path.rpartition("/")[2])
        if len(asked) % 3:
            return SILENT
        return 200, [
            {"metadata": {"resourceVersion": "1"}, "items": [pod("a")] if asked[-1] == "pods" else []}
        ]

    with there(answer, tmp_path, monkeypatch) as found:
        assert found.alive() == ["pod a"]
    assert asked == ["jobs"] * 3 + ["pods"] * 3


def test_one_that_stays_silent_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        there(lambda *_: SILENT, tmp_path, monkeypatch) as found,
        pytest.raises(Unavailable, match="the cluster answered 503: restarting"),
    ):
        found.alive()


def test_executors_are_told_from_drivers_and_what_does_not_run_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods = [pod("early", "executor", "Pending"), pod("driver"), pod("late", "executor")]
    killed: list[str] = []

    def answer(method: str, path: str, *_: Any) -> Said:
        if method == "DELETE":
            killed.append(path.rpartition("/")[2])
        return 200, [{"metadata": {"resourceVersion": "1"}, "items": pods}]

    with there(answer, tmp_path, monkeypatch) as found:
        assert found.victims[0] == "executor"
        assert [found.kill(victim) for victim in ("executor", "pod")] == [True, True]
    assert killed == ["late", "driver"]


def test_a_kill_waits_for_an_answer_but_not_for_the_right_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [503, 403]

    def answer(*_: Any) -> Said:
        return status(codes.pop(0), "pods is forbidden")

    with there(answer, tmp_path, monkeypatch) as found:
        assert not found.kill("pod")
        with pytest.raises(KubernetesError, match="cannot list pods in namespace etl"):
            found.kill("pod")
