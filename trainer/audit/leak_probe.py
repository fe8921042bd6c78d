"""The leak probe: can trivial facts, without any shape, tell the labels of unseen writers apart?

Logistic regression on paper and ink levels, softness, stroke width, ink share, size and file kind, in cross-validation
that keeps writers apart. If it can on raw files, a model that sees grey levels learns the scanner; if it can on
canonical images, it still may. Knows numbers about images, not images of people; NumPy, OpenCV, scikit-learn.
"""

import dataclasses
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LEAK = 0.75  # area under the curve from which trivial features are called a leak
DOUBT = 0.1  # how far the 95 % interval may reach to the other side
MIN_GROUPS = 10  # writers (or images of unknown ones) of each label; with fewer the numbers say nothing
MOST = 20_000  # images that are probed
FOLDS, DRAWS = 5, 500
TELLING = 0.2  # distance from 0.5 of a single feature's area that makes it worth naming


@dataclasses.dataclass(frozen=True)
class Probe:
    """``auc`` of ``label`` against the rest with its 95 % interval over groups, and each feature's area ``alone``."""

    label: str
    auc: float
    low: float
    high: float
    alone: dict[str, float]

    @property
    def verdict(self) -> str:
        """``leak``, ``no leak`` (which means below ``LEAK``, not nothing) or ``unclear`` for too few writers."""
        if self.auc >= LEAK:
            return "leak" if self.low >= LEAK - DOUBT else "unclear"
        return "no leak" if self.high < LEAK + DOUBT else "unclear"

    @property
    def culprit(self) -> str:
        """The feature that tells most by itself, or that it takes several together."""
        name = max(self.alone, key=lambda feature: abs(self.alone[feature] - 0.5), default="")
        if not name or abs(self.alone[name] - 0.5) < TELLING:
            return "several together"
        return f"{name} alone {max(self.alone[name], 1 - self.alone[name]):.2f}"

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        return {**dataclasses.asdict(self), "verdict": self.verdict, "culprit": self.culprit}


def probe(values: np.ndarray, names: list[str], labels: np.ndarray, groups: np.ndarray) -> Probe | None:
    """The label that is easiest to tell from the rest; ``None`` where there are too few writers to say.

    ``float [n, f]``, a name for each column, a label and a group (the writer) for each row.
    """
    if len(values) > MOST:
        chosen = np.random.default_rng(0).choice(len(values), MOST, replace=False)
        values, labels, groups = values[chosen], labels[chosen], groups[chosen]
    held = {label: len(set(groups[labels == label].tolist())) for label in sorted(set(labels.tolist()))}
    found = [label for label, count in held.items() if count >= MIN_GROUPS]
    if len(found) < 2:
        return None
    values, labels, groups = (each[np.isin(labels, found)] for each in (np.nan_to_num(values), labels, groups))
    group = np.unique(groups, return_inverse=True)[1]
    varies = np.ptp(values, axis=0) > 0
    varies[0] |= not varies.any()  # the model needs a column, even one that says nothing
    values, names = values[:, varies], [name for name, kept in zip(names, varies, strict=True) if kept]
    count = int(group.max()) + 1
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), DRAWS).astype(np.int16)
    probes = []
    for label in found if len(found) > 2 else found[:1]:
        is_label = labels == label
        score = _unseen_scores(values, is_label, group)
        draws = [area(is_label, score, times[group]) for times in drawn]
        low, high = np.nanquantile(draws, (0.025, 0.975))
        alone = {name: area(is_label, column) for name, column in zip(names, values.T, strict=True)}
        probes.append(Probe(label, area(is_label, score), float(low), float(high), alone))
    return max(probes, key=lambda one: one.auc)


def area(is_label: np.ndarray, score: np.ndarray, weight: np.ndarray | float = 1.0) -> float:
    """Area under the ROC curve, ties counting half; not a number when a side has no weight."""
    rank = np.unique(score, return_inverse=True)[1]
    yes, no = np.bincount(rank, weight * is_label), np.bincount(rank, weight * ~is_label)
    total = yes.sum() * no.sum()
    return float((yes * (np.cumsum(no) - no / 2)).sum() / total) if total else float("nan")


def _unseen_scores(values: np.ndarray, is_label: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Every row's score by a model that saw none of its group."""
    score = np.zeros(len(values))
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    splits = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in splits.split(values, is_label, group):
        if len(set(is_label[train].tolist())) == 2:  # else nothing was learnt: a tie
            score[test] = model.fit(values[train], is_label[train]).decision_function(values[test])
    return score
