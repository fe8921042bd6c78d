"""``python -m tests.bench.original``: is a training with default flags better than the original signature CNN was?

The protocol of that network on public sets: signatures of three corpora against words, 70 / 30 for training and
validation, here with a test split of other writers. Trains with each seed from nothing and from the ready artefact,
which saw no image of these sets, and prints the test split's numbers from the exported artefact. About half an hour on
two cores. Next: ``sources.py``, which measures sources that were not trained on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from trainer import ready

DATA = ("cedar", "sigcomp2011", "svc2004", "text")
GOALS = {"accuracy": 94.29, "signature precision": 96.55, "signature recall": 97.22}  # of the original network
STARTS = {"nothing": [], "ready": ["--init-from", ready.CLASSIFIER]}


def main() -> None:
    """Train what is not trained yet, and print a line for each training."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora (%(default)s)")
    flags.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9], help="of the trainings (%(default)s)")
    flags.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS), help="of the trainings (all)")
    flags.add_argument("--out", type=Path, default=Path("runs/original"), help="folder of job dirs (%(default)s)")
    options = flags.parse_args()
    print(f"{'start':10}{'seed':>5}  " + "  ".join(GOALS))
    print(f"{'goal':10}{'':>5}  " + "  ".join(f"{goal:{len(name)}.2f}" for name, goal in GOALS.items()))
    for start in options.starts:
        for seed in options.seeds:
            metrics = _train(options, start, seed)
            reached = all(metrics[name] > goal for name, goal in GOALS.items())
            cells = "  ".join(f"{metrics[name]:{len(name)}.2f}" for name in GOALS)
            print(f"{start:10}{seed:5}  {cells}  {'' if reached else 'below a goal'}", flush=True)


def _train(options: argparse.Namespace, start: str, seed: int) -> dict[str, float]:
    """Train by the public command unless that run is complete; return the metrics of ``GOALS`` in percent."""
    job_dir = options.out / f"{start}-{seed}"
    command = [sys.executable, "-m", "trainer.task", "--seed", str(seed), "--job-dir", str(job_dir), *STARTS[start]]
    command += [word for name in DATA for word in ("--train-dir", str(options.data / name))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    report = json.loads((job_dir / "report" / "report.json").read_text())["classification"]
    signature = report["labels"]["signature"]
    return dict(zip(GOALS, (report["accuracy"], signature["precision"], signature["recall"]), strict=True))


if __name__ == "__main__":
    main()
