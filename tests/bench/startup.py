"""``python -m tests.bench.startup [MODEL]``: how soon is a server healthy, and how much memory does it take?

Starts the server as users do and asks for health every 5 ms; memory is the process' peak after requests on 8
connections. Wanted: healthy within 2 s, under 250 MB.
"""

import concurrent.futures
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from predictor import wire
from trainer.pipeline.run_dir import newest_model
from trainer.samples import generator

ROUNDS, REQUESTS = 7, 400


def main(model: Path) -> None:
    """Print medians over several starts."""
    body = wire.request([generator.image(1, 1, "genuine", 0)[0]]).encode()
    starts, peaks = zip(*(_one_start(model, body) for _ in range(ROUNDS)), strict=True)
    print(f"first healthy answer {statistics.median(starts):.2f} s ({min(starts):.2f} to {max(starts):.2f}; wanted 2)")
    print(f"peak memory          {statistics.median(peaks):.0f} MB (max {max(peaks):.0f}; wanted 250)")


def _one_start(model: Path, body: bytes) -> tuple[float, float]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    command = [sys.executable, "-m", "predictor", "--model", str(model), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _until_healthy(f"http://127.0.0.1:{port}/health", began)
        seconds = time.perf_counter() - began
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda _: _post(f"http://127.0.0.1:{port}/predict", body), range(REQUESTS)))
        return seconds, _peak_megabytes(server.pid)
    finally:
        server.terminate()
        server.wait()


def _until_healthy(url: str, began: float) -> None:
    while time.perf_counter() - began < 30:
        try:
            urllib.request.urlopen(url).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.005)
    raise SystemExit("not healthy within 30 s")


def _post(url: str, body: bytes) -> None:
    urllib.request.urlopen(urllib.request.Request(url, body)).close()


def _peak_megabytes(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else newest_model())
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
