"""Numbers for people and machines: ``report.json``, ``report.md`` and plots.

Keys of ``report.json`` are documented in docs/report.md and stay. Knows what was measured, not how: a problem's judge
tells and draws. matplotlib draws.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.audit import render, verification_check

if TYPE_CHECKING:
    from trainer.evaluation.classification import Judge
    from trainer.evaluation.measure import Evaluation


def write(
    folder: Path, judge: Judge, evaluation: Evaluation, facts: dict[str, Any], refused_before: list[tuple[str, str]]
) -> None:
    """Everything about one run.

    ``facts`` are what the numbers rest on: problem, data, training. ``refused_before`` are (path, reason) of training
    and validation images that could not be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    refused = [{"path": path, "reason": reason} for path, reason in [*refused_before, *evaluation.refused]]
    content = {**facts, judge.key: evaluation.metrics, "refused": refused}
    content["suspect"] = [finding.describe() for finding in verification_check.findings(content)]
    (folder / "report.json").write_text(json.dumps(content, indent=2) + "\n")
    plots = judge.plots(evaluation.vectors, evaluation.samples, evaluation.decision, evaluation.metrics)
    if "history" in facts:
        plots["training.png"] = lambda axes: _history(axes, facts["history"])
    for name, draw in plots.items():
        _plot(folder / name, draw)
    lines = _lines(judge.table(evaluation.metrics), list(plots), content, refused)
    # Paths may hold bytes that are no text.
    (folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def _lines(table: str, plots: list[str], facts: dict[str, Any], refused: list[dict[str, str]]) -> Iterator[str]:
    yield from (f"# {facts['problem']}: {facts['question']}", "", table, "")
    yield from (f"![{name.removesuffix('.png')}]({name})" for name in plots)
    yield from (f"**Suspect.** {finding['message']}" for finding in facts["suspect"])
    learnt = "Nothing of it was trained on. " if "history" in facts else ""
    yield from (
        "",
        f"{learnt}Computed from the exported artefact, from the raw image files, by the code that serves.",
        "",
    )
    yield from ("## What the numbers rest on", "")
    for name, value in facts["data"].items():
        yield f"- {name.replace('_', ' ')}: {value}"
    if "audit" in facts:
        yield from ("", "## The data", "", *render.markdown(facts["audit"]))
    yield from ("", f"Images that could not be read or were left out: {len(refused)}.")
    for entry in refused:
        yield f"- `{entry['path']}`: {entry['reason']}"


def _plot(path: Path, draw) -> None:
    # The figure is made without pyplot: no global state, no display, usable from any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    figure.savefig(path)


def _history(axes, history):
    """The loss, and what was watched on the validation part; on a scale of its own when it is no loss."""
    epochs = [row["epoch"] for row in history]
    watched = next((name for name in (history[0] if history else ()) if name.startswith("val_")), None)
    lines = axes.plot(epochs, [row["loss"] for row in history], label="loss")
    if watched:
        other = axes if watched == "val_loss" else axes.twinx()
        lines += other.plot(epochs, [row[watched] for row in history], "--", color="C1", label=watched)
        if other is not axes:
            other.set_ylabel(f"{watched} %")
    axes.set(title="Training", xlabel="epoch", ylabel="loss")
    axes.legend(handles=lines)
