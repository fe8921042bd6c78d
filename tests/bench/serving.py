"""``make bench-serving``: our server beside others, in turns within one run, on the same machine.

Same SavedModel (the ``lightweight`` encoder, not trained), same imaging code, same requests: a PNG of some 30 kB, a
JPEG of 1600 x 1200 pixels, eight PNGs in one request; 1, 8 and 32 connections on loopback. Peers are installed,
pinned, in ``.bench/`` by the first run. Ratios count; the numbers beside them are of a machine that others use, too.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.bench import load
from tests.bench.artefacts import untrained
from trainer import variant
from trainer.artifact.artifact import Model
from trainer.samples import hand, paper, pen

ROOT = Path(__file__).parent.parent.parent
PEERS = ("cpr", "litserve", "bentoml", "kserve", "fastapi")
OURS = ("ours", "ours-int8")
CONNECTIONS = (1, 8, 32)
ROUTES = {"kserve": ("/v1/models/signatures:predict", "/v2/health/live"), "bentoml": ("/predict", "/livez")}
PEOPLE = 16  # different images, so that nobody answers from a cache


def main() -> None:
    """Run what is asked for, and print the table."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("servers", nargs="*", metavar="SERVER", help=f"of {', '.join((*OURS, *PEERS))}; all of them")
    flags.add_argument("--seconds", type=float, default=5.0, help="of each load (%(default)s)")
    flags.add_argument("--folder", type=Path, default=Path(".bench"), help="environments and artefact (%(default)s)")
    options = flags.parse_args()
    options.folder.mkdir(exist_ok=True)
    artefact = options.folder / "model"
    if not artefact.exists():
        untrained(artefact, backbone="lightweight")
        variant.copy(artefact, "int8", options.folder / "model-int8")
    bodies = {"png": requests(png, 1), "jpeg": requests(jpeg, 1), "8 png": requests(png, 8)}
    _bare(artefact)
    found = {}
    for name in options.servers or [*OURS, *PEERS]:
        found[name] = _measured(name, options, bodies)
        limit = _limit(options.folder / ("model-int8" if name == "ours-int8" else "model"), options.seconds)
        print(f"  the machine's limit, decode + ink + engine on all cores: {limit:.0f} images/s; "
              f"{found[name]['png', 8].rate / limit:.0%} of it reached", flush=True)  # fmt: skip
    _compare(found)


def png(person: int) -> bytes:
    """A scan of a generated signature on whitened paper, colour, some 30 kB."""
    grain = np.random.default_rng(person)
    picture = np.where(_scan(person, 700, 400) > 185, 255, _scan(person, 700, 400)).astype(float)
    written = (picture < 255).any(axis=2, keepdims=True)
    picture = np.clip(picture + written * grain.normal(0, 8, picture.shape), 0, 255)
    return _saved(picture, "PNG")


def jpeg(person: int) -> bytes:
    """A photograph of 1600 x 1200 pixels."""
    picture = _scan(person, 1600, 1200).astype(float)
    return _saved(np.clip(picture + np.random.default_rng(person).normal(0, 1, picture.shape), 0, 255), "JPEG")


def requests(image, instances: int) -> list[bytes]:
    """Bodies of so many instances each, of different people."""
    images = [{"image": {"b64": base64.b64encode(image(person)).decode()}} for person in range(1, PEOPLE + 1)]
    return [
        json.dumps({"instances": [images[(at + n) % PEOPLE] for n in range(instances)]}).encode()
        for at in range(PEOPLE)
    ]


def _scan(person: int, width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(person)
    signer = hand.new_person(rng)
    tool, capture = hand.a_pen(rng, signer.habits.pen_width), paper.a_capture(rng)
    drawn = paper.scan(pen.draw(hand.genuine(signer, rng), tool, 260, rng), tool, capture, rng)
    grey = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)
    return grey if grey.ndim == 3 else np.repeat(grey[:, :, None], 3, axis=2)


def _saved(picture: np.ndarray, format: str) -> bytes:
    written = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(written, format, quality=85)
    return written.getvalue()


def _bare(artefact: Path) -> None:
    """CPU milliseconds of decode + ink by itself, and of Pillow's decoding."""
    model = Model(artefact)
    for name, image in (("png", png), ("jpeg", jpeg)):
        files = [image(person) for person in range(1, PEOPLE + 1)]
        see = _cpu(model.see, files)
        pillow = _cpu(lambda data: Image.open(io.BytesIO(data)).convert("L"), files)
        size = statistics.mean(map(len, files)) / 1000
        print(f"{name} of {size:.0f} kB: decode + ink {see:.2f} ms of CPU; Pillow's decoding alone {pillow:.2f}")


def _cpu(work, files: list[bytes]) -> float:
    spent = []
    for _ in range(8):
        for data in files:
            began = time.thread_time()
            work(data)
            spent.append(1000 * (time.thread_time() - began))
    return statistics.median(spent)


