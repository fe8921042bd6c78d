"""Fit a ``Verifier`` to validation writers: fusion, prior cohesion, log-odds, thresholds, inconclusive margin.

Everything is fitted to writers that the encoder was not trained on. Works on vectors and their writers, not images.
Next: ``thresholds.py`` fits false acceptance rates, ``artifact/verification.py`` answers with the numbers.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from trainer.artifact.similarity import Similarity
from trainer.artifact.thresholds import EQUAL_ERROR
from trainer.artifact.verification import FUSION_WEIGHTS, Verifier
from trainer.evaluation.metrics import RankedScores
from trainer.evaluation.protocol import (
    FORGERY_KINDS,
    Comparisons,
    GroundTruth,
    NoComparisons,
    Targets,
    Trial,
    compare,
    make_ground_truth,
    make_trials,
)
from trainer.evaluation.thresholds import compute_quantile, fit_rates

COUNTS = (1, 2, 3, 5, 7, 10, 15)  # of references; more than the last are answered like the last
INCONCLUSIVE_SHARE = 0.10  # of the validation comparisons
MIN_SLOPE = 0.01  # of the log-odds: a signature more similar to the references is never less genuine


def fit_verifier(labels: tuple[str, ...], vectors: np.ndarray, targets: Targets, similarity: Similarity) -> Verifier:
    """Fit the decision of an encoder to vectors ``float32 [N, D]`` and targets ``int [N]`` of validation writers.

    ``similarity`` compares two vectors. The fusion with the lowest equal error rate is chosen. Raises
    ``NoComparisons``.
    """
    truth = make_ground_truth(targets)
    trials = {count: make_trials(vectors, truth, count, similarity.compare) for count in COUNTS}
    fitted = [_fit(_make_uncalibrated(fusion, vectors, truth, similarity), trials) for fusion in FUSION_WEIGHTS]
    return min(fitted, key=lambda eer_and_verifier: eer_and_verifier[0])[1]


def compute_validation_metrics(vectors: np.ndarray, targets: Targets, similarity: Similarity) -> dict[str, float]:
    """Return the equal error rates on the validation split with up to 5 references, in percent, for each epoch.

    ``val_eer`` is that of skilled forgeries if there are any, else that of random ones. Raises ``NoComparisons``.
    """
    truth = make_ground_truth(targets)
    max_genuine = np.bincount(truth.writer[truth.genuine]).max(initial=0)
    if max_genuine < 2 or len(np.unique(truth.writer[truth.genuine])) < 2:
        raise NoComparisons(
            "the validation part needs two writers or more with two genuine signatures or more; add writers, or give a "
            "larger --validation-fraction"
        )
    uncalibrated = _make_uncalibrated("both", vectors, truth, similarity)
    trials = make_trials(vectors, truth, min(5, int(max_genuine) - 1), similarity.compare, draws=3)
    eers = {f"val_{name}": eer for name, eer in _compute_eers(compare(trials, uncalibrated.log_odds)).items()}
    return {"val_eer": next(iter(eers.values())), **eers}


def compute_eers(verifier: Verifier, vectors: np.ndarray, targets: Targets) -> dict[str, float]:
    """Return the equal error rates with up to 10 references, in percent, of the kinds of forgery that are present.

    The keys are ``eer_skilled`` and ``eer_random``.
    """
    reference_count = min(10, verifier.max_references)
    trials = make_trials(vectors, make_ground_truth(targets), reference_count, verifier.measure.compare)
    return _compute_eers(compare(trials, verifier.log_odds))


def _compute_eers(comparisons: Comparisons) -> dict[str, float]:
    eers = {f"eer_{name}": comparisons.compute_eer(kind) for name, kind in FORGERY_KINDS.items()}
    return {name: eer for name, eer in eers.items() if eer is not None}


def _make_uncalibrated(fusion: str, vectors: np.ndarray, truth: GroundTruth, similarity: Similarity) -> Verifier:
    """Make a verifier whose log-odds are the normalised similarity itself."""
    identity: dict[str, Any] = {"a0": 1.0, "a1": 0.0, "b0": 0.0, "b1": 0.0, "inconclusive_margin": 0.0}
    verifier = Verifier(
        vectors.shape[1],
        fusion,
        prior_cohesion=0.0,
        max_references=COUNTS[-1],
        thresholds={"eer": {"1": 0.0}},
        calibrated_on="random" if truth.genuine.all() else "skilled",
        similarity=similarity.to_manifest(),
        **identity,
    )
    return dataclasses.replace(verifier, prior_cohesion=_measure_cohesion(verifier, vectors, truth))


def _measure_cohesion(verifier: Verifier, vectors: np.ndarray, truth: GroundTruth) -> float:
    """Return the mean, over writers, of the fused similarity of a writer's genuine signatures to each other."""
    cohesions = []
    for writer in np.unique(truth.writer):
        genuine = vectors[(truth.writer == writer) & truth.genuine]
        if (count := len(genuine)) > 1:  # undo the shrinkage to the prior value
            cohesion = verifier.reference_cohesion(verifier.measure.compare_all(genuine))
            cohesion -= verifier.prior_cohesion / count
            cohesions.append(cohesion / (1 - 1 / count))
    return float(np.mean(cohesions)) if cohesions else 0.0


