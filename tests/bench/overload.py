"""``python -m tests.bench.overload ARTIFACT [SECONDS]``: overload the server at twice its capacity, flood it, stop it.

The clients have a core of their own where there are several, so that what they cost is not taken for the server's.
Fails unless every status is 200 or a documented refusal, every accepted request is answered within its deadline and
memory does not grow; a flood is of clients that never pause, over connections that stay open, or open each request
anew. After SIGTERM under load, every accepted request has to be answered and the exit status is 0. Next: ``load.py``,
which sends the requests.
"""

import collections
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO

from tests.bench import load
from tests.bench.bodies import make_bodies, make_png
from tests.bench.processes import find_free_port, measure_memory
from tests.bench.serving import ROOT

CLIENTS, MAX_WAITING, DEADLINE = 200, 30, 5.0
MAX_GROWTH = 15  # MB
FLOODS, FLOOD_SECONDS = (200, 400), 10.0  # numbers of clients


def main() -> int:
    """Print the measurements; return 1 when a requirement is not met."""
    artifact_dir, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    port = find_free_port()
    command = [sys.executable, "-m", "predictor", "--artifact", artifact_dir, "--port", str(port)]
    command += [f"--max-waiting-images={MAX_WAITING}", f"--deadline={DEADLINE}"]
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open until the process ends
    process = subprocess.Popen(command, cwd=ROOT, stdout=log)
    _separate(process.pid)
    requests = [load.make_post("/predict", body) for body in make_bodies(make_png, 1)]
    while not load.run(port, requests[:1], 1, 0.001)[0].rate:
        time.sleep(0.05)
    capacity = load.run(port, requests, 8, 5)[0].rate
    pause = CLIENTS / (2 * capacity)
    memory: list[float] = []
    monitor = threading.Thread(target=_record_memory, args=(process.pid, memory, seconds), daemon=True)
    monitor.start()
    overload, health = load.run(port, requests, CLIENTS, seconds, load.make_get("/health"), pause)
    monitor.join()
    statuses = collections.Counter(status for status, _ in overload.answers)
    slowest = max(duration for status, duration in overload.answers if status == 200)
    third = len(memory) // 3
    growth = max(memory[-third:]) - max(memory[:third])
    offered = len(overload.answers) / overload.seconds
    print(f"capacity {capacity:.0f} requests/s; {offered:.0f} offered, {overload.rate:.0f} answered; {dict(statuses)}")
    print(f"slowest answer {slowest:.2f} s (deadline {DEADLINE:g}), slowest health {health.percentile(1):.0f} ms")
    print(f"memory {memory[0]:.0f} to {memory[-1]:.0f} MB, last third against first {growth:+.1f} MB")
    for clients in FLOODS:
        for header in ("", "Connection: close"):
            _flood(port, [_add_header(request, header) for request in requests], clients, header, capacity)
    print(f"memory after the floods {measure_memory(process.pid):.0f} MB")
    accepted_before = _count_requests(log)
    threading.Timer(2.0, process.send_signal, [signal.SIGTERM]).start()
    stopped, _ = load.run(port, requests, 24, 5, pause=24 / (2 * capacity))
    statuses_of_stop = collections.Counter(status for status, _ in stopped.answers)
    exit_status = process.wait(30)
    accepted = _count_requests(log) - accepted_before
    answered = sum(count for status, count in statuses_of_stop.items() if status > 0)
    print(f"SIGTERM under load: {dict(statuses_of_stop)} ({load.LOST}: cut off, {load.REFUSED}: connection refused)")
    print(f"the server accepted {accepted} requests, clients have {answered} answers; exit status {exit_status}")
    is_overload_handled = set(statuses) <= {200, 429} and slowest < DEADLINE and growth < MAX_GROWTH
    return 0 if is_overload_handled and accepted == answered and exit_status == 0 else 1


def _separate(server_pid: int) -> None:
    """Give this process the last core, and the server the others."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(server_pid, cores[:-1])
        os.sched_setaffinity(0, cores[-1:])


def _add_header(request: bytes, header: str) -> bytes:
    return request.replace(b"Host: here\r\n", f"Host: here\r\n{header}\r\n".encode(), 1) if header else request


def _flood(port: int, requests: list[bytes], clients: int, header: str, capacity: float) -> None:
    """Print what the server answers while so many clients send one request after the other."""
    flood, health = load.run(port, requests, clients, FLOOD_SECONDS, load.make_get("/health"))
    statuses = dict(collections.Counter(status for status, _ in flood.answers))
    print(
        f"flood of {clients} clients, {header or 'connections stay open'}: {len(flood.answers) / flood.seconds:.0f} "
        f"requests/s, {flood.rate:.0f} answered, {flood.rate / capacity:.0%} of the capacity; {statuses}; "
        f"health within {health.percentile(0.99):.0f} ms for 99 %, slowest {health.percentile(1):.0f} ms"
    )


def _count_requests(log: IO[str]) -> int:
    """Count the requests in the log of the server."""
    log.seek(0)
    return sum('"predict"' in line for line in log)


def _record_memory(pid: int, memory: list[float], seconds: float) -> None:
    """Append the memory of a process, MB, every second."""
    expires_at = time.monotonic() + seconds
    while time.monotonic() < expires_at:
        memory.append(measure_memory(pid))
        time.sleep(1)


if __name__ == "__main__":
    raise SystemExit(main())
