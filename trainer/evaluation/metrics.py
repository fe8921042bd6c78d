"""Numbers people are judged by, from scores and from the exported model's own vectors. scikit-learn where it has them.

NumPy in, plain JSON out; percentages are 0 to 100, areas 0 to 1. Knows no files and no models. Next:
``protocol.py`` decides what is compared with what.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import metrics as sk

if TYPE_CHECKING:
    from trainer.artifact.decision import Classify
    from trainer.corpora import Sample


def classification(vectors: np.ndarray, samples: list[Sample], decision: Classify) -> dict[str, Any]:
    """Accuracy, precision, recall and F1 of each label, confusion matrix (rows true, columns answered), ROC-AUC.

    ``vectors`` are class probabilities ``float32 [N, L]`` of the ``samples``. ROC-AUC is that of the first label
    for two, the mean of one-against-rest for more, and ``None`` while a label has no image.
    """
    labels = list(decision.labels)
    true = np.array([labels.index(sample.label) for sample in samples])
    answered = decision.choose(vectors)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        true, answered, labels=range(len(labels)), zero_division=0.0
    )
    each = {
        label: {"precision": 100 * float(p), "recall": 100 * float(r), "f1": 100 * float(f), "images": int(n)}
        for label, p, r, f, n in zip(labels, precision, recall, f1, support, strict=True)
    }
    return {
        "images": len(samples),
        "accuracy": 100 * float(np.mean(true == answered)),
        "labels": each,
        "confusion": sk.confusion_matrix(true, answered, labels=range(len(labels))).tolist(),
        "roc_auc": _roc_auc(vectors, true, support),
    }


@dataclasses.dataclass(frozen=True)
class Errors:
    """Error rates at every threshold that makes a difference.

    ``threshold`` falls; ``far[i]`` and ``frr[i]`` (0 to 1) are the shares of forgeries accepted and of genuine ones
    rejected when scores of at least ``threshold[i]`` are accepted. The first threshold accepts nothing.
    """

    threshold: np.ndarray
    far: np.ndarray
    frr: np.ndarray

    def equal(self) -> float:
        """The equal error rate in percent: where the two lines cross, straight between thresholds."""
        gap = self.far - self.frr  # rises from -1 to 1
        after = int(np.argmax(gap >= 0))
        share = gap[after - 1] / (gap[after - 1] - gap[after])
        return 100 * float(self.far[after - 1] + share * (self.far[after] - self.far[after - 1]))

    def area(self) -> float:
        """The area under the ROC curve, 0 to 1."""
        return float(sk.auc(self.far, 1 - self.frr))


class Ranking:
    """Scores ranked once, to count errors under many weights (a bootstrap draws weights of writers)."""

    def __init__(self, score: np.ndarray, genuine: np.ndarray):
        """``float [N]`` and ``bool [N]``, both kinds present."""
        self._order = np.argsort(-score, kind="stable")
        ranked = score[self._order]
        self._last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of each run of equal scores
        self._genuine = genuine[self._order]
        self._threshold = np.append(np.inf, ranked[self._last])

    def errors(self, weight: np.ndarray | None = None) -> Errors:
        """With ``weight [N]`` a comparison counts so many times."""
        each = np.ones(len(self._order)) if weight is None else weight[self._order]
        accepted = [np.append(0.0, np.cumsum(each * kind)[self._last]) for kind in (self._genuine, ~self._genuine)]
        genuine, forged = (sums / max(sums[-1], 1e-12) for sums in accepted)
        return Errors(self._threshold, forged, 1 - genuine)


def errors(score: np.ndarray, genuine: np.ndarray) -> Errors:
    """Error rates of scores, higher being more genuine; see ``Errors``."""
    return Ranking(score, genuine).errors()


def calibration_curve(probability: np.ndarray, genuine: np.ndarray, bins: int = 10) -> dict[str, Any]:
    """How far probabilities are from what happens, both kinds counting alike whatever their numbers.

    ``ece`` is the expected calibration error (Naeini et al. 2015, eq. 3) over bins of equal width, 0 to 1; each of
    ``bins`` has the mean ``predicted``, the ``observed`` share and its ``weight``.
    """
    weight = np.where(genuine, 0.5 / max(1, genuine.sum()), 0.5 / max(1, (~genuine).sum()))
    place = np.minimum((probability * bins).astype(int), bins - 1)
    rows = []
    for number in np.unique(place):
        here = place == number
        total = weight[here].sum()
        predicted = float(weight[here] @ probability[here] / total)
        rows.append({"predicted": predicted, "observed": float(weight[here] @ genuine[here] / total), "weight": total})
    ece = sum(row["weight"] * abs(row["predicted"] - row["observed"]) for row in rows)
    return {"ece": float(ece), "bins": [{name: float(value) for name, value in row.items()} for row in rows]}


def _roc_auc(vectors, true, support):
    if min(support) == 0:
        return None
    areas = [float(sk.roc_auc_score(true == index, vectors[:, index])) for index in range(vectors.shape[1])]
    return areas[0] if len(areas) == 2 else float(np.mean(areas))
