"""The head of the problems whose answer is a class: how it is built, started from another one, and balanced.

No plug-in itself. Independent of data and training. Next: ``_classification.py``.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import KerasTensor
from scipy import special

from trainer.evaluation import metrics
from trainer.problems import EncodeBatches, Weights
from trainer.problems._embedding import embed

MIN_PROBABILITY = 1e-7  # about the smallest distance from 1 of a float32 below it
EMBEDDING_SCALE = 16.0  # logits of a vector of length 1 are too small to be sure of a class (Wang et al. 2018, CosFace)
SIGMOID, SOFTMAX = "probability", "probabilities"  # the dense layer for two classes, and for more


def probabilities(features: KerasTensor, num_labels: int, _: int) -> KerasTensor:
    """Map features to class probabilities ``float32 [N, num_labels]``: a sigmoid for two classes, softmax for more."""
    if len(features.shape) == 4:
        features = keras.layers.Flatten(name="flat")(features)
    if num_labels > 2:
        return keras.layers.Dense(num_labels, activation="softmax", dtype="float32", name=SOFTMAX)(features)
    first = keras.layers.Dense(1, activation="sigmoid", dtype="float32", name=SIGMOID)(features)
    second = keras.layers.Rescaling(-1.0, 1.0, name="complement", dtype="float32")(first)
    return keras.layers.Concatenate(name="probabilities", dtype="float32")([first, second])


def probabilities_of_embedding(features: KerasTensor, num_labels: int, embedding_dim: int) -> KerasTensor:
    """Map features to class probabilities ``float32 [N, num_labels]`` by the embedding that verifiers compare.

    A start from a verifier then loads the embedding, too, and only the last layer is new.
    """
    vector = keras.layers.Rescaling(EMBEDDING_SCALE, name="scaled", dtype="float32")(embed(features, embedding_dim))
    return probabilities(vector, num_labels, embedding_dim)


def transfer(trained: Weights, trained_labels: Sequence[str], initial: Weights, labels: Sequence[str]) -> Weights:
    """Return the weights of a head for ``labels`` that tells apart the classes of a trained head as that one does.

    Classes that both heads have keep their probabilities relative to each other; a class of ``labels`` alone has its
    weights of ``initial``. Empty where fewer than two classes are in both heads, or where the features differ.
    """
    shared = [label for label in labels if label in trained_labels]
    old, new = _read_logits(trained), _read_logits(initial)
    if len(shared) < 2 or not old or old["kernel"].shape[0] != new["kernel"].shape[0]:
        return {}
    old_columns, new_columns = ([names.index(label) for label in shared] for names in (trained_labels, labels))
    for name, values in new.items():
        values[..., new_columns] = old[name][..., old_columns]
    if len(labels) > 2:
        return {f"{SOFTMAX}/{name}": values for name, values in new.items()}
    return {f"{SIGMOID}/{name}": values[..., :1] - values[..., 1:] for name, values in new.items()}


def balance(model: keras.Model, encode_batches: EncodeBatches) -> keras.Model:
    """Shift the probabilities of two classes, in place, so that each is wrong equally often on the validation split.

    A network that has learnt its training images by heart is sure of all its answers, and the log-odds at which the
    classes part are no longer 0. For more classes, or where the split has one class only, nothing changes.
    """
    pieces = [(vectors, targets["label"] == 0) for vectors, targets in encode_batches("validation")]
    vectors, is_first = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    if vectors.shape[1] > 2 or is_first.all() or not is_first.any():
        return model
    log_odds = special.logit(np.clip(vectors[:, 0].astype(np.float64), MIN_PROBABILITY, 1 - MIN_PROBABILITY))
    threshold = metrics.compute_error_rates(log_odds, is_first).find_equal_error_threshold()
    bias = model.get_layer(SIGMOID).bias
    bias.assign(bias.value - threshold)
    return model


def _read_logits(weights: Weights) -> dict[str, np.ndarray]:
    """Return new arrays ``kernel [F, L]`` and ``bias [L]`` of logits whose softmax is the head's answer, or nothing."""
    logits = {}
    for name in ("kernel", "bias"):
        if f"{SOFTMAX}/{name}" in weights:
            logits[name] = np.array(weights[f"{SOFTMAX}/{name}"])
        elif f"{SIGMOID}/{name}" in weights:  # sigmoid(z) is the first probability of softmax([z, 0])
            first = np.asarray(weights[f"{SIGMOID}/{name}"])
            logits[name] = np.concatenate([first, np.zeros_like(first)], axis=-1)
    return logits
