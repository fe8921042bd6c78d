"""What the problems that answer with class probabilities share. No plug-in itself."""

import keras
import numpy as np

from trainer.artifact.decision import Classify
from trainer.evaluation import classification
from trainer.losses import _accuracy
from trainer.losses.cross_entropy import cross_entropy
from trainer.problems import Problem


def probabilities(features, count: int, _):
    """Class probabilities ``float32 [N, count]``: one sigmoid for two classes, softmax for more."""
    if count > 2:
        return keras.layers.Dense(count, activation="softmax", dtype="float32", name="probabilities")(features)
    first = keras.layers.Dense(1, activation="sigmoid", dtype="float32", name="probability")(features)
    second = keras.layers.Rescaling(-1.0, 1.0, name="complement", dtype="float32")(first)
    return keras.layers.Concatenate(name="probabilities", dtype="float32")([first, second])


def watch(vectors: np.ndarray, targets) -> dict[str, float]:
    """Mean loss and accuracy of the validation part."""
    both = {"val_loss": cross_entropy, "val_accuracy": _accuracy.accuracy}
    return {name: float(np.mean(of(targets, vectors))) for name, of in both.items()}


def errors(decision: Classify, vectors: np.ndarray, targets) -> dict[str, float]:
    """The share of wrong answers, in percent."""
    return {"error": 100 * float(np.mean(decision.choose(vectors) != targets["label"]))}


def classification_problem(**own) -> Problem:
    """A problem that answers with class probabilities; ``own`` is what remains to be said."""
    return Problem(
        head=probabilities,
        losses=("cross_entropy",),
        accuracy=_accuracy.accuracy,
        watch=watch,
        watched="val_loss",
        decide=lambda labels, vectors, targets: Classify.even(labels),
        errors=errors,
        judge=classification.CLASSIFICATION,
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
        **own,
    )
