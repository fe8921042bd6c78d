"""Numbers for people and machines: ``report.json``, ``report.md`` and plots.

Keys of ``report.json`` are documented in docs/report.md and stay. Knows what was measured, not how. matplotlib draws.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from trainer.evaluate import Evaluation


def write(folder: Path, evaluation: Evaluation, facts: dict[str, Any], refused_before: list[tuple[str, str]]) -> None:
    """Everything about one run.

    ``facts`` are what the numbers rest on: problem, data, training. ``refused_before`` are (path, reason) of training
    and validation images that could not be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics = evaluation.metrics
    refused = [{"path": path, "reason": reason} for path, reason in [*refused_before, *evaluation.refused]]
    content = {**facts, "classification": metrics, "refused": refused}
    (folder / "report.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "report.md").write_text("\n".join(_lines(metrics, facts, refused)) + "\n")
    labels = list(metrics["labels"])
    _plot(folder / "confusion.png", lambda axes: _confusion(axes, labels, metrics["confusion"]))
    _plot(folder / "roc.png", lambda axes: _roc(axes, labels, evaluation))
    if facts.get("history"):
        _plot(folder / "training.png", lambda axes: _history(axes, facts["history"]))


def table(metrics: dict[str, Any]) -> str:
    """The numbers as a person reads them on a terminal; also valid Markdown."""
    area = "not defined" if metrics["roc_auc"] is None else f"{metrics['roc_auc']:.4f}"
    rows = [
        f"Accuracy {metrics['accuracy']:.2f} %, ROC-AUC {area}, on {metrics['images']} images never trained on.",
        "",
        "| label | precision % | recall % | F1 % | images |",
        "|---|---:|---:|---:|---:|",
    ]
    for label, of in metrics["labels"].items():
        rows.append(f"| {label} | {of['precision']:.2f} | {of['recall']:.2f} | {of['f1']:.2f} | {of['images']} |")
    rows += [
        "",
        "| true \\ answered | " + " | ".join(metrics["labels"]) + " |",
        "|---|" + "---:|" * len(metrics["labels"]),
    ]
    for label, counts in zip(metrics["labels"], metrics["confusion"], strict=True):
        rows.append(f"| {label} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(rows)


def _lines(metrics, facts, refused):
    yield f"# {facts['problem']}: {facts['question']}"
    yield ""
    yield table(metrics)
    yield ""
    yield "![confusion matrix](confusion.png) ![ROC](roc.png)"
    if facts.get("history"):
        yield "![training](training.png)"
    yield ""
    yield "Computed from the exported artefact, from the raw image files, with the code that serves."
    yield ""
    yield "## What the numbers rest on"
    yield ""
    for name, value in facts["data"].items():
        yield f"- {name.replace('_', ' ')}: {value}"
    yield ""
    yield f"Images that could not be read: {len(refused)}."
    for entry in refused[:50]:
        yield f"- `{entry['path']}`: {entry['reason']}"


def _plot(path, draw):
    # The figure is made without pyplot: no global state, no display, usable from any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    figure.savefig(path)


def _confusion(axes, labels, confusion):
    counts = np.array(confusion)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        dark = shares[row, column] > 0.5
        axes.text(
            column,
            row,
            f"{count}\n{shares[row, column]:.1%}",
            ha="center",
            va="center",
            color="white" if dark else "black",
        )
    axes.set(title="Confusion matrix", xlabel="answered", ylabel="true")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels, rotation=90, va="center")


def _roc(axes, labels, evaluation):
    truth = np.array([sample.label for sample in evaluation.samples])
    shown = labels[:1] if len(labels) == 2 else labels
    for index, label in enumerate(shown):
        if 0 < np.count_nonzero(truth == label) < len(truth):
            false, true, _ = roc_curve(truth == label, evaluation.vectors[:, index])
            axes.plot(100 * false, 100 * true, label=label)
    axes.plot([0, 100], [0, 100], ":", color="grey", linewidth=1)
    axes.set(title="ROC", xlabel="false positives %", ylabel="true positives %", xlim=(-1, 100), ylim=(0, 101))
    if axes.get_legend_handles_labels()[0]:  # none when the test part holds one label only
        axes.legend(loc="lower right")


def _history(axes, history):
    epochs = [row["epoch"] for row in history]
    for name, style in (("loss", "-"), ("val_loss", "--")):
        axes.plot(epochs, [row[name] for row in history], style, label=name)
    axes.set(title="Training", xlabel="epoch", ylabel="loss")
    axes.legend()
