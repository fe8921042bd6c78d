"""The similarities of the images of a batch, for losses that compare images, in TensorFlow.

``trainer/artifact/similarity.py`` defines them and computes the same in NumPy. Several devices share the work: each
compares the groups of its own images with those that follow, which may be another device's. Next:
``place_matching.py``, which does so on processors; ``trainer/losses``.
"""

from collections.abc import Callable

import tensorflow as tf

from trainer.artifact.similarity import BaseSimilarity, Cosine, LocalSimilarity
from trainer.losses import NOT_COMPARED
from trainer.training import place_matching
from trainer.training.replicas import gather, get_replica_number

# Each group of rows is compared with itself and the next ones; all pairs of a batch would take five times as long.
GROUPS_COMPARED = 3
ROUNDING = 1e-6  # of a cosine that is computed again


def compute_similarities(
    vectors: tf.Tensor, similarity: BaseSimilarity, group_size: int, use_numba: bool = True
) -> tf.Tensor:
    """Return the similarity of each image to each: vectors ``float32 [n, D]`` of a device to ``float32 [N, N]`` of all.

    Local descriptors are compared within groups of ``group_size`` consecutive rows, and between a group and the two
    before and after it, in a circle; other pairs are ``NOT_COMPARED``. ``use_numba`` where there is no GPU; XLA does
    not compile it.
    """
    vectors = tf.cast(vectors, tf.float32)
    if isinstance(similarity, Cosine):
        return gather(tf.matmul(vectors, gather(vectors), transpose_b=True))
    if use_numba and not tf.config.list_logical_devices("GPU"):
        match = place_matching.make_matching(similarity)
    else:
        match = make_matching(similarity)
    shape = [group_size, similarity.rows, similarity.columns, _count_numbers(vectors, similarity)]
    grids = tf.reshape(vectors, [-1, *shape])
    inked = tf.cast(tf.reduce_any(grids != 0, axis=-1), tf.float32)
    places = tf.maximum(1.0, tf.reduce_sum(inked, axis=[2, 3]))  # with ink, of each image
    grids *= tf.sqrt(places)[..., None, None, None]  # descriptors of length 1
    neighbours, neighbour_places = (_list_neighbours(values) for values in (grids, places))
    to_neighbours, from_neighbours = match(grids, neighbours)
    blocks = (to_neighbours / places[:, :, None] + from_neighbours / neighbour_places[:, None, :]) / 2
    return _arrange(gather(blocks), group_size)


def _list_neighbours(values: tf.Tensor) -> tf.Tensor:
    """Return, for each group of this device, its rows and those of the next ones of all devices, in a circle.

    ``[groups, g, ...]`` to ``[groups, k g, ...]``.
    """
    groups, gathered = tf.shape(values)[0], gather(values)
    first = get_replica_number() * groups
    rolled = [tf.roll(gathered, -(first + offset), axis=0)[:groups] for offset in range(GROUPS_COMPARED)]
    return tf.concat([tf.ensure_shape(each, values.shape) for each in rolled], axis=1)


def _count_numbers(vectors: tf.Tensor, similarity: LocalSimilarity) -> int:
    """The number of numbers of a local descriptor."""
    return vectors.shape[1] // (similarity.rows * similarity.columns)


