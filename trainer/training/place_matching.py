"""The best matches of places between grids of local descriptors, and their gradients, compiled for processors.

TensorFlow's operations write and read the cosines of all places that are compared, 35 for each place, 70 times a step.
The functions here are compiled by Numba, skip places without ink, which are three of four, and remember which place was
the best one, so that the gradient touches no other. Next: ``batch_similarity.py``, which has the same for GPUs.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numba
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from trainer.artifact.similarity import LocalSimilarity

Arrays = tuple[np.ndarray, ...]


def make_matching(similarity: LocalSimilarity) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Make the differentiable matching of grids ``float32 [G, a, R, C, D]`` with grids ``float32 [G, b, R, C, D]``.

    It sums the best cosine of each place, less the cost of its distance, for all pairs: from the first grids to the
    second ones and back, ``float32 [G, a, b]`` each. The gradient of a maximum is that of its first largest term.
    """

    @tf.custom_gradient
    def match(first: tf.Tensor, second: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
        types = [tf.float32, tf.float32, tf.int16, tf.int16]
        forward = functools.partial(match_places, similarity)
        *sums, nearest_second, nearest_first = tf.numpy_function(forward, [first, second], types, stateful=False)

        def compute_gradients(*upstream: tf.Tensor) -> list[tf.Tensor]:
            tensors = [first, second, nearest_second, nearest_first, *upstream]
            gradients = tf.numpy_function(distribute_gradients, tensors, [tf.float32, tf.float32], stateful=False)
            return [tf.ensure_shape(*pair) for pair in zip(gradients, (first.shape, second.shape), strict=True)]

        shape = [first.shape[0], first.shape[1], second.shape[1]]
        return tuple(tf.ensure_shape(each, shape) for each in sums), compute_gradients

    return match


def match_places(similarity: LocalSimilarity, first: np.ndarray, second: np.ndarray) -> Arrays:
    """Return the sums of the best cosines, and the place of each: its number from 1, or 0 where none is similar.

    Grids ``float32 [G, a, R, C, D]`` and ``[G, b, R, C, D]`` to sums ``float32 [G, a, b]``, of the first and of the
    second grids, and places ``int16 [G, R C, a, b]``: of the second grids for each of the first, and of the first grids
    for each of the second.
    """
    (groups, count, rows, columns, _), others = first.shape, second.shape[1]
    transposed = np.ascontiguousarray(second.transpose(0, 2, 3, 4, 1))  # [G, R, C, D, b]: all b at a time
    first_ink, second_ink = np.any(first, axis=-1), np.any(second, axis=(1, -1))
    sums = [np.zeros((groups, count, others), np.float32) for _ in range(2)]
    places = [np.zeros((groups, rows * columns, count, others), np.int16) for _ in range(2)]
    reach = similarity.row_reach, similarity.column_reach, np.float32(similarity.step_cost)
    arrays = first, transposed, first_ink, second_ink, *sums, *places
    _run_for_groups(lambda group: _match(*reach, *(each[group] for each in arrays)), groups)
    return *sums, *places


def distribute_gradients(
    first: np.ndarray,
    second: np.ndarray,
    nearest_second: np.ndarray,
    nearest_first: np.ndarray,
    of_first: np.ndarray,
    of_second: np.ndarray,
) -> Arrays:
    """Return the gradients of both grids, with their shapes, from those of the sums, ``float32 [G, a, b]`` each."""
    groups, _, rows, columns, dim = first.shape
    flat = [grids.reshape(groups, -1, rows * columns, dim) for grids in (first, second)]
    gradients = [np.zeros_like(grids) for grids in flat]
    _run_for_groups(
        lambda group: _distribute(
            *(each[group] for each in (*flat, nearest_second, nearest_first, of_first, of_second, *gradients))
        ),
        groups,
    )
    return gradients[0].reshape(first.shape), gradients[1].reshape(second.shape)


def _run_for_groups(function: Callable[[int], None], groups: int) -> None:
    for _ in _get_threads().map(function, range(groups)):
        pass


@functools.cache
def _get_threads() -> concurrent.futures.Executor:
    """Threads for all processors; the compiled functions release the lock of the interpreter."""
    return concurrent.futures.ThreadPoolExecutor(os.cpu_count(), "matching")


@numba.njit(nogil=True, fastmath=True)
def _match(
    row_reach,
    column_reach,
    step_cost,
    first,
    transposed,
    first_ink,
    second_ink,
    of_first,
    of_second,
    to_second,
    to_first,
):  # pragma: no cover - compiled
    """Match one group: add to the sums ``[a, b]``, and store the best positions ``[R C, a, b]``, all in place."""
    count, rows, columns, dim = first.shape
    others = transposed.shape[3]
    best_of_second = np.zeros((rows, columns, count, others), np.float32)
    best_of_first, cosines = np.zeros(others, np.float32), np.zeros(others, np.float32)
    for row in range(rows):
        for column in range(columns):
            position = row * columns + column
            for image in range(count):
                if not first_ink[image, row, column]:
                    continue
                for other in range(others):
                    best_of_first[other] = 0
                for other_row in range(max(0, row - row_reach), min(rows, row + row_reach + 1)):
                    for other_column in range(max(0, column - column_reach), min(columns, column + column_reach + 1)):
                        if not second_ink[other_row, other_column]:
                            continue
                        cost = step_cost * (abs(other_row - row) + abs(other_column - column))
                        for other in range(others):
                            cosines[other] = -cost
                        for number in range(dim):
                            weight = first[image, row, column, number]
                            for other in range(others):
                                cosines[other] += weight * transposed[other_row, other_column, number, other]
                        _keep_best(
                            cosines, other_row * columns + other_column, best_of_first, to_second[position, image]
                        )
                        nearest = to_first[other_row * columns + other_column, image]
                        _keep_best(cosines, position, best_of_second[other_row, other_column, image], nearest)
                for other in range(others):
                    of_first[image, other] += best_of_first[other]
    for row in range(rows):
        for column in range(columns):
            for image in range(count):
                for other in range(others):
                    of_second[image, other] += best_of_second[row, column, image, other]


@numba.njit(nogil=True, fastmath=True, inline="always")
def _keep_best(cosines, position, best, nearest):  # pragma: no cover - compiled
    """Replace what is less than ``cosines`` in ``best``, and its position, both ``[b]``."""
    number = np.int16(position + 1)
    for other in range(cosines.shape[0]):
        nearest[other] = number if cosines[other] > best[other] else nearest[other]
        best[other] = max(cosines[other], best[other])


@numba.njit(nogil=True, fastmath=True)
def _distribute(
    first, second, nearest_second, nearest_first, of_first, of_second, first_gradient, second_gradient
):  # pragma: no cover - compiled
    """Add to the gradients ``[a, R C, D]`` and ``[b, R C, D]`` of one group, in place."""
    count, positions, dim = first.shape
    for position in range(positions):
        for image in range(count):
            for other in range(second.shape[0]):
                nearest = nearest_second[position, image, other] - 1
                if nearest >= 0:
                    weight = of_first[image, other]
                    for number in range(dim):
                        first_gradient[image, position, number] += weight * second[other, nearest, number]
                        second_gradient[other, nearest, number] += weight * first[image, position, number]
                nearest = nearest_first[position, image, other] - 1
                if nearest >= 0:
                    weight = of_second[image, other]
                    for number in range(dim):
                        second_gradient[other, position, number] += weight * first[image, nearest, number]
                        first_gradient[image, nearest, number] += weight * second[other, position, number]
