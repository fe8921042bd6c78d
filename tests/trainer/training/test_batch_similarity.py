"""The similarities of a batch in TensorFlow are those of NumPy, and so are their gradients."""

import numpy as np
import pytest

from tests.trainer.artifact.test_similarity import LOCAL, make_grids
from trainer.artifact.similarity import Cosine
from trainer.losses import NOT_COMPARED
from trainer.training.batch_similarity import compute_similarities


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 7])
def test_a_group_is_compared_with_itself_and_the_two_before_and_after_it(tensorflow, groups):
    vectors = make_grids(2 * groups)
    similarities = compute_similarities(tensorflow.constant(vectors), LOCAL, 2).numpy()
    distance = np.abs(np.subtract.outer(np.arange(2 * groups) // 2, np.arange(2 * groups) // 2))
    compared = np.minimum(distance, groups - distance) <= 2
    np.testing.assert_allclose(similarities[compared], LOCAL.compare(vectors, vectors)[compared], atol=1e-6)
    assert (similarities[~compared] == NOT_COMPARED).all()


def test_vectors_without_places_are_all_compared(tensorflow):
    vectors = make_grids(6)
    similarities = compute_similarities(tensorflow.constant(vectors), Cosine(), 2)
    np.testing.assert_allclose(similarities, vectors @ vectors.T, atol=1e-6)


def test_the_gradient_is_that_of_finite_differences(tensorflow):
    vectors = tensorflow.constant(make_grids(4))
    weights = np.random.default_rng(3).normal(size=(4, 4)).astype(np.float32)
    inked = vectors.numpy() != 0  # a place without ink stays without

    def compute(values):
        return tensorflow.reduce_sum(weights * compute_similarities(values, LOCAL, 2))

    with tensorflow.GradientTape() as tape:
        tape.watch(vectors)
        total = compute(vectors)
    gradient = tape.gradient(total, vectors).numpy()
    direction = np.where(inked, np.random.default_rng(4).normal(size=inked.shape), 0).astype(np.float32)
    step = 1e-3
    difference = compute(vectors + step * direction) - compute(vectors - step * direction)
    assert float(np.sum(gradient * direction)) == pytest.approx(float(difference) / (2 * step), rel=1e-2)
