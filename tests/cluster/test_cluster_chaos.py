"""Runs, Jobs' pods and executors killed at random times: ``odibi chaos --runtime kubernetes``."""

from __future__ import annotations

import json
import os

from tests.cluster.kube import PROJECT, Place, said

KILLS = int(os.environ.get("ODIBI_CLUSTER_KILLS", "3"))


def test_nothing_is_lost_whatever_is_killed(place: Place) -> None:
    given = {"far": "kubernetes", "shared": place.shared, "namespace": place.name, "image": PROJECT}
    params = [word for name, value in given.items() for word in ("--param", f"{name}={value}")]
    # The submitter's own rights do not let it delete pods; whoever wants to kill some needs more.
    env = {"KUBECONFIG": os.environ["KUBECONFIG"], "TMPDIR": str(place.shared)}
    done = place.odibi(
        *("chaos", "configs/chaos.yaml", "--runtime", "kubernetes", "--random", KILLS, "--output", "json"),
        *params, env=env, timeout=300 + 240 * KILLS,
    )  # fmt: skip
    assert done.stdout, said(done)
    found = json.loads(done.stdout)
    assert (found["holds"], found["tried"]) == (True, KILLS), done.stdout
    assert found["killed"] >= 1
    print(found["kinds"], found["seconds"])
    place.assert_clean()
