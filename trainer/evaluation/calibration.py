"""Validation writers to a ``Verify``: fusion, the usual cohesion, log-odds, thresholds and the inconclusive band.

Everything is learnt on writers that the encoder has not seen. Knows vectors and who wrote what, no images. Next:
``artifact/verify.py``, which answers with what is found here.
"""

import dataclasses
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from trainer.artifact.verification import FUSIONS, Verify
from trainer.evaluation.metrics import Ranking, errors
from trainer.evaluation.protocol import (
    GENUINE,
    RANDOM,
    SKILLED,
    Comparisons,
    NothingToCompare,
    Truth,
    compare,
    of_targets,
)

COUNTS = (1, 2, 3, 5, 7, 10, 15)  # of references; ln of the last is where more no longer help
RATES = (0.01, 0.001)  # of false acceptance, for which thresholds are stored
TAIL = 0.05  # share of the forgeries from which rates that cannot be counted are extrapolated
COUNTABLE = 5  # forgeries above a threshold, for its rate to be counted
DOUBTFUL = 0.10  # share of validation comparisons that are inconclusive
LEAST = 0.01  # slope of the log-odds: more like the references is never less genuine


def verify(labels: tuple[str, ...], vectors: np.ndarray, targets) -> Verify:
    """The decision for an encoder, from its unit vectors ``float32 [N, D]`` of validation writers and their targets.

    Raises ``NothingToCompare``.
    """
    truth = of_targets(targets)
    tried = [_fitted(_uncalibrated(fusion, vectors, truth), vectors, truth) for fusion in FUSIONS]
    return min(tried, key=lambda one: one[0])[1]


def watch(vectors: np.ndarray, targets) -> dict[str, float]:
    """Equal error rates on the validation part with up to 5 references, for each epoch; in percent.

    ``val_eer`` is that of skilled forgeries where there are any, else that of random ones.
    """
    truth = of_targets(targets)
    most = np.bincount(truth.writer[truth.genuine]).max(initial=0)
    if most < 2 or len(np.unique(truth.writer[truth.genuine])) < 2:
        raise NothingToCompare(
            "the validation part needs two people or more with two genuine signatures or more; bring more people, or "
            "give a larger --validation-fraction"
        )
    found = compare(vectors, truth, min(5, int(most) - 1), _uncalibrated("both", vectors, truth).evidence, draws=3)
    equal = {f"val_{name}": rate for name, rate in _equal(found).items()}
    return {"val_eer": next(iter(equal.values())), **equal}


def rates(decision: Verify, vectors: np.ndarray, targets) -> dict[str, float]:
    """Equal error rates with up to 10 references, in percent: ``eer_skilled``, ``eer_random``, as far as measurable."""
    return _equal(compare(vectors, of_targets(targets), min(10, decision.most), decision.evidence))


def _equal(found: Comparisons) -> dict[str, float]:
    return {
        name: errors(part.score, part.kind == GENUINE).equal()
        for name, kind in (("eer_skilled", SKILLED), ("eer_random", RANDOM))
        if (part := found.against(kind)).has(kind)
    }


def _uncalibrated(fusion: str, vectors: np.ndarray, truth: Truth) -> Verify:
    """A decision whose evidence is the normalised similarity itself."""
    plain: dict[str, Any] = {"a0": 1.0, "a1": 0.0, "b0": 0.0, "b1": 0.0, "band": 0.0}
    plain["thresholds"] = {"eer": {"1": 0.0}}
    against = "random" if truth.genuine.all() else "skilled"
    start = Verify(vectors.shape[1], fusion, cohesion=0.0, most=COUNTS[-1], against=against, **plain)
    return dataclasses.replace(start, cohesion=_usual_cohesion(start, vectors, truth))


