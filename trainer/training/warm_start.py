"""Warm start (``--init-from``): initial weights from an artefact or from a ``.keras`` file.

Weights are matched by their path in the network, so that a head of another problem keeps its random initial weights
while backbone and embedding are loaded; a head for other labels gets the classes that both have. Independent of data.
Next: ``loop.py`` trains from there.
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
from trainer.training.network import get_backbone, get_encoder

MAX_NAMES = 8  # of layers or labels in a message


class NoMatchingWeights(UserError):
    """The backbone's weights could not be loaded; the message says why."""


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """Weights by their path in the network, and what is known of the network and the labels they were trained for."""

    weights: dict[str, np.ndarray]
    labels: tuple[str, ...] = ()
    backbone: str = ""
    canvas: tuple[int, int] | None = None  # height and width in pixels


def load_weights(model: keras.Model, init_from: str, labels: Sequence[str] = (), backbone_name: str = "") -> str:
    """Assign every weight whose path and shape match; return a message that says which layers stay random, and why.

    An embedding and a head are loaded with all layers before them only. From an artefact with other ``labels``, a head
    gets the classes that both have, if its problem can transfer them. ``backbone_name`` is that of ``model``.
    Raises ``NoMatchingWeights`` when none of the backbone's weights match, or only some of those of an artefact with
    the same backbone and canvas, whose layers are then those of an earlier release.
    """
    path = fetch_artifact(init_from, progress=transfer_progress)
    source = _read_file(path) if path.is_file() else _read_artifact(path)
    weights = dict(source.weights)
    backbone, encoder = (_get_shapes(part) for part in (get_backbone(model), get_encoder(model)))
    is_same_network = (source.backbone, source.canvas) == (backbone_name, tuple(model.input_shape[1:3]))
    if is_same_network and not _has_all(weights, backbone):
        raise NoMatchingWeights(
            f"--init-from {init_from!r}: its network {backbone_name} is that of an earlier release; start from an "
            "artefact of this one, or train with that release"
        )
    has_encoder = _has_all(weights, encoder)
    has_other_labels = bool(labels and source.labels) and source.labels != tuple(labels)
    if has_other_labels or not has_encoder:  # a head reads the features of its own encoder
        kept = encoder if has_encoder else backbone
        weights = {path: value for path, value in weights.items() if path in kept}
    if has_other_labels and has_encoder:
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
        message += f"; its labels are {_format_names(source.labels)}"
        new_labels = [label for label in labels if label not in source.labels]
        message += f", new, and random, are {_format_names(new_labels)}" if new_labels else ""
    unmatched = list(dict.fromkeys(w.path.rpartition("/")[0] for w in model.weights if w.path not in loaded))
    if unmatched:
        message += f"; initialised at random, because it has no layer that fits: {_format_names(unmatched)}"
    return message


def _get_shapes(part: keras.Model) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of a part of a network, by path."""
    return {weight.path: tuple(weight.shape) for weight in part.weights}


def _has_all(weights: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether there is a weight of each of these paths and shapes."""
    return all(path in weights and weights[path].shape == shape for path, shape in shapes.items())


def _format_names(names: Sequence[str]) -> str:
    """List the first names, and the number of the others."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


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
        {variable.name.split(":")[0]: variable.numpy() for variable in variables},
        tuple(described.labels),
        described.backbone,
        (described.imaging["height"], described.imaging["width"]),
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
