"""``python -m tests.bench.startup [ARTIFACT]``: measure how soon a server is ready, and its memory.

Starts the server as users do and requests health every 5 ms; memory is the peak of the process, before requests and
after requests over 8 connections, every second of them with a reference if a verifier answers beside a classifier.
Without ARTIFACT the ready ones are served, or where there is none that of the newest run. Goal for the ready ones:
ready within 1 s, at most 150 MB. Next: ``processes.py`` measures a process.
"""

import concurrent.futures
import itertools
import json
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


def main(flags: list[str]) -> None:
    """Print medians over several starts of a server with these flags."""
    images = [generator.generate_image(1, 1, "genuine", number)[0] for number in range(2)]
    bodies = [build_body(images[:1]).encode(), build_body(images[:1], images[1:]).encode()]
    starts, fresh, peaks = zip(*(_measure_start(flags, bodies) for _ in range(ROUNDS)), strict=True)
    low, high = min(starts), max(starts)
    print(f"first healthy answer     {statistics.median(starts):.2f} s ({low:.2f} to {high:.2f}; goal 1)")
    print(f"peak memory, ready       {statistics.median(fresh):.0f} MB (max {max(fresh):.0f}; goal 150)")
    print(f"peak memory, {REQUESTS} images {statistics.median(peaks):.0f} MB (max {max(peaks):.0f}; goal 150)")


def _measure_start(flags: list[str], bodies: list[bytes]) -> tuple[float, float, float]:
    """Start a server, send requests and stop it; ``bodies`` are without and with a reference.

    Return the seconds until it was ready, and its peak memory in MB at that moment and after the requests.
    """
    port = find_free_port()
    started_at = time.perf_counter()
    command = [sys.executable, "-m", "predictor", *flags, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        health = _wait_until_ready(f"http://127.0.0.1:{port}/health", started_at)
        seconds, fresh = time.perf_counter() - started_at, measure_peak_memory(server.pid)
        sent = itertools.islice(itertools.cycle(bodies if "verifier" in health else bodies[:1]), REQUESTS)
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda body: _post(f"http://127.0.0.1:{port}/predict", body), sent))
        return seconds, fresh, measure_peak_memory(server.pid)
    finally:
        server.terminate()
        server.wait()


def _wait_until_ready(url: str, started_at: float) -> dict:
    """Return what health says first."""
    while time.perf_counter() - started_at < 30:
        try:
            with urllib.request.urlopen(url) as response:
                return json.load(response)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.005)
    raise SystemExit("not ready within 30 s")


def _post(url: str, body: bytes) -> None:
    urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})).close()


if __name__ == "__main__":
    try:
        if len(sys.argv) > 1:
            main(["--artifact", sys.argv[1]])
        else:
            main([] if ready.list_names() else ["--artifact", str(find_newest_artifact())])
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
