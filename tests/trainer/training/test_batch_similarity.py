"""The similarities of a batch in TensorFlow are those of NumPy, and so are their gradients."""

import numpy as np
import pytest

from tests.trainer.artifact.test_similarity import LOCAL, make_grids
from trainer.artifact.similarity import Cosine
from trainer.losses import NOT_COMPARED
from trainer.training.batch_similarity import compute_similarities

either_matching = pytest.mark.parametrize("use_numba", [True, False], ids=["numba", "tensorflow"])


@either_matching
@pytest.mark.parametrize("groups", [1, 2, 3, 4, 7])
def test_a_group_is_compared_with_itself_and_the_two_before_and_after_it(tensorflow, groups, use_numba):
    vectors = make_grids(2 * groups)
    similarities = compute_similarities(tensorflow.constant(vectors), LOCAL, 2, use_numba).numpy()
    distance = np.abs(np.subtract.outer(np.arange(2 * groups) // 2, np.arange(2 * groups) // 2))
    compared = np.minimum(distance, groups - distance) <= 2
    np.testing.assert_allclose(similarities[compared], LOCAL.compare(vectors, vectors)[compared], atol=1e-6)
    assert (similarities[~compared] == NOT_COMPARED).all()


def test_vectors_without_places_are_all_compared(tensorflow):
    vectors = make_grids(6)
    similarities = compute_similarities(tensorflow.constant(vectors), Cosine(), 2)
    np.testing.assert_allclose(similarities, vectors @ vectors.T, atol=1e-6)


@either_matching
def test_the_gradient_is_that_of_finite_differences(tensorflow, use_numba):
    vectors = tensorflow.constant(make_grids(4))
    weights = np.random.default_rng(3).normal(size=(4, 4)).astype(np.float32)
    inked = vectors.numpy() != 0  # a place without ink stays without

    def compute(values):
        return tensorflow.reduce_sum(weights * compute_similarities(values, LOCAL, 2, use_numba))

    with tensorflow.GradientTape() as tape:
        tape.watch(vectors)
        total = compute(vectors)
    gradient = tape.gradient(total, vectors).numpy()
    direction = np.where(inked, np.random.default_rng(4).normal(size=inked.shape), 0).astype(np.float32)
    step = 1e-3
    difference = compute(vectors + step * direction) - compute(vectors - step * direction)
    assert float(np.sum(gradient * direction)) == pytest.approx(float(difference) / (2 * step), rel=1e-2)


def test_both_matchings_have_the_same_gradients_in_a_graph(tensorflow):
    vectors = tensorflow.constant(make_grids(12))
    weights = np.random.default_rng(3).normal(size=(12, 12)).astype(np.float32)

    @tensorflow.function(autograph=False)
    def compute_gradient(values, use_numba):
        with tensorflow.GradientTape() as tape:
            tape.watch(values)
            total = tensorflow.reduce_sum(weights * compute_similarities(values, LOCAL, 4, use_numba))
        return tape.gradient(total, values)

    compiled, operations = (compute_gradient(vectors, use_numba).numpy() for use_numba in (True, False))
    assert np.abs(operations).max() > 0.01
    np.testing.assert_allclose(compiled, operations, atol=1e-6)


def test_images_without_ink_are_similar_to_none_and_have_no_gradient(tensorflow):
    vectors = tensorflow.zeros((4, make_grids(1).shape[1]))
    with tensorflow.GradientTape() as tape:
        tape.watch(vectors)
        similarities = compute_similarities(vectors, LOCAL, 2)
    assert not similarities.numpy().any()
    assert not tape.gradient(similarities, vectors).numpy().any()
