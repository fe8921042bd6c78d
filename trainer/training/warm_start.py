"""Warm start (``--init-from``): initial weights from an artefact or from a ``.keras`` file.

Weights are matched by their path in the network, so that another head, or another number of labels, keeps its random
initial weights while the backbone is loaded. Independent of data. Next: ``loop.py`` trains from there.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from trainer.artifact import manifest
from trainer.console.errors import UserError
from trainer.console.progress import transfer_progress
from trainer.ready import fetch_artifact
from trainer.training.network import get_backbone


class NoMatchingWeights(UserError):
    """No weight of the backbone could be loaded; the message says why."""


def load_weights(model: keras.Model, init_from: str) -> str:
    """Assign every weight whose path and shape match; return one line that says how many.

    Raises ``NoMatchingWeights`` when none of the backbone's weights match.
    """
    path = fetch_artifact(init_from, progress=transfer_progress)
    values = _read_file_weights(path) if path.is_file() else _read_artifact_weights(path)
    loaded = []
    for weight in model.weights:
        value = values.get(weight.path)
        if value is not None and value.shape == tuple(weight.shape):
            weight.assign(value)
            loaded.append(weight.path)
    if not set(loaded) & {weight.path for weight in get_backbone(model).weights}:  # a head alone is no warm start
        raise NoMatchingWeights(
            f"--init-from {init_from!r}: none of its {len(values)} weights has the name and shape of one of "
            "this network's; is it the same --backbone and canvas?"
        )
    return f"starting from {init_from}: {len(loaded)} of {len(model.weights)} weights"


def _read_artifact_weights(artifact_dir: Path) -> dict[str, np.ndarray]:
    """Read the weights of an artefact's SavedModel, by path."""
    manifest.verify(manifest.read(artifact_dir), artifact_dir)
    loaded = tf.saved_model.load(str(artifact_dir))  # kept, because a signature does not own its variables
    variables = loaded.signatures["serving_default"].variables
    return {variable.name.split(":")[0]: variable.numpy() for variable in variables}


def _read_file_weights(path: Path) -> dict[str, np.ndarray]:
    """Read the weights of a ``.keras`` file, by path."""
    try:
        saved = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise NoMatchingWeights(
            f"--init-from {str(path)!r} is neither an artefact nor a .keras file: {error}"
        ) from None
    return {weight.path: weight.value.numpy() for weight in saved.weights}
