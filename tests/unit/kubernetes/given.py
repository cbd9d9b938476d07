"""Requests and configs for the tests of manifests, and the golden files these are held against."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from odibi.config.runtime import Kubernetes, Mount, SecretKey
from odibi.kubernetes.request import JobRequest

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str, found: Any) -> None:
    """Hold a value against a file; with ODIBI_GOLDEN=1 the file is written anew."""
    text = yaml.safe_dump_all(json.loads(json.dumps(found)), sort_keys=False, width=110)
    path = GOLDEN / name
    if os.environ.get("ODIBI_GOLDEN") == "1":
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


CLUSTER = Kubernetes(
    image="registry.example/odibi:0.1.0",
    spark_image="registry.example/odibi-spark:0.1.0",
    tasks="/data/tasks",
    namespace="etl",
    volumes=(Mount(name="data", mount="/data", claim="lake"),),
    env={"REGION": "eu"},
    secrets={"PGPASSWORD": SecretKey(secret="db", key="password")},
)

FULL = JobRequest(
    name="shop-orders-0a1b2c3d",
    namespace="etl",
    image="registry.example/odibi:0.1.0",
    command=("python", "-m", "odibi"),
    args=("worker", "s3://tasks/1"),
    env={"REGION": "eu"},
    secrets={"TOKEN": SecretKey(secret="api", key="token")},
    requests={"cpu": "1", "memory": "2Gi", "ephemeral-storage": "10Gi"},
    limits={"cpu": "4", "memory": "8Gi", "ephemeral-storage": "50Gi"},
    volumes=(
        Mount(name="data", mount="/data", claim="lake"),
        Mount(name="certs", mount="/certs", secret="tls"),
        Mount(name="settings", mount="/settings", config_map="settings"),
        Mount(name="spill", mount="/spill", empty_dir=True),
    ),
    backoff_limit=2,
    ttl=60,
    deadline=42,
    labels={"pipeline": "shop", "step": "orders", "stage": "silver", "run-id": "r1"},
    annotations={
        "odibi.dev/pipeline": "shop",
        "odibi.dev/full-task": "orders",
        "odibi.dev/config-hash": "abc",
    },
    service_account="worker",
    token=True,
    workload_class="IOIntensive",
    priority="critical",
    parallelism=4,
    completions=10,
    excluded_nodes=("node-1", "node-2"),
    pull_policy="Always",
    node_selector={"zone": "a"},
    profile="seed",
    ports={"driver": 7078},
    working_dir="/data",
)

_quantities = st.sampled_from(["100m", "1", "64Mi", "2Gi"])
_label = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=80)
_variable = st.from_regex(r"[A-Z_][A-Z0-9_]{0,10}", fullmatch=True)


@st.composite
def mounts(draw: st.DrawFn) -> tuple[Mount, ...]:
    """Volumes of every kind that a pod may have under Pod Security restricted."""
    names = draw(st.lists(_label, unique=True, max_size=4))
    made = []
    for number, name in enumerate(names):
        kind = draw(st.sampled_from(["claim", "secret", "config_map", "empty_dir"]))
        folder = "tmp/" if kind == "empty_dir" else ""
        given: dict[str, Any] = {kind: True if kind == "empty_dir" else draw(_label)}
        made.append(Mount(name=name, mount=f"/{folder}m{number}", read_only=draw(st.booleans()), **given))
    return tuple(made)


requests = st.builds(
    JobRequest,
    name=_label,
    image=st.sampled_from(["odibi:0.1.0", "registry.example:5000/odibi@sha256:" + "a" * 64]),
    namespace=st.one_of(st.just(""), _label),
    command=st.lists(_text, max_size=2).map(tuple),
    args=st.lists(_text, max_size=3).map(tuple),
    env=st.dictionaries(_variable, _text, max_size=3),
    secrets=st.dictionaries(_variable, st.just(SecretKey(secret="s", key="k")), max_size=2),
    requests=st.fixed_dictionaries({"cpu": st.just("100m"), "memory": st.just("64Mi")}),
    limits=st.fixed_dictionaries({"memory": st.just("1Gi")}, optional={"cpu": st.just("2")}),
    volumes=mounts(),
    backoff_limit=st.integers(0, 9),
    ttl=st.integers(0, 99999),
    deadline=st.integers(1, 99999),
    labels=st.dictionaries(st.sampled_from(["pipeline", "step", "stage", "run-id"]), _text),
    annotations=st.dictionaries(st.sampled_from(["odibi.dev/pipeline", "odibi.dev/full-task"]), _text),
    service_account=st.just("odibi"),
    token=st.booleans(),
    workload_class=st.sampled_from(
        ["NetworkIntensive", "ComputeIntensive", "MemoryIntensive", "IOIntensive"]
    ),
    priority=st.sampled_from([None, "critical", "high", "normal", "low"]),
    parallelism=st.one_of(st.none(), st.integers(1, 9)),
    completions=st.one_of(st.none(), st.integers(1, 9)),
    excluded_nodes=st.lists(_label, max_size=3).map(tuple),
    profile=st.sampled_from(["none", "seed"]),
    ports=st.dictionaries(st.sampled_from(["driver", "blocks"]), st.integers(1024, 9999)),
)
