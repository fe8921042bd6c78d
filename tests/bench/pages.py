"""``python -m tests.bench.pages [ARTIFACT...]``: how well are signatures found on real pages that nobody trained on?

The pages of the folder ``pages`` of --data, with their boxes, are read by the exported artefact from the original
files. They are split by a hash of their names: choices may look at the part ``choose``, the part ``report`` is what is
claimed. Prints AP50 and AP50-95 of signatures, false boxes a page at some recalls, the area under the curve of signed
or not, the recall and the false boxes at the thresholds of the artefact, all with 95 % intervals over pages, and the
milliseconds of CPU for each page beyond decoding. ``--worst FOLDER`` writes pictures of the pages with most errors.
Next: ``trainer/evaluation/detection.py``.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from trainer import corpora, ready
from trainer.artifact.artifact import Artifact
from trainer.corpora import Sample
from trainer.evaluation import detection
from trainer.imaging import ImageError, decode

PARTS = ("choose", "report")
RESAMPLINGS = 1000


def main() -> None:
    """Measure every artefact and print a table."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("artifacts", nargs="*", default=[ready.FINDER], help="artefacts to measure (%(default)s)")
    flags.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sets (%(default)s)")
    flags.add_argument("--part", choices=(*PARTS, "all"), default="report", help="pages to measure (%(default)s)")
    flags.add_argument("--worst", type=Path, help="folder for pictures of the worst pages", metavar="FOLDER")
    flags.add_argument("--measurements", type=Path, help="JSON file to write", metavar="FILE")
    options = flags.parse_args()
    samples = select_part(corpora.read(options.data / "pages").samples, options.part)
    rows = {name: measure(Artifact(ready.fetch_artifact(name)), samples, options.worst) for name in options.artifacts}
    columns = list(next(iter(rows.values())))
    print(f"{len(samples)} pages of the part {options.part!r}")
    print("| artefact | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(row.values()) + " |")
    if options.measurements:
        options.measurements.write_text(
            json.dumps({"pages": len(samples), "part": options.part, **rows}, indent=2) + "\n"
        )


def select_part(samples: list[Sample], part: str) -> list[Sample]:
    """Return the samples of a part; two in five pages are in ``choose``."""
    if part == "all":
        return samples
    is_chosen = [int(hashlib.sha256(sample.name.encode()).hexdigest(), 16) % 5 < 2 for sample in samples]
    return [sample for sample, chosen in zip(samples, is_chosen, strict=True) if chosen == (part == PARTS[0])]


def measure(artifact: Artifact, samples: list[Sample], worst: Path | None) -> dict[str, str]:
    """Measure an artefact; returns the cells of its row."""
    vectors, used, seconds = [], [], []
    for sample in samples:
        data = sample.path.read_bytes()
        began = time.process_time()
        decode(data, artifact.limits, artifact.imaging.working_side)
        decoded = time.process_time()
        try:
            vectors.append(detection.extract_boxes(artifact.encode(data), artifact))
        except ImageError as error:
            print(f"{sample.name}: {error}")
            continue
        seconds.append(time.process_time() - decoded - (decoded - began))
        used.append(sample)
    stacked = np.stack(vectors)
    decision: Any = artifact.decision
    metrics = detection.measure_detection(stacked, used, decision)
    rng, resampled = np.random.default_rng(1), []
    for _ in range(RESAMPLINGS // 5):
        rows = rng.integers(len(used), size=len(used))
        resampled.append(_select(detection.measure_detection(stacked[rows], [used[row] for row in rows], decision)))
    if worst:
        _write_worst(worst, stacked, used, decision, metrics)
    low, high = np.nanquantile(np.array([list(each.values()) for each in resampled], float), [0.025, 0.975], axis=0)
    cells = {
        name: f"{value:.4g} ({below:.3g} to {above:.3g})"
        for (name, value), below, above in zip(_select(metrics).items(), low, high, strict=True)
    }
    return {**cells, "ms of CPU beyond decoding": f"{1000 * np.median(seconds):.0f}"}


def _select(metrics: dict[str, Any]) -> dict[str, float]:
    row = metrics["labels"].get("signature", {})
    false_boxes = row.get("false_boxes_at_recall", {})
    values = {
        "AP50": row.get("ap50"),
        "AP50-95": row.get("ap50_95"),
        **{f"false boxes at {recall} % recall": value for recall, value in false_boxes.items()},
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