def _fit(verifier: Verifier, trials: Mapping[int, Sequence[Trial]]) -> tuple[float, Verifier]:
    """Calibrate a verifier; return its equal error rate over all numbers of references, and the result."""
    by_count = _compare_by_count(verifier, trials)
    log_count = np.concatenate([np.full(len(each.score), np.log(count)) for count, each in by_count.items()])
    excess = np.concatenate([each.score for each in by_count.values()])
    genuine = np.concatenate([each.genuine for each in by_count.values()])
    weights = np.concatenate([_balance_weights(each) for each in by_count.values()])
    regression = LogisticRegression(C=100.0, max_iter=1000)
    features = np.stack([excess, log_count * excess, log_count], axis=1)
    regression.fit(features, genuine, sample_weight=weights * len(weights))
    (a0, a1, b1), b0 = regression.coef_[0].tolist(), float(regression.intercept_[0])
    a0 = max(a0, MIN_SLOPE)
    max_references = max(by_count)  # what more references than these add is unknown
    a1 = max(a1, (MIN_SLOPE - a0) / np.log(max_references)) if max_references > 1 else 0.0
    log_odds = b0 + b1 * log_count + (a0 + a1 * log_count) * excess
    calibrated = {
        count: dataclasses.replace(each, score=log_odds[log_count == np.log(count)]) for count, each in by_count.items()
    }
    equal = {count: _find_equal_error_threshold(each) for count, each in calibrated.items()}
    thresholds, far_intervals = fit_rates(calibrated, floors=equal)
    distances = [np.abs(each.score - equal[count]) for count, each in calibrated.items()]
    return RankedScores(log_odds, genuine).compute_error_rates(weights).compute_eer(), dataclasses.replace(
        verifier,
        a0=a0,
        a1=float(a1),
        b0=b0,
        b1=b1,
        max_references=max_references,
        thresholds={EQUAL_ERROR: {str(count): value for count, value in equal.items()}, **thresholds},
        far_intervals=far_intervals,
        inconclusive_margin=compute_quantile(np.concatenate(distances), weights, INCONCLUSIVE_SHARE),
    )


def _find_equal_error_threshold(comparisons: Comparisons) -> float:
    ranked = RankedScores(comparisons.score, comparisons.genuine)
    return ranked.compute_error_rates(_balance_weights(comparisons)).find_equal_error_threshold()


def _compare_by_count(verifier: Verifier, trials: Mapping[int, Sequence[Trial]]) -> dict[int, Comparisons]:
    """Make the comparisons for each number of references that the data allows. Raises ``NoComparisons``."""
    kind = FORGERY_KINDS[verifier.calibrated_on]
    by_count = {count: compare(each, verifier.log_odds) for count, each in trials.items()}
    by_count = {count: each.with_forgeries(kind) for count, each in by_count.items() if each.has(kind)}
    if not by_count:
        raise NoComparisons(
            "the validation part has no writer with two genuine signatures and forgeries or other writers to compare "
            "them with; add writers, or give a larger --validation-fraction"
        )
    return by_count


def _balance_weights(comparisons: Comparisons) -> np.ndarray:
    """Return weights ``float [M]`` that sum to 0.5 over genuine and over forged ones, equally divided among writers."""
    weights = np.zeros(len(comparisons.score))
    for mask in (comparisons.genuine, ~comparisons.genuine):
        _, writer_index, counts = np.unique(comparisons.writer[mask], return_inverse=True, return_counts=True)
        weights[mask] = 0.5 / (counts[writer_index] * len(counts))
    return weights
