"""``python -m tests.bench.beam --data FOLDER [COUNT...]``: prepare the first COUNT images, locally and on Beam.

Prints the time, the peak memory of the driver and of the largest worker, and whether the records, the audit and the
manifest are equal to those of the local run, byte for byte. ``--kill`` kills the whole run again and again, and the
same command continues it. ``python -m trainer.samples FOLDER --layout paired_folders`` writes images. Next:
``trainer/beam/execution.py``, the measured code.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

RUNNERS = {"local": [], "direct": ["--runner", "direct"], "portable": ["--runner", "portable"]}
INTERVAL = 0.2  # seconds between two readings of memory


class Measurement(NamedTuple):
    """Seconds, peak megabytes of driver and worker, how often the run was killed, and a digest of its files."""

    seconds: float
    driver: int
    worker: int
    kills: int
    digest: str


def main() -> None:
    """Print a line for each count and runner."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.beam", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--runners", nargs="+", choices=RUNNERS, default=list(RUNNERS))
    parser.add_argument("--kill", type=float, default=0, metavar="SECONDS", help="kill after so long on average")
    parser.add_argument("counts", nargs="*", type=int, default=[1000])
    options = parser.parse_args()
    files = sorted(path for path in options.data.rglob("*") if path.is_file())
    print("  images  runner    seconds  images/s  driver MB  worker MB  kills  equal to the first")
    for count in options.counts:
        with tempfile.TemporaryDirectory(dir=options.data.resolve().parent) as folder:
            images = _link(files[:count], options.data, Path(folder) / "people")
            digests = []
            for runner in options.runners:
                kill = options.kill if runner != "local" else 0
                measured = _measure(images, Path(folder) / runner, RUNNERS[runner], kill)
                digests.append(measured.digest)
                rate = count / measured.seconds
                print(
                    f"{count:8,}  {runner:8}  {measured.seconds:7.0f}  {rate:8.0f}  {measured.driver:9,}  "
                    f"{measured.worker:9,}  {measured.kills:5}  {'yes' if measured.digest == digests[0] else 'NO'}",
                    flush=True,
                )


def _link(files: list[Path], source: Path, folder: Path) -> Path:
    for file in files:
        target = folder / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(file)  # of several symbolic links to a file, only one is read
    return folder


def _measure(images: Path, job_dir: Path, arguments: list[str], kill_seconds: float) -> Measurement:
    """Prepare the images, and continue the run each time that it is killed."""
    command = [sys.executable, "-m", "trainer.prepare", "--train-dir", str(images), "--job-dir", str(job_dir)]
    command += ["--problem", "same_writer", "--copies-share", "0", *arguments]
    rng, started_at, kills = random.Random(0), time.monotonic(), 0
    peaks: dict[int, int] = {}
    driver = 0
    while True:
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + (rng.expovariate(1 / kill_seconds) if kill_seconds else float("inf"))
        while process.poll() is None and time.monotonic() < deadline:
            for pid in _list_processes(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), _read_peak(pid))
            time.sleep(INTERVAL)
        driver = max(driver, peaks.pop(process.pid, 0))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
            process.communicate()
            continue
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors.decode()[-2000:])
        return Measurement(time.monotonic() - started_at, driver, max(peaks.values(), default=0), kills, _hash(job_dir))


def _list_processes(session: int) -> list[int]:
    """List the processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == session:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _read_peak(pid: int) -> int:
    """Return the peak resident memory of a process in megabytes, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1000 for line in lines if line.startswith("VmHWM")), 0)


def _hash(job_dir: Path) -> str:
    """Return a digest of the files that are prepared: settings, audit, manifest and records."""
    digest = hashlib.sha256()
    for file in [job_dir / "config.toml", job_dir / "audit.json", *sorted((job_dir / "records").rglob("*"))]:
        digest.update(file.relative_to(job_dir).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
