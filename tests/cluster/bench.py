"""What a Job costs that odibi submits, beside the same Job submitted by hand: `make bench-cluster`.

A step that counts a few rows is run in the cluster by `odibi run`, from an empty lake each time. Then the very task
that it left is given to a Job by hand, of the same manifest, with its table removed again. What the run took
longer than that is odibi's own share: writing the task, submitting, following, merging. All figures are
medians, in seconds; what the cluster says of its own pods it says in whole seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from lightkube import Client, KubeConfig
from lightkube.codecs import from_dict
from lightkube.resources.batch_v1 import Job

from tests.cluster import kube
from tests.cluster.kube import SMALL, Place, config, sql, wait_until

TARGET = 1.5
"""Seconds that odibi may take itself."""


def main() -> None:
    """Measure and print; the exit code is 1 if odibi's share is above the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    shared = kube.shared()
    if not os.environ.get("KUBECONFIG") or shared is None:
        sys.exit(
            "bench-cluster: no cluster, or none that shares a folder with this machine; see `make cluster`"
        )
    with placed(shared) as place:
        client = Client(config=KubeConfig.from_file(str(place.kubeconfig)).get(), namespace=place.name)
        measured = [measure(place, client, number) for number in range(rounds)]
    table(measured)
    if median(one["odibi"] - one["by hand"] for one in measured) > TARGET:
        sys.exit(1)


@contextmanager
def placed(shared: Path) -> Iterator[Place]:
    """A namespace and a project of its own."""
    with tempfile.TemporaryDirectory(prefix="odibi-bench-") as folder:
        place = Place.make(Path(folder), shared)
        try:
            yield place
        finally:
            place.remove()
            for left in (place.shared, place.shared.parent / f"{place.name}-logs"):
                shutil.rmtree(left, ignore_errors=True)


def measure(place: Place, client: Client, number: int) -> dict[str, float]:
    """One run and one Job by hand."""
    steps = [
        sql("raw", "bronze", "select range as id from range(1000)"),
        sql(
            "far",
            "silver",
            "select id % 7 as rest, count(*) as rows from raw group by id % 7",
            resources=SMALL,
        ),
    ]
    lake = place.shared / f"lake-{number}"
    connections = {"lake": {"url": str(lake), "format": "delta"}}
    file = place.write("bench.json", config(place, f"bench-{number}", steps, connections=connections))
    (manifest,) = json.loads(place.odibi("k8s", "render", file, "--output", "json", code=0).stdout)
    run, tasks = place.start("run", file), place.shared / "tasks" / f"bench-{number}"
    task = place.shared / f"task-{number}.json"  # a copy, because tasks are removed when they are done
    shutil.copy(wait_until(60, lambda: next(tasks.rglob("task.json"), None), "the task"), task)
    run.ended()
    record = place.record()
    raw, far = record["steps"]
    (pod,) = far["pods"]
    shutil.rmtree(lake / "silver")
    seconds = by_hand(client, manifest, str(task), number)
    return {
        "waiting": pod["waited"],
        "start-up": pod["starting"],
        "running": pod["worked"],
        # Its own times are those in the pod: it is what the run did after the step here.
        "odibi": (moment(record["ended_at"]) - moment(raw["ended_at"])).total_seconds(),
        "by hand": seconds,
    }


def by_hand(client: Client, manifest: dict[str, Any], task: str, number: int) -> float:
    """Seconds from the creation of a Job to its end."""
    manifest["metadata"]["name"] = f"by-hand-{number}"
    manifest["spec"]["template"]["spec"]["containers"][0]["args"] = ["worker", task]
    begun = time.perf_counter()
    client.create(from_dict(manifest))
    client.wait(Job, f"by-hand-{number}", for_conditions=["Complete"], raise_for_conditions=["Failed"])
    seconds = time.perf_counter() - begun
    client.delete(Job, f"by-hand-{number}")
    return seconds


def moment(text: str) -> datetime:
    """A time of the record."""
    return datetime.fromisoformat(text)


def table(measured: list[dict[str, float]]) -> None:
    """Print what was found."""
    middle = {name: median(one[name] for one in measured) for name in measured[0]}
    share = median(one["odibi"] - one["by hand"] for one in measured)
    rows = {
        "the step by odibi": f"{middle['odibi']:.2f} s",
        "  waiting for its pod": f"{middle['waiting']:.2f} s",
        "  starting the worker": f"{middle['start-up']:.2f} s",
        "  running": f"{middle['running']:.2f} s",
        "  all else": f"{middle['odibi'] - middle['waiting'] - middle['start-up'] - middle['running']:.2f} s",
        "the same Job by hand": f"{middle['by hand']:.2f} s",
        "ratio": f"{middle['odibi'] / middle['by hand']:.2f}",
        "odibi's own share": f"{share:.2f} s (at most {TARGET} s)",
    }
    for what, figure in rows.items():
        print(f"{what:24}{figure}")


if __name__ == "__main__":
    main()
