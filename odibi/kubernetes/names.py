"""What objects of the cluster are called, and the labels and annotations they are found by."""

from __future__ import annotations

import hashlib
import re
from importlib import import_module

__all__ = [
    "APP",
    "ATTEMPT",
    "CONFIG_HASH",
    "CONTAINER",
    "FULL_PIPELINE",
    "FULL_STEPS",
    "FULL_TASK",
    "LOGICAL_DATE",
    "MANAGED",
    "NAME",
    "PIPELINE",
    "RUN_ID",
    "STAGE",
    "STEP",
    "STEP_TYPE",
    "TARGET",
    "TASK",
    "VERSION",
    "WORKLOAD_CLASS",
    "is_label",
    "job_name",
    "label_value",
    "odibi_version",
    "prefix",
    "selector",
    "volume_name",
]

NAME = "app.kubernetes.io/name"
APP = "app"
PIPELINE = "pipeline"
STEP = "step"
STEP_TYPE = "step-type"
STAGE = "stage"
"""The layer."""
WORKLOAD_CLASS = "workload-class"
RUN_ID = "run-id"
VERSION = "version"
TASK = "odibi.dev/task"
"""Which task a Job does: what is submitted again finds the Job of the one before by it."""
LOGICAL_DATE = "odibi.dev/logical-date"
TARGET = "odibi.dev/target"

MANAGED = {NAME: "odibi", APP: "odibi"}
"""The labels of everything that odibi makes."""

CONFIG_HASH = "odibi.dev/config-hash"
FULL_PIPELINE = "odibi.dev/pipeline"
FULL_STEPS = "odibi.dev/steps"
FULL_TASK = "odibi.dev/full-task"
ATTEMPT = "odibi.dev/attempt"

CONTAINER = "job-container"
"""The container that does the work: logs and exit codes are read from it by this name."""

LONGEST = 52
"""Of the 63 characters of a DNS label a pod takes 6 after the name of its Job, a Job of a CronJob takes 11."""

LONGEST_PREFIX = 47
"""Spark takes 16 for ``-exec-`` and a number."""

_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def job_name(pipeline: str, step: str, run_id: str, attempt: int) -> str:
    """``<pipeline>-<step>-<8 hex>``: a DNS label of at most 52 characters, one for each attempt of each run."""
    room = LONGEST - 9
    first, second = _slug(pipeline), _slug(step)
    # A short name leaves its part of the room to the other.
    kept = max(room // 2 - 1, room - 1 - len(second))
    first = first[:kept].rstrip("-")
    second = second[: room - 1 - len(first)].rstrip("-")
    return f"{first}-{second}-{_hash(pipeline, step, run_id, str(attempt))}"


def prefix(pod: str) -> str:
    """What the names of the executors of a driver's pod begin with: its name, cut with a hash where it is too long."""
    if len(pod) <= LONGEST_PREFIX and pod == _slug(pod):
        return pod
    return f"{_slug(pod)[: LONGEST_PREFIX - 9].rstrip('-')}-{_hash(pod)}"


def label_value(text: str) -> str:
    """The text where it may be the value of a label, else what is legal of it, with a hash of the whole."""
    if _LABEL.fullmatch(text):
        return text
    legal = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[: 63 - 9].strip("-_.")
    return f"{legal}-{_hash(text)}" if legal else _hash(text)


def is_label(text: str) -> bool:
    """Whether it is a DNS label, as names of volumes, Services and Jobs are."""
    return re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text) is not None


def volume_name(text: str) -> str:
    """A DNS label for what is named so: what is lost of the name is in a hash."""
    return f"{_slug(text)[:54].rstrip('-')}-{_hash(text)}"


def odibi_version() -> str:
    """That of this odibi. By name, because to a type checker the root package imports all others."""
    return str(import_module("odibi").__version__)


def selector(**labels: str) -> str:
    """What asks for objects of odibi with these labels, ``_`` for ``-``: ``selector(run_id="a1")``."""
    wanted = {NAME: "odibi", **{name.replace("_", "-"): label_value(text) for name, text in labels.items()}}
    return ",".join(f"{name}={value}" for name, value in wanted.items())


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def _hash(*parts: str) -> str:
    told = "".join(f"{len(part)}:{part}" for part in parts)  # ("ab", "c") is not ("a", "bc")
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:8]
