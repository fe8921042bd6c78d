"""Ports, CPU time and memory of server processes, for benchmarks; Linux only. Next: ``serving.py``, which uses them."""

import contextlib
import os
import socket
from pathlib import Path


def find_free_port() -> int:
    """Find a port of the loopback interface on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def measure_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and all its descendants since their start."""
    ticks = 0
    for member in list_tree(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measure_memory(pid: int) -> float:
    """Return the proportional set size of a process and all its descendants, MB: shared pages count once."""
    total = 0
    for member in list_tree(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1000


def measure_peak_memory(pid: int) -> float:
    """Return the peak resident memory of a process, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def list_tree(pid: int) -> list[int]:
    """List the ids of a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    tree = [pid]
    for parent in tree:
        tree += children.get(parent, [])
    return tree
