"""The four stages of ex5 as Jobs: each started when the one before it has succeeded, data handed on through a claim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.kube import DATE, PROJECT, Place, kubectl, kubectl_json, wait_until
from tests.flow.helpers import odibi

CONFIG = "configs/ex5_data_processing.yaml"


def succeeded(place: Place, job: dict[str, Any]) -> None:
    """Start a Job, and wait until it has succeeded."""
    name = job["metadata"]["name"]
    place.apply(job)

    def ended() -> str:
        found = kubectl_json("get", "job", name, f"-n{place.name}")["status"].get("conditions", ())
        return next(
            (
                one["type"]
                for one in found
                if one["status"] == "True" and one["type"] in ("Complete", "Failed")
            ),
            "",
        )

    how = wait_until(300, ended, f"the end of {name}")
    log = kubectl("logs", f"job/{name}", f"-n{place.name}", check=False).stdout
    assert how == "Complete", log


def results(folder: Path) -> dict[str, Any]:
    """What the pipeline made, without when it was made."""
    place = folder / ".odibi/output/ex5"
    found: dict[str, Any] = {
        file.name: json.loads(file.read_text("utf-8"))
        for file in sorted((place / "analytics").glob("*.json"))
    }
    for file in sorted((place / "transformed").glob("*.csv")):
        header, *rows = (line.split(",") for line in file.read_text("utf-8").splitlines())
        dropped = [number for number, name in enumerate(header) if name.endswith("_at")]
        found[file.name] = sorted([cell for n, cell in enumerate(row) if n not in dropped] for row in rows)
    return found


def test_the_stages_come_to_their_end_one_after_the_other(place: Place) -> None:
    given = {"shared": place.shared, "namespace": place.name, "image": PROJECT}
    params = [word for name, value in given.items() for word in ("--param", f"{name}={value}")]
    asked = ("k8s", "render", CONFIG, "--stages", "--date", DATE, "--output", "json", *params)
    jobs = json.loads(place.odibi(*asked, code=0).stdout)
    assert [job["metadata"]["labels"]["stage"] for job in jobs] == [
        "ingestion", "validation", "transformation", "analytics"
    ]  # fmt: skip
    for job in jobs:
        succeeded(place, job)
    here = odibi("run", CONFIG, "--date", DATE, cwd=place.project)
    assert here.returncode == 0, here.stdout + here.stderr
    made = results(place.shared)
    assert len(made) == 5
    assert made == results(place.project)
    said = place.odibi("k8s", "delete", CONFIG, *params, "--target", "dev", code=0).stdout
    for job in jobs:
        assert f"deleted Job {job['metadata']['name']}" in said
    place.assert_clean()