def _limit(artefact: Path, seconds: float) -> float:
    """Images a second without any server: as many threads as cores, each decode, ink and engine."""
    model, files = Model(artefact), [png(person) for person in range(1, PEOPLE + 1)]
    until = time.perf_counter() + seconds

    def work(_) -> int:
        done = 0
        while time.perf_counter() < until:
            model.vector(model.see(files[done % PEOPLE]).image)
            done += 1
        return done

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return sum(pool.map(work, range(len(os.sched_getaffinity(0))))) / seconds


def _measured(name: str, options, bodies: dict[str, list[bytes]]) -> dict:
    """Every load on one server."""
    predict, health = ROUTES.get(name, ("/predict", "/health"))
    with _started(name, options.folder, load.post(predict, bodies["png"][0])) as (port, process, start):
        found: dict = {"start": start}
        for kind, of in bodies.items():
            wanted = [load.post(predict, body) for body in of]
            load.run(port, wanted, 8, 1.0)  # warm
            for connections in CONNECTIONS:
                before = _cpu_seconds(process.pid)
                found[kind, connections], asked = load.run(port, wanted, connections, options.seconds, load.get(health))
                spent = _cpu_seconds(process.pid) - before
                answered = sum(status == 200 for status, _ in found[kind, connections].answers)
                found[kind, connections, "cpu"] = 1000 * spent / max(1, answered)
                found[kind, connections, "health"] = asked.percentile(1.0)
        found["memory"] = _memory(process.pid)
    _tell(name, found)
    return found


@contextlib.contextmanager
def _started(name: str, folder: Path, first: bytes) -> Iterator[tuple[int, subprocess.Popen, float]]:
    """A server, when it has answered its first prediction: port, process, seconds from start to that answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    artefact = folder / ("model-int8" if name == "ours-int8" else "model")
    python = sys.executable if name in OURS else _installed(name, folder)
    module = "predictor" if name in OURS else f"tests.bench.peers.serve_{name}"
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "AIP_STORAGE_URI": str(artefact.resolve()), "AIP_HTTP_PORT": str(port),
        "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    with (folder / f"{name}.log").open("w") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(python), "-m", module], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            while not load.run(port, [first], 1, 0.001)[0].rate:
                if process.poll() is not None or time.perf_counter() - began > 120:
                    raise RuntimeError(f"{name} did not start; see {log.name}")
                time.sleep(0.01)
            yield port, process, time.perf_counter() - began
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _installed(name: str, folder: Path) -> Path:
    """The peer's own environment, made when it is not there."""
    place = folder / name
    if not (place / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        wanted = ROOT / "tests" / "bench" / "peers" / f"{name}.txt"
        subprocess.run([place / "bin" / "pip", "install", "-q", "-r", wanted], check=True)
        (place / "installed").touch()
    return place / "bin" / "python"


def _tree(pid: int) -> list[int]:
    """The process and all below it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def _cpu_seconds(pid: int) -> float:
    ticks = 0
    for each in _tree(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    """Proportional set size of the whole tree, MB: what processes share counts once."""
    total = 0
    for each in _tree(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1000


def _tell(name: str, found: dict) -> None:
    print(f"\n{name}: first answer after {found['start']:.2f} s, {found['memory']:.0f} MB")
    print("  request  connections   answers/s   p50 ms   p99 ms   CPU ms   slowest health ms   other statuses")
    for kind, connections in _cells(found):
        of = found[kind, connections]
        others = sum(status != 200 for status, _ in of.answers)
        print(
            f"  {kind:8} {connections:11} {of.rate:11.1f} {of.percentile(0.5):8.1f} {of.percentile(0.99):8.1f} "
            f"{found[kind, connections, 'cpu']:8.2f} {found[kind, connections, 'health']:19.1f} {others:16}",
            flush=True,
        )


def _cells(found: dict) -> list[tuple[str, int]]:
    return [key for key in found if isinstance(key, tuple) and len(key) == 2]


def _compare(found: dict[str, dict]) -> None:
    """Ours against the best of the others, cell by cell."""
    peers, cells = [name for name in found if name in PEERS], _cells(found["ours"])
    if not peers:
        return
    print("\nratios to the best peer          throughput f32    int8    p99 f32    int8")
    for kind, connections in cells:
        best = max(found[name][kind, connections].rate for name in peers)
        quickest = min(found[name][kind, connections].percentile(0.99) for name in peers)
        rates = [found[name][kind, connections].rate / best for name in OURS if name in found]
        slowest = [found[name][kind, connections].percentile(0.99) / quickest for name in OURS if name in found]
        print(f"{kind:8} {connections:3} connections     " + "".join(f"{value:12.2f}" for value in rates + slowest))


if __name__ == "__main__":
    main()
