"""Plot the error rates of a verifier over the threshold, with the stored operating points.

Next: ``verification.py``, which makes the other plots of the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from trainer.artifact.thresholds import EQUAL_ERROR
from trainer.artifact.verification import Verifier
from trainer.evaluation.metrics import compute_error_rates
from trainer.evaluation.protocol import FORGERY_KINDS, Comparisons

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCORES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)  # ticks of the upper axis
LOWEST = 0.05  # percent, at the lower end of the axis of rates
MARGIN = 0.15  # share of the range of operating points that is drawn beside them
MIN_RANGE = 6.0  # log-odds
Curve = tuple[str, np.ndarray, np.ndarray]  # name, log-odds, percent


def plot_thresholds(axes: Axes, by_count: Mapping[int, Comparisons], decision: Verifier) -> None:
    """Plot FAR of both kinds of forgeries and FRR, in percent, over the threshold as log-odds and as a score.

    A dot marks each stored threshold, on the FAR of the forgeries that it was fitted to if they are there; those of the
    largest number of references are named.
    """
    styles = {"FRR": "-", "FAR skilled": "--", "FAR random": ":"}
    fitted_to = f"FAR {decision.calibrated_on}"
    stored = {count: {name: decision.threshold_for(name, count) for name in decision.thresholds} for count in by_count}
    for colour, (count, comparisons) in enumerate(by_count.items()):
        curves = list(_make_curves(comparisons))
        marked = next((name for name, _, _ in curves if name == fitted_to), curves[-1][0])
        for name, log_odds, percent in curves:
            label = f"{name}, {count} ref."
            axes.step(log_odds, percent, styles[name], where="pre", color=f"C{colour}", label=label)
            if name != marked:
                continue
            for threshold, title in _name_points(stored[count]):
                height = max(LOWEST, float(percent[np.searchsorted(log_odds, threshold)]))
                axes.plot(threshold, height, "o", color=f"C{colour}", markersize=4, clip_on=False, zorder=3)
                if count == max(by_count):
                    axes.annotate(title, (threshold, height), (3, 3), textcoords="offset points", fontsize="x-small")
    _set_axes(axes, np.array([value for by_name in stored.values() for value in by_name.values()]))


def _name_points(thresholds: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    """Yield each different threshold, the lowest first, with the names that it has: ``eer to 1 %``."""
    rates = sorted((name for name in thresholds if name != EQUAL_ERROR), key=float, reverse=True)
    titles: dict[float, list[str]] = {}
    for name in (EQUAL_ERROR, *rates):
        title = name if name == EQUAL_ERROR else f"{100 * float(name):g} %"
        titles.setdefault(thresholds[name], []).append(title)
    for threshold, (first, *others) in titles.items():
        yield threshold, f"{first} to {others[-1]}" if others else first


def _make_curves(comparisons: Comparisons) -> Iterator[Curve]:
    """Yield the curves that the comparisons give; log-odds rise and end with infinity, where nothing is accepted."""
    for number, (forgery, kind) in enumerate(FORGERY_KINDS.items()):
        if comparisons.has(kind):
            selected = comparisons.with_forgeries(kind)
            rates = compute_error_rates(selected.score, selected.genuine)
            if number == 0 or not comparisons.has(FORGERY_KINDS["skilled"]):
                yield "FRR", rates.thresholds[::-1], 100 * rates.frr[::-1]
            yield f"FAR {forgery}", rates.thresholds[::-1], 100 * rates.far[::-1]


def _set_axes(axes: Axes, thresholds: np.ndarray) -> None:
    """Show the stored thresholds with some room on both sides; above, the same values as scores."""
    middle = (thresholds.min() + thresholds.max()) / 2
    half = max(MIN_RANGE, (1 + 2 * MARGIN) * float(np.ptp(thresholds))) / 2
    limits = (middle - half, middle + half)
    axes.set(xlim=limits, ylim=(LOWEST, 100), yscale="log", xlabel="threshold, log-odds of genuine", ylabel="%")
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    above = axes.secondary_xaxis("top")
    shown = [score for score in SCORES if limits[0] <= Verifier.to_log_odds(score) <= limits[1]]
    above.set_xticks([Verifier.to_log_odds(score) for score in shown], [f"{score:g}" for score in shown])
    above.set_xlabel("threshold, score")
    axes.figure.legend(loc="outside lower center", ncols=2, fontsize="x-small")
