"""``python -m tests.bench.sources``: is an artefact of signature_vs_text right on sources that it never saw?

Prints the recall of each source in percent: the share of its images that get their own label, from the original files,
by the exported artefact. Without ``--train`` it measures ``ready:signature_vs_text`` or the artefacts that are named,
and ``--measurements`` writes the numbers for a model card. ``--train generated`` trains with the recipe of the ready
artefact on generated images alone. ``--train left-out`` goes on from there, on generated images and all real sources
but one, once for each source, and measures that one. ``--train all`` goes on with all real sources. Next:
``trainer/ready``.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scipy import stats

from trainer import ready
from trainer.artifact.artifact import Artifact
from trainer.artifact.card import Measurement
from trainer.imaging import ImageError
from trainer.imaging.formats import FILE_SUFFIXES

SIGNATURES = {"cedar": "cedar", "sigcomp2011": "sigcomp2011", "svc2004": "svc2004", "nisdcc": "sigcomp2009_nisdcc",
              "nfi": "sigcomp2009_nfi"}  # fmt: skip
TEXTS = {"receipts": "text/receipts", "arabic": "text/arabic_handwriting", "english": "text/english_handwriting",
         "german": "text/german_handwriting"}  # fmt: skip
REPORTED = {"chinese_names": "chinese_names"}  # plain handwriting of names: reported, not counted
ADDITIONAL = {"kaggle_names": "nisdcc"}  # trained on beside the others, except with the source of the same people
RECIPE = Path("trainer/ready/recipes/signature_vs_text.toml")
# How a training goes on from generated images to real ones: briefly, with generated ones in every batch.
FURTHER = (
    "--epochs 1 --stream 30000 --learning-rate 0.0007 --warmup 0.1 --validation-fraction 0.1 --test-fraction 0.02 "
    "--drop-duplicates"
).split()
GENERATED = "--seed 17 --writers 80 --genuine 8 --forged 2 --text 10 --other 6".split()  # it has the label "other"
GOALS = {"generated": (95, 88), "left-out": (97, 93)}  # least mean, and least of each source, in percent
RELATIONS = {"left-out": "the other sources", "all": "trained on"}  # of a measured source to the training

Recalls = dict[str, dict[str, float]]  # by source: recall in percent, images, how many of them cannot be read


def main() -> None:
    """Train as asked, measure, and print one line for each artefact."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("artifacts", nargs="*", default=[ready.CLASSIFIER], help="artefacts to measure (%(default)s)")
    flags.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sources (%(default)s)")
    flags.add_argument("--train", choices=["generated", "left-out", "all"], help="train first, instead of ARTIFACTS")
    flags.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9], help="of the trainings (%(default)s)")
    flags.add_argument("--sources", nargs="+", default=[*SIGNATURES, *TEXTS], help="to leave out (all)")
    flags.add_argument("--out", type=Path, default=Path("runs/sources"), help="folder of job dirs (%(default)s)")
    flags.add_argument("--json", type=Path, help="also write the numbers to this file")
    flags.add_argument("--measurements", type=Path, help="write the last row to this file, for python -m trainer.ready")
    options = flags.parse_args()
    rows = {}
    for name, recalls in _leave_out(options) if options.train == "left-out" else _measure_artifacts(options):
        rows[name] = recalls
        _print_row(name, recalls)
    if options.train in GOALS:
        mean, least = GOALS[options.train]
        print(f"goal: mean at least {mean}, each source at least {least}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if options.measurements:
        measurements = _describe_recalls(recalls, RELATIONS.get(options.train, "none"))
        options.measurements.write_text(json.dumps(measurements, indent=1) + "\n")


def measure(artifact: Artifact, data: Path, sources: tuple[str, ...] = ()) -> Recalls:
    """Measure the recall of each source of the folder ``data``, or of those that are named."""
    recalls = {}
    for label, group in (("signature", {**SIGNATURES, **REPORTED}), ("text", TEXTS)):
        for name, folder in group.items():
            if sources and name not in sources:
                continue
            paths = list(_list_files(data / folder))
            if not paths:
                print(f"{name}: not measured, {data / folder} has no images")
                continue
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                answers = list(pool.map(lambda path: _answer(artifact, path), paths))
            recalls[name] = {
                "recall": 100 * sum(answer == label for answer in answers) / len(answers),
                "images": len(answers),
                "unreadable": sum(answer == "" for answer in answers),
            }
    return recalls


def _describe_recalls(recalls: Recalls, relation: str) -> list[dict[str, Any]]:
    """Return the measurements of a model card, with Wilson's intervals over images."""
    measurements = []
    for source, row in recalls.items():
        right = stats.binomtest(round(row["recall"] * row["images"] / 100), int(row["images"]))
        low, high = right.proportion_ci(method="wilson")
        metric = f"recall of {'text' if source in TEXTS else 'signature'}"
        interval = [round(100 * low, 2), round(100 * high, 2)]
        measurement = Measurement(source, relation, metric, round(row["recall"], 2), int(row["images"]), interval)
        measurements.append(dataclasses.asdict(measurement))
    return measurements


def _list_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in FILE_SUFFIXES)


