"""The Jobs of templates: their numbers, and that they hand data over through what outlives a pod."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from odibi.cli import k8s
from odibi.config import load
from odibi.config.models import Step
from odibi.kubernetes import names
from odibi.kubernetes.lint import lint
from odibi.kubernetes.manifest import cron_job, job
from odibi.kubernetes.stages import STAGES, pipeline_request, stages
from odibi.plan.select import select
from tests.unit.kubernetes.given import CLUSTER, golden

CONFIG = "configs/ex5_data_processing.yaml"
RUN = {"run_id": "r1", "target": "dev", "date": "2026-01-05"}


def four(**fields: Any) -> list[dict[str, Any]]:
    cluster = CLUSTER.model_copy(update=fields)
    return [job(request) for request in stages(cluster, "ex5_data_processing", CONFIG, **RUN)]


def test_the_four_stages() -> None:
    golden("stages.yaml", four())


def test_the_numbers_of_the_stages() -> None:
    found = [
        (
            made["metadata"]["labels"]["stage"],
            made["spec"]["backoffLimit"],
            made["spec"]["activeDeadlineSeconds"],
            *made["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"].values(),
            *made["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"].values(),
        )
        for made in four()
    ]
    assert found == [
        ("ingestion", 3, 600, "200m", "256Mi", "500m", "512Mi"),
        ("validation", 2, 300, "200m", "256Mi", "500m", "512Mi"),
        ("transformation", 2, 300, "300m", "512Mi", "600m", "1Gi"),
        ("analytics", 2, 300, "300m", "512Mi", "600m", "1Gi"),
    ]


def test_a_limit_that_is_given_is_that_of_all_templates() -> None:
    assert {made["spec"]["backoffLimit"] for made in four(backoff_limit=0)} == {0}
    cluster = CLUSTER.model_copy(update={"backoff_limit": 1})
    assert pipeline_request(cluster, "shop", CONFIG, target="dev").backoff_limit == 1
    assert pipeline_request(CLUSTER, "shop", CONFIG, target="dev").backoff_limit == 2


def test_every_step_of_the_example_has_its_stage() -> None:
    steps = load(Path(__file__).parents[3] / CONFIG, date="2026-01-05").pipeline.steps
    found = []
    for stage in STAGES:
        said = dict(zip(stage.select[::2], stage.select[1::2], strict=True))
        chosen = [said["--select"]]
        excluded = [said["--exclude"]] if "--exclude" in said else []
        found.append(sorted(select(steps, {step.name: () for step in steps}, chosen, excluded)))
    assert found[0] == ["raw_products", "raw_transactions", "raw_users"]
    assert found[2] == ["transformed_products", "transformed_transactions", "transformed_users"]
    assert sorted(name for names in found for name in names) == sorted(step.name for step in steps)


def test_parameters_are_handed_on() -> None:
    for made in stages(CLUSTER, "shop", CONFIG, params=("api=https://a/b", "n=1"), **RUN):
        assert made.args[-6:] == ("--target", "dev", "--param", "api=https://a/b", "--param", "n=1")


def test_a_stage_without_steps_has_no_job() -> None:
    steps = [Step(name=layer, layer=layer, sql="SELECT 1 AS x") for layer in ("bronze", "gold")]
    found = stages(CLUSTER, "shop", "configs/shop.yaml", steps=steps, **RUN)
    assert [request.args[2:4] for request in found] == [
        ("--select", "layer:bronze"),
        ("--select", "layer:gold"),
    ]
    steps = [Step(name="a", layer="gold", sql="SELECT 1 AS x", tags=("analytics",))]
    found = stages(CLUSTER, "shop", "configs/shop.yaml", steps=steps, **RUN)
    assert [request.args[2:4] for request in found] == [("--select", "tag:analytics")]


def test_stages_share_a_claim() -> None:
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for made in four()
        for volume in made["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == {"lake"}
    assert {made["spec"]["template"]["spec"]["containers"][0]["workingDir"] for made in four()} == {"/data"}


def test_without_a_claim_data_is_where_the_config_says() -> None:
    for made in four(volumes=()):
        pod = made["spec"]["template"]["spec"]
        assert [volume["name"] for volume in pod["volumes"]] == ["odibi-scratch"]
        assert "workingDir" not in pod["containers"][0]
        assert lint(made) == []


def test_no_stage_waits_for_another() -> None:
    for made in four():
        assert "initContainers" not in made["spec"]["template"]["spec"]
        assert lint(made) == []


def test_they_are_found_by_what_they_belong_to() -> None:
    for made in four():
        for labels in (made["metadata"]["labels"], made["spec"]["template"]["metadata"]["labels"]):
            assert labels["pipeline"] == "ex5_data_processing"
            assert (labels[names.TARGET], labels[names.LOGICAL_DATE]) == ("dev", "2026-01-05")
    scheduled = {
        target: cron_job(pipeline_request(CLUSTER, "shop", CONFIG, target=target), "0 2 * * *")
        for target in ("dev", "prod")
    }
    for target, made in scheduled.items():
        assert made["metadata"]["labels"][names.TARGET] == target
        assert made["spec"]["jobTemplate"]["metadata"]["labels"][names.TARGET] == target
    assert len({made["metadata"]["name"] for made in scheduled.values()}) == 2


def test_the_example_is_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(Path(__file__).parents[3] / CONFIG)
    given = {"date": "2026-01-05", "param": ["namespace=etl"]}
    asked = {"rbac": False, "priority_classes": False, "stages": True, "schedule": "0 2 * * *"}
    assert k8s.render(config=file, given=given, output="json", **asked) == 0
    made = json.loads(capsys.readouterr().out)
    assert [one["metadata"]["labels"].get("stage") for one in made] == [
        *(stage.name for stage in STAGES),
        None,
    ]
    for one in made:
        assert lint(one) == []
        assert one["metadata"]["namespace"] == "etl"


def test_a_pipeline_every_night() -> None:
    made = cron_job(pipeline_request(CLUSTER, "ex5_data_processing", CONFIG, target="dev"), "0 2 * * *")
    assert made["spec"]["schedule"] == "0 2 * * *"
    container = made["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["run", "/work/configs/ex5_data_processing.yaml", "--target", "dev"]
    assert lint(made) == []
