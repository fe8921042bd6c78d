"""``python -m tests.bench.startup [ARTIFACT]``: measure how soon a server is ready, and its memory.

Starts the server as users do and requests health every 5 ms; memory is the peak of the process, before requests and
after requests over 8 connections. Without ARTIFACT the ready one is served, or where there is none that of the newest
run. Goal for the ready one: ready within 1 s, at most 150 MB. Next: ``processes.py`` measures a process.
"""

import concurrent.futures
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

from predictor.request import build_body
from tests.bench.processes import find_free_port, measure_peak_memory
from trainer import ready
from trainer.generators import signatures as generator
from trainer.pipeline.run_dir import find_newest_artifact

ROUNDS, REQUESTS = 7, 400


def main(artifact: str) -> None:
    """Print medians over several starts."""
    body = build_body([generator.generate_image(1, 1, "genuine", 0)[0]]).encode()
    starts, fresh, peaks = zip(*(_measure_start(artifact, body) for _ in range(ROUNDS)), strict=True)
    low, high = min(starts), max(starts)
    print(f"first healthy answer     {statistics.median(starts):.2f} s ({low:.2f} to {high:.2f}; goal 1)")
    print(f"peak memory, ready       {statistics.median(fresh):.0f} MB (max {max(fresh):.0f}; goal 150)")
    print(f"peak memory, {REQUESTS} images {statistics.median(peaks):.0f} MB (max {max(peaks):.0f}; goal 150)")


def _measure_start(artifact: str, body: bytes) -> tuple[float, float, float]:
    """Start a server, send requests and stop it.

    Return the seconds until it was ready, and its peak memory in MB at that moment and after the requests.
    """
    port = find_free_port()
    started_at = time.perf_counter()
    command = [sys.executable, "-m", "predictor", "--artifact", artifact, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/health", started_at)
        seconds, fresh = time.perf_counter() - started_at, measure_peak_memory(server.pid)
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda _: _post(f"http://127.0.0.1:{port}/predict", body), range(REQUESTS)))
        return seconds, fresh, measure_peak_memory(server.pid)
    finally:
        server.terminate()
        server.wait()


def _wait_until_ready(url: str, started_at: float) -> None:
    while time.perf_counter() - started_at < 30:
        try:
            urllib.request.urlopen(url).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.005)
    raise SystemExit("not ready within 30 s")


def _post(url: str, body: bytes) -> None:
    urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})).close()


if __name__ == "__main__":
    try:
        default = ready.DEFAULT if ready.list_names() else find_newest_artifact()
        main(sys.argv[1] if len(sys.argv) > 1 else str(default))
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
