"""Candidates for near duplicates are the same however the images are divided among machines."""

import numpy as np
import pytest

from trainer.data import blocking
from trainer.data.blocking import Neighbours


def make_descriptors(groups, each, noise=0.1):
    """Make descriptors ``int8 [groups * each, 288]`` of which each has its like at every ``groups``-th row."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(groups, 288))
    values = np.concatenate([centres + noise * rng.normal(size=centres.shape) for _ in range(each)])
    return np.round(values / np.abs(values).max(axis=1, keepdims=True) * 127).astype(np.int8)


def compare_all(descriptors):
    """Return all pairs that are similar enough."""
    unit = descriptors / np.linalg.norm(descriptors.astype(float), axis=1, keepdims=True)
    return [(int(i), int(j)) for i, j in np.argwhere(np.triu(unit @ unit.T >= blocking.MIN_COSINE, 1))]


@pytest.mark.parametrize("max_block", [64, 400, 4096])
def test_candidates_are_those_of_all_pairs_whatever_the_size_of_a_block(max_block, monkeypatch):
    monkeypatch.setattr(blocking, "MAX_BLOCK", max_block)
    descriptors = make_descriptors(groups=300, each=3)
    assert blocking.find_candidates(descriptors) == compare_all(descriptors)


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_has_no_candidates(count):
    assert blocking.find_candidates(make_descriptors(2, 1)[:count]) == []


def test_an_image_has_its_nearest_candidates_alone(monkeypatch):
    monkeypatch.setattr(blocking, "MAX_BLOCK", 50)
    descriptors = make_descriptors(groups=5, each=40)
    pairs = blocking.find_candidates(descriptors)
    assert len(pairs) <= len(descriptors) * blocking.MAX_CANDIDATES
    assert {number for pair in pairs for number in pair} == set(range(200)), "everybody has some"
    assert all(i % 5 == j % 5 for i, j in pairs)


def test_thousands_of_equal_images_have_few_pairs():
    pairs = blocking.find_candidates(np.tile(np.arange(288).astype(np.int8), (5000, 1)))
    assert 5000 / 2 <= len(pairs) <= 5000 * blocking.MAX_CANDIDATES


def test_the_blocks_are_the_same_in_parts_and_hold_every_image_once_for_each_tree(monkeypatch):
    monkeypatch.setattr(blocking, "MAX_BLOCK", 30)
    descriptors = make_descriptors(groups=500, each=1)
    forest = blocking.grow_forest(descriptors, len(descriptors))
    leaves = forest.find_leaves(descriptors)
    parts = [forest.find_leaves(part) for part in np.array_split(descriptors, 17)]
    np.testing.assert_array_equal(np.concatenate(parts), leaves)
    assert len(np.unique(leaves[:, 0])) == 2**forest.depth >= 16
    for tree in range(leaves.shape[1]):
        blocks = [
            np.flatnonzero(leaves[:, tree] == leaf)[rows]
            for leaf in np.unique(leaves[:, tree])
            for rows in forest.divide_leaf(tree, descriptors[leaves[:, tree] == leaf])
        ]
        assert max(map(len, blocks)) <= 30
        assert sorted(np.concatenate(blocks).tolist()) == list(range(500))


def test_the_nearest_of_parts_are_the_nearest_of_all():
    rng = np.random.default_rng(1)
    pairs = Neighbours(rng.integers(0, 20, 500), rng.integers(100, 120, 500), np.zeros(500))
    pairs = pairs._replace(cosine=0.9 + (pairs.image * pairs.neighbour) % 7 / 100)  # one value for a pair, many ties
    parts = [Neighbours(*(column[part] for column in pairs)) for part in np.array_split(rng.permutation(500), 9)]
    merged = Neighbours.concatenate([part.keep_nearest() for part in parts]).keep_nearest()
    expected = pairs.keep_nearest()
    assert merged.list_pairs() == expected.list_pairs()
    assert np.bincount(expected.image).max() == blocking.MAX_CANDIDATES
    np.testing.assert_array_equal(merged.cosine, expected.cosine)
