"""``--init-from``: start from the weights of an artefact or of a Keras file instead of from nothing.

Weights are matched by their path in the network, so another head or another number of labels starts anew and the rest
is taken. Knows no data.
"""

from pathlib import Path

import keras
import tensorflow as tf

from trainer import storage
from trainer.artifact import manifest
from trainer.console.errors import UserError
from trainer.console.progress import fetching
from trainer.training.network import trunk


class NoWeights(UserError):
    """Nothing to start from; the message says what was found."""


def load(model: keras.Model, given: str) -> str:
    """Put what fits into the model; says in one line what was taken. Raises ``NoWeights`` when nothing fits."""
    path = storage.fetch(given, progress=fetching)
    found = _of_file(path) if path.is_file() else _of_artifact(path)
    taken = []
    for weight in model.weights:
        value = found.get(weight.path)
        if value is not None and value.shape == tuple(weight.shape):
            weight.assign(value)
            taken.append(weight.path)
    if not set(taken) & {weight.path for weight in trunk(model).weights}:  # a head alone is no start
        raise NoWeights(
            f"--init-from {given!r}: none of its {len(found)} weights has the name and shape of one of this network's; "
            "is it the same --backbone and canvas?"
        )
    return f"starting from {given}: {len(taken)} of {len(model.weights)} weights"


def _of_artifact(folder: Path) -> dict:
    """Weights of a SavedModel that we exported, by path."""
    manifest.verify(manifest.read(folder), folder)
    return {variable.name.split(":")[0]: variable.numpy() for variable in tf.saved_model.load(str(folder)).variables}


def _of_file(path: Path) -> dict:
    """Weights of a ``.keras`` file, by path."""
    try:
        saved = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise NoWeights(f"--init-from {str(path)!r} is no artefact and no .keras file: {error}") from None
    return {weight.path: weight.value.numpy() for weight in saved.weights}
