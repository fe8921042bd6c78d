"""The number of vCPUs that this process may use, from its CPU affinity and its cgroup's quota. Standard library only.

A quota may limit a container on a machine of 64 cores to two of them (Kubernetes, Cloud Run, ``docker --cpus``); as
many threads as cores would then wait most of the time. https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max)
Next: ``settings.py``, where it is the default number of threads.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
PROCESS_CGROUPS = Path("/proc/self/cgroup")  # lines of "number:controllers:path"; version 2 has the line "0::path"


def count_vcpus(cgroups: Path = CGROUPS, process_cgroups: Path = PROCESS_CGROUPS) -> int:
    """Count the vCPUs, at least 1; fractions of a quota are rounded up."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([affinity, *_find_quotas(cgroups, process_cgroups)])))


def _find_quotas(cgroups: Path, process_cgroups: Path) -> Iterator[float]:
    """Yield the quotas of the process' cgroup and of all cgroups above it, in vCPUs."""
    for number, controllers, path in (
        line.split(":", 2) for line in _read_text(process_cgroups).splitlines() if line.count(":") > 1
    ):
        is_version_2 = number == "0" and not controllers
        if not is_version_2 and "cpu" not in controllers.split(","):
            continue
        tree = cgroups if is_version_2 else cgroups / "cpu"
        group = tree / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(tree):
                yield from _read_quota(folder)


def _read_quota(folder: Path) -> Iterator[float]:
    values = _read_text(folder / "cpu.max").split() or [
        _read_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")
    ]
    try:
        quota, period = (int(value) for value in values)
    except ValueError:  # "max", or there is no such file
        return
    if quota > 0 and period > 0:
        yield quota / period


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