def make_matching(similarity: LocalSimilarity) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Make what ``place_matching.make_matching`` makes, of operations that GPUs and XLA have.

    The gradient of a maximum is that of its largest terms. The gradients that TensorFlow derives keep all terms and
    take more than twice as long; these compute the terms again and see which are the largest.
    """
    down, right = similarity.row_reach, similarity.column_reach
    match = _make_matching(similarity)

    def match_grids(grids: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        first = tf.transpose(grids, [0, 2, 3, 1, 4])  # [G, R, C, a, D]
        second = tf.transpose(others, [0, 2, 3, 4, 1])  # [G, R, C, D, b]
        return match(first, tf.pad(second, [[0, 0], [down, down], [right, right], [0, 0], [0, 0]]))

    return match_grids


def _make_matching(similarity: LocalSimilarity) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Make the differentiable matching of ``[G, R, C, a, D]`` with ``[G, R + 2 rows, C + 2 columns, D, b]``."""
    down, right = similarity.row_reach, similarity.column_reach
    rows, columns = similarity.rows, similarity.columns
    steps = [(row, column) for row in range(2 * down + 1) for column in range(2 * right + 1)]

    def crop(tensor: tf.Tensor, row: int, column: int) -> tf.Tensor:
        return tensor[:, row : row + rows, column : column + columns]

    def pad(tensor: tf.Tensor, row: int, column: int) -> tf.Tensor:
        return tf.pad(tensor, [[0, 0], [row, 2 * down - row], [column, 2 * right - column], [0, 0], [0, 0]])

    def compute_cosines(first: tf.Tensor, second: tf.Tensor, row: int, column: int) -> tf.Tensor:
        cost = similarity.step_cost * (abs(row - down) + abs(column - right))
        return tf.matmul(first, crop(second, row, column)) - cost

    @tf.custom_gradient
    def match(first: tf.Tensor, second: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
        pairs, groups = [tf.shape(first)[3], tf.shape(second)[4]], tf.shape(first)[0]
        best_of_first = tf.zeros([groups, rows, columns, *pairs])
        best_of_second = tf.zeros([groups, rows + 2 * down, columns + 2 * right, *pairs])
        for step in steps:
            cosines = compute_cosines(first, second, *step)
            best_of_first = tf.maximum(best_of_first, cosines)
            best_of_second = tf.maximum(best_of_second, pad(cosines, *step))

        def compute_gradients(*upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_first, of_second = (each[:, None, None] for each in upstream)
            first_limit, second_limit = map(_make_limits, (best_of_first, best_of_second))
            transposed_first, transposed_second = (tf.linalg.matrix_transpose(each) for each in (first, second))
            first_gradient, second_gradient = tf.zeros_like(first), tf.zeros_like(second)
            for step in steps:
                cosines = compute_cosines(first, second, *step)
                chosen = tf.cast(cosines >= first_limit, tf.float32) * of_first
                chosen += tf.cast(cosines >= crop(second_limit, *step), tf.float32) * of_second
                first_gradient += tf.matmul(chosen, crop(transposed_second, *step))
                second_gradient += pad(tf.matmul(transposed_first, chosen), *step)
            return first_gradient, second_gradient

        sums = tf.reduce_sum(best_of_first, axis=[1, 2]), tf.reduce_sum(best_of_second, axis=[1, 2])
        return sums, compute_gradients

    return match


def _make_limits(best: tf.Tensor) -> tf.Tensor:
    """Return from where on a cosine is the best one, beyond rounding; where that is 0, none is."""
    return tf.where(best > 0, best - ROUNDING, float("inf"))


def _arrange(blocks: tf.Tensor, group_size: int) -> tf.Tensor:
    """Arrange the similarities of groups to themselves and the next ones, ``[G, g, k g]``, as ``[G g, G g]``."""
    groups = tf.shape(blocks)[0]
    blocks = tf.reshape(blocks, [groups, group_size, GROUPS_COMPARED, group_size])
    total, counts = tf.zeros([groups, group_size, groups, group_size]), tf.zeros([groups, groups])
    for offset in range(GROUPS_COMPARED):
        other = tf.one_hot((tf.range(groups) + offset) % groups, groups)  # [G, G]
        placed = tf.einsum("ij,iab->iajb", other, blocks[:, :, offset])
        total += placed + tf.transpose(placed, [2, 3, 0, 1])
        counts += other + tf.transpose(other)
    mean = total / tf.maximum(1.0, counts)[:, None, :, None]
    arranged = tf.where(counts[:, None, :, None] > 0, mean, NOT_COMPARED)
    return tf.reshape(arranged, [groups * group_size, groups * group_size])
