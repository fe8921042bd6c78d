"""Measure, tabulate and plot the answers of a classifier; ``ReportBuilder`` is the form of this for any decision.

Next: ``verification.py`` for the other kind of decision, ``report.py`` for the files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_curve

from trainer.artifact.manifest import UNKNOWN
from trainer.corpora import Sample
from trainer.evaluation import metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PlotFunction = Callable[["Axes"], None]


@dataclasses.dataclass(frozen=True)
class Rate:
    """A rate in percent for a model card, of so many images, with its 95 % interval ``[low, high]`` if it has one."""

    name: str
    value: float
    images: int
    interval: list[float] | None = None


@dataclasses.dataclass(frozen=True)
class ReportBuilder:
    """Functions that measure, tabulate and plot vectors ``float32 [N, D]`` of N samples.

    ``measure(vectors, samples, decision)`` returns metrics as JSON, which reports keep under ``key``;
    ``format_table(metrics)`` returns them as Markdown; ``make_plots(vectors, samples, decision, metrics)`` returns
    plots by file name; ``error_rates(metrics)`` selects the error rates in percent by which two models are compared.
    ``list_rates(metrics)`` lists those of a model card, and ``protocol`` says there how they are measured.
    ``extract(data, artifact)`` returns what is measured of an image file instead of its vector; that of a finder also
    takes the classifier beside it.
    """

    key: str
    measure: Callable[[np.ndarray, list[Sample], Any], dict[str, Any]]
    format_table: Callable[[dict[str, Any]], str]
    make_plots: Callable[[np.ndarray, list[Sample], Any, dict[str, Any]], dict[str, PlotFunction]]
    error_rates: Callable[[dict[str, Any]], dict[str, float]]
    list_rates: Callable[[dict[str, Any]], list[Rate]]
    protocol: str
    extract: Callable[..., np.ndarray] = lambda data, artifact: artifact.encode(data).vector
    private_keys: tuple[str, ...] = ()  # keys of metrics that name writers: in reports, not in artefacts


def _format_table(metrics: dict[str, Any]) -> str:
    area = "not defined" if metrics["roc_auc"] is None else f"{metrics['roc_auc']:.4f}"
    rows = [f"Accuracy {metrics['accuracy']:.2f} %, ROC-AUC {area}, on {metrics['images']} images.", ""]
    if "unknown" in metrics:
        rows += [
            f"The best label is right for {metrics['top_1']:.2f} % of them (top-1 accuracy); "
            f"{metrics['unknown']:.2f} % are answered `{UNKNOWN}`.",
            "",
        ]
    if "confused" in metrics:
        return "\n".join([*rows, *_summarize_labels(metrics)])
    rows += [
        "| label | precision % | recall % | F1 % | images |",
        "|---|---:|---:|---:|---:|",
    ]
    for label, row in metrics["labels"].items():
        rows.append(f"| {label} | {row['precision']:.2f} | {row['recall']:.2f} | {row['f1']:.2f} | {row['images']} |")
    labels, answers = list(metrics["labels"]), _list_answers(metrics)
    rows += ["", "| true \\ answered | " + " | ".join(answers) + " |", "|---|" + "---:|" * len(answers)]
    for label, counts in zip(labels, metrics["confusion"], strict=True):
        rows.append(f"| {label} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(rows)


def _summarize_labels(metrics: dict[str, Any]) -> list[str]:
    """Return the recall of many labels as one row, and the most confused pairs."""
    recalls = _list_recalls(metrics)
    low, quarter, median = np.quantile(recalls, (0, 0.25, 0.5))
    rows = [
        "| labels | lowest recall % | lower quartile | median | mean | all images right |",
        "|---:|---:|---:|---:|---:|---:|",
        f"| {len(recalls)} | {low:.2f} | {quarter:.2f} | {median:.2f} | {recalls.mean():.2f} | {sum(recalls == 100)} |",
    ]
    if metrics["confused"]:
        rows += ["", "| most confused: true | answered | images |", "|---|---|---:|"]
    return rows + [f"| {pair['label']} | {pair['answer']} | {pair['images']} |" for pair in metrics["confused"]]


def _list_recalls(metrics: dict[str, Any]) -> np.ndarray:
    """Return the recall in percent of every label that has images, ``float64 [L]``."""
    return np.array([row["recall"] for row in metrics["labels"].values() if row["images"]])


def _list_answers(metrics: dict[str, Any]) -> list[str]:
    """List the columns of the confusion matrix."""
    return [*metrics["labels"], *([UNKNOWN] if "unknown" in metrics else [])]


def _make_plots(vectors: np.ndarray, samples: list[Sample], _, metrics: dict[str, Any]) -> dict[str, PlotFunction]:
    labels, true = list(metrics["labels"]), np.array([sample.label for sample in samples])
    if "confused" in metrics:
        return {"recall.png": lambda axes: _plot_recalls(axes, _list_recalls(metrics))}
    return {
        "confusion.png": lambda axes: _plot_confusion(axes, labels, _list_answers(metrics), metrics["confusion"]),
        "roc.png": lambda axes: _plot_roc(axes, labels, vectors, true),
    }


def _plot_recalls(axes: Axes, recalls: np.ndarray) -> None:
    axes.hist(recalls, bins=np.arange(0, 105, 5).tolist())
    axes.set(title="Recall of each label", xlabel="recall %", ylabel="labels", xlim=(0, 100))


def _plot_confusion(axes: Axes, labels: list[str], answers: list[str], confusion: list[list[int]]) -> None:
    counts = np.array(confusion)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}\n{shares[row, column]:.1%}", ha="center", va="center", color=color)
    axes.set(title="Confusion matrix", xlabel="answered", ylabel="true")
    axes.set_xticks(range(len(answers)), answers)
    axes.set_yticks(range(len(labels)), labels, rotation=90, va="center")


def _plot_roc(axes: Axes, labels: list[str], vectors: np.ndarray, true: np.ndarray) -> None:
    plotted = labels[:1] if len(labels) == 2 else labels  # the curve of the second of two labels is the same, mirrored
    for index, label in enumerate(plotted):
        if 0 < np.count_nonzero(true == label) < len(true):
            false_positives, true_positives, _ = roc_curve(true == label, vectors[:, index])
            axes.plot(100 * false_positives, 100 * true_positives, label=label)
    axes.plot([0, 100], [0, 100], ":", color="grey", linewidth=1)
    axes.set(title="ROC", xlabel="false positives %", ylabel="true positives %", xlim=(-1, 100), ylim=(0, 101))
    if axes.get_legend_handles_labels()[0]:  # none when the test split has one label only
        axes.legend(loc="lower right")


def _get_error_rates(metrics: dict[str, Any]) -> dict[str, float]:
    return {"error": 100 - metrics["accuracy"]}


def _list_rates(measured: dict[str, Any]) -> list[Rate]:
    """List accuracy, and the recall of each label where there are few."""
    rates = [("accuracy", measured["accuracy"], measured["images"])]
    if len(measured["labels"]) <= metrics.MAX_CONFUSION_LABELS:
        rates += [(f"recall of {label}", row["recall"], row["images"]) for label, row in measured["labels"].items()]
    return [Rate(*rate, metrics.compute_wilson_interval(*rate[1:])) for rate in rates if rate[2]]


CLASSIFICATION_REPORT = ReportBuilder(
    "classification",
    metrics.measure_classification,
    _format_table,
    _make_plots,
    _get_error_rates,
    _list_rates,
    "Intervals are those of Wilson, over images.",
)
