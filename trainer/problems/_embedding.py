"""The embedding of an image, which ``same_writer`` compares and the closed sets classify; no plug-in itself.

It is one vector, or a grid of local descriptors where the backbone keeps the places. Its layers have the same names in
all of these problems, so that a warm start (``trainer/training/warm_start.py``) loads it with the backbone. Independent
of data and decisions. Next: ``trainer/artifact/similarity.py`` compares embeddings, ``_class_head.py`` classifies them.
"""

from collections.abc import Iterable

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from trainer.artifact.similarity import BaseSimilarity, Cosine, LocalSimilarity
from trainer.problems import EMBEDDING_LAYER

PROJECTION = "embedding"  # the layer whose weights whitening changes
REACH = (2, 3)  # rows and columns by which places that are compared may differ; see docs/decisions/0010
MIN_SQUARED_LENGTH = 1e-12  # of a vector that is not 0
STEP_COST = 0.015  # of similarity, for each row or column of distance
SHRINKAGE = 0.01  # share of the mean variance that is added to every direction


def embed(features: KerasTensor, embedding_dim: int) -> KerasTensor:
    """Map features to embeddings of length 1.

    Features ``float32 [N, F]`` become ``float32 [N, embedding_dim]``. A grid of features ``float32 [N, h, w, F]``
    becomes ``float32 [N, h * w * embedding_dim]``, a descriptor for each place; the descriptors of places with ink have
    equal lengths, those of places without ink, whose features are 0, are 0.
    """
    if len(features.shape) == 4:
        vector = layers.Conv2D(embedding_dim, 1, use_bias=False, name=PROJECTION)(features)
        vector = layers.Flatten(name="descriptors", dtype="float32")(_normalise(ops.cast(vector, "float32")))
    else:
        vector = layers.Dense(embedding_dim, use_bias=False, name=PROJECTION)(features)
        vector = layers.BatchNormalization(name="embedding_norm", dtype="float32")(vector)
    return layers.Identity(name=EMBEDDING_LAYER, dtype="float32")(_normalise(vector))


def _normalise(vectors: KerasTensor) -> KerasTensor:
    """Divide vectors ``float32 [..., D]`` by their lengths; those that are 0 stay 0.

    ``UnitNormalization`` makes NaN of them in LiteRT, whose converter replaces it by an operation that divides by 0.
    """
    squared = ops.sum(vectors * vectors, axis=-1, keepdims=True)
    return vectors / ops.sqrt(ops.maximum(squared, MIN_SQUARED_LENGTH))


def get_similarity(model: keras.Model) -> BaseSimilarity:
    """Return the similarity that the embeddings of a model are compared with."""
    shape = model.get_layer(PROJECTION).output.shape
    return LocalSimilarity(shape[1], shape[2], *REACH, STEP_COST) if len(shape) == 4 else Cosine()


def whiten(model: keras.Model, batches_of_vectors: Iterable[np.ndarray]) -> None:
    """Spread embeddings, or descriptors, of the training split more evenly over all directions, in place.

    ``batches_of_vectors`` are the embeddings, ``float32 [N, D]`` each; one batch is held in memory. A few directions,
    those that distinguish the training writers, outweigh the others. Multiplying by the covariance to the power of -1/4
    (half-way to whitening, Jegou and Chum 2012) lowered the equal error rate of unseen writers by 1 to 2 percentage
    points for embeddings of one vector; for descriptors it was not measured. The matrix is multiplied into existing
    layers, so it costs nothing.
    """
    layer = model.get_layer(PROJECTION)
    (kernel,) = layer.get_weights()
    if isinstance(layer, layers.Conv2D):
        descriptors = (_list_descriptors(vectors, kernel.shape[-1]) for vectors in batches_of_vectors)
        layer.set_weights([kernel @ _make_whitening(compute_covariance(descriptors))])
        return
    matrix = _make_whitening(compute_covariance(batches_of_vectors))
    norm = model.get_layer("embedding_norm")
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    layer.set_weights([(kernel * scale) @ matrix])
    ones = np.ones_like(gamma)  # the scale is in the kernel now, and the normalisation divides by 1
    norm.set_weights([ones, (beta - mean * scale) @ matrix, 0 * mean, ones - norm.epsilon])


def compute_covariance(batches_of_vectors: Iterable[np.ndarray]) -> np.ndarray:
    """Return the covariance of all vectors, ``float [N, D]`` each batch, at least 2 in all: ``float64 [D, D]``.

    Only sums are kept. They are of distances to the first batch's mean, because a difference of large sums is inexact.
    """
    count, origin, total, products = 0, np.zeros(()), np.zeros(()), np.zeros(())
    for vectors in batches_of_vectors:
        if len(vectors):
            origin = origin if count else vectors.mean(axis=0, dtype=np.float64)
            distances = vectors - origin
            count += len(vectors)
            total = total + distances.sum(axis=0)
            products = products + distances.T @ distances
    return (products - np.outer(total, total) / count) / (count - 1)


def _list_descriptors(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Return the descriptors of embeddings ``float32 [N, P * dim]`` that are not 0, with length 1: ``[M, dim]``."""
    descriptors = vectors.reshape(-1, dim)
    descriptors = descriptors[np.any(descriptors != 0, axis=1)]
    return descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)


def _make_whitening(covariance: np.ndarray) -> np.ndarray:
    """Return a covariance ``float64 [D, D]`` to the power of -1/4, after ``SHRINKAGE``."""
    dim = len(covariance)
    eigenvalues, axes = np.linalg.eigh(covariance + SHRINKAGE * np.trace(covariance) / dim * np.eye(dim))
    return axes * eigenvalues**-0.25 @ axes.T
