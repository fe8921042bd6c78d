"""The base of the problems whose answer is a class; no plug-in itself.

Next: ``signature_vs_text.py``, and the closed sets ``genuine_vs_forged.py`` and ``writer_identification.py``.
"""

import dataclasses
from typing import Any

import numpy as np

from trainer.artifact.decision import Classifier
from trainer.evaluation import classification
from trainer.losses import _accuracy
from trainer.losses.cross_entropy import cross_entropy
from trainer.problems import Problem, Targets, _class_head

MAX_REJECTED = 0.03  # share of validation images answered "unknown"; of new images of known classes it may be 5 %
DEFAULTS = {
    "epochs": 15,
    "patience": 4,
    "batch_size": 32,
    "learning_rate": 0.001,
    "warmup": 0.0,
    "weight_decay": 0.0,
    "clip_norm": 0.0,
    "ema_decay": 0.99,
    "dropout": 0.5,
    "copies_share": 0.0,
}
FINE_TUNING = {  # of a trained encoder, on few images of each class
    "init_from": "ready:same_writer",
    "epochs": 60,
    "patience": 20,
    "learning_rate": 0.002,
    "weight_decay": 0.05,
    "dropout": 0.0,
}


def compute_validation_metrics(vectors: np.ndarray, targets: Targets, _: None = None) -> dict[str, float]:
    """Return mean loss and accuracy of class probabilities ``float32 [N, L]`` of the validation split."""
    functions = {"val_loss": cross_entropy, "val_accuracy": _accuracy.accuracy}
    return {name: float(np.mean(function(targets, vectors))) for name, function in functions.items()}


def compute_error_rates(decision: Classifier, vectors: np.ndarray, targets: Targets) -> dict[str, float]:
    """Return the share of wrong answers, in percent; ``unknown`` is wrong for an image of a known class."""
    is_wrong = (decision.predict_indices(vectors) != targets["label"]) | decision.is_rejected(vectors)
    return {"error": 100 * float(np.mean(is_wrong))}


def make_classification_problem(**fields: Any) -> Problem:
    """Make a problem whose answer is a class; ``fields`` are those of ``Problem`` that differ from these or lack."""
    common: dict[str, Any] = {
        "head": _class_head.probabilities,
        "transfer_head": _class_head.transfer,
        "build_export_model": _class_head.balance,
        "losses": ("cross_entropy",),
        "accuracy": _accuracy.accuracy,
        "validation_metrics": compute_validation_metrics,
        "monitor": "val_loss",
        "fit_decision": lambda labels, vectors, targets, similarity: Classifier.with_equal_thresholds(labels),
        "error_rates": compute_error_rates,
        "report_builder": classification.CLASSIFICATION_REPORT,
        "defaults": DEFAULTS,
    }
    return Problem(**{**common, **fields})


def make_closed_set_problem(**fields: Any) -> Problem:
    """Make a problem about known writers, of whom there are few images: it starts from the encoder of ``same_writer``.

    Images are split, not writers. ``fields`` are those of ``Problem`` that are not set here.
    """
    closed_set: dict[str, Any] = {
        "canvas": (96, 192),
        "backbone": "strokes",
        "head": _class_head.probabilities_of_embedding,
        "has_embedding": True,
        "is_writer_independent": False,
        "defaults": {**DEFAULTS, **FINE_TUNING},
    }
    return make_classification_problem(**{**closed_set, **fields})


def fit_rejecting_classifier(
    labels: tuple[str, ...], vectors: np.ndarray, targets: Targets, similarity: None
) -> Classifier:
    """Fit a classifier that answers ``unknown`` where the probability of the best label is low.

    ``vectors`` are class probabilities ``float32 [N, L]`` of validation images, all of known classes: at most the share
    ``MAX_REJECTED`` of them is rejected. Raises ``BadArtifact`` if a label is called ``unknown``.
    """
    best = np.sort(vectors.max(axis=1))
    limit = float(best[int(MAX_REJECTED * len(best))])
    return dataclasses.replace(Classifier.with_equal_thresholds(labels), rejection_limit=limit)
