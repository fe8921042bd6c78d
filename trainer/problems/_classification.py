"""What the problems that answer with class probabilities share. No plug-in itself."""

import keras

from trainer import judge, losses
from trainer.artifact.decision import Classify
from trainer.problems import Problem


def probabilities(features, count: int):
    """Class probabilities ``float32 [N, count]``: one sigmoid for two classes, softmax for more."""
    if count > 2:
        return keras.layers.Dense(count, activation="softmax", name="probabilities")(features)
    first = keras.layers.Dense(1, activation="sigmoid", name="probability")(features)
    second = keras.layers.Rescaling(-1.0, 1.0, name="complement")(first)
    return keras.layers.Concatenate(name="probabilities")([first, second])


def classification_problem(**own) -> Problem:
    """A problem that answers with class probabilities; ``own`` is what remains to be said."""
    return Problem(
        head=probabilities,
        loss=losses.cross_entropy,
        accuracy=losses.accuracy,
        decision=Classify.even,
        judge=judge.CLASSIFICATION,
        **own,
    )
