"""Metrics of scores and of class probabilities: accuracy, ROC-AUC, error rates, calibration error.

NumPy in, JSON out; scikit-learn computes what it has. Percentages are 0 to 100, areas 0 to 1. Independent of files and
models. Next: ``protocol.py`` makes the comparisons that have scores.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import metrics as sk

if TYPE_CHECKING:
    from trainer.artifact.decision import Classifier
    from trainer.corpora import Sample

MAX_CONFUSION_LABELS = 12  # in a confusion matrix; a larger one cannot be read
MAX_CONFUSED_PAIRS = 10
BOOTSTRAP_ROUNDS = 500
NORMAL_QUANTILE = 1.959964  # that leaves 2.5 % on either side


def measure_classification(vectors: np.ndarray, samples: list[Sample], decision: Classifier) -> dict[str, Any]:
    """Return accuracy, precision, recall and F1 of each label, confusion matrix (rows true, columns answered), ROC-AUC.

    ``vectors`` are the class probabilities ``float32 [N, L]`` of the ``samples``. ROC-AUC is that of the first label
    for two labels, the mean of one-against-rest for more, and ``None`` if a label has no image. For a decision with a
    rejection limit, ``unknown`` is a wrong answer and the last column; ``top_1`` is the accuracy without the limit. For
    more than ``MAX_CONFUSION_LABELS`` labels there are the most confused pairs instead of the matrix.
    """
    labels = list(decision.labels)
    true = np.array([labels.index(sample.label) for sample in samples])
    best, is_rejected = decision.predict_indices(vectors), decision.is_rejected(vectors)
    answered = np.where(is_rejected, len(labels), best)
    rejection = {"top_1": 100 * float(np.mean(true == best)), "unknown": 100 * float(np.mean(is_rejected))}
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        true, answered, labels=range(len(labels)), zero_division=0.0
    )
    by_label = {
        label: {"precision": 100 * float(p), "recall": 100 * float(r), "f1": 100 * float(f), "images": int(n)}
        for label, p, r, f, n in zip(labels, precision, recall, f1, support, strict=True)
    }
    return {
        "images": len(samples),
        "accuracy": 100 * float(np.mean(true == answered)),
        **({} if decision.rejection_limit is None else rejection),
        "labels": by_label,
        **_count_confusions(true, answered, labels, list(decision.answers)),
        "roc_auc": _compute_roc_auc(vectors, true, support),
    }


def _count_confusions(true: np.ndarray, answered: np.ndarray, labels: list[str], answers: list[str]) -> dict[str, Any]:
    """Return the confusion matrix, or its largest entries beside the diagonal for many labels.

    ``true`` and ``answered`` are ``int [N]``, positions in ``answers``, which begin with ``labels``.
    """
    counts = sk.confusion_matrix(true, answered, labels=range(len(answers)))
    if len(labels) <= MAX_CONFUSION_LABELS:
        return {"confusion": counts[: len(labels)].tolist()}
    errors = counts - np.diag(np.diag(counts))
    largest = np.argsort(-errors, axis=None, kind="stable")[:MAX_CONFUSED_PAIRS]
    pairs = [divmod(int(position), len(answers)) for position in largest]
    return {
        "confused": [
            {"label": labels[row], "answer": answers[column], "images": int(errors[row, column])}
            for row, column in pairs
            if errors[row, column]
        ]
    }


def compute_wilson_interval(percent: float, count: int) -> list[float]:
    """Return the 95 % interval of a share of ``count`` images, in percent (Wilson 1927)."""
    share, squared = percent / 100, NORMAL_QUANTILE**2
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    half = NORMAL_QUANTILE * np.sqrt(share * (1 - share) / count + squared / (4 * count**2)) / (1 + squared / count)
    return [100 * float(max(0.0, centre - half)), 100 * float(min(1.0, centre + half))]


@dataclasses.dataclass(frozen=True)
class ErrorRates:
    """False acceptance and false rejection rates at every threshold where they change.

    ``thresholds``, ``far`` and ``frr`` are ``float64 [T]``; thresholds descend. ``far[i]`` and ``frr[i]`` (0 to 1) are
    the shares of forgeries accepted and of genuine signatures rejected when scores of at least ``thresholds[i]`` are
    accepted. The first threshold is infinite and accepts nothing.
    """

    thresholds: np.ndarray
    far: np.ndarray
    frr: np.ndarray

    def compute_eer(self) -> float:
        """Return the equal error rate in percent: where the two rates cross, interpolated between thresholds."""
        gap = self.far - self.frr  # rises from -1 to 1
        after = int(np.argmax(gap >= 0))
        share = gap[after - 1] / (gap[after - 1] - gap[after])
        return 100 * float(self.far[after - 1] + share * (self.far[after] - self.far[after - 1]))

    def find_equal_error_threshold(self) -> float:
        """Return the threshold at which the two rates are most nearly equal, half-way between two scores."""
        index = 1 + int(np.argmin(np.abs(self.far - self.frr)[1:]))
        return float(np.mean(self.thresholds[index : index + 2]))

    def compute_auc(self) -> float:
        """Return the area under the ROC curve, 0 to 1."""
        return float(sk.auc(self.far, 1 - self.frr))


class RankedScores:
    """Scores that are sorted once, to compute error rates for many weights: a bootstrap has hundreds of rounds."""

    def __init__(self, scores: np.ndarray, genuine: np.ndarray):
        """Sort ``scores``, ``float [N]``; ``genuine`` is ``bool [N]`` with both values present."""
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        self._last_of_ties = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        self._genuine = genuine[self._order]
        self._thresholds = np.append(np.inf, ranked[self._last_of_ties])

    def compute_error_rates(self, weights: np.ndarray | None = None) -> ErrorRates:
        """Return the error rates, with each score counted as often as ``weights [N]`` says."""
        ranked_weights = np.ones(len(self._order)) if weights is None else weights[self._order]
        accepted = [
            np.append(0.0, np.cumsum(ranked_weights * is_class)[self._last_of_ties])
            for is_class in (self._genuine, ~self._genuine)
        ]
        genuine, forged = (sums / max(sums[-1], 1e-12) for sums in accepted)
        return ErrorRates(self._thresholds, forged, 1 - genuine)


def compute_error_rates(scores: np.ndarray, genuine: np.ndarray) -> ErrorRates:
    """Return the error rates of ``scores``, ``float [N]``; ``genuine`` is ``bool [N]`` with both values present."""
    return RankedScores(scores, genuine).compute_error_rates()


def draw_bootstrap(has_forgeries: np.ndarray) -> np.ndarray:
    """Return how often each of W writers, ``bool [W]``, is drawn in each round: ``int [BOOTSTRAP_ROUNDS, W]``.

    Writers with and without forgeries are drawn separately, so that no round is without forgeries.
    """
    rng = np.random.default_rng(0)
    counts = np.zeros((BOOTSTRAP_ROUNDS, len(has_forgeries)), int)
    for stratum in (has_forgeries, ~has_forgeries):
        if size := int(stratum.sum()):
            counts[:, stratum] = rng.multinomial(size, np.full(size, 1 / size), BOOTSTRAP_ROUNDS)
    return counts


def calibration_curve(probabilities: np.ndarray, genuine: np.ndarray, num_bins: int = 10) -> dict[str, Any]:
    """Compare probabilities ``float [N]`` with outcomes ``bool [N]``; both classes have the same total weight.

    ``ece`` is the expected calibration error (Naeini et al. 2015, eq. 3) over bins of equal width, 0 to 1; each of
    ``bins`` has the mean ``predicted`` probability, the ``observed`` share of genuine and its ``weight``. The function
    of this name in scikit-learn takes no weights.
    """
    weights = np.where(genuine, 0.5 / max(1, genuine.sum()), 0.5 / max(1, (~genuine).sum()))
    bin_indices = np.minimum((probabilities * num_bins).astype(int), num_bins - 1)
    bins = []
    for index in np.unique(bin_indices):
        members = bin_indices == index
        weight = weights[members].sum()
        predicted = float(weights[members] @ probabilities[members] / weight)
        observed = float(weights[members] @ genuine[members] / weight)
        bins.append({"predicted": predicted, "observed": observed, "weight": float(weight)})
    ece = sum(row["weight"] * abs(row["predicted"] - row["observed"]) for row in bins)
    return {"ece": float(ece), "bins": bins}


def _compute_roc_auc(vectors: np.ndarray, true: np.ndarray, support: np.ndarray) -> float | None:
    if min(support) == 0:
        return None
    areas = [float(sk.roc_auc_score(true == index, vectors[:, index])) for index in range(vectors.shape[1])]
    return areas[0] if len(areas) == 2 else float(np.mean(areas))
