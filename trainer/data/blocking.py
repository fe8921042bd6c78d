"""Candidates for near duplicates without comparing all pairs: images are compared inside blocks of similar ones.

The blocks are the leaves of random projection trees (Dasgupta and Freund 2008, "Random projection trees and low
dimensional manifolds"). Two similar descriptors are in one leaf of one of the trees or of another; few enough images
are one block, and all pairs are compared. Every value is computed from integers that ``float32`` holds exactly, so
that the candidates are the same whoever computes them, in parts or at once. Next: ``near_duplicates.py`` computes the
descriptors and confirms the candidates.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

MAX_CANDIDATES, MIN_COSINE = 4, 0.90  # of the descriptors of an image's candidates: how many, and how similar
NUM_TREES = 8
MAX_BLOCK = 2048  # images that are compared with each other
MAX_DEPTH = 12  # of the trees, which are grown on a sample; larger leaves are divided by themselves
SAMPLE_SIZE = 2**MAX_DEPTH * 16  # descriptors that the trees are grown on
MAX_CROWD = 64  # similar descriptors of an image in a block that are sorted with those of all others
MAX_LEVELS = 48  # projections of a tree; as many halve the largest leaf again and again
SEED = 0


class Neighbours(NamedTuple):
    """Pairs of an image and a neighbour, ``int64 [m]`` each, and the cosine of their descriptors, ``float64 [m]``."""

    image: np.ndarray
    neighbour: np.ndarray
    cosine: np.ndarray

    @classmethod
    def concatenate(cls, parts: "list[Neighbours]") -> "Neighbours":
        """Return the pairs of all parts."""
        empty = cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        return cls(*(np.concatenate(column) for column in zip(empty, *parts, strict=True)))

    def keep_nearest(self) -> "Neighbours":
        """Return the ``MAX_CANDIDATES`` nearest neighbours of each image; of equally near ones the lower number."""
        order = np.lexsort((self.neighbour, -self.cosine, self.image))
        image, neighbour = self.image[order], self.neighbour[order]
        is_new = np.ones(len(order), bool)  # a pair of several blocks has one cosine, so its copies are in a row
        is_new[1:] = (image[1:] != image[:-1]) | (neighbour[1:] != neighbour[:-1])
        order, image = order[is_new], image[is_new]
        starts = np.flatnonzero(np.r_[True, image[1:] != image[:-1]]) if len(image) else np.zeros(0, np.int64)
        rank = np.arange(len(image)) - np.repeat(starts, np.diff(np.r_[starts, len(image)]))
        return Neighbours(*(column[order[rank < MAX_CANDIDATES]] for column in self))

    def list_pairs(self) -> list[tuple[int, int]]:
        """Return each pair once, (i, j) with i < j, sorted."""
        low, high = np.minimum(self.image, self.neighbour), np.maximum(self.image, self.neighbour)
        pairs = np.unique(np.stack([low, high], axis=1), axis=0)
        return [(i, j) for i, j in pairs.tolist()]


@dataclasses.dataclass(frozen=True)
class Forest:
    """Trees that divide descriptors into leaves.

    ``projections`` (``float32 [trees, levels, 288]``, whole numbers) are one for each level of a tree, ``thresholds``
    (``float64 [trees, nodes]``) one for each node, level by level.
    """

    projections: np.ndarray
    thresholds: np.ndarray

    @property
    def depth(self) -> int:
        """The number of levels that have thresholds."""
        return int(self.thresholds.shape[1] + 1).bit_length() - 1

    def find_leaves(self, descriptors: np.ndarray) -> np.ndarray:
        """Return the leaf of each descriptor (``int8 [n, 288]``) in each tree, ``int32 [n, trees]``."""
        leaves = np.zeros((len(descriptors), len(self.projections)), np.int32)
        for tree, thresholds in enumerate(self.thresholds):
            values = project(descriptors, self.projections[tree, : self.depth])
            node = np.zeros(len(descriptors), np.int64)
            for level in range(self.depth):
                node = 2 * node + 1 + (values[:, level] >= thresholds[node])
            leaves[:, tree] = node - (2**self.depth - 1)
        return leaves

    def divide_leaf(self, tree: int, descriptors: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the rows (``int64``) of each block of a leaf, by the order of its descriptors ``int8 [n, 288]``."""
        stack = [(np.arange(len(descriptors)), self.depth)]
        while stack:
            rows, level = stack.pop()
            if len(rows) <= MAX_BLOCK:
                yield rows
                continue
            half = len(rows) // 2
            is_right = np.arange(len(rows)) >= half  # the halves of equal descriptors, which no projection divides
            if level < self.projections.shape[1]:
                values = project(descriptors[rows], self.projections[tree, level : level + 1])[:, 0]
                divided = values >= np.partition(values, half)[half]
                is_right = divided if 0 < divided.sum() < len(rows) else is_right
            stack += [(rows[is_right], level + 1), (rows[~is_right], level + 1)]


