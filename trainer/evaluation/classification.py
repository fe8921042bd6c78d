"""How answers of one kind are measured, told and drawn; a problem names its judge.

A ``Judge`` is functions over vectors and samples: ``report.py`` writes what it says without knowing what it is about.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from trainer.corpora import Sample
from trainer.evaluation import metrics

Draw = Callable[[Any], None]  # on matplotlib axes


@dataclasses.dataclass(frozen=True)
class Judge:
    """``measure(vectors, samples, decision)`` gives numbers as JSON, kept under ``key``; ``table(numbers)`` tells them
    as Markdown; ``plots(vectors, samples, decision, numbers)`` are the pictures by file name; ``errors(numbers)`` are
    the error rates in percent that tell whether another model is worse.
    """

    key: str
    measure: Callable[[np.ndarray, list[Sample], Any], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]
    plots: Callable[[np.ndarray, list[Sample], Any, dict[str, Any]], dict[str, Draw]]
    errors: Callable[[dict[str, Any]], dict[str, float]]
    private: tuple[str, ...] = ()  # keys of the numbers that name people: in reports, not in artefacts


def _classification_table(numbers: dict[str, Any]) -> str:
    area = "not defined" if numbers["roc_auc"] is None else f"{numbers['roc_auc']:.4f}"
    rows = [
        f"Accuracy {numbers['accuracy']:.2f} %, ROC-AUC {area}, on {numbers['images']} images.",
        "",
        "| label | precision % | recall % | F1 % | images |",
        "|---|---:|---:|---:|---:|",
    ]
    for label, of in numbers["labels"].items():
        rows.append(f"| {label} | {of['precision']:.2f} | {of['recall']:.2f} | {of['f1']:.2f} | {of['images']} |")
    labels = list(numbers["labels"])
    rows += ["", "| true \\ answered | " + " | ".join(labels) + " |", "|---|" + "---:|" * len(labels)]
    for label, counts in zip(labels, numbers["confusion"], strict=True):
        rows.append(f"| {label} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(rows)


def _classification_plots(vectors: np.ndarray, samples: list[Sample], _, numbers: dict[str, Any]) -> dict[str, Draw]:
    labels, truth = list(numbers["labels"]), [sample.label for sample in samples]
    return {
        "confusion.png": lambda axes: _confusion(axes, labels, numbers["confusion"]),
        "roc.png": lambda axes: _roc(axes, labels, vectors, np.array(truth)),
    }


def _confusion(axes, labels, confusion):
    counts = np.array(confusion)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}\n{shares[row, column]:.1%}", ha="center", va="center", color=color)
    axes.set(title="Confusion matrix", xlabel="answered", ylabel="true")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels, rotation=90, va="center")


def _roc(axes, labels, vectors, truth):
    shown = labels[:1] if len(labels) == 2 else labels
    for index, label in enumerate(shown):
        if 0 < np.count_nonzero(truth == label) < len(truth):
            false, true, _ = roc_curve(truth == label, vectors[:, index])
            axes.plot(100 * false, 100 * true, label=label)
    axes.plot([0, 100], [0, 100], ":", color="grey", linewidth=1)
    axes.set(title="ROC", xlabel="false positives %", ylabel="true positives %", xlim=(-1, 100), ylim=(0, 101))
    if axes.get_legend_handles_labels()[0]:  # none when the test part holds one label only
        axes.legend(loc="lower right")


def _classification_errors(numbers: dict[str, Any]) -> dict[str, float]:
    return {"error": 100 - numbers["accuracy"]}


CLASSIFICATION = Judge(
    "classification", metrics.classification, _classification_table, _classification_plots, _classification_errors
)
