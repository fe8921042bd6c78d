"""``python -m tests.bench.pages [ARTIFACT...]``: how well are signatures found on real pages that nobody trained on?

The pages of the folder ``pages`` of --data, with their boxes, are read by the exported artefact from the original
files, with a signature check beside it and without. They are split by a hash of their names: choices may look at the
part ``choose``, the part ``report`` is what is claimed. Prints AP50 and AP50-95 of signatures, false boxes a page at
some recalls, the area under the curve of signed or not, the recall and the false boxes at the thresholds of the
artefact, all with 95 % intervals over pages, and the milliseconds of CPU for each page beyond decoding.
``--worst FOLDER`` writes pictures of the pages with most errors, ``--measurements FILE`` what the model card of the
last artefact says, without the check. Next: ``trainer/evaluation/detection.py``.
"""

import argparse
import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from trainer import corpora, ready
from trainer.artifact.artifact import Artifact
from trainer.artifact.card import Measurement
from trainer.artifact.page_finder import find_on_page
from trainer.corpora import Sample
from trainer.documents.limits import DocumentPage
from trainer.evaluation import detection
from trainer.imaging import ImageError, decode

PARTS = ("choose", "report")
RESAMPLINGS = 200
SOURCE = "210 letters and receipts"


def main() -> None:
    """Measure every artefact and print a table."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("artifacts", nargs="*", default=[ready.FINDER], help="artefacts to measure (%(default)s)")
    flags.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sets (%(default)s)")
    flags.add_argument("--check", default=ready.CLASSIFIER, help="classifier that judges signatures (%(default)s)")
    flags.add_argument("--part", choices=(*PARTS, "all"), default="report", help="pages to measure (%(default)s)")
    flags.add_argument("--worst", type=Path, help="folder for pictures of the worst pages", metavar="FOLDER")
    flags.add_argument("--measurements", type=Path, metavar="FILE", help="file to write, for python -m trainer.ready")
    options = flags.parse_args()
    samples = select_part(corpora.read(options.data / "pages").samples, options.part)
    check = Artifact(ready.fetch_artifact(options.check))
    rows = {}
    for name in options.artifacts:
        artifact = Artifact(ready.fetch_artifact(name))
        rows[f"{name} with {options.check}"] = measure(artifact, samples, options.worst, check)
        rows[name] = measure(artifact, samples, None)
    columns = list(next(iter(rows.values()))[0])
    print(f"{len(samples)} pages of the part {options.part!r}")
    print("| artefact | " + " | ".join([*columns, "ms of CPU beyond decoding"]) + " |")
    print("|---|" + "---:|" * (1 + len(columns)))
    for name, (row, milliseconds) in rows.items():
        cells = [f"{value:.4g} ({low:.3g} to {high:.3g})" for value, low, high in row.values()]
        print(f"| {name} | " + " | ".join([*cells, f"{milliseconds:.0f}"]) + " |")
    if options.measurements:
        measurements = _describe(row, len(samples), options.part)
        options.measurements.write_text(json.dumps(measurements, indent=1) + "\n")


def select_part(samples: list[Sample], part: str) -> list[Sample]:
    """Return the samples of a part; two in five pages are in ``choose``."""
    if part == "all":
        return samples
    is_chosen = [int(hashlib.sha256(sample.name.encode()).hexdigest(), 16) % 5 < 2 for sample in samples]
    return [sample for sample, chosen in zip(samples, is_chosen, strict=True) if chosen == (part == PARTS[0])]


def measure(
    artifact: Artifact, samples: list[Sample], worst: Path | None, check: Artifact | None = None
) -> tuple[dict[str, tuple[float, float, float]], float]:
    """Measure an artefact: each measure with the limits of its interval, and milliseconds for each page."""
    vectors, used, seconds = [], [], []
    for sample in samples:
        data = sample.path.read_bytes()
        began = time.process_time()
        decode(data, artifact.limits, artifact.imaging.working_side)
        decoded = time.process_time()
        try:
            find_on_page(artifact, DocumentPage(1, data), check=check)  # as it is served
            seconds.append(time.process_time() - decoded - (decoded - began))
            vectors.append(detection.extract_boxes(data, artifact, check))
        except ImageError as error:
            print(f"{sample.name}: {error}")
            continue
        used.append(sample)
    stacked = np.stack(vectors)
    decision: Any = artifact.decision
    metrics = detection.measure_detection(stacked, used, decision)
    rng, resampled = np.random.default_rng(1), []
    for _ in range(RESAMPLINGS):
        rows = rng.integers(len(used), size=len(used))
        resampled.append(_select(detection.measure_detection(stacked[rows], [used[row] for row in rows], decision)))
    if worst:
        _write_worst(worst, stacked, used, decision, metrics)
    low, high = zip(*map(_find_interval, zip(*(each.values() for each in resampled), strict=True)), strict=True)
    values = _select(metrics)
    row = dict(zip(values, zip(values.values(), low, high, strict=True), strict=True))
    return row, 1000 * float(np.median(seconds))


def _describe(row: dict[str, tuple[float, float, float]], pages: int, part: str) -> list[dict[str, Any]]:
    """Return the measurements of a model card; its rates are in percent."""
    measurements = []
    for name, (value, low, high) in row.items():
        factor, metric = (100, f"{name} (100 pages)") if name.startswith("false boxes") else (1, name)
        if name == "signed AUC":
            factor = 100
        numbers = [round(factor * number, 2) for number in (value, low, high)]
        if np.isfinite(numbers).all():
            measurements.append(Measurement(f"{SOURCE}, part {part}", "none", metric, numbers[0], pages, numbers[1:]))
    return [dataclasses.asdict(measurement) for measurement in measurements]


def _find_interval(values: tuple[float, ...]) -> tuple[float, float]:
    """Return the limits of the middle 95 % of values; not a number where no page of a resample has the measure."""
    numbers = [value for value in values if not np.isnan(value)]
    low, high = np.quantile(numbers, [0.025, 0.975], method="nearest") if numbers else (np.nan, np.nan)
    return float(low), float(high)


def _select(metrics: dict[str, Any]) -> dict[str, float]:
    row = metrics["labels"].get("signature", {})
    false_boxes = row.get("false_boxes_at_recall", {})
    values = {
        "AP50": row.get("ap50"),
        "AP50-95": row.get("ap50_95"),
        **{
            f"false boxes at {recall} % recall": float("inf") if value is None else value
            for recall, value in false_boxes.items()
        },
        "recall": row.get("recall"),
        "false boxes": row.get("false_boxes"),
        "signed AUC": metrics["signed"]["auc"],
        "signed, answered so": metrics["signed"]["recall"],
        "unsigned, answered signed": metrics["signed"]["false"],
    }
    return {name: float("nan") if value is None else float(value) for name, value in values.items()}


def _write_worst(folder: Path, vectors: np.ndarray, samples: list[Sample], decision: Any, metrics: Any) -> None:
    from trainer.evaluation import report

    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in detection.DETECTION_REPORT.make_plots(vectors, samples, decision, metrics).items():
        report.save_plot(folder / name, plot)


if __name__ == "__main__":
    main()
