"""Runs, Jobs' pods and executors killed at random times: ``odibi chaos --runtime kubernetes``."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.cluster.kube import PROJECT, Place, said

KILLS = int(os.environ.get("ODIBI_CLUSTER_KILLS", "3"))
SPARK_KILLS = int(os.environ.get("ODIBI_CLUSTER_SPARK_KILLS", "1"))


def chaos(place: Place, kills: int, *words: str, **more: str) -> dict[str, Any]:
    """What `odibi chaos` tells of so many kills at random times."""
    given = {"far": "kubernetes", "shared": place.shared, "namespace": place.name, "image": PROJECT, **more}
    params = [word for name, value in given.items() for word in ("--param", f"{name}={value}")]
    # The submitter's own rights do not let it delete pods; whoever wants to kill some needs more.
    env = {"KUBECONFIG": os.environ["KUBECONFIG"], "TMPDIR": str(place.shared)}
    done = place.odibi(
        *("chaos", "configs/chaos.yaml", "--runtime", "kubernetes", "--random", kills, "--output", "json"),
        *words, *params, env=env, timeout=600 + 300 * kills,
    )  # fmt: skip
    assert done.stdout, said(done)
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["holds"], found["tried"]) == (True, kills), done.stdout
    print(found["tried"], found["kinds"], found["seconds"])
    place.assert_clean()
    return found


def test_nothing_is_lost_whatever_is_killed(place: Place) -> None:
    assert chaos(place, KILLS)["killed"] >= 1


def test_nothing_is_lost_with_spark_whatever_is_killed(place: Place) -> None:
    """Executors first: with the seed the first is killed soon after it has come."""
    asked = ("--engine", "spark", "--date", "2026-01-05", "--seed", "2")
    found = chaos(place, SPARK_KILLS, *asked, near="duckdb", spark_image=PROJECT)
    assert found["engines"] == ["duckdb", "spark"]
    assert found["kinds"]["executor at any time"] >= 1
