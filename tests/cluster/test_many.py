"""Many Jobs at once: each result is merged once, and the submitter does not grow faster than their number."""

from __future__ import annotations

import os
import time

import pytest
from deltalake import DeltaTable

from odibi.kubernetes.rbac import SUBMITTER
from tests.cluster.kube import Place, asked, config, sql
from tests.flow.test_daily import rows_of

FEW, MANY = 5, 50
TINY = {"requests": {"cpu": "10m", "memory": "150Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}


def at_once(place: Place, number: int) -> tuple[float, float, int]:
    """A run with so many Jobs: seconds, MiB of its process, requests to the API server."""
    steps = [sql("raw", "bronze", "select range as id from range(100)")]
    steps += [
        sql(
            f"part_{each}",
            "silver",
            f"select id * {each} as id from raw",
            resources=TINY,
            runtime="kubernetes",
        )
        for each in range(number)
    ]
    union = " union all ".join(f"select id from part_{each}" for each in range(number))
    steps.append(sql("whole", "gold", f"select count(*) as rows, sum(id) as total from ({union})"))
    file = place.write(f"many-{number}.json", config(place, f"many_{number}", steps, connections={
        "lake": {"url": str(place.shared / f"lake-{number}"), "format": "delta"}
    }, of_cluster={"deadline_seconds": 900}))  # fmt: skip
    before, begun = sum(asked(place, SUBMITTER).values()), time.monotonic()
    run = place.start("run", file)
    _, status, used = os.wait4(run.pid, 0)
    seconds = time.monotonic() - begun
    run.returncode = os.waitstatus_to_exitcode(status)
    run.ended()
    lake = place.shared / f"lake-{number}"
    assert rows_of(lake / "gold" / "whole") == [{"rows": 100 * number, "total": 4950 * sum(range(number))}]
    for each in range(number):
        assert DeltaTable(str(lake / "silver" / f"part_{each}")).version() == 0
    place.assert_clean(120)
    parts = [step for step in place.record()["steps"] if step["name"].startswith("part_")]
    assert len(parts) == number
    for step in parts:
        assert (step["status"], len(step["attempts"]), len(step["pods"])) == ("completed", 1, 1), step
    return (
        seconds,
        used.ru_maxrss / 1024,
        sum(asked(place, SUBMITTER).values()) - before,
    )


@pytest.mark.usefixtures("own_cluster")
def test_fifty_jobs_at_once(place: Place) -> None:
    few, many = at_once(place, FEW), at_once(place, MANY)
    for number, (seconds, mib, calls) in ((FEW, few), (MANY, many)):
        print(f"{number} Jobs: {seconds:.0f} s, {mib:.0f} MiB of the submitter, {calls} API calls")
    assert many[2] <= few[2] * MANY / FEW * 1.2  # calls: for each Job the same
    assert many[1] <= few[1] + 4 * (MANY - FEW)  # MiB
