"""The shop in a cluster is the shop: what its two configs differ in is where steps run."""

from __future__ import annotations

from pathlib import Path

import yaml

from odibi import orchestrator
from odibi.config.load import load
from odibi.kubernetes.lint import lint

CONFIGS = Path(__file__).parents[3] / "configs"


def test_its_steps_are_those_of_daily() -> None:
    here, there = (
        yaml.safe_load((CONFIGS / name).read_text("utf-8")) for name in ("daily.yaml", "daily_cluster.yaml")
    )
    assert there["steps"] == here["steps"]


def test_silver_goes_to_the_cluster_on_spark_and_nothing_else_does() -> None:
    loaded = load(CONFIGS / "daily_cluster.yaml", params={"shared": "/mnt/shop", "claim": "shop"})
    planned = orchestrator.plan(loaded).steps
    assert {(str(step.step.layer), step.runtime, step.engine) for step in planned} == {
        ("bronze", "local", "duckdb"),
        ("silver", "kubernetes", "spark"),
        ("gold", "local", "duckdb"),
    }
    assert loaded.pipeline.kubernetes is not None
    (volume,) = loaded.pipeline.kubernetes.volumes
    assert (volume.mount, volume.claim) == ("/mnt/shop", "shop")


def test_the_volume_of_the_docs_is_the_one_it_names() -> None:
    text = (CONFIGS.parent / "docs" / "kubernetes-volume.yaml").read_text("utf-8")
    namespace, volume, claim = yaml.safe_load_all(text)
    loaded = load(CONFIGS / "daily_cluster.yaml").pipeline.kubernetes
    assert loaded is not None
    (mount,) = loaded.volumes
    assert (loaded.namespace, mount.claim) == (namespace["metadata"]["name"], claim["metadata"]["name"])
    assert volume["spec"]["hostPath"]["path"] == mount.mount
    assert volume["spec"]["claimRef"] == {"namespace": loaded.namespace, "name": mount.claim}
    for manifest in (namespace, volume, claim):
        assert not list(lint(manifest))
