"""The report of a verifier: a table as Markdown, and plots of ROC, DET, scores, thresholds and calibration.

All numbers are those of ``verification_metrics.py``. Next: ``report.py`` writes the files, ``threshold_plot.py``
draws one of the plots.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from trainer.artifact.verification import Verifier
from trainer.corpora import Sample
from trainer.evaluation.classification import PlotFunction, Rate, ReportBuilder
from trainer.evaluation.metrics import ErrorRates, compute_error_rates
from trainer.evaluation.protocol import FORGERY_KINDS, ComparisonKind, Comparisons, GroundTruth
from trainer.evaluation.threshold_plot import plot_thresholds
from trainer.evaluation.verification_metrics import compare_by_count, measure_verification

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TICKS = (0.1, 1, 5, 10, 20, 40)  # percent, on the axes of a DET plot
DET_LIMITS = (0.0005, 0.6)  # rates at the ends of these axes
MAX_WRITERS = 10  # rows of the table of writers


def _format_table(metrics: dict[str, Any]) -> str:
    rows = [
        f"{metrics['writers']} writers: {metrics['genuine']} genuine, {metrics['forged']} skilled forgeries. "
        "One threshold for all writers; 95 % intervals over writers.",
        "",
        "| references | writers | EER skilled % | EER random % | AUC skilled | EER per-writer threshold % "
        "| inconclusive % |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count, row in metrics["references"].items():
        rows.append(
            f"| {count} | {row['writers']} | {_format_eer(row, 'skilled')} | {_format_eer(row, 'random')} | "
            f"{_format_number(row['auc_skilled'], 4)} | {_format_number(row['eer_skilled_per_writer_threshold'])} | "
            f"{_format_number(row['inconclusive'])} |"
        )
    rows += ["", *_format_thresholds(*list(metrics["references"].items())[-1])]
    rows += ["", f"Pairs of single signatures: EER {_format_number(metrics['pairs']['eer'])} %."]
    if metrics["calibration"]:
        rows[-1] += f" Expected calibration error {metrics['calibration']['ece']:.3f}."
    if len(metrics["by_corpus"]) > 1:
        rows += ["", *_format_corpora(metrics["by_corpus"])]
    if "by_writer" in metrics:
        rows += ["", *_format_writers(metrics["by_writer"])]
    return "\n".join(rows)


def _format_thresholds(reference_count: str, metrics: dict[str, Any]) -> list[str]:
    rows = [f"With {reference_count} references, at the stored thresholds:", ""]
    rows += ["| threshold | score | FRR % | FAR skilled % | FAR random % |", "|---|---:|---:|---:|---:|"]
    for name, rates in {**metrics["thresholds"], "eer, conclusive answers only": metrics["conclusive"]}.items():
        title = name if name.startswith("eer") else f"FAR {100 * float(name):g} %"
        cells = [_format_number(rates.get("threshold"), 4)]
        cells += [_format_number(rates[rate]) for rate in ("frr", "far_skilled", "far_random")]
        rows.append(f"| {title} | " + " | ".join(cells) + " |")
    return rows


def _format_corpora(by_corpus: dict[str, Any]) -> list[str]:
    rows = ["| corpus | references | writers | EER skilled % | EER random % |", "|---|---:|---:|---:|---:|"]
    for name, by_count in by_corpus.items():
        for count, row in by_count.items():
            rates = f"{_format_number(row['eer_skilled'])} | {_format_number(row['eer_random'])}"
            rows.append(f"| {name} | {count} | {row['writers']} | {rates} |")
    return rows


def _format_writers(writers: list[dict[str, Any]]) -> list[str]:
    rows = ["| hardest writers | FRR % | FAR skilled % | FAR random % |", "|---|---:|---:|---:|"]
    for row in writers[:MAX_WRITERS]:
        rates = " | ".join(_format_number(row[rate]) for rate in ("frr", "far_skilled", "far_random"))
        rows.append(f"| {row['writer']} | {rates} |")
    return rows


def _format_eer(row: dict[str, Any], forgery: str) -> str:
    if row[f"eer_{forgery}"] is None:
        return "-"
    low, high = row[f"eer_{forgery}_interval"]
    return f"{row[f'eer_{forgery}']:.2f} ({low:.1f} to {high:.1f})"


def _format_number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _make_plots(
    vectors: np.ndarray, samples: list[Sample], decision: Verifier, metrics: dict[str, Any]
) -> dict[str, PlotFunction]:
    truth = GroundTruth.from_samples(samples)
    compared = compare_by_count(vectors, truth, decision)
    by_count = {count: compared[count] for count in metrics["references"]}
    largest = list(by_count)[-1]
    plots: dict[str, PlotFunction] = {
        "roc.png": lambda axes: _plot_roc(axes, by_count),
        "det.png": lambda axes: _plot_det(axes, by_count),
        "scores.png": lambda axes: _plot_scores(axes, by_count[largest], int(largest), decision),
        "thresholds.png": lambda axes: plot_thresholds(
            axes, {int(count): by_count[count] for count in dict.fromkeys((next(iter(by_count)), largest))}, decision
        ),
    }
    if metrics["calibration"]:
        plots["calibration.png"] = lambda axes: _plot_calibration(axes, metrics["calibration"])
    return plots


def _make_lines(by_count: dict[str, Comparisons]) -> Iterator[tuple[str, str, str, ErrorRates]]:
    """Yield (label, style, colour, error rates) of every line of a ROC or DET plot."""
    for colour, (count, comparisons) in enumerate(by_count.items()):
        for (forgery, kind), style in zip(FORGERY_KINDS.items(), ("-", ":"), strict=True):
            if comparisons.has(kind):
                selected = comparisons.with_forgeries(kind)
                rates = compute_error_rates(selected.score, selected.genuine)
                yield f"{count} ref., {forgery}", style, f"C{colour}", rates


def _plot_roc(axes: Axes, by_count: dict[str, Comparisons]) -> None:
    for label, style, colour, rates in _make_lines(by_count):
        axes.plot(100 * rates.far, 100 - 100 * rates.frr, style, color=colour, label=label)
    axes.set(title="ROC", xlabel="false acceptance %", ylabel="genuine accepted %", xlim=(-1, 60), ylim=(40, 101))
    axes.legend(loc="lower right", fontsize="small")


def _plot_det(axes: Axes, by_count: dict[str, Comparisons]) -> None:
    """Plot false rejection against false acceptance on normal-deviate axes (Martin et al. 1997)."""
    lowest, highest = DET_LIMITS
    for label, style, colour, rates in _make_lines(by_count):
        far, frr = (norm.ppf(np.clip(rate, lowest, 1 - lowest)) for rate in (rates.far, rates.frr))
        axes.plot(far, frr, style, color=colour, label=label)
    positions = norm.ppf(np.array(TICKS) / 100)
    axes.set_xticks(positions, [f"{tick:g}" for tick in TICKS])
    axes.set_yticks(positions, [f"{tick:g}" for tick in TICKS])
    limits = (norm.ppf(lowest), norm.ppf(highest))
    axes.plot(limits, limits, color="grey", linewidth=0.5)
    axes.set(title="DET", xlabel="false acceptance %", ylabel="false rejection %", xlim=limits, ylim=limits)
    axes.legend(loc="upper right", fontsize="small")


def _plot_scores(axes: Axes, comparisons: Comparisons, reference_count: int, decision: Verifier) -> None:
    finite = comparisons.select(np.isfinite(comparisons.score))  # minus infinity is no signature
    low, high = np.quantile(finite.score, (0.002, 0.998))
    edges = np.linspace(low, high, 50).tolist()
    for label, kind in (("genuine", ComparisonKind.GENUINE), *FORGERY_KINDS.items()):
        scores = finite.score[finite.kind == kind]
        if len(scores):
            axes.hist(scores, edges, density=True, alpha=0.5, label=label)
    for name in decision.thresholds:
        style = "-" if name == "eer" else ":"
        axes.axvline(decision.threshold_for(name, reference_count), color="black", linewidth=0.8, linestyle=style)
    axes.axvspan(*decision.decision_bounds(reference_count), color="grey", alpha=0.25, label="inconclusive")
    axes.set(title=f"Scores, {reference_count} references", xlabel="log-odds of genuine", ylabel="density")
    axes.legend(fontsize="small")


def _plot_calibration(axes: Axes, calibration: dict[str, Any]) -> None:
    bins = calibration["bins"]
    axes.plot([0, 1], [0, 1], ":", color="grey", linewidth=1)
    axes.plot([row["predicted"] for row in bins], [row["observed"] for row in bins], "o-")
    for row in bins:
        axes.bar(row["predicted"], row["weight"], width=0.03, color="C1", alpha=0.4)
    axes.set(
        title=f"Calibration, ECE {calibration['ece']:.3f}",
        xlabel="score that is answered",
        ylabel="share that is genuine (bars: of all answers)",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )


def _get_error_rates(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the equal error rates by kind of forgery and number of references, as far as they are measurable."""
    return {
        f"eer_{forgery}_{count}": row[f"eer_{forgery}"]
        for count, row in metrics["references"].items()
        for forgery in FORGERY_KINDS
        if row[f"eer_{forgery}"] is not None
    }


def _list_rates(metrics: dict[str, Any]) -> list[Rate]:
    """List the equal error rates by number of references, and the rates at the stored FAR of 1 %."""
    images, rates = metrics["images"], []
    for count, row in metrics["references"].items():
        rates += [
            Rate(f"EER, {forgery} forgeries, {count} reference(s)", row[f"eer_{forgery}"], images,
                 row[f"eer_{forgery}_interval"])
            for forgery in FORGERY_KINDS
            if row[f"eer_{forgery}"] is not None
        ]  # fmt: skip
        stored = row["thresholds"].get("0.01", {})
        for name, title in (("frr", "FRR"), ("far_skilled", "FAR, skilled forgeries,")):
            if stored.get(name) is not None:
                rates.append(Rate(f"{title} with {count} reference(s) at the stored 1 %", stored[name], images))
    return rates


VERIFICATION_REPORT = ReportBuilder(
    "verification",
    measure_verification,
    _format_table,
    _make_plots,
    _get_error_rates,
    _list_rates,
    "Of every writer, references are drawn from the genuine signatures; the others, the writer's skilled forgeries and "
    "other writers' genuine signatures are questioned; one threshold for all writers. Intervals are over writers.",
    private_keys=("by_writer",),
)
