"""How much of this machine is in use, as shares: cpu, memory, disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from odibi.errors import Permanent

__all__ = ["measured"]


def measured(resource: str, path: Path) -> float:
    """The share of a resource that is in use.

    Of ``cpu`` it is the load of the last minute for each CPU, which may be more than 1; of ``memory`` what
    is not available to a new program (MemAvailable of /proc/meminfo); of ``disk`` that of the file system
    of ``path``, as ``df`` has it: what only root may use counts for nobody.

    Raises:
        Permanent: it cannot be measured here.
    """
    try:
        if resource == "cpu":
            return os.getloadavg()[0] / (os.cpu_count() or 1)
        if resource == "memory":
            lines = Path("/proc/meminfo").read_text("ascii").splitlines()
            kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
            return 1 - kib["MemAvailable"] / kib["MemTotal"]
        place = next(each for each in (path, *path.absolute().parents) if each.exists())
        usage = shutil.disk_usage(place)
        return usage.used / (usage.used + usage.free)
    except (OSError, KeyError) as error:
        raise Permanent(f"the {resource} in use cannot be measured on this machine: {error}") from error
