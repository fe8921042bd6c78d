"""``make bench-serving``: compare this server with others, in turns within one run, on the same machine.

All use the same SavedModel (the ``lightweight`` encoder, not trained), the same imaging code and the same requests: a
PNG of about 30 kB, a JPEG of 1600 x 1200 pixels, eight PNGs in one request; 1, 8 and 32 connections on loopback. The
first run installs the peers in ``.bench/``, with pinned versions. Quote ratios only: absolute times depend on the
machine. Next: ``load.py`` sends the requests, ``peers/`` are the other servers.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import io
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from tests.bench import load
from tests.bench.artifacts import export_untrained
from tests.bench.bodies import make_bodies, make_images, make_jpeg, make_png
from tests.bench.processes import find_free_port, measure_cpu_seconds, measure_memory
from trainer import variant
from trainer.artifact.artifact import Artifact

ROOT = Path(__file__).parent.parent.parent
PEERS = ("cpr", "litserve", "bentoml", "kserve", "fastapi")
OURS = ("ours", "ours-int8")
CONNECTIONS = (1, 8, 32)
ROUTES = {"kserve": ("/v1/models/signatures:predict", "/v2/health/live"), "bentoml": ("/predict", "/livez")}
START_TIMEOUT = 120  # seconds
Cell = tuple[str, int]  # name of the load, number of connections


@dataclasses.dataclass(frozen=True)
class CellResult:
    """One load on one server: ``cpu`` is milliseconds for each answer, ``health`` the slowest health check in ms."""

    load: load.Load
    cpu: float
    health: float


@dataclasses.dataclass(frozen=True)
class ServerResult:
    """All loads on one server: ``start`` is seconds until its first answer, ``memory`` MB after the loads."""

    start: float
    memory: float
    cells: dict[Cell, CellResult]


def main() -> None:
    """Measure the servers of the command line, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ", ".join((*OURS, *PEERS))
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"of {names}; all of them")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load (%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="environments and artefact (%(default)s)")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    artifact_dir = options.folder / "model"
    if not artifact_dir.exists():
        export_untrained(artifact_dir, backbone="lightweight")
        variant.write_variant(artifact_dir, "int8", options.folder / "model-int8")
    bodies = {"png": make_bodies(make_png, 1), "jpeg": make_bodies(make_jpeg, 1), "8 png": make_bodies(make_png, 8)}
    _print_decoding_times(artifact_dir)
    results = {}
    for name in options.servers or [*OURS, *PEERS]:
        results[name] = _measure_server(name, options.folder, options.seconds, bodies)
        _print_result(name, results[name])
        limit = _measure_limit(_artifact_dir(name, options.folder), options.seconds)
        share = results[name].cells["png", 8].load.rate / limit
        print(f"  limit of the machine, decoding + ink + engine on all cores: {limit:.0f} images/s; ", end="")
        print(f"{share:.0%} of it reached", flush=True)
    _print_comparison(results)


def _artifact_dir(name: str, folder: Path) -> Path:
    return folder / ("model-int8" if name == "ours-int8" else "model")


def _print_decoding_times(artifact_dir: Path) -> None:
    """Print the CPU milliseconds of decoding and finding ink, and of Pillow's decoding alone."""
    artifact = Artifact(artifact_dir)
    for name, make_image in (("png", make_png), ("jpeg", make_jpeg)):
        files = make_images(make_image)
        canonical = _measure_cpu(artifact.canonicalise, files)
        pillow = _measure_cpu(lambda data: Image.open(io.BytesIO(data)).convert("L"), files)
        size = statistics.mean(map(len, files)) / 1000
        print(
            f"{name} of {size:.0f} kB: decoding + ink {canonical:.2f} ms of CPU; Pillow's decoding alone {pillow:.2f}"
        )


def _measure_cpu(work: Callable[[bytes], object], files: list[bytes]) -> float:
    milliseconds = []
    for _ in range(8):
        for data in files:
            started_at = time.thread_time()
            work(data)
            milliseconds.append(1000 * (time.thread_time() - started_at))
    return statistics.median(milliseconds)


def _measure_limit(artifact_dir: Path, seconds: float) -> float:
    """Measure images a second without a server: as many threads as cores, each decodes, finds ink and computes."""
    artifact, files = Artifact(artifact_dir), make_images(make_png)
    expires_at = time.perf_counter() + seconds

    def work(_: int) -> int:
        count = 0
        while time.perf_counter() < expires_at:
            artifact.compute_vector(artifact.canonicalise(files[count % len(files)]).image)
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return sum(pool.map(work, range(len(os.sched_getaffinity(0))))) / seconds


