"""The report of a finder: what it finds on pages, with which false boxes, and whether pages are signed.

Everything is measured in the pixels of the files, after boxes were fitted to the ink, as the server answers. Next:
``detection_metrics.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

from trainer.artifact.location import SIGNATURE, Locator
from trainer.artifact.page_finder import find_on_page
from trainer.corpora import Sample
from trainer.documents.limits import DocumentPage
from trainer.evaluation.classification import PlotFunction, Rate, ReportBuilder
from trainer.evaluation.detection_metrics import OVERLAPS, PageResult, match
from trainer.evaluation.metrics import compute_wilson_interval
from trainer.imaging import decode

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from trainer.artifact.artifact import Artifact

LEAST_SCORE = 0.02  # of boxes that are measured
MAX_BOXES = 100  # of a page, that are measured
RECALLS = (0.85, 0.9, 0.95)
WORST = 6  # pages whose pictures are in the report
PICTURE_SIDE = 900  # pixels of the longest side of such a picture, at least
COLUMNS = 6  # of a row: number of the label, score, left, top, right, bottom


def extract_boxes(data: bytes, artifact: Artifact, check: Artifact | None = None) -> np.ndarray:
    """Return what is found on a page, ``float32 [(1 + MAX_BOXES) * 6]``; ``check`` is that of ``finder.find``.

    The first row has height and width of the file in pixels and the score of being signed, the others the number of the
    label, the score and the edges of a box in pixels, or -1 for none.
    """
    decision: Any = artifact.decision
    page = find_on_page(artifact, DocumentPage(1, data), check=check, least_score=LEAST_SCORE)
    rows = np.full((1 + MAX_BOXES, COLUMNS), -1, np.float32)
    rows[0, :3] = (*page.size, page.score)
    for number, region in enumerate(page.regions[:MAX_BOXES], start=1):
        rows[number] = (decision.labels.index(region.label), region.score, *region.box)
    return rows.ravel()


def read_results(vectors: np.ndarray, samples: list[Sample], labels: tuple[str, ...]) -> list[PageResult]:
    """Read the results of ``extract_boxes`` beside the boxes of the samples, all as shares of the page."""
    results = []
    for rows, sample in zip(vectors.reshape(len(vectors), -1, COLUMNS), samples, strict=True):
        height, width, signed_score = rows[0, :3].tolist()
        size = np.array([width, height, width, height], np.float32)
        detected = rows[1:][rows[1:, 0] >= 0]
        true = [np.array(box[1:5], np.float32) / (1.0 if box.is_relative else size) for box in sample.boxes]
        results.append(
            PageResult(
                detected[:, 2:] / size,
                detected[:, 1],
                [labels[int(number)] for number in detected[:, 0]],
                np.stack(true) if true else np.zeros((0, 4), np.float32),
                [box.label for box in sample.boxes],
                signed_score,
            )
        )
    return results


def measure_detection(vectors: np.ndarray, samples: list[Sample], decision: Locator) -> dict[str, Any]:
    """Measure the results of ``extract_boxes`` on labelled pages; rates and precisions in percent."""
    results = read_results(vectors, samples, decision.labels)
    signed = np.array([SIGNATURE in result.true_labels for result in results])
    scores = np.array([result.signed_score for result in results])
    by_label = {label: _measure_label(results, label, decision) for label in decision.labels}
    answers = scores >= decision.thresholds[SIGNATURE]
    return {
        "pages": len(results),
        "signed_pages": int(signed.sum()),
        "labels": {label: row for label, row in by_label.items() if row["regions"]},
        "signed": {
            "auc": float(roc_auc_score(signed, scores)) if signed.any() and not signed.all() else None,
            "recall": 100 * float(np.mean(answers[signed])) if signed.any() else None,
            "false": 100 * float(np.mean(answers[~signed])) if not signed.all() else None,
        },
    }


def _measure_label(results: list[PageResult], label: str, decision: Locator) -> dict[str, Any]:
    matches = {overlap: match(results, label, overlap) for overlap in OVERLAPS}
    half = matches[OVERLAPS[0]]
    precisions = [each.compute_average_precision() for each in matches.values()]
    recall, false_boxes = half.compute_rates(decision.thresholds[label])
    false_at = {f"{100 * share:g}": half.compute_false_boxes(share) for share in RECALLS}
    return {
        "regions": half.true_count,
        "ap50": precisions[0],
        "ap50_interval": half.compute_interval(),
        "ap50_95": float(np.mean(precisions)),
        "recall": recall,
        "false_boxes": false_boxes,
        "false_boxes_at_recall": {name: value if np.isfinite(value) else None for name, value in false_at.items()},
    }


def _format_table(metrics: dict[str, Any]) -> str:
    signed = metrics["signed"]
    rows = [
        f"{metrics['pages']} pages, {metrics['signed_pages']} signed. Signed or not: AUC {_format(signed['auc'], 4)}; "
        f"{_format(signed['recall'])} % of the signed pages are answered so, and {_format(signed['false'])} % of the "
        "others.",
        "",
        "| label | regions | AP50 % | AP50-95 % | recall % | false boxes a page | "
        + " | ".join(f"at {100 * share:g} % recall" for share in RECALLS)
        + " |",
        "|---|" + "---:|" * (5 + len(RECALLS)),
    ]
    for label, row in metrics["labels"].items():
        cells = [_format(row[name]) for name in ("ap50", "ap50_95", "recall", "false_boxes")]
        cells += [_format(value) for value in row["false_boxes_at_recall"].values()]
        rows.append(f"| {label} | {row['regions']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _format(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _make_plots(
    vectors: np.ndarray, samples: list[Sample], decision: Locator, metrics: dict[str, Any]
) -> dict[str, PlotFunction]:
    results = read_results(vectors, samples, decision.labels)
    curves = {label: match(results, label, OVERLAPS[0]) for label in metrics["labels"]}

    def draw_precision(axes: Axes) -> None:
        for label, matches in curves.items():
            right = np.cumsum(matches.is_right)
            precision = 100 * right / np.arange(1, len(right) + 1)
            axes.plot(100 * right / max(1, matches.true_count), precision, label=label)
        axes.set(title="Precision", xlabel="recall %", ylabel="precision %", xlim=(0, 101), ylim=(0, 101))
        axes.legend(loc="lower left", fontsize="small")

    def draw_false_boxes(axes: Axes) -> None:
        for label, matches in curves.items():
            right = np.cumsum(matches.is_right)
            axes.plot(np.cumsum(~matches.is_right) / matches.page_count, 100 * right / max(1, matches.true_count),
                      label=label)  # fmt: skip
        axes.set(title="Recall", xlabel="false boxes a page", ylabel="recall %", xlim=(0, 1), ylim=(0, 101))
        axes.legend(loc="lower right", fontsize="small")

    plots: dict[str, PlotFunction] = {"precision.png": draw_precision, "false_boxes.png": draw_false_boxes}
    for rank, number in enumerate(_find_worst(results, decision), start=1):
        plots[f"worst_{rank}.png"] = functools.partial(_draw_page, samples[number], results[number], decision)
    return plots


def _find_worst(results: list[PageResult], decision: Locator) -> list[int]:
    """Return at most ``WORST`` pages, that with most signatures missed or false at the threshold first."""
    errors = []
    for number, result in enumerate(results):
        matches = match([result], SIGNATURE, OVERLAPS[0])
        is_answered = matches.scores >= decision.thresholds[SIGNATURE]
        detected = int(np.sum(matches.is_right & is_answered))
        false_scores = matches.scores[~matches.is_right & is_answered]
        errors.append((matches.true_count - detected + len(false_scores), float(false_scores.sum()), -number))
    return [-number for count, _, number in sorted(errors, reverse=True)[:WORST] if count]


def _draw_page(sample: Sample, result: PageResult, decision: Locator, axes: Axes) -> None:
    """Draw a page with its true boxes in green, and those that were found in red, with their scores."""
    from matplotlib.patches import Rectangle

    grey = decode(sample.path.read_bytes(), side=PICTURE_SIDE).grey
    height, width = grey.shape
    axes.figure.set_size_inches(7, max(2.0, min(10.0, 7 * height / width)))  # type: ignore[union-attr]
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
    is_answered = result.scores >= [decision.thresholds[label] for label in result.labels]
    detected = [
        (box, f"{label} {score:.2f}", "red")
        for box, label, score, answered in zip(result.boxes, result.labels, result.scores, is_answered, strict=True)
        if answered
    ]
    true = [(box, label, "green") for box, label in zip(result.true_boxes, result.true_labels, strict=True)]
    for box, text, colour in true + detected:
        left, top, right, bottom = box * (width, height, width, height)
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour))
        axes.text(left, top, text, color=colour, fontsize="x-small", va="bottom")
    axes.set_axis_off()


def _get_error_rates(metrics: dict[str, Any]) -> dict[str, float]:
    return dict(_list_errors(metrics))


def _list_errors(metrics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    if SIGNATURE in metrics["labels"]:
        yield "missed_ap50", 100 - metrics["labels"][SIGNATURE]["ap50"]
    if metrics["signed"]["auc"] is not None:
        yield "signed_auc", 100 - 100 * metrics["signed"]["auc"]


def _list_rates(metrics: dict[str, Any]) -> list[Rate]:
    """List precision and recall of each label, and how often pages are answered signed."""
    rates = []
    for label, row in metrics["labels"].items():
        recall = compute_wilson_interval(row["recall"], row["regions"])
        rates += [Rate(f"AP50 of {label}", row["ap50"], metrics["pages"], row["ap50_interval"] or None)]
        rates += [Rate(f"recall of {label} at its threshold", row["recall"], row["regions"], recall)]
    unsigned_pages = metrics["pages"] - metrics["signed_pages"]
    for name, title, count in (
        ("recall", "signed pages answered signed", metrics["signed_pages"]),
        ("false", "other pages answered signed", unsigned_pages),
    ):
        if count:
            value = metrics["signed"][name]
            rates.append(Rate(title, value, count, compute_wilson_interval(value, count)))
    return rates


DETECTION_REPORT = ReportBuilder(
    "detection",
    measure_detection,
    _format_table,
    _make_plots,
    _get_error_rates,
    _list_rates,
    "AP50 is the average precision of boxes that overlap a true one by at least half; its interval is that of the "
    "bootstrap over pages, the others are Wilson's.",
    extract_boxes,
)
