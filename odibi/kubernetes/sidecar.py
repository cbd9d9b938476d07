"""A PostgreSQL beside the step whose SQL it computes: ready before the step starts, and ended with it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi.config.runtime import Kubernetes, SecretKey
from odibi.kubernetes.pods import SCRATCH, container_security

if TYPE_CHECKING:
    from odibi.plan.model import PlannedStep

__all__ = ["PASSWORD", "TOLD", "VOLUMES", "database", "is_beside"]

Json = dict[str, Any]

PASSWORD = "PG_PASSWORD"  # noqa: S105 - the name of a variable
"""The variable that the step has the password by; the database gets the same key of the same Secret."""

TOLD = {"PG_HOST": "127.0.0.1", "PG_USER": "odibi", "PG_DATABASE": "odibi"}
"""Where the step finds it."""

_SCRATCH = {
    "postgres-scratch": "/var/lib/postgresql/data",
    "postgres-run": "/var/run/postgresql",
    "postgres-tmp": SCRATCH,
}
"""What a database that lives as long as its pod writes."""

VOLUMES: list[Json] = [{"name": name, "emptyDir": {}} for name in _SCRATCH]


def is_beside(planned: PlannedStep, cluster: Kubernetes) -> bool:
    """Whether a step has one: it asks for PostgreSQL, and the config names no other server."""
    return planned.step.operation == "postgres" and not {"PG_HOST"} & {*cluster.env, *cluster.secrets}


def database(image: str, pull_policy: str, env: list[Json], password: SecretKey) -> Json:
    """The container.

    Args:
        image: of PostgreSQL.
        pull_policy: of the image.
        env: what all containers of the pod are told.
        password: the key of a Secret.
    """
    own = {"POSTGRES_USER": "odibi", "POSTGRES_DB": "odibi", "PGDATA": "/var/lib/postgresql/data/odibi"}
    secret = {"secretKeyRef": {"name": password.secret, "key": password.key}}
    ready = ["pg_isready", "--host", "127.0.0.1", "--username", "odibi", "--dbname", "odibi"]
    check = {"exec": {"command": ready}}
    return {
        "name": "postgres",
        "image": image,
        "imagePullPolicy": pull_policy,
        "restartPolicy": "Always",  # what makes an init container a sidecar
        "args": ["-c", "listen_addresses=127.0.0.1"],
        "env": [
            *env,
            *({"name": name, "value": value} for name, value in own.items()),
            {"name": "POSTGRES_PASSWORD", "valueFrom": secret},
        ],
        # The step starts when this one has succeeded, not merely when the process exists.
        "startupProbe": {**check, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {**check, "periodSeconds": 5},
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
        "securityContext": container_security(),
        "volumeMounts": [{"name": name, "mountPath": at} for name, at in _SCRATCH.items()],
    }