def grow_forest(sample: np.ndarray, count: int) -> Forest:
    """Grow the trees for ``count`` descriptors on a sample of them, ``int8 [m, 288]``."""
    rng = np.random.default_rng(SEED)
    shape = (NUM_TREES, MAX_LEVELS, sample.shape[1])
    projections = np.clip(np.round(rng.standard_normal(shape) * 40), -127, 127).astype(np.float32)
    depth = min(MAX_DEPTH, max(0, int(np.ceil(np.log2(max(count, 1) / MAX_BLOCK)))))
    thresholds = np.full((NUM_TREES if depth else 1, 2**depth - 1), np.inf)
    for tree, tree_thresholds in enumerate(thresholds):
        values = project(sample, projections[tree, :depth])
        node = np.zeros(len(sample), np.int64)
        for level in range(depth):
            for number in np.unique(node):
                tree_thresholds[number] = np.median(values[node == number, level])
            node = 2 * node + 1 + (values[:, level] >= tree_thresholds[node])
    return Forest(projections[: len(thresholds)], thresholds)


def choose_sample(count: int) -> np.ndarray:
    """Choose the descriptors that the trees are grown on, evenly among ``count``; ``int64 [m]``, sorted."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLE_SIZE)).astype(np.int64))


def project(descriptors: np.ndarray, projections: np.ndarray) -> np.ndarray:
    """Project descriptors (``int8 [n, 288]``), scaled to length 1, ``float64 [n, projections]``."""
    values = descriptors.astype(np.float32)
    return (values @ projections.T).astype(np.float64) / _measure_lengths(values)[:, None]


def compare_block(numbers: np.ndarray, descriptors: np.ndarray) -> Neighbours:
    """Find the nearest neighbours of each image of a block among the others.

    ``numbers`` are those of the images, ``int64 [n]`` in ascending order, ``descriptors`` theirs, ``int8 [n, 288]``.
    """
    values = descriptors.astype(np.float32)
    lengths = _measure_lengths(values)
    products = values @ values.T
    np.fill_diagonal(products, -1)
    limit = MIN_COSINE * lengths * lengths.min(initial=np.inf)  # of a product with any other; few rows reach it
    rows = np.flatnonzero(products.max(axis=1, initial=-1) >= limit)
    cosines = products[rows] / (lengths[rows, None] * lengths)
    is_near = cosines >= MIN_COSINE
    for crowded in np.flatnonzero(is_near.sum(axis=1) > MAX_CROWD):
        nearest = np.argsort(-cosines[crowded], kind="stable")[:MAX_CANDIDATES]
        is_near[crowded] = False
        is_near[crowded, nearest] = True
    row, column = np.nonzero(is_near)
    return Neighbours(numbers[rows[row]], numbers[column], cosines[row, column]).keep_nearest()


def find_candidates(descriptors: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs (i, j), i < j, that may be duplicates, by their descriptors ``int8 [n, 288]``."""
    forest = grow_forest(descriptors[choose_sample(len(descriptors))], len(descriptors))
    nearest = Neighbours.concatenate([])
    for tree, leaves in enumerate(forest.find_leaves(descriptors).T):
        order = np.argsort(leaves, kind="stable")
        starts = np.flatnonzero(np.diff(leaves[order])) + 1
        parts = [nearest]
        for leaf in np.split(order, starts):
            for rows in forest.divide_leaf(tree, descriptors[leaf]):
                parts.append(compare_block(leaf[rows], descriptors[leaf[rows]]))
        nearest = Neighbours.concatenate(parts).keep_nearest()
    return nearest.list_pairs()


def _measure_lengths(values: np.ndarray) -> np.ndarray:
    """Return the Euclidean lengths of rows of whole numbers ``float32 [n, 288]``, ``float64 [n]``, none of them 0."""
    return np.sqrt(np.maximum(np.einsum("ij,ij->i", values, values), 1).astype(np.float64))
