"""How similar two embeddings are: the cosine, and grids of local descriptors compared place by place."""

import itertools

import numpy as np
import pytest

from trainer.artifact.similarity import BadSimilarity, Cosine, LocalSimilarity, make_similarity

LOCAL = LocalSimilarity(rows=3, columns=5, row_reach=1, column_reach=2, step_cost=0.05)


def make_grids(count: int, similarity: LocalSimilarity = LOCAL, dim: int = 4, seed: int = 0) -> np.ndarray:
    """Draw embeddings of grids ``float32 [count, D]``, with ink in about half of the places."""
    rng = np.random.default_rng(seed)
    grids = rng.normal(size=(count, similarity.rows * similarity.columns, dim))
    grids /= np.linalg.norm(grids, axis=2, keepdims=True)
    grids[rng.random(grids.shape[:2]) < 0.5] = 0
    vectors = grids.reshape(count, -1)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def compute_by_loops(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the definition in the docstring of ``LocalSimilarity``, place by place."""

    def read(vector):
        grid = vector.reshape(LOCAL.rows, LOCAL.columns, -1).astype(np.float64)
        places = itertools.product(range(LOCAL.rows), range(LOCAL.columns))
        return {place: grid[place] / np.linalg.norm(grid[place]) for place in places if grid[place].any()}

    def compare_one_way(a, b):
        best = []
        for (row, column), descriptor in a.items():
            candidates = [0.0]
            for (other_row, other_column), other in b.items():
                down, right = abs(row - other_row), abs(column - other_column)
                if down <= LOCAL.row_reach and right <= LOCAL.column_reach:
                    candidates.append(float(descriptor @ other) - LOCAL.step_cost * (down + right))
            best.append(max(candidates))
        return sum(best) / len(best)

    a, b = read(first), read(second)
    return (compare_one_way(a, b) + compare_one_way(b, a)) / 2


def test_the_local_similarity_is_that_of_its_definition_for_every_pair():
    questioned, references = make_grids(4), make_grids(3, seed=1)
    expected = [[compute_by_loops(a, b) for b in references] for a in questioned]
    np.testing.assert_allclose(LOCAL.compare(questioned, references), expected, atol=1e-6)


def test_an_image_is_most_similar_to_itself_and_less_to_itself_moved_by_a_place():
    grids = make_grids(5)
    np.testing.assert_allclose(np.diag(LOCAL.compare(grids, grids)), 1, atol=1e-6)
    np.testing.assert_allclose(LOCAL.compare_all(grids), LOCAL.compare(grids, grids), atol=1e-6)
    grid = np.zeros((3, 5, 4), np.float32)
    grid[1, 1:3] = np.eye(4)[:2]
    moved = np.roll(grid, 1, axis=1)
    vectors = np.stack([grid, moved]).reshape(2, -1) / 2**0.5
    assert LOCAL.compare(vectors[:1], vectors[1:])[0, 0] == pytest.approx(1 - LOCAL.step_cost)


def test_places_beyond_the_reach_and_images_without_ink_have_similarity_0():
    grid = np.zeros((2, 3, 5, 4), np.float32)
    grid[0, 0, 0] = grid[1, 0, 4] = (1, 0, 0, 0)
    vectors = np.concatenate([grid.reshape(2, -1), np.zeros((1, 60), np.float32)])
    np.testing.assert_array_equal(LOCAL.compare(vectors, vectors), np.diag([1, 1, 0]).astype(np.float32))
    for first, second in ((2, 1), (2, 0), (0, 2), (0, 0)):
        assert LOCAL.compare(vectors[:first], vectors[:second]).shape == (first, second)


@pytest.mark.parametrize("similarity", [Cosine(), LOCAL], ids=["cosine", "local"])
def test_a_similarity_survives_the_manifest(similarity):
    assert make_similarity(similarity.to_manifest()) == similarity


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"kind": "manhattan"}, "this version knows cosine, local, cohort"),
        ({"kind": "cosine", "power": 2}, "lacks or adds a field"),
        ({"kind": "local", "rows": 3}, "lacks or adds a field"),
        ({**LOCAL.to_manifest(), "rows": 0}, "1 x 1 places or more"),
        ({**LOCAL.to_manifest(), "rows": "three"}, "has a wrong value"),
        ("x", "it has to be an object with the key 'kind'"),
        (None, "it has to be an object with the key 'kind'"),
    ],
)
def test_a_similarity_that_this_version_does_not_know_is_refused(described, message):
    with pytest.raises(BadSimilarity, match=message):
        make_similarity(described)


def test_embeddings_that_are_no_grid_of_the_places_are_refused():
    for dim in (15, 60):
        LOCAL.check_dim(dim)
        Cosine().check_dim(dim + 1)
    for dim in (0, 14, 61):
        with pytest.raises(BadSimilarity, match=f"of {dim} numbers are no grid of 3 x 5 places; a multiple of 15 is"):
            LOCAL.check_dim(dim)
