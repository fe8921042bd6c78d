"""Warm start (``--init-from``): initial weights from an artefact or from a ``.keras`` file.

Weights are matched by their path in the network, so that a head of another problem keeps its random initial weights
while the backbone is loaded; a head for other labels gets the classes that both have. Independent of data. Next:
``loop.py`` trains from there.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from trainer.artifact import manifest
from trainer.console.errors import UserError
from trainer.console.progress import transfer_progress
from trainer.ready import fetch_artifact
from trainer.settings import plugins
from trainer.training.network import get_backbone

MAX_LAYERS = 8  # that a message names


class NoMatchingWeights(UserError):
    """No weight of the backbone could be loaded; the message says why."""


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """Weights by their path in the network, and the labels that they were trained for, if these are known."""

    weights: dict[str, np.ndarray]
    labels: tuple[str, ...] = ()


def load_weights(model: keras.Model, init_from: str, labels: Sequence[str] = ()) -> str:
    """Assign every weight whose path and shape match; return a message that says which layers stay random, and why.

    A head is loaded with the whole backbone only. From an artefact with other ``labels``, it gets the classes that both
    have, if its problem can transfer them.
    Raises ``NoMatchingWeights`` when none of the backbone's weights match.
    """
    path = fetch_artifact(init_from, progress=transfer_progress)
    source = _read_file(path) if path.is_file() else _read_artifact(path)
    backbone = {weight.path: tuple(weight.shape) for weight in get_backbone(model).weights}
    weights = dict(source.weights)
    has_other_labels = bool(labels and source.labels) and source.labels != tuple(labels)
    is_backbone_there = all(path in weights and weights[path].shape == shape for path, shape in backbone.items())
    if has_other_labels or not is_backbone_there:  # a head reads the features of its own backbone
        weights = {path: value for path, value in weights.items() if path in backbone}
    if has_other_labels and is_backbone_there:
        weights |= _transfer_head(model, source, labels)
    loaded = []
    for weight in model.weights:
        value = weights.get(weight.path)
        if value is not None and value.shape == tuple(weight.shape):
            weight.assign(value)
            loaded.append(weight.path)
    if not set(backbone) & set(loaded):  # a head alone is no warm start
        raise NoMatchingWeights(
            f"--init-from {init_from!r}: none of its {len(source.weights)} weights has the name and shape of one of "
            "this network's; is it the same --backbone and canvas?"
        )
    message = f"starting from {init_from}: {len(loaded)} of {len(model.weights)} weights"
    if has_other_labels:
        message += f"; its labels are {', '.join(source.labels)}"
        new_labels = [label for label in labels if label not in source.labels]
        message += f", new, and random, are {', '.join(new_labels)}" if new_labels else ""
    unmatched = list(dict.fromkeys(w.path.rpartition("/")[0] for w in model.weights if w.path not in loaded))
    if unmatched:
        more = f" and {len(unmatched) - MAX_LAYERS} more" if len(unmatched) > MAX_LAYERS else ""
        layers = ", ".join(unmatched[:MAX_LAYERS]) + more
        message += f"; initialised at random, because it has no layer that fits: {layers}"
    return message


def _transfer_head(model: keras.Model, source: InitialWeights, labels: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Return the weights of the head of ``model`` that the head of ``source`` determines, by path; they may be none."""
    transfer_head = plugins.load("problems", model.name).transfer_head
    if not transfer_head:
        return {}
    initial = {weight.path: weight.value.numpy() for weight in model.weights}
    return transfer_head(source.weights, source.labels, initial, labels)


def _read_artifact(artifact_dir: Path) -> InitialWeights:
    """Read the weights of an artefact's SavedModel. Raises ``BadArtifact``."""
    described = manifest.read(artifact_dir)
    manifest.verify(described, artifact_dir)
    loaded = tf.saved_model.load(str(artifact_dir))  # kept, because a signature does not own its variables
    variables = loaded.signatures["serving_default"].variables
    return InitialWeights(
        {variable.name.split(":")[0]: variable.numpy() for variable in variables}, tuple(described.labels)
    )


def _read_file(path: Path) -> InitialWeights:
    """Read the weights of a ``.keras`` file. Raises ``NoMatchingWeights``."""
    try:
        saved = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise NoMatchingWeights(
            f"--init-from {str(path)!r} is neither an artefact nor a .keras file: {error}"
        ) from None
    return InitialWeights({weight.path: weight.value.numpy() for weight in saved.weights})
