"""The parts of a pod that all pods of odibi have: who they run as, what they are told, what is mounted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from odibi.config.runtime import Mount, SecretKey
from odibi.kubernetes.names import is_label, volume_name

__all__ = [
    "FIELDS",
    "HOME",
    "SCRATCH",
    "away_from",
    "container_security",
    "environment",
    "mounts",
    "pod_security",
    "volumes",
]

Json = dict[str, Any]

_SCRATCH: Json = {"name": "odibi-scratch", "emptyDir": {}}
"""What a pod writes for itself goes here: its root is read-only."""

USER = 10001
"""Who the images run as."""

SCRATCH = "/tmp"  # noqa: S108 - of a pod, which nobody else sees
HOME = f"{SCRATCH}/odibi"
"""Nothing of what odibi keeps for itself outlives the pod: its outcome is told through the tasks' folder."""

FIELDS = {
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "POD_IP": "status.podIP",
    "NODE_NAME": "spec.nodeName",
}
"""What only the cluster can tell a pod."""


def pod_security() -> Json:
    """The security context of a pod, as Pod Security ``restricted`` wants it."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        # Without it the owner of every file on a claim is changed before a pod starts, which takes minutes.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Json:
    """The security context of a container, as Pod Security ``restricted`` wants it."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def environment(env: Mapping[str, str], secrets: Mapping[str, SecretKey]) -> list[Json]:
    """Variables of a container: what it is in the cluster, plain ones, keys of Secrets.

    Of several with one name the first of these counts.
    """
    found: dict[str, Json] = {
        name: {"valueFrom": {"fieldRef": {"fieldPath": at}}} for name, at in FIELDS.items()
    }
    for name, value in env.items():
        found.setdefault(name, {"value": value})
    for name, one in secrets.items():
        found.setdefault(name, {"valueFrom": {"secretKeyRef": {"name": one.secret, "key": one.key}}})
    return [{"name": name, **value} for name, value in found.items()]


def volumes(given: Sequence[Mount]) -> list[Json]:
    """The volumes of a pod: its scratch, and what the mounts of a config mean."""
    return [
        *([_SCRATCH] if _scratched(given) else []),
        *({"name": _name(one), **_source(one)} for one in given),
    ]


def mounts(given: Sequence[Mount]) -> list[Json]:
    """Where a container has them."""
    own = [{"name": _SCRATCH["name"], "mountPath": SCRATCH}] if _scratched(given) else []
    return [*own, *(_mounted(one) for one in given)]


def _scratched(given: Sequence[Mount]) -> bool:
    """Whether the pod needs a scratch of ours, because the config mounts nothing there."""
    return all(one.mount.rstrip("/") != SCRATCH for one in given)


def _name(one: Mount) -> str:
    return one.name if one.name != _SCRATCH["name"] and is_label(one.name) else volume_name(one.name)


def _mounted(one: Mount) -> Json:
    found: Json = {"name": _name(one), "mountPath": one.mount}
    return found | {"readOnly": True} if _read_only(one) else found


def _read_only(one: Mount) -> bool:
    return one.read_only or one.secret is not None or one.config_map is not None


def _source(one: Mount) -> Json:
    if one.claim is not None:
        return {
            "persistentVolumeClaim": {"claimName": one.claim} | ({"readOnly": True} if one.read_only else {})
        }
    if one.host_path is not None:
        return {"hostPath": {"path": one.host_path}}
    if one.secret is not None:
        return {"secret": {"secretName": one.secret}}
    if one.config_map is not None:
        return {"configMap": {"name": one.config_map}}
    return {"emptyDir": {}}


def away_from(nodes: Iterable[str]) -> Json:
    """The node affinity that sends a pod to other nodes than these if there are any; empty for none."""
    # A field takes one value at a time. The label of the host name is not the node's name everywhere.
    fields = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]
    if not fields:
        return {}
    terms = [{"weight": 100, "preference": {"matchFields": fields}}]
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