def _answer(artifact: Artifact, path: Path) -> str:
    """Return the label that the artefact gives; empty for an image that it cannot read, which counts as wrong."""
    try:
        return artifact.answer(path.read_bytes())["label"]
    except ImageError:
        return ""


def _measure_artifacts(options: argparse.Namespace) -> Iterator[tuple[str, Recalls]]:
    """Measure the named artefacts, or those that are trained first."""
    train = {"generated": _train, "all": _go_on}.get(options.train)
    for name in [str(train(options, seed)) for seed in options.seeds] if train else options.artifacts:
        yield name, measure(Artifact(ready.fetch_artifact(name)), options.data)


def _train(options: argparse.Namespace, seed: int, *arguments: str, name: str = "generated") -> Path:
    """Train by the public command unless that run is complete; return the artefact."""
    job_dir = options.out / f"{name}-{seed}"
    command = [sys.executable, "-m", "trainer.task", "--config", str(RECIPE), "--seed", str(seed), *arguments]
    start = time.monotonic()
    subprocess.run([*command, "--job-dir", str(job_dir)], check=True)
    print(f"{job_dir.name}: {(time.monotonic() - start) / 60:.1f} min", flush=True)
    return job_dir / "model"


def _go_on(options: argparse.Namespace, seed: int, left_out: str = "") -> Path:
    """Go on from generated images alone to real sources, except one of them; return the artefact."""
    flags = ["--init-from", str(_train(options, seed)), *FURTHER]
    for source, folder in SIGNATURES.items():
        flags += ["--train-dir", f"signature={options.data / folder}"] if source != left_out else []
    for source, folder in TEXTS.items():
        flags += ["--train-dir", f"text={options.data / folder}"] if source != left_out else []
    for folder, same_people in ADDITIONAL.items():
        flags += ["--train-dir", f"signature={options.data / folder}"] if same_people != left_out else []
    generated = options.out / "generated_dataset"
    if not generated.exists():
        subprocess.run([sys.executable, "-m", "trainer.samples", str(generated), *GENERATED], check=True)
    flags += ["--train-dir", str(generated)]
    return _train(options, seed, *flags, name=f"without-{left_out}" if left_out else "all")


def _leave_out(options: argparse.Namespace) -> Iterator[tuple[str, Recalls]]:
    """Train without each source, and measure it; yields a row for each seed."""
    for seed in options.seeds:
        recalls: Recalls = {}
        for left_out in options.sources:
            recalls |= measure(Artifact(_go_on(options, seed, left_out)), options.data, (left_out,))
            _print_row(f"left out so far, seed {seed}", recalls)
        yield f"left-out-{seed}", recalls


def _print_row(name: str, recalls: dict[str, dict[str, float]]) -> None:
    counted = [row["recall"] for source, row in recalls.items() if source not in REPORTED]
    if not counted:
        return
    cells = "  ".join(f"{source} {row['recall']:.1f}" for source, row in recalls.items())
    print(f"{name}: {cells}; mean {statistics.mean(counted):.1f}, least {min(counted):.1f}", flush=True)


if __name__ == "__main__":
    main()
