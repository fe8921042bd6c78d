"""The leak probe: can trivial features, without any shape, separate the labels of unseen writers?

Logistic regression on the levels of paper and ink, softness of edges, stroke width, share of ink, size and file format;
cross-validation keeps writers apart. If the probe separates raw files, a model that reads grey levels recognises the
scanner; if it separates canonical images, a model still may. Works on features, not images. Next: ``shortcuts.py`` runs
it.
"""

import dataclasses
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MIN_LEAK_AUC = 0.75  # area under the ROC curve from which trivial features are called a leak
INTERVAL_MARGIN = 0.1  # how far the 95 % interval may reach to the other side
MIN_WRITERS = 10  # writers (or images of unknown ones) of each label; with fewer the interval is too wide
MAX_IMAGES = 20_000  # images that are probed
FOLDS, BOOTSTRAP_ROUNDS = 5, 500
MIN_AUC_DISTANCE = 0.2  # distance from 0.5 of a single feature's area from which the feature is named


@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """Area under the ROC curve of ``label`` against the rest, and its 95 % interval over writers.

    ``feature_auc`` is the area of each feature by itself.
    """

    label: str
    auc: float
    low: float
    high: float
    feature_auc: dict[str, float]

    @property
    def verdict(self) -> str:
        """``leak``, ``no leak`` (below ``MIN_LEAK_AUC``, not nothing) or ``unclear`` for too few writers."""
        if self.auc >= MIN_LEAK_AUC:
            return "leak" if self.low >= MIN_LEAK_AUC - INTERVAL_MARGIN else "unclear"
        return "no leak" if self.high < MIN_LEAK_AUC + INTERVAL_MARGIN else "unclear"

    @property
    def dominant_feature(self) -> str:
        """The feature with the highest area by itself, or ``several together`` if none is high enough."""
        name = max(self.feature_auc, key=lambda feature: abs(self.feature_auc[feature] - 0.5), default="")
        if not name or abs(self.feature_auc[name] - 0.5) < MIN_AUC_DISTANCE:
            return "several together"
        return f"{name} alone {max(self.feature_auc[name], 1 - self.feature_auc[name]):.2f}"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {**dataclasses.asdict(self), "verdict": self.verdict, "dominant_feature": self.dominant_feature}


def probe_labels(values: np.ndarray, names: list[str], labels: np.ndarray, writers: np.ndarray) -> ProbeResult | None:
    """Return the result for the label that is easiest to separate; ``None`` if there are too few writers.

    ``values`` are features ``float [n, f]`` with a name for each column; ``labels`` and ``writers`` are ``str [n]``.
    """
    if len(values) > MAX_IMAGES:
        rows = np.random.default_rng(0).choice(len(values), MAX_IMAGES, replace=False)
        values, labels, writers = values[rows], labels[rows], writers[rows]
    writer_counts = {label: len(set(writers[labels == label].tolist())) for label in sorted(set(labels.tolist()))}
    eligible = [label for label, count in writer_counts.items() if count >= MIN_WRITERS]
    if len(eligible) < 2:
        return None
    mask = np.isin(labels, eligible)
    values, labels, writers = np.nan_to_num(values)[mask], labels[mask], writers[mask]
    writer = np.unique(writers, return_inverse=True)[1]  # int [n], from 0
    varies = np.ptp(values, axis=0) > 0
    varies[0] |= not varies.any()  # the model needs a column, even a constant one
    values, names = values[:, varies], [name for name, kept in zip(names, varies, strict=True) if kept]
    count = int(writer.max()) + 1
    rng = np.random.default_rng(0)
    weights = rng.multinomial(count, np.full(count, 1 / count), BOOTSTRAP_ROUNDS).astype(np.int16)  # [rounds, writers]
    results = []
    for label in eligible if len(eligible) > 2 else eligible[:1]:
        is_label = labels == label
        scores = _score_unseen(values, is_label, writer)
        draws = [weighted_auc(is_label, scores, weight[writer]) for weight in weights]
        low, high = np.nanquantile(draws, (0.025, 0.975))
        feature_auc = {name: weighted_auc(is_label, column) for name, column in zip(names, values.T, strict=True)}
        results.append(ProbeResult(label, weighted_auc(is_label, scores), float(low), float(high), feature_auc))
    return max(results, key=lambda result: result.auc)


def weighted_auc(is_label: np.ndarray, scores: np.ndarray, weights: np.ndarray | float = 1.0) -> float:
    """Return the area under the ROC curve, ties counting half; not a number if a class has no weight.

    ``bool [n]``, ``float [n]``, ``int [n]``. scikit-learn's ``roc_auc_score`` gives the same numbers, as a test shows,
    but takes 8 to 29 times as long for the 500 draws of a probe.
    """
    rank = np.unique(scores, return_inverse=True)[1]
    positives, negatives = np.bincount(rank, weights * is_label), np.bincount(rank, weights * ~is_label)
    total = positives.sum() * negatives.sum()
    return float((positives * (np.cumsum(negatives) - negatives / 2)).sum() / total) if total else float("nan")


def _score_unseen(values: np.ndarray, is_label: np.ndarray, writer: np.ndarray) -> np.ndarray:
    """Score every row, ``float [n]``, by a model that was trained without its writer."""
    scores = np.zeros(len(values))
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(values, is_label, writer):
        if len(set(is_label[train].tolist())) == 2:  # a model needs both classes; without it the fold's scores tie
            scores[test] = model.fit(values[train], is_label[train]).decision_function(values[test])
    return scores
