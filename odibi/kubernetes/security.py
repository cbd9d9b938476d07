"""The rules of Pod Security ``restricted``, and a read-only root: what a pod may not be allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from odibi.kubernetes.told import Finding

__all__ = ["security"]

Json = Mapping[str, Any]

_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
_HOST = ("hostNetwork", "hostPID", "hostIPC")


def security(pod: Json, at: str, containers: Sequence[tuple[str, Json]]) -> Iterator[Finding]:
    """What the spec of a pod at ``at`` allows its containers and should not."""
    for key in _HOST:
        if pod.get(key):
            yield Finding(f"{at}.{key}", "it shares what belongs to its node", "remove it")
    for number, volume in enumerate(pod.get("volumes") or ()):
        for kind in sorted(set(volume) - _VOLUMES - {"name"}):
            hint = "use a persistentVolumeClaim" if kind == "hostPath" else "use another kind of volume"
            yield Finding(f"{at}.volumes[{number}].{kind}", f"Pod Security restricted allows no {kind}", hint)
    of_pod = pod.get("securityContext") or {}
    for place, container in containers:
        yield from _container(place, container, of_pod, container.get("securityContext") or {})


def _container(at: str, container: Json, of_pod: Json, own: Json) -> Iterator[Finding]:
    def either(key: str) -> Any:
        return own[key] if key in own else of_pod.get(key)

    here = f"{at}.securityContext"
    if either("runAsNonRoot") is not True:
        yield Finding(f"{here}.runAsNonRoot", "it may run as root", "true")
    if either("runAsUser") == 0:
        yield Finding(f"{here}.runAsUser", "it runs as root", "such as 10001")
    if (either("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield Finding(f"{here}.seccompProfile.type", "it may make any system call", "RuntimeDefault")
    if own.get("allowPrivilegeEscalation") is not False:
        yield Finding(f"{here}.allowPrivilegeEscalation", "it may gain rights that it was not given", "false")
    if own.get("privileged"):
        yield Finding(f"{here}.privileged", "it may do everything on its node", "remove it")
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield Finding(f"{here}.capabilities.drop", "it keeps rights of root", "[ALL]")
    if more := sorted(set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}):
        yield Finding(f"{here}.capabilities.add", f"it is given {', '.join(more)}", "remove it")
    if own.get("readOnlyRootFilesystem") is not True:
        yield Finding(f"{here}.readOnlyRootFilesystem", "it may change its own programs", "true")
    for number, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort"):
            yield Finding(f"{at}.ports[{number}].hostPort", "it takes a port of its node", "remove it")
