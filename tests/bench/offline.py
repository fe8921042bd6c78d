"""``python -m tests.bench.offline --data FOLDER [COUNT...]``: ``predictor.offline`` beside the limit of the machine.

The limit is as many independent processes as processors, each with an artefact of its own and NumPy on one thread,
which answer and format their share of the files in a loop and discard the output. Limit, threads and processes are
measured in turns, with their start, and with the processor time of a file; goal: processes reach 0.90 of the limit.
Memory is the peak of the command and of its largest process, which must not grow with the number of files.
``--break-even`` measures few files instead, to find from which number on processes are faster. ``python -m
trainer.samples FOLDER --layout paired_folders`` writes images, which are linked as often as needed. Next:
``predictor/batch/workers.py``, the measured code.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench.processes import list_tree, measure_peak_memory

INTERVAL = 0.2  # seconds between two readings of memory
FLAGS = {
    "ready:same_writer": ["--artifact", "ready:same_writer", "--return-embedding"],
    "ready:signature_vs_text": ["--artifact", "ready:signature_vs_text"],
}
LOOP = """
from predictor.blas_threads import limit_blas_threads
limit_blas_threads()
import itertools, json, os, sys
from predictor.batch import workers
from predictor.offline import make_spec
from predictor.batch.listing import list_files
from trainer.imaging.formats import FILE_SUFFIXES
folder, share, shares, *flags = sys.argv[1:]
answerer = workers.BatchAnswerer(make_spec(*flags).open(replay_golden=False))
names = enumerate(list_files([folder], FILE_SUFFIXES), 1)
for number, name in itertools.islice(names, int(share), None, int(shares)):
    answerer.format_answer(number, name)
"""
THREADS = """
import sys
from predictor import offline
from predictor.batch import workers
from predictor.vcpus import count_vcpus

def answer_files(spec, answerer, files, count):
    return workers._run_in_threads(workers.BatchAnswerer(answerer).format_answer, files, count_vcpus())

offline.answer_files = answer_files
sys.exit(offline.main(sys.argv[1:]))
"""


class Measurement(NamedTuple):
    """Seconds, processor seconds, and peak megabytes of the command and of its largest process."""

    seconds: float
    cpu_seconds: float
    command: float
    process: float


def main() -> None:
    """Print a line for each artefact, number of files and round."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.offline", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--artifacts", nargs="+", choices=FLAGS, default=list(FLAGS))
    parser.add_argument("--only", nargs="+", choices=("limit", "threads", "processes"))
    parser.add_argument("--break-even", action="store_true", help="measure few files")
    parser.add_argument("counts", nargs="*", type=int)
    options = parser.parse_args()
    counts = options.counts or ([16, 32, 64, 128, 256, 512] if options.break_even else [1000])
    files = sorted(path for path in options.data.rglob("*") if path.is_file())
    chosen = options.only or (["threads", "processes"] if options.break_even else ["limit", "threads", "processes"])
    print(f"{os.cpu_count()} processors; the start is part of each time")
    print("artefact                  files     with       seconds  files/s  of limit  CPU ms  command MB  process MB")
    for artifact, count in itertools.product(options.artifacts, counts):
        with tempfile.TemporaryDirectory(dir=options.data.resolve().parent) as folder:
            images = _link(files, count, Path(folder) / "images")
            rounds = [
                {each: _measure(each, images, Path(folder) / "out.jsonl", FLAGS[artifact]) for each in chosen}
                for _ in range(options.rounds)
            ]
        for each in chosen:
            seconds = statistics.median(measured[each].seconds for measured in rounds)
            ratios = [row["limit"].seconds / row[each].seconds for row in rounds if "limit" in row]
            ratio = f"{statistics.median(ratios):8.2f}" if ratios else " " * 8
            cpu = statistics.median(measured[each].cpu_seconds for measured in rounds)
            command, process = (max(getattr(row[each], name) for row in rounds) for name in ("command", "process"))
            print(
                f"{artifact:24} {count:8,}  {each:9}  {seconds:8.2f}  {count / seconds:7.0f}  {ratio}  "
                f"{1000 * cpu / count:6.2f}  {command:10.0f}  {process:10.0f}",
                flush=True,
            )
        if "limit" in rounds[0] and "processes" in rounds[0]:
            ratios = sorted(round(row["limit"].seconds / row["processes"].seconds, 2) for row in rounds)
            print(f"{'':24} processes against the limit, each round: {json.dumps(ratios)}; goal 0.90", flush=True)


def _link(files: list[Path], count: int, folder: Path) -> Path:
    """Link files again and again until there are ``count``, in folders of a thousand."""
    for number, file in enumerate(itertools.islice(itertools.cycle(files), count)):
        target = folder / f"{number // 1000:04d}" / f"{number % 1000:03d}{file.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(file)
    return folder


def _measure(kind: str, images: Path, out: Path, flags: list[str]) -> Measurement:
    """Run the limit, threads or processes to the end."""
    command = ["-m", "predictor.offline", str(images), *flags, "--out", str(out), "--overwrite"]
    commands = {
        "limit": [
            ["-c", LOOP, str(images), str(share), str(os.cpu_count()), *flags] for share in range(os.cpu_count() or 1)
        ],
        "threads": [["-c", THREADS, *command[2:]]],
        "processes": [command],
    }
    started_at, started_cpu = time.monotonic(), _measure_cpu()
    running = [subprocess.Popen([sys.executable, *each], stderr=subprocess.PIPE) for each in commands[kind]]
    own_peak = peak = 0.0
    while any(process.poll() is None for process in running):
        for pid in list_tree(running[0].pid):
            try:
                memory = measure_peak_memory(pid)
            except (OSError, StopIteration):  # it has ended
                continue
            own_peak, peak = (max(own_peak, memory), peak) if pid == running[0].pid else (own_peak, max(peak, memory))
        time.sleep(INTERVAL if time.monotonic() - started_at > 10 else 0.01)
    seconds = time.monotonic() - started_at
    for process in running:
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors.decode()[-2000:])
    return Measurement(seconds, _measure_cpu() - started_cpu, own_peak, peak)


def _measure_cpu() -> float:
    """Return the processor seconds of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
