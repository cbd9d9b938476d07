"""Who may do what in the cluster: service accounts with their roles, and not a verb more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from odibi.kubernetes.names import MANAGED

__all__ = ["SUBMITTER", "submitter", "worker"]

Json = dict[str, Any]

SUBMITTER = "odibi-submitter"
"""The service account of runs that start in the cluster themselves."""

_SUBMITTER = (
    ("batch", ("jobs",), ("create", "list", "watch", "delete")),
    ("batch", ("cronjobs",), ("list", "delete")),  # odibi k8s delete
    ("", ("pods",), ("list", "watch")),
    ("", ("pods/log",), ("get",)),
    ("", ("events",), ("list", "watch")),
)

_WORKER = (
    # A driver starts executors, and when it ends it removes whatever bears its label.
    ("", ("pods",), ("get", "list", "watch", "create", "delete", "deletecollection", "patch")),
    ("", ("configmaps",), ("create", "delete", "deletecollection")),
    ("", ("services",), ("deletecollection",)),
    ("", ("persistentvolumeclaims",), ("list", "deletecollection")),
)

Rules = Sequence[tuple[str, tuple[str, ...], tuple[str, ...]]]


def submitter(namespace: str, name: str = SUBMITTER) -> list[Json]:
    """A service account that may submit Jobs, watch them, read their logs, and delete them."""
    return _account(namespace, name, _SUBMITTER)


def worker(namespace: str, name: str = "odibi") -> list[Json]:
    """The service account of the pods: what a Spark driver needs for its executors. Others get no token of it."""
    return _account(namespace, name, _WORKER)


def _account(namespace: str, name: str, rules: Rules) -> list[Json]:
    rbac = "rbac.authorization.k8s.io"
    metadata = {"name": name, "namespace": namespace, "labels": dict(MANAGED)}
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata,
            # Pods that need it ask for it.
            "automountServiceAccountToken": False,
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [
                {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
                for group, resources, verbs in rules
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
    ]
