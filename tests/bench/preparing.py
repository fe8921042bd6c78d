"""``python -m tests.bench.preparing [FEW MANY]``: how fast are folders prepared, and does memory stay flat?

Each amount in a process of its own: the same generated images under so many names, prepared for training from survey to
records. Images a second on all cores and on one, and the peak of memory.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

AMOUNTS = (1_000, 20_000)
WRITERS, EACH = 25, 40

PREPARE = """
import os, sys, time
from pathlib import Path
cores = int(sys.argv[3])
os.cpu_count = lambda: cores
from trainer import corpora, records, splits, survey; from trainer.console import quiet
quiet.import_tensorflow()
from trainer.audit.examine import examine
from trainer.imaging import Imaging

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1000

folder, work = Path(sys.argv[1]), Path(sys.argv[2])
reading = corpora.read(folder)
began, before = time.perf_counter(), peak()
look = survey.survey(reading.samples, Imaging(96, 192), work / "survey")
seconds = time.perf_counter() - began
judged = examine(look, [reading])
parts = splits.split(reading.samples, 0.3, 0.0, 1, twins=judged.twins)
records.write(look, parts, ("genuine", "forged"), work / "records", "bench")
look.forget()
rate, whole = len(reading.samples) / seconds, time.perf_counter() - began
print(f"RESULT {len(reading.samples)} {rate:.0f} {whole:.0f} {before} {peak()}")
"""


def main(amounts: list[int]) -> None:
    """Print one line for each amount, and the smallest once more on one core."""
    from trainer.samples import generator
    from trainer.samples.amount import Amount

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        half = EACH // 2
        for _ in generator.write(source, Amount("paired_folders", WRITERS, half, half, 0), seed=1):
            pass
        print("   images  cores   images/s   seconds in all   memory before   peak memory")
        for number, (amount, cores) in enumerate([(amounts[0], 1), *((amount, os.cpu_count()) for amount in amounts)]):
            many = _linked(source, Path(folder) / f"many-{number}", amount)
            command = [sys.executable, "-c", PREPARE, str(many), str(Path(folder) / f"work-{number}"), str(cores)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            images, rate, seconds, before, peak = told.split("RESULT ")[1].split()
            print(f"{images:>9}  {cores:>5}   {rate:>8}   {seconds:>14}   {before:>10} MB   {peak:>8} MB", flush=True)


def _linked(source: Path, folder: Path, amount: int) -> Path:
    """So many names for the same files, each thousand of them of other writers."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    for number in range(amount):
        original, copy = files[number % len(files)], number // len(files)
        writer = f"{copy:04d}{original.parent.name}"
        (folder / writer).mkdir(parents=True, exist_ok=True)
        (folder / writer / original.name).symlink_to(original)
    return folder


if __name__ == "__main__":
    main([int(amount) for amount in sys.argv[1:]] or list(AMOUNTS))
