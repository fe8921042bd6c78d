"""``python -m tests.bench.preparing [COUNT...]``: measure the speed and memory of preparing folders for training.

Each count runs in a separate process: the same generated images under so many names, from the image index to the
records. Prints images a second on all cores and on one, and the peak of memory. Next: ``trainer/data/image_index.py``
and ``trainer/data/records.py``, the measured code.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

COUNTS = (1_000, 20_000)
WRITERS, IMAGES_PER_WRITER = 25, 40

PREPARE = """
import os, sys, time
from pathlib import Path
cores = int(sys.argv[3])
os.cpu_count = lambda: cores
from trainer.console import quiet
quiet.import_tensorflow()
from trainer import corpora
from trainer.audit.audit import run_audit
from trainer.data import image_index, records, splits
from trainer.imaging import Imaging

def measure_peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1000

images_dir, workdir = Path(sys.argv[1]), Path(sys.argv[2])
listing = corpora.read(images_dir)
started_at, peak_before = time.perf_counter(), measure_peak()
index = image_index.build_image_index(listing.samples, Imaging(96, 192), workdir / "index")
index_seconds = time.perf_counter() - started_at
audit = run_audit(index, [listing])
split_samples = splits.split_samples(listing.samples, 0.3, 0.0, 1, duplicate_pairs=audit.duplicate_pairs)
records.write(index, split_samples, workdir / "records", records.RecordsSpec(("genuine", "forged"), "bench"))
index.delete()
rate, seconds = len(listing.samples) / index_seconds, time.perf_counter() - started_at
print(f"RESULT {len(listing.samples)} {rate:.0f} {seconds:.0f} {peak_before} {measure_peak()}")
"""


def main(counts: list[int]) -> None:
    """Print one line for each count, and before them one for the first count on one core."""
    from trainer.generators import signatures as generator
    from trainer.samples.amount import DatasetSpec

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        half = IMAGES_PER_WRITER // 2
        for _ in generator.write_dataset(source, DatasetSpec("paired_folders", WRITERS, half, half, 0), seed=1):
            pass
        print("   images  cores   images/s   total seconds   memory before   peak memory")
        for run, (count, cores) in enumerate([(counts[0], 1), *((count, os.cpu_count()) for count in counts)]):
            images_dir = _link_images(source, Path(folder) / f"images-{run}", count)
            command = [sys.executable, "-c", PREPARE, str(images_dir), str(Path(folder) / f"work-{run}"), str(cores)]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            images, rate, seconds, before, peak = output.split("RESULT ")[1].split()
            print(f"{images:>9}  {cores:>5}   {rate:>8}   {seconds:>13}   {before:>10} MB   {peak:>8} MB", flush=True)


def _link_images(source: Path, folder: Path, count: int) -> Path:
    """Link the same files under so many names, each thousand of them as other writers; return the folder."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    for number in range(count):
        original, copy = files[number % len(files)], number // len(files)
        writer = f"{copy:04d}{original.parent.name}"
        (folder / writer).mkdir(parents=True, exist_ok=True)
        # A hard link: of several symbolic links to a file, only one is read.
        (folder / writer / original.name).hardlink_to(original)
    return folder


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or list(COUNTS))
