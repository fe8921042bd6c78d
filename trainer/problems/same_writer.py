"""Were these signatures written by the same hand, for people never seen in training (an open set)?

An encoder maps an image to a unit vector; a questioned signature is compared with 1 to n references of the person it
claims to be. Nobody is trained for: a new person is a few references. Learns from genuine signatures and, where the
data has them, skilled forgeries.
"""

import keras
import numpy as np
from keras import layers

from trainer.backbones import Backbone
from trainer.evaluation import calibration, protocol, verification
from trainer.losses import _accuracy
from trainer.problems import Problem
from trainer.samples.amount import Amount

SHRINK = 0.01  # of the mean variance, added to every direction


def unit_vector(features, _, size: int):
    """An embedding ``float32 [N, size]`` of length 1, so that cosine and Euclidean distance say the same."""
    vector = layers.Dense(size, use_bias=False, name="embedding")(features)
    vector = layers.BatchNormalization(name="embedding_norm", dtype="float32")(vector)
    return layers.UnitNormalization(name="unit", dtype="float32")(vector)


def finish(model, vectors: np.ndarray, backbone: Backbone):
    """The encoder that is exported: directions evened out, and a second look where the backbone profits from it."""
    whiten(model, vectors)
    return mirrored(model) if backbone.mirrored else model


def mirrored(model: keras.Model) -> keras.Model:
    """A trained encoder that looks twice, at the image and at its mirror image: unit vectors of twice the size.

    In training every person is met mirrored, too, as somebody else; so the second look is by other eyes, and errs on
    others, at no cost of parameters.
    """
    images = keras.Input(model.input_shape[1:], dtype="uint8", name="images")
    looks = [model(images), model(keras.ops.flip(images, axis=2))]
    both = layers.Concatenate(name="looks")(looks)
    return keras.Model(images, layers.UnitNormalization(name="both")(both), name=f"{model.name}_mirrored")


def whiten(model, vectors: np.ndarray) -> None:
    """Spread the embeddings ``float32 [N, D]`` of the training part more evenly over all directions.

    A handful of directions, those that tell the training writers apart, outweigh the rest. Multiplying by the -1/4th
    power of the covariance (half-way to whitening, Jegou and Chum 2012) takes 1 to 2 points off the error of writers
    never seen. It is folded into the layers that are there, so it costs nothing.
    """
    covariance = np.cov(vectors, rowvar=False).astype(np.float64)
    size = len(covariance)
    values, axes = np.linalg.eigh(covariance + SHRINK * np.trace(covariance) / size * np.eye(size))
    spread = axes * values**-0.25 @ axes.T
    norm = model.get_layer("embedding_norm")
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    (kernel,) = model.get_layer("embedding").get_weights()
    model.get_layer("embedding").set_weights([(kernel * scale) @ spread])
    plain = np.ones_like(gamma)
    norm.set_weights([plain, (beta - mean * scale) @ spread, 0 * mean, plain - norm.epsilon])


PROBLEM = Problem(
    question="were these written by the same hand (people never seen in training)?",
    canvas=(96, 192),
    backbone="strokes",
    generated=Amount("paired_folders", writers=60, genuine=12, forged=8),
    by_writer=True,
    head=unit_vector,
    losses=("ranked_contrastive", "supervised_contrastive", "triplet", "contrastive"),
    accuracy=_accuracy.nearest_is_fellow,
    watch=calibration.watch,
    watched="val_eer",
    decide=calibration.verify,
    errors=calibration.rates,
    finish=finish,
    check=protocol.check,
    judge=verification.VERIFICATION,
    labels=("genuine", "forged"),
    min_labels=1,
    defaults={
        "epochs": 150,
        "patience": 50,  # on small sets the error rises for dozens of epochs before it falls: docs/training.md
        "batch_size": 128,
        "learning_rate": 0.003,
        "warmup": 0.05,
        "weight_decay": 0.001,
        "clip_norm": 5.0,
        "ema_decay": 0.995,
        "dropout": 0.0,
    },
)
