"""How many vCPUs this process may use: the kernel's affinity and the cgroup's quota. Standard library only.

A container on a machine of 64 cores may be given two by quota alone (Kubernetes, Cloud Run, ``docker --cpus``); as many
threads as cores would then stand still most of the time. https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max)
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")  # lines of "number:controllers:path"; version 2 has one, "0::path"


def vcpus(cgroups: Path = CGROUPS, own: Path = OWN) -> int:
    """At least 1; a quota of one and a half counts as two."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([allowed, *_quotas(cgroups, own)])))


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """Every quota on the way from this process' group to the root, in vCPUs."""
    for number, controllers, path in (line.split(":", 2) for line in _text(own).splitlines() if line.count(":") > 1):
        version2 = number == "0" and not controllers
        if not version2 and "cpu" not in controllers.split(","):
            continue
        tree = cgroups if version2 else cgroups / "cpu"
        group = tree / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(tree):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    words = _text(folder / "cpu.max").split() or [
        _text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")
    ]
    try:
        quota, period = (int(word) for word in words)
    except ValueError:  # "max", or there is no such file
        return
    if quota > 0 and period > 0:
        yield quota / period


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