def _fitted(decision: Verify, vectors: np.ndarray, truth: Truth) -> tuple[float, Verify]:
    """An uncalibrated decision with all its numbers, and its equal error rate over all numbers of references."""
    forged = SKILLED if decision.against == "skilled" else RANDOM
    found = {count: compare(vectors, truth, count, decision.evidence) for count in COUNTS}
    found = {count: part.against(forged) for count, part in found.items() if part.has(forged)}
    if not found:
        raise NothingToCompare(
            "the validation part has no writer with two genuine signatures and something to compare them with; bring "
            "more people, or give a larger --validation-fraction"
        )
    more = np.concatenate([np.full(len(part.score), np.log(count)) for count, part in found.items()])
    excess, genuine = (np.concatenate(column) for column in zip(*map(_columns, found.values()), strict=True))
    weight = np.concatenate([_even(part) for part in found.values()])
    fit = LogisticRegression(C=100.0, max_iter=1000)
    fit.fit(np.stack([excess, more * excess, more], axis=1), genuine, sample_weight=weight * len(weight))
    (a0, a1, b1), b0 = fit.coef_[0].tolist(), float(fit.intercept_[0])
    a0 = max(a0, LEAST)
    most = max(found)  # what more references would add, nobody has seen
    a1 = max(a1, (LEAST - a0) / np.log(most)) if most > 1 else 0.0
    evidence = b0 + b1 * more + (a0 + a1 * more) * excess
    parts = {count: more == np.log(count) for count in found}
    each = {count: _thresholds(evidence[part], genuine[part], weight[part]) for count, part in parts.items()}
    by_name = {name: {str(count): of[name] for count, of in each.items()} for name in next(iter(each.values()))}
    away = np.concatenate([np.abs(evidence[part] - each[count]["eer"]) for count, part in parts.items()])
    band = _quantile(away, weight, DOUBTFUL)
    return Ranking(evidence, genuine).errors(weight).equal(), dataclasses.replace(
        decision, a0=a0, a1=float(a1), b0=b0, b1=b1, most=most, thresholds=by_name, band=band
    )


def _columns(part: Comparisons) -> tuple[np.ndarray, np.ndarray]:
    return part.score, part.kind == GENUINE


def _usual_cohesion(decision: Verify, vectors: np.ndarray, truth: Truth) -> float:
    """How alike a writer's genuine signatures usually are, fused as the questioned ones will be."""
    own = []
    for writer in np.unique(truth.writer):
        genuine = vectors[(truth.writer == writer) & truth.genuine]
        if len(genuine) > 1:
            count = len(genuine)
            own.append((decision.own(genuine) - decision.cohesion / count) / (1 - 1 / count))
    return float(np.mean(own)) if own else 0.0


def _even(part: Comparisons) -> np.ndarray:
    """Weights that make every writer count alike among genuine and among forged ones, and both kinds alike."""
    weight = np.zeros(len(part.score))
    for kind in (part.kind == GENUINE, part.kind != GENUINE):
        _, place, times = np.unique(part.writer[kind], return_inverse=True, return_counts=True)
        weight[kind] = 0.5 / (times[place] * len(times))
    return weight


def _thresholds(evidence: np.ndarray, genuine: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """For one number of references: where both errors are equal, and what forgeries pass at ``RATES``.

    Between two scores, not on one. A rate is never laxer than the equal error rate, also where that is below it.
    """
    rates = Ranking(evidence, genuine).errors(weight)
    place = 1 + int(np.argmin(np.abs(rates.far - rates.frr)[1:]))
    equal = float(np.mean(rates.threshold[place : place + 2]))
    found = _at_rates(evidence[~genuine])
    return {"eer": equal, **{name: max(equal, value) for name, value in found.items()}}


def _at_rates(evidence: np.ndarray) -> dict[str, float]:
    """Thresholds above which the share ``RATES`` of the forgeries lies, each counting once, as reports count them.

    Counted where there are enough to count. Where there are not, an exponential tail goes on from the 95th percentile
    with the mean excess of those above: an extrapolation, and never below what was counted.
    """
    each = np.ones(len(evidence))
    start = _quantile(evidence, each, 1 - TAIL)
    beyond = evidence[evidence > start]
    mean = float(np.mean(beyond - start)) if beyond.size else 0.0
    found, lowest = {}, -np.inf
    for rate in RATES:
        counted = _quantile(evidence, each, 1 - rate)
        enough = len(evidence) >= COUNTABLE / rate
        lowest = max(lowest, counted if enough else max(counted, start + mean * float(np.log(TAIL / rate))))
        found[f"{rate:g}"] = lowest
    return found


def _quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Half-way from the smallest value that at least this share of the weight does not exceed to the next one."""
    order = np.argsort(values)
    reached = np.cumsum(weight[order]) / weight.sum()
    place = min(len(order) - 1, int(np.searchsorted(reached, share - 1e-12)))
    return float(np.mean(values[order][place : place + 2]))
