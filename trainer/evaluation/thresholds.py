"""Fit the thresholds of false acceptance rates to scores of forgeries, with the intervals of these rates.

NumPy only; works on comparisons, not vectors. Next: ``calibration.py`` stores what is fitted here in a ``Verifier``,
``trainer/artifact/thresholds.py`` interpolates it for a request.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta, norm, t

from trainer.evaluation.metrics import draw_bootstrap

if TYPE_CHECKING:
    from trainer.evaluation.protocol import Comparisons

RATES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # false acceptance rates for which thresholds are stored
TAIL = 0.05  # share of the forgeries to which an exponential tail is fitted
COUNTABLE = 5  # forgeries above a threshold that suffice to estimate its rate by counting
MIN_EXPECTED = 0.5  # forgeries expected above the threshold of the smallest stored rate
MAX_PER_WRITER = 50  # comparisons by which a writer supports small rates: more say nothing about other writers


def fit_rates(
    by_count: Mapping[int, Comparisons], floors: Mapping[int, float]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, list[float]]]]:
    """Return thresholds by rate and number of references, and the 95 % interval of the rate at each of them.

    No threshold is below that of a larger rate, and none is below the number's value in ``floors``, even where the
    equal error rate is lower than that rate. The rates are those of ``RATES`` that the forgeries for the smallest
    number of references support. A larger number whose forgeries do not support a rate has the threshold of the number
    before.
    """
    first, *_ = counts = sorted(by_count)
    smallest_rate = compute_smallest_rate(by_count[first].writer[~by_count[first].genuine])
    rates = [rate for rate in RATES if rate >= smallest_rate]
    thresholds: dict[str, dict[str, float]] = {f"{rate:g}": {} for rate in rates}
    intervals: dict[str, dict[str, list[float]]] = {f"{rate:g}": {} for rate in rates}
    for number, count in enumerate(counts):
        forged = by_count[count].select(~by_count[count].genuine)
        smallest_rate, threshold = compute_smallest_rate(forged.writer), floors[count]
        for rate in rates:
            name, before = f"{rate:g}", str(counts[number - 1])
            if rate >= smallest_rate:
                threshold = max(threshold, _fit_rate(forged.score, rate))
                interval = compute_interval(forged, threshold)
            else:
                threshold = max(threshold, thresholds[name][before])
                interval = intervals[name][before]
            thresholds[name][str(count)], intervals[name][str(count)] = threshold, interval
    return thresholds, intervals


def compute_smallest_rate(writer: np.ndarray) -> float:
    """Return the smallest false acceptance rate that forgeries of writers ``int [M]`` support.

    At this rate, ``MIN_EXPECTED`` of the forgeries are expected above the threshold, where no writer counts more than
    ``MAX_PER_WRITER`` times. So 0.001 takes 500 comparisons of ten writers or more.
    """
    _, comparisons_by_writer = np.unique(writer, return_counts=True)
    return MIN_EXPECTED / max(1, int(np.minimum(comparisons_by_writer, MAX_PER_WRITER).sum()))


def _fit_rate(log_odds: np.ndarray, rate: float) -> float:
    """Return the threshold that a share ``rate`` of the forgeries exceeds; forgeries count alike, as in reports.

    It is a quantile where enough forgeries exceed it. Where too few do, it is extrapolated by an exponential tail from
    the 95th percentile, with the mean excess of the forgeries above; it is never below the quantile.
    """
    quantile = compute_quantile(log_odds, np.ones(len(log_odds)), 1 - rate)
    if len(log_odds) >= COUNTABLE / rate:
        return quantile
    tail_start = _find_tail_start(log_odds)
    tail = log_odds[log_odds > tail_start]
    mean_excess = float(np.mean(tail - tail_start)) if tail.size else 0.0
    return max(quantile, tail_start + mean_excess * float(np.log(TAIL / rate)))


def _find_tail_start(log_odds: np.ndarray) -> float:
    return compute_quantile(log_odds, np.ones(len(log_odds)), 1 - TAIL)


def compute_interval(forged: Comparisons, threshold: float) -> list[float]:
    """Return the 95 % interval ``[low, high]`` of the share of forgeries at or above a threshold, 0 to 1.

    That of Clopper and Pearson for the number of independent forgeries that would vary as much as a bootstrap over
    writers does, because the forgeries of a writer are alike (Korn and Graubard 1998, "Confidence intervals for
    proportions with small expected number of positive counts estimated from survey data"). The share is counted where
    ``COUNTABLE`` forgeries reach the threshold, else it is that of an exponential tail, as in ``_fit_rate``. One writer
    alone says nothing about others: 0 to 1.
    """
    writers, writer_index = np.unique(forged.writer, return_inverse=True)
    if len(writers) < 2:
        return [0.0, 1.0]
    draws = np.vstack([np.ones(len(writers)), _draw_rounds(len(writers))])  # the first row is every writer once

    def add_up(values: np.ndarray) -> np.ndarray:
        """Return the sum of values ``[M]`` in each row: ``float64 [1 + BOOTSTRAP_ROUNDS]``."""
        return draws @ np.bincount(writer_index, values)

    reaching, tail_start = forged.score >= threshold, _find_tail_start(forged.score)
    total = add_up(np.ones(len(forged.score)))
    if threshold <= tail_start or np.count_nonzero(reaching) >= COUNTABLE:
        rates = add_up(reaching) / total
    else:
        tail_size = add_up(forged.score > tail_start)
        mean_excess = add_up(np.maximum(forged.score - tail_start, 0)) / np.maximum(tail_size, 1)
        rates = tail_size / total * np.exp(-(threshold - tail_start) / np.maximum(mean_excess, 1e-12))
    rate, variance = float(rates[0]), float(np.var(rates[1:]))
    num_independent = float(len(writers))  # where the forgeries give no variance, one for each writer
    if variance > 0:
        few_writers = (norm.ppf(0.975) / t.ppf(0.975, len(writers) - 1)) ** 2
        num_independent = min(len(forged.score), rate * (1 - rate) / variance * few_writers)
    accepted = rate * num_independent
    low = float(beta.ppf(0.025, accepted, num_independent - accepted + 1)) if accepted > 0 else 0.0
    high = float(beta.ppf(0.975, accepted + 1, num_independent - accepted)) if accepted < num_independent else 1.0
    return [low, high]


@functools.lru_cache(maxsize=4)
def _draw_rounds(num_writers: int) -> np.ndarray:
    """Return the rounds of the bootstrap, which are the same for every threshold."""
    return draw_bootstrap(np.ones(num_writers, bool))


def compute_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Return the middle between the smallest value that covers at least ``share`` of the weight, and the next value.

    ``np.quantile`` accepts weights only in a method that returns the first of the two.
    """
    order = np.argsort(values)
    covered = np.cumsum(weights[order]) / weights.sum()
    index = min(len(order) - 1, int(np.searchsorted(covered, share - 1e-12)))
    return float(np.mean(values[order][index : index + 2]))
