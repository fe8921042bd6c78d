"""Cores and memory of machine types, read from their names.

Next: ``preparation_cost.py`` and ``preparation_job.py``.
"""

import re
from typing import NamedTuple

GB_PER_VCPU = {  # of the predefined types, as Compute Engine documents them
    "n1-standard": 3.75,
    "n1-highmem": 6.5,
    "n1-highcpu": 0.9,
    "e2-standard": 4.0,
    "e2-highmem": 8.0,
    "e2-highcpu": 1.0,
    "n2-standard": 4.0,
    "n2-highmem": 8.0,
    "n2-highcpu": 1.0,
    "n2d-standard": 4.0,
    "n2d-highmem": 8.0,
    "n2d-highcpu": 1.0,
    "c2-standard": 4.0,
    "c2d-standard": 4.0,
    "t2d-standard": 4.0,
}


class MachineType(NamedTuple):
    """Virtual cores, and memory in GB."""

    vcpus: int
    memory_gb: float


def parse_machine_type(name: str) -> MachineType | None:
    """Return the size of a machine type; ``None`` for one whose name does not say it, such as ``e2-medium``."""
    match = re.fullmatch(r"(\w+-[a-z]+)-(\d+)", name)
    if not match or match[1] not in GB_PER_VCPU:
        return None
    vcpus = int(match[2])
    return MachineType(vcpus, vcpus * GB_PER_VCPU[match[1]])
