"""``python -m tests.bench.sources``: is an artefact of signature_vs_text right on sources that it never saw?

Prints the recall of each source in percent: the share of its images that get their own label, from the original files,
by the exported artefact. Without ``--train`` it measures ``ready:signature_vs_text`` or the artefacts that are named.
``--train generated`` trains with the recipe of the ready artefact on generated images alone. ``--train left-out``
trains on these and on all real sources but one, once for each, and measures that one. Next: ``trainer/ready``.
"""

import argparse
import concurrent.futures
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from trainer import ready
from trainer.artifact.artifact import Artifact
from trainer.imaging import ImageError
from trainer.imaging.formats import FILE_SUFFIXES

SIGNATURES = {"cedar": "cedar", "sigcomp2011": "sigcomp2011", "svc2004": "svc2004", "nisdcc": "sigcomp2009_nisdcc",
              "nfi": "sigcomp2009_nfi"}  # fmt: skip
TEXTS = {"receipts": "text/receipts", "arabic": "text/arabic_handwriting", "english": "text/english_handwriting",
         "german": "text/german_handwriting"}  # fmt: skip
REPORTED = {"chinese_names": "chinese_names"}  # plain handwriting of names: reported, not counted
# Trained on beside the others, except with the source of the same people.
ADDITIONAL = {"kaggle_names": "nisdcc", "gpds_synthetic": ""}
RECIPE = Path("trainer/ready/recipes/signature_vs_text.toml")
GOALS = {"generated": (95, 88), "left-out": (97, 93)}  # least mean, and least of each source, in percent


def main() -> None:
    """Train as asked, measure, and print one line for each artefact."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("artifacts", nargs="*", default=[ready.DEFAULT], help="artefacts to measure (%(default)s)")
    flags.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sources (%(default)s)")
    flags.add_argument("--train", choices=sorted(GOALS), help="train first, instead of ARTIFACTS")
    flags.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9], help="of the trainings (%(default)s)")
    flags.add_argument("--sources", nargs="+", default=[*SIGNATURES, *TEXTS], help="to leave out (all)")
    flags.add_argument("--out", type=Path, default=Path("runs/sources"), help="folder of job dirs (%(default)s)")
    flags.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = flags.parse_args()
    if options.train == "left-out":
        rows = dict(_leave_out(options))
    else:
        names = [str(_train(options, seed)) for seed in options.seeds] if options.train else options.artifacts
        rows = {name: measure(Artifact(ready.fetch_artifact(name)), options.data) for name in names}
        for name, recalls in rows.items():
            _print_row(name, recalls)
    if options.train:
        mean, least = GOALS[options.train]
        print(f"goal: mean at least {mean}, each source at least {least}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def measure(artifact: Artifact, data: Path, sources: tuple[str, ...] = ()) -> dict[str, dict[str, float]]:
    """Measure recall in percent and the number of images of each source, or of those that are named."""
    recalls = {}
    for label, group in (("signature", {**SIGNATURES, **REPORTED}), ("text", TEXTS)):
        for name, folder in group.items():
            if sources and name not in sources:
                continue
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                answers = list(pool.map(lambda path: _answer(artifact, path), _list_files(data / folder)))
            recalls[name] = {
                "recall": 100 * sum(answer == label for answer in answers) / len(answers),
                "images": len(answers),
                "unreadable": sum(answer == "" for answer in answers),
            }
    return recalls


def _list_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in FILE_SUFFIXES)


def _answer(artifact: Artifact, path: Path) -> str:
    """Return the label that the artefact gives; empty for an image that it cannot read, which counts as wrong."""
    try:
        return artifact.answer(path.read_bytes())["label"]
    except ImageError:
        return ""


def _train(options: argparse.Namespace, seed: int, *arguments: str, name: str = "generated") -> Path:
    """Train by the public command unless that run is complete; return the artefact."""
    job_dir = options.out / f"{name}-{seed}"
    command = [sys.executable, "-m", "trainer.task", "--config", str(RECIPE), "--seed", str(seed), *arguments]
    start = time.monotonic()
    subprocess.run([*command, "--job-dir", str(job_dir)], check=True)
    print(f"{job_dir.name}: {(time.monotonic() - start) / 60:.1f} min", flush=True)
    return job_dir / "model"


def _leave_out(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
    for seed in options.seeds:
        first = _train(options, seed)
        recalls: dict[str, dict[str, float]] = {}
        for left_out in options.sources:
            flags = ["--init-from", str(first)]
            for name, folder in SIGNATURES.items():
                flags += ["--train-dir", str(options.data / folder)] if name != left_out else []
            for name, folder in TEXTS.items():
                flags += ["--train-dir", f"text={options.data / folder}"] if name != left_out else []
            for folder, same_people in ADDITIONAL.items():
                flags += ["--train-dir", str(options.data / folder)] if same_people != left_out else []
            artifact = Artifact(_train(options, seed, *flags, name=f"without-{left_out}"))
            recalls |= measure(artifact, options.data, (left_out,))
        _print_row(f"left out, seed {seed}", recalls)
        yield f"left-out-{seed}", recalls


def _print_row(name: str, recalls: dict[str, dict[str, float]]) -> None:
    counted = [row["recall"] for source, row in recalls.items() if source not in REPORTED]
    cells = "  ".join(f"{source} {row['recall']:.1f}" for source, row in recalls.items())
    print(f"{name}: {cells}; mean {statistics.mean(counted):.1f}, least {min(counted):.1f}", flush=True)


if __name__ == "__main__":
    main()