def _measure_server(name: str, folder: Path, seconds: float, bodies: dict[str, list[bytes]]) -> ServerResult:
    """Send every load to one server."""
    predict_route, health_route = ROUTES.get(name, ("/predict", "/health"))
    first = load.make_post(predict_route, bodies["png"][0])
    cells = {}
    with _start_server(name, folder, first) as (port, process, start):
        for load_name, load_bodies in bodies.items():
            requests = [load.make_post(predict_route, body) for body in load_bodies]
            load.run(port, requests, 8, 1.0)  # warm up
            for connections in CONNECTIONS:
                cpu_before = measure_cpu_seconds(process.pid)
                result, health = load.run(port, requests, connections, seconds, load.make_get(health_route))
                cpu = measure_cpu_seconds(process.pid) - cpu_before
                answer_count = sum(status == 200 for status, _ in result.answers)
                cells[load_name, connections] = CellResult(
                    result, 1000 * cpu / max(1, answer_count), health.percentile(1.0)
                )
        return ServerResult(start, measure_memory(process.pid), cells)


@contextlib.contextmanager
def _start_server(name: str, folder: Path, first: bytes) -> Iterator[tuple[int, subprocess.Popen, float]]:
    """Start a server and wait for its first answer; yield port, process, and the seconds from start to that answer."""
    port = find_free_port()
    python = sys.executable if name in OURS else _install_peer(name, folder)
    module = "predictor" if name in OURS else f"tests.bench.peers.serve_{name}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AIP_STORAGE_URI": str(_artifact_dir(name, folder).resolve()),
        "AIP_HTTP_PORT": str(port),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    with (folder / f"{name}.log").open("w") as log:
        started_at = time.perf_counter()
        process = subprocess.Popen(
            [str(python), "-m", module], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            while not load.run(port, [first], 1, 0.001)[0].rate:
                if process.poll() is not None or time.perf_counter() - started_at > START_TIMEOUT:
                    raise RuntimeError(f"{name} did not start; see {log.name}")
                time.sleep(0.01)
            yield port, process, time.perf_counter() - started_at
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _install_peer(name: str, folder: Path) -> Path:
    """Return the Python of the peer's environment, which is created if it is missing."""
    environment_dir = folder / name
    if not (environment_dir / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", environment_dir], check=True)
        requirements = ROOT / "tests" / "bench" / "peers" / f"{name}.txt"
        subprocess.run([environment_dir / "bin" / "pip", "install", "-q", "-r", requirements], check=True)
        (environment_dir / "installed").touch()
    return environment_dir / "bin" / "python"


def _print_result(name: str, result: ServerResult) -> None:
    print(f"\n{name}: first answer after {result.start:.2f} s, {result.memory:.0f} MB")
    print("  request  connections   answers/s   p50 ms   p99 ms   CPU ms   slowest health ms   other statuses")
    for (load_name, connections), cell in result.cells.items():
        error_count = sum(status != 200 for status, _ in cell.load.answers)
        print(
            f"  {load_name:8} {connections:11} {cell.load.rate:11.1f} {cell.load.percentile(0.5):8.1f} "
            f"{cell.load.percentile(0.99):8.1f} {cell.cpu:8.2f} {cell.health:19.1f} {error_count:16}",
            flush=True,
        )


def _print_comparison(results: dict[str, ServerResult]) -> None:
    """Print the ratios of this server to the best of the others, for each load."""
    peers = [results[name].cells for name in results if name in PEERS]
    ours = [results[name].cells for name in OURS if name in results]
    if not peers or not ours:
        return
    print("\nratios to the best peer          throughput f32    int8    p99 f32    int8")
    for load_name, connections in ours[0]:
        best_rate = max(cells[load_name, connections].load.rate for cells in peers)
        best_p99 = min(cells[load_name, connections].load.percentile(0.99) for cells in peers)
        rates = [cells[load_name, connections].load.rate / best_rate for cells in ours]
        p99s = [cells[load_name, connections].load.percentile(0.99) / best_p99 for cells in ours]
        print(f"{load_name:8} {connections:3} connections     " + "".join(f"{ratio:12.2f}" for ratio in rates + p99s))


if __name__ == "__main__":
    main()
