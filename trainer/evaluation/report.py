"""Write the report of an evaluation: ``report.json``, ``report.md`` and plots.

The keys of ``report.json`` are documented in docs/report.md and stable. Independent of how metrics are computed: a
problem's ``ReportBuilder`` makes tables and plots. Next: ``classification.py`` and ``verification.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.audit import render, verification_check

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from trainer.evaluation.classification import PlotFunction, ReportBuilder
    from trainer.evaluation.measure import Evaluation


def write(
    folder: Path,
    report_builder: ReportBuilder,
    evaluation: Evaluation,
    facts: dict[str, Any],
    refused_before: list[tuple[str, str]],
) -> None:
    """Write the report of one evaluation into ``folder``.

    ``facts`` describe what the metrics were computed from: problem, question, data, and if present audit and training
    history. ``refused_before`` are (path, reason) of training and validation images that could not be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    refused = [{"path": path, "reason": reason} for path, reason in [*refused_before, *evaluation.refused]]
    content = {**facts, report_builder.key: evaluation.metrics, "refused": refused}
    content["suspect"] = [finding.to_dict() for finding in verification_check.derive_findings(content)]
    (folder / "report.json").write_text(json.dumps(content, indent=2) + "\n")
    plots = report_builder.make_plots(evaluation.vectors, evaluation.samples, evaluation.decision, evaluation.metrics)
    if "history" in facts:
        plots["training.png"] = lambda axes: _plot_history(axes, facts["history"])
    for name, plot in plots.items():
        save_plot(folder / name, plot)
    lines = _format_lines(report_builder.format_table(evaluation.metrics), list(plots), content)
    # Paths may hold bytes that are no text.
    (folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def _format_lines(table: str, plots: list[str], content: dict[str, Any]) -> Iterator[str]:
    yield from (f"# {content['problem']}: {content['question']}", "", table, "")
    yield from (f"![{name.removesuffix('.png')}]({name})" for name in plots)
    yield from (f"**Suspect.** {finding['message']}" for finding in content["suspect"])
    unseen = "None of these images was trained on. " if "history" in content else ""
    yield from (
        "",
        f"{unseen}Computed from the exported artefact, from the original image files, with the code that serves.",
        "",
    )
    yield from ("## What the numbers are based on", "")
    for name, value in content["data"].items():
        yield f"- {name.replace('_', ' ')}: {value}"
    if "audit" in content:
        yield from ("", "## The data", "", *render.render_markdown(content["audit"]))
    yield from ("", f"Images that could not be read or were left out: {len(content['refused'])}.")
    for entry in content["refused"]:
        yield f"- `{entry['path']}`: {entry['reason']}"


def save_plot(path: Path, plot: PlotFunction) -> None:
    """Draw a plot into an image file."""
    # The figure is made without pyplot: no global state, no display, usable from any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    plot(figure.add_subplot())
    figure.savefig(path)


def _plot_history(axes: Axes, history: list[dict[str, float]]) -> None:
    """Plot the training loss and the first validation metric, on a second y axis unless it is a loss."""
    epochs = [row["epoch"] for row in history]
    metric = next((name for name in (history[0] if history else ()) if name.startswith("val_")), None)
    lines = axes.plot(epochs, [row["loss"] for row in history], label="loss")
    if metric:
        metric_axes = axes if metric == "val_loss" else axes.twinx()
        lines += metric_axes.plot(epochs, [row[metric] for row in history], "--", color="C1", label=metric)
        if metric_axes is not axes:
            metric_axes.set_ylabel(f"{metric} %")
    axes.set(title="Training", xlabel="epoch", ylabel="loss")
    axes.legend(handles=lines)
