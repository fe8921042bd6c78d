"""The base of the problems whose answer is a class; no plug-in itself.

Next: ``genuine_vs_forged.py`` and ``signature_vs_text.py``.
"""

from typing import Any

import numpy as np

from trainer.artifact.decision import Classifier
from trainer.evaluation import classification
from trainer.losses import _accuracy
from trainer.losses.cross_entropy import cross_entropy
from trainer.problems import Problem, Targets, _class_head


def compute_validation_metrics(vectors: np.ndarray, targets: Targets) -> dict[str, float]:
    """Return mean loss and accuracy of class probabilities ``float32 [N, L]`` of the validation split."""
    functions = {"val_loss": cross_entropy, "val_accuracy": _accuracy.accuracy}
    return {name: float(np.mean(function(targets, vectors))) for name, function in functions.items()}


def compute_error_rates(decision: Classifier, vectors: np.ndarray, targets: Targets) -> dict[str, float]:
    """Return the share of wrong answers, in percent."""
    return {"error": 100 * float(np.mean(decision.predict_indices(vectors) != targets["label"]))}


def make_classification_problem(**fields: Any) -> Problem:
    """Make a problem whose answer is a class; ``fields`` are those of ``Problem`` that are not set here."""
    return Problem(
        head=_class_head.probabilities,
        transfer_head=_class_head.transfer,
        build_export_model=_class_head.balance,
        losses=("cross_entropy",),
        accuracy=_accuracy.accuracy,
        validation_metrics=compute_validation_metrics,
        monitor="val_loss",
        fit_decision=lambda labels, vectors, targets: Classifier.with_equal_thresholds(labels),
        error_rates=compute_error_rates,
        report_builder=classification.CLASSIFICATION_REPORT,
        defaults={
            "epochs": 15,
            "patience": 4,
            "batch_size": 32,
            "learning_rate": 0.001,
            "warmup": 0.0,
            "weight_decay": 0.0,
            "clip_norm": 0.0,
            "ema_decay": 0.99,
            "dropout": 0.5,
        },
        **fields,
    )
