"""``python -m tests.bench.startup [ARTIFACT]``: measure how soon a server is ready, and its memory.

Starts the server as users do and requests health every 5 ms; memory is the peak of the process after requests over 8
connections. Goal: ready within 2 s, under 250 MB.
"""

import concurrent.futures
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from predictor.request import build_body
from tests.bench.processes import find_free_port, measure_peak_memory
from trainer.generators import signatures as generator
from trainer.pipeline.run_dir import find_newest_artifact

ROUNDS, REQUESTS = 7, 400


def main(artifact_dir: Path) -> None:
    """Print medians over several starts."""
    body = build_body([generator.generate_image(1, 1, "genuine", 0)[0]]).encode()
    starts, peaks = zip(*(_measure_start(artifact_dir, body) for _ in range(ROUNDS)), strict=True)
    print(f"first healthy answer {statistics.median(starts):.2f} s ({min(starts):.2f} to {max(starts):.2f}; goal 2)")
    print(f"peak memory          {statistics.median(peaks):.0f} MB (max {max(peaks):.0f}; goal 250)")


def _measure_start(artifact_dir: Path, body: bytes) -> tuple[float, float]:
    """Start a server, send requests and stop it; return the seconds until it was ready and its peak memory in MB."""
    port = find_free_port()
    started_at = time.perf_counter()
    command = [sys.executable, "-m", "predictor", "--artifact", str(artifact_dir), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/health", started_at)
        seconds = time.perf_counter() - started_at
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda _: _post(f"http://127.0.0.1:{port}/predict", body), range(REQUESTS)))
        return seconds, measure_peak_memory(server.pid)
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
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else find_newest_artifact())
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
