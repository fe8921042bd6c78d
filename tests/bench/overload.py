"""``python -m tests.bench.overload MODEL [SECONDS]``: a minute at twice the capacity, then SIGTERM in the middle of it.

Wanted: no status but 200 and the stated refusals, accepted requests answered within their deadline, memory flat, health
at once; after SIGTERM nothing that was accepted is lost, and exit status 0.
"""

import collections
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from tests.bench import load
from tests.bench.serving import ROOT, _memory, png, requests

CLIENTS, WAITING, DEADLINE = 200, 30, 5.0


def main() -> int:
    """Print what came of it; 1 when something wanted was not so."""
    artefact, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "predictor", "--model", artefact, "--port", str(port)]
    command += [f"--waiting={WAITING}", f"--deadline={DEADLINE}"]
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - to the end
    process = subprocess.Popen(command, cwd=ROOT, stdout=log)
    wanted = [load.post("/predict", body) for body in requests(png, 1)]
    while not load.run(port, wanted[:1], 1, 0.001)[0].rate:
        time.sleep(0.05)
    capacity = load.run(port, wanted, 8, 5)[0].rate
    pause = CLIENTS / (2 * capacity)
    memory: list[float] = []
    watching = threading.Thread(target=_watch, args=(process.pid, memory, seconds), daemon=True)
    watching.start()
    found, health = load.run(port, wanted, CLIENTS, seconds, load.get("/health"), pause)
    watching.join()
    statuses = collections.Counter(status for status, _ in found.answers)
    slowest = max(spent for status, spent in found.answers if status == 200)
    third = len(memory) // 3
    growth = max(memory[-third:]) - max(memory[:third])
    offered = len(found.answers) / found.seconds
    print(f"capacity {capacity:.0f} requests/s; {offered:.0f} offered, {found.rate:.0f} answered; {dict(statuses)}")
    print(f"slowest answer {slowest:.2f} s (deadline {DEADLINE:g}), slowest health {health.percentile(1):.0f} ms")
    print(f"memory {memory[0]:.0f} to {memory[-1]:.0f} MB, last third against first {growth:+.1f} MB")
    before = _requests_in(log)
    threading.Timer(2.0, process.send_signal, [signal.SIGTERM]).start()
    stopped, _ = load.run(port, wanted, 24, 5, pause=24 / (2 * capacity))
    after = collections.Counter(status for status, _ in stopped.answers)
    exit_status = process.wait(30)
    accepted, answered = _requests_in(log) - before, sum(n for status, n in after.items() if status > 0)
    print(f"SIGTERM in the middle: {dict(after)} ({load.LOST}: cut off, {load.NOBODY}: nobody listens any more)")
    print(f"the server took {accepted} requests, clients have {answered} answers; exit status {exit_status}")
    fine = set(statuses) <= {200, 429} and slowest < DEADLINE and growth < 15 and accepted == answered
    return 0 if fine and exit_status == 0 else 1


def _requests_in(log) -> int:
    """Requests that the server began, by its log."""
    log.seek(0)
    return sum('"predict"' in line for line in log)


def _watch(pid: int, memory: list[float], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        memory.append(_memory(pid))
        time.sleep(1)


if __name__ == "__main__":
    raise SystemExit(main())
