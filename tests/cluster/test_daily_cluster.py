"""The shop with silver on Spark in the cluster: the tables of a run that never left this machine, whatever is killed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.cluster.conftest import ROOT
from tests.cluster.kube import IMAGE, PROJECT, Place, kubectl, wait_until
from tests.flow.helpers import odibi
from tests.flow.test_daily import rows_of

CONFIG = "configs/daily_cluster.yaml"
SILVER = ("customers", "products", "payments", "rejected_orders", "orders")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of the same shop, computed here alone."""
    folder = tmp_path_factory.mktemp("local")
    for name in ("configs", "steps"):
        shutil.copytree(ROOT / name, folder / name)
    done = odibi("run", "configs/daily.yaml", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / ".odibi" / "lake"


@pytest.fixture
def shop(place: Place) -> Shop:
    return Shop(place)


class Shop:
    """The pipeline in a namespace."""

    def __init__(self, place: Place) -> None:
        self.place, self.lake = place, place.shared / "lake"
        given = {"shared": place.shared, "namespace": place.name, "image": IMAGE, "spark_image": PROJECT}
        self.params = [word for name, value in given.items() for word in ("--param", f"{name}={value}")]

    def assert_equal(self, local: Path) -> None:
        """The tables are those of the local run, each written once."""
        names = sorted(
            str(path.relative_to(local)) for path in local.glob("*/*") if (path / "_delta_log").is_dir()
        )
        assert len(names) > 12
        for name in names:
            assert sorted(map(str, rows_of(self.lake / name))) == sorted(map(str, rows_of(local / name))), (
                name
            )
            assert DeltaTable(str(self.lake / name)).version() == 0, f"{name} was written more than once"

    def silver(self) -> list[dict[str, Any]]:
        return [step for step in self.place.record()["steps"] if step["layer"] == "silver"]


def test_tables_are_those_of_a_local_run_and_the_story_tells_where(shop: Shop, local: Path) -> None:
    shop.place.odibi("run", CONFIG, *shop.params, code=0)
    shop.assert_equal(local)
    shop.place.assert_clean()
    steps = {step["name"]: step for step in shop.place.record()["steps"]}
    assert {name for name, step in steps.items() if step["pods"]} == {*SILVER, "latest_orders"}
    story = shop.place.story()
    for name in SILVER:
        assert steps[name]["engine"] == "spark"
        (pod,) = steps[name]["pods"]
        assert (pod["status"], pod["executors"]) == ("Succeeded", 2)
        assert pod["node"]
        assert None not in (pod["waited"], pod["starting"], pod["worked"])
        assert pod["name"] in story
    print({name: pod[name] for name in ("waited", "starting", "worked")})
    # and what is there already is not computed again, in the cluster or here
    again = shop.place.odibi("run", CONFIG, *shop.params, code=0)
    assert "is given to" not in again.stderr


def test_an_executor_is_killed(shop: Shop, local: Path) -> None:
    run = shop.place.start("run", CONFIG, *shop.params)
    executor = wait_until(
        180, lambda: run.poll() is not None or shop.place.running("executor"), "an executor"
    )
    assert isinstance(executor, dict), run.says()
    kill = ("--grace-period=0", "--force", f"-n{shop.place.name}")
    kubectl("delete", "pod", executor["metadata"]["name"], *kill)
    run.ended(timeout=600)
    shop.assert_equal(local)
    shop.place.assert_clean()
    (pod,) = next(step for step in shop.silver() if step["name"] == "orders")["pods"]
    assert pod["status"] == "Succeeded"
    assert pod["executors"] >= 3  # one more than at a time


def test_an_executor_that_is_told_to_go_hands_on_what_it_holds(shop: Shop, local: Path) -> None:
    """Its own log tells; the event FailedPreStopHook comes either way, because the hook ends with its container."""
    place = shop.place
    run = place.start("run", CONFIG, *shop.params)
    executor = wait_until(180, lambda: run.poll() is not None or place.running("executor"), "an executor")
    assert isinstance(executor, dict), run.says()
    name, log = executor["metadata"]["name"], ("logs", executor["metadata"]["name"], f"-n{place.name}")
    wait_until(60, lambda: "registered with driver" in kubectl(*log, check=False).stdout, "its registration")
    kubectl("delete", "pod", name, f"-n{place.name}", "--wait=false")
    said = kubectl(*log, "--follow").stdout
    assert "Finished decommissioning" in said
    run.ended(timeout=600)
    shop.assert_equal(local)
    place.assert_clean()


def test_the_driver_is_killed(shop: Shop, local: Path) -> None:
    run = shop.place.start("run", CONFIG, *shop.params)
    wait_until(180, lambda: run.poll() is not None or shop.place.running("executor"), "an executor")
    # some tables are there, others are not
    written = shop.lake / "silver" / "products" / "_delta_log"
    wait_until(180, lambda: run.poll() is not None or list(written.glob("*.json")), "a table of silver")
    driver = shop.place.running()
    assert driver is not None, run.says()
    name = driver["metadata"]["name"]
    kubectl("delete", "pod", name, "--grace-period=0", "--force", f"-n{shop.place.name}")
    run.ended(timeout=600)
    shop.assert_equal(local)
    shop.place.assert_clean()
    pods = next(step for step in shop.silver() if step["name"] == "orders")["pods"]
    assert [pod["status"] for pod in pods] == ["Deleted", "Succeeded"]
    assert pods[0]["name"] == name
    assert name in shop.place.story()


def test_the_submitter_is_killed(shop: Shop, local: Path) -> None:
    run = shop.place.start("run", CONFIG, *shop.params)
    wait_until(180, lambda: run.poll() is not None or shop.place.running("executor"), "an executor")
    run.kill()
    run.wait()
    (job,) = shop.place.named("jobs")
    done = shop.place.odibi("run", CONFIG, *shop.params, "--resume", code=0, timeout=600)
    assert f"is done by Job {job} already" in done.stderr
    assert "is given to" not in done.stderr
    shop.assert_equal(local)
    shop.place.assert_clean()
