"""``python -m tests.bench.closed_sets [--init-from X]``: how good are the problems about known writers on public sets?

Trains with each seed by the public command and its default flags, on CEDAR: ``genuine_vs_forged`` on ten writers, and
``writer_identification`` on all, whose images are split. Prints one row for each seed, in percent, from the exported
artefact and the original image files: the balanced accuracy of the first on its test images; of the second, the share
of test images whose best label is right (top-1), the share answered rightly, the share answered ``unknown``, and the
share of genuine signatures of other sets, whose writers it does not know, answered ``unknown``.

The default start of the problems, ``ready:same_writer``, has learnt all of CEDAR and of three of the other sets. So the
trainings start from an encoder of ``tests.bench.verification`` that was trained without CEDAR; it knows sigcomp2011,
svc2004 and sigcomp2009_nisdcc, and copies of chinese_names. Next: ``verification.py``, which trains that encoder.
"""

import argparse
import concurrent.futures
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from trainer import corpora
from trainer.artifact.artifact import Artifact
from trainer.artifact.manifest import UNKNOWN
from trainer.imaging import ImageError

FEW_WRITERS = [f"{number:03d}" for number in range(1, 11)]  # of genuine_vs_forged
STRANGERS = ("sigcomp2011", "svc2004", "sigcomp2009_nisdcc", "chinese_names")
STRANGER_IMAGES = 300  # of each of these sets, drawn by the seed of the draw
DRAW_SEED = 1
START = "runs/verification/b-cedar-7/model"
PROBLEMS = {
    "genuine_vs_forged": ["balanced accuracy", "minutes"],
    "writer_identification": ["top-1", "right", "unknown", *(f"unknown: {name}" for name in STRANGERS), "minutes"],
}


def main() -> None:
    """Train what is not trained yet, measure, and print the table."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora (%(default)s)")
    flags.add_argument("--init-from", default=START, help="start of the trainings (%(default)s)", metavar="PATH")
    flags.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9], help="of the trainings (%(default)s)")
    flags.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), help="to train (all)")
    flags.add_argument("--out", type=Path, default=Path("runs/closed_sets"), help="folder of job dirs (%(default)s)")
    flags.add_argument("--flags", default="", help="more flags of trainer.task, in one word")
    options = flags.parse_args()
    columns = [(problem, name) for problem in options.problems for name in PROBLEMS[problem]]
    print("| seed | " + " | ".join(name for _, name in columns) + " |")
    print("|---:|" + "---:|" * len(columns), flush=True)
    for seed in options.seeds:
        cells = {problem: _measure(options, problem, seed) for problem in options.problems}
        numbers = " | ".join(f"{cells[problem][name]:.1f}" for problem, name in columns)
        print(f"| {seed} | {numbers} |", flush=True)
    print(f"{os.cpu_count()} cores; start: {options.init_from} {options.flags}")


def _measure(options: argparse.Namespace, problem: str, seed: int) -> dict[str, float]:
    """Train a problem unless that run is complete; return the numbers of its columns."""
    data = options.data / "cedar"
    job_dir = options.out / f"{problem}-{seed}"
    command = [sys.executable, "-m", "trainer.task", "--problem", problem, "--seed", str(seed)]
    command += ["--train-dir", str(data if problem == "writer_identification" else _link_few_writers(options, data))]
    command += ["--init-from", options.init_from]
    is_complete, start = (job_dir / "report" / "report.json").exists(), time.monotonic()
    subprocess.run([*command, *options.flags.split(), "--job-dir", str(job_dir)], check=True, stdout=subprocess.DEVNULL)
    minutes = float("nan") if is_complete else (time.monotonic() - start) / 60
    metrics = json.loads((job_dir / "report" / "report.json").read_text())["classification"]
    if problem == "genuine_vs_forged":
        return {"balanced accuracy": _compute_balanced_accuracy(metrics), "minutes": minutes}
    artifact = Artifact(job_dir / "model")
    return {
        "top-1": metrics["top_1"],
        "right": metrics["accuracy"],
        "unknown": metrics["unknown"],
        **{f"unknown: {name}": _measure_strangers(artifact, options.data / name) for name in STRANGERS},
        "minutes": minutes,
    }


def _link_few_writers(options: argparse.Namespace, data: Path) -> Path:
    """Make a folder of links to the folders of ``FEW_WRITERS``, genuine and forged."""
    folder = options.out / "few_writers"
    folder.mkdir(parents=True, exist_ok=True)
    for name in (name for writer in FEW_WRITERS for name in (writer, f"{writer}_forg")):
        if not (folder / name).exists():
            (folder / name).symlink_to((data / name).resolve())
    return folder


def _compute_balanced_accuracy(metrics: dict[str, Any]) -> float:
    """Return the mean recall of the labels in percent."""
    return statistics.mean(row["recall"] for row in metrics["labels"].values())


def _measure_strangers(artifact: Artifact, folder: Path) -> float:
    """Return the share, in percent, of the genuine signatures of a set that are answered ``unknown``."""
    if not folder.is_dir():
        return float("nan")
    genuine = [sample.path for sample in corpora.read(folder).samples if sample.label == "genuine"]
    rng = np.random.default_rng(DRAW_SEED)
    drawn = [genuine[i] for i in rng.permutation(len(genuine))[:STRANGER_IMAGES]]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = [answer for answer in pool.map(lambda path: _answer(artifact, path), drawn) if answer]
    return 100 * answers.count(UNKNOWN) / len(answers)


def _answer(artifact: Artifact, path: Path) -> str:
    """Return the label of the answer; empty for an image that cannot be read."""
    try:
        return artifact.answer(path.read_bytes())["label"]
    except ImageError:
        return ""


if __name__ == "__main__":
    main()
