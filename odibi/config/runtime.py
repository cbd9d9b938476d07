"""Where steps run: here, or in pods of a Kubernetes cluster, and what these are given."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from odibi.config.base import Frozen
from odibi.errors import nearest

__all__ = ["Kubernetes", "Mount", "Runtime", "SecretKey", "SparkPods", "WorkloadClass", "refuse_runtime"]

Runtime = Literal["local", "kubernetes", "auto"]
"""``auto`` is Kubernetes for steps that read more than the threshold."""

WorkloadClass = Literal["NetworkIntensive", "ComputeIntensive", "MemoryIntensive", "IOIntensive"]

SIZE = r"^\d+(\.\d+)?\s*([KMGT]i?)?B$"

_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]

_Variable = Annotated[str, StringConstraints(pattern=r"^[-._A-Za-z][-._A-Za-z0-9]*$")]
"""The name of an environment variable, as every Kubernetes takes it."""

_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"([A-Za-z0-9][-A-Za-z0-9.]*(:\d+)?/)?{_PART}(/{_PART})*(:(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?P<digest>@sha256:[0-9a-f]{64})?"
)


def refuse_runtime(given: Any, layers: Collection[str]) -> Any:
    """What is given as runtime, for all layers or by layer. Raises ValueError with one sentence for all else."""
    known = get_args(Runtime)
    if isinstance(given, str | Mapping):
        for layer, said in given.items() if isinstance(given, Mapping) else (("", given),):
            if layer and layer not in layers:
                raise ValueError(f"runtime: unknown layer {layer!r}; {nearest(layer, layers, 'layers')}")
            if said not in known:
                raise ValueError(f"runtime: found {said!r}; {nearest(said, known, 'allowed')}")
        return given
    raise ValueError("runtime: expected local, kubernetes or auto, or these by layer: {gold: kubernetes}")


class SecretKey(Frozen):
    """One key of a Secret of the cluster: pods get its value, odibi never sees it."""

    secret: _Name
    key: str = Field(min_length=1)


class Mount(Frozen):
    """What is mounted into every pod at ``mount``: one of a claim, a folder of the node, a Secret, a ConfigMap, or nothing."""

    name: _Name
    mount: str = Field(pattern=r"^/.+")
    claim: _Name | None = None
    host_path: str | None = Field(default=None, pattern=r"^/.+")
    secret: _Name | None = None
    config_map: _Name | None = None
    empty_dir: bool = False
    read_only: bool = False

    @model_validator(mode="after")
    def _one_of(self) -> Mount:
        given = [self.claim, self.host_path, self.secret, self.config_map, self.empty_dir or None]
        if sum(value is not None for value in given) != 1:
            raise ValueError("a volume is one of claim, host_path, secret, config_map and empty_dir: true")
        return self

    @property
    def shared(self) -> bool:
        """Whether what one pod writes there, another one reads."""
        return not self.read_only and (self.claim is not None or self.host_path is not None)


class SparkPods(Frozen):
    """The executors of a Spark step: so many pods, each with so many cores and so much memory.

    With ``max_executors`` their number follows the work, from ``executors`` up to that many. ``conf`` are
    further settings of the session.
    """

    executors: int = Field(default=2, ge=1)
    max_executors: int | None = Field(default=None, ge=1)
    cores: int = Field(default=1, ge=1)
    memory: str = Field(default="1g", pattern=r"^\d+[kmgt]$")
    driver_memory: str = Field(default="1g", pattern=r"^\d+[kmgt]$")
    conf: dict[str, str] = {}

    @model_validator(mode="after")
    def _fits(self) -> SparkPods:
        if self.max_executors is not None and self.max_executors < self.executors:
            raise ValueError(f"max_executors: {self.max_executors} is less than executors: {self.executors}")
        return self


class Kubernetes(Frozen):
    """The cluster, and what the pods of a pipeline are given.

    ``tasks`` is a folder or URL that both sides reach: what is to be done goes there, and what became of it comes
    back. ``env`` and ``secrets`` are environment variables of the pods. ``profile`` ``seed`` places pods by workload
    class on nodes that are labelled for it, ``node_selectors`` says by class how these are labelled.
    ``backoff_limit`` is how many failed pods of a Job are followed by another: none of a run's, which tries steps
    again itself, and as many as their template says of other Jobs, if not given. ``pending_seconds`` is how long a
    pod may wait for what it lacks, such as a node, before its step fails.
    """

    image: str = Field(min_length=1)
    spark_image: str | None = Field(default=None, min_length=1)
    postgres_image: str = Field(default="docker.io/library/postgres:17.6-bookworm", min_length=1)
    tasks: str = Field(min_length=1)
    namespace: _Name | None = None
    context: str | None = None
    cluster_endpoint: str | None = Field(default=None, pattern=r"^https?://.+")
    service_account: _Name = "odibi"
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    volumes: tuple[Mount, ...] = ()
    env: dict[_Variable, str] = {}
    secrets: dict[_Variable, SecretKey] = {}
    profile: Literal["none", "seed"] = "none"
    node_selector: dict[str, str] = {}
    node_selectors: dict[WorkloadClass, dict[str, str]] = {}
    priority: Literal["critical", "high", "normal", "low"] | None = None
    backoff_limit: int | None = Field(default=None, ge=0)
    ttl_seconds: int = Field(default=3600, ge=0)
    pending_seconds: int = Field(default=300, ge=1)
    deadline_seconds: int | None = Field(default=None, ge=1)
    threshold: str = Field(default="10GB", pattern=SIZE)
    spark: SparkPods = SparkPods()

    @field_validator("image", "spark_image", "postgres_image")
    @classmethod
    def _is_pinned(cls, image: str | None, info: ValidationInfo) -> str | None:
        found = _IMAGE.fullmatch(image or "")
        if image is not None and found is None:
            raise ValueError(
                f"{info.field_name}: {image!r} is no image: such as registry.example/odibi:0.1.0, in small letters"
            )
        if found is not None and found["digest"] is None and found["tag"] in (None, "latest"):
            raise ValueError(
                f"{info.field_name}: {image!r} names no version: end it with a tag other than latest, or a digest"
            )
        return image

    @model_validator(mode="after")
    def _is_clear(self) -> Kubernetes:
        for names in ([volume.name for volume in self.volumes], [volume.mount for volume in self.volumes]):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"volumes: {twice[0]!r} is given twice")
        if both := sorted(self.env.keys() & self.secrets.keys()):
            raise ValueError(f"{both[0]!r} is in env and in secrets")
        return self
