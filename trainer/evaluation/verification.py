"""How a verifier is told and drawn: a table for people, ROC, DET, scores and calibration as pictures.

The numbers are those of ``protocol.py``; this file invents none.
"""

from typing import Any

import numpy as np
from scipy.stats import norm

from trainer.corpora import Sample
from trainer.evaluation.classification import Draw, Judge
from trainer.evaluation.metrics import errors
from trainer.evaluation.protocol import GENUINE, RANDOM, SKILLED, Comparisons, Truth, compare, measure

KINDS = {"skilled": SKILLED, "random": RANDOM}
TICKS = (0.1, 1, 5, 10, 20, 40)  # percent, on the axes of a DET plot
SHOWN = 10  # rows of the table of writers


def _table(numbers: dict[str, Any]) -> str:
    rows = [
        f"{numbers['writers']} writers: {numbers['genuine']} genuine, {numbers['forged']} skilled forgeries. "
        "One threshold for all; 95 % intervals over writers.",
        "",
        "| references | writers | EER skilled % | EER random % | AUC skilled | own threshold % | inconclusive % |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count, of in numbers["references"].items():
        rows.append(
            f"| {count} | {of['writers']} | {_with_interval(of, 'skilled')} | {_with_interval(of, 'random')} | "
            f"{_number(of['auc_skilled'], 4)} | {_number(of['eer_skilled_own_threshold'])} | "
            f"{_number(of['inconclusive'])} |"
        )
    most, of = list(numbers["references"].items())[-1]
    rows += ["", f"With {most} references, at the stored thresholds:", ""]
    rows += ["| threshold | score | FRR % | FAR skilled % | FAR random % |", "|---|---:|---:|---:|---:|"]
    for name, at in {**of["thresholds"], "eer, conclusive answers only": of["conclusive"]}.items():
        called = name if name.startswith("eer") else f"FAR {100 * float(name):g} %"
        cells = (at.get("threshold"), at["frr"], at["far_skilled"], at["far_random"])
        rows.append(
            f"| {called} | " + " | ".join(_number(value, 4 if not n else 2) for n, value in enumerate(cells)) + " |"
        )
    rows += ["", f"Pairs of single signatures: EER {_number(numbers['pairs']['eer'])} %."]
    if numbers["calibration"]:
        rows[-1] += f" Expected calibration error {numbers['calibration']['ece']:.3f}."
    if len(numbers["by_source"]) > 1:
        rows += ["", *_sources(numbers["by_source"])]
    return "\n".join([*rows, "", *_writers(numbers["by_writer"])] if "by_writer" in numbers else rows)


def _sources(sources: dict[str, Any]) -> list[str]:
    rows = ["| source | references | writers | EER skilled % | EER random % |", "|---|---:|---:|---:|---:|"]
    for name, counts in sources.items():
        for count, of in counts.items():
            rates = f"{_number(of['eer_skilled'])} | {_number(of['eer_random'])}"
            rows.append(f"| {name} | {count} | {of['writers']} | {rates} |")
    return rows


def _writers(writers: list[dict[str, Any]]) -> list[str]:
    rows = ["| hardest writers | FRR % | FAR skilled % | FAR random % |", "|---|---:|---:|---:|"]
    for of in writers[:SHOWN]:
        rows.append(
            f"| {of['writer']} | {_number(of['frr'])} | {_number(of['far_skilled'])} | {_number(of['far_random'])} |"
        )
    return rows


def _with_interval(of: dict[str, Any], kind: str) -> str:
    if of[f"eer_{kind}"] is None:
        return "-"
    low, high = of[f"eer_{kind}_interval"]
    return f"{of[f'eer_{kind}']:.2f} ({low:.1f} to {high:.1f})"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _plots(vectors: np.ndarray, samples: list[Sample], decision, numbers: dict[str, Any]) -> dict[str, Draw]:
    truth = Truth.of(samples)
    found = {count: compare(vectors, truth, int(count), decision.evidence) for count in numbers["references"]}
    most = list(found)[-1]
    plots: dict[str, Draw] = {
        "roc.png": lambda axes: _roc(axes, found),
        "det.png": lambda axes: _det(axes, found),
        "scores.png": lambda axes: _scores(axes, found[most], int(most), decision),
    }
    if numbers["calibration"]:
        plots["calibration.png"] = lambda axes: _calibration(axes, numbers["calibration"])
    return plots


def _lines(found: dict[str, Comparisons]):
    """(label, style, colour, errors) of every line of a ROC or DET plot."""
    for colour, (count, every) in enumerate(found.items()):
        for (kind, which), style in zip(KINDS.items(), ("-", ":"), strict=True):
            if every.has(which):
                part = every.against(which)
                yield f"{count} ref., {kind}", style, f"C{colour}", errors(part.score, part.kind == GENUINE)


def _roc(axes, found):
    for label, style, colour, rates in _lines(found):
        axes.plot(100 * rates.far, 100 - 100 * rates.frr, style, color=colour, label=label)
    axes.set(title="ROC", xlabel="false acceptance %", ylabel="genuine accepted %", xlim=(-1, 60), ylim=(40, 101))
    axes.legend(loc="lower right", fontsize="small")


def _det(axes, found):
    """False rejection against false acceptance on normal deviates (Martin et al. 1997)."""
    for label, style, colour, rates in _lines(found):
        edge = 0.0005
        far, frr = (norm.ppf(np.clip(rate, edge, 1 - edge)) for rate in (rates.far, rates.frr))
        axes.plot(far, frr, style, color=colour, label=label)
    places = norm.ppf(np.array(TICKS) / 100)
    axes.set_xticks(places, [f"{tick:g}" for tick in TICKS])
    axes.set_yticks(places, [f"{tick:g}" for tick in TICKS])
    limits = (norm.ppf(0.0005), norm.ppf(0.6))
    axes.plot(limits, limits, color="grey", linewidth=0.5)
    axes.set(title="DET", xlabel="false acceptance %", ylabel="false rejection %", xlim=limits, ylim=limits)
    axes.legend(loc="upper right", fontsize="small")


def _scores(axes, found, count, decision):
    low, high = np.quantile(found.score[np.isfinite(found.score)], (0.002, 0.998))
    edges = np.linspace(low, high, 50)
    for label, kind in (("genuine", GENUINE), *KINDS.items()):
        scores = found.score[(found.kind == kind) & np.isfinite(found.score)]
        if len(scores):
            axes.hist(scores, edges, density=True, alpha=0.5, label=label)
    for name in decision.thresholds:
        style = "-" if name == "eer" else ":"
        axes.axvline(decision.threshold(name, count), color="black", linewidth=0.8, linestyle=style)
    axes.axvspan(*decision.edges(count), color="grey", alpha=0.25, label="inconclusive")
    axes.set(title=f"Scores, {count} references", xlabel="log-odds of genuine", ylabel="density")
    axes.legend(fontsize="small")


def _calibration(axes, calibration):
    bins = calibration["bins"]
    axes.plot([0, 1], [0, 1], ":", color="grey", linewidth=1)
    axes.plot([row["predicted"] for row in bins], [row["observed"] for row in bins], "o-")
    for row in bins:
        axes.bar(row["predicted"], row["weight"], width=0.03, color="C1", alpha=0.4)
    axes.set(
        title=f"Calibration, ECE {calibration['ece']:.3f}", xlabel="score that is answered",
        ylabel="share that is genuine (bars: of all answers)", xlim=(0, 1), ylim=(0, 1.02),
    )  # fmt: skip


def _error_rates(numbers: dict[str, Any]) -> dict[str, float]:
    """Equal error rates by kind of forgery and number of references, as far as they could be measured."""
    return {
        f"eer_{kind}_{count}": of[f"eer_{kind}"]
        for count, of in numbers["references"].items()
        for kind in KINDS
        if of[f"eer_{kind}"] is not None
    }


VERIFICATION = Judge("verification", measure, _table, _plots, _error_rates, private=("by_writer",))
