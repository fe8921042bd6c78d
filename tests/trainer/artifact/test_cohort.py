"""Similarities relative to a cohort: their definition, their JSON form, and what is refused."""

import json

import numpy as np
import pytest

from trainer.artifact.cohort import CohortSimilarity, pool
from trainer.artifact.similarity import BadSimilarity, BaseSimilarity, Cosine, LocalSimilarity, make_similarity

LOCAL = LocalSimilarity(rows=4, columns=6, row_reach=1, column_reach=1, step_cost=0.05)
DIM = 4 * 6 * 5


def draw_unit_vectors(count: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    """Draw vectors of length 1, ``float32 [count, dim]``; as grids of ``LOCAL``, all places have ink."""
    vectors = np.random.default_rng(seed).normal(0.3, 1, (count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make_cohort(base: BaseSimilarity, pooled=(2, 3), nearest=2, weight=0.8) -> CohortSimilarity:
    members = pool(draw_unit_vectors(6, seed=9), base, pooled)
    return CohortSimilarity.from_members(base, pooled, members, nearest, weight)


LOCAL_COHORT, COSINE_COHORT = make_cohort(LOCAL), make_cohort(Cosine())


def test_a_pooled_grid_has_the_sums_of_the_descriptors_in_each_part_and_length_1():
    vectors = draw_unit_vectors(3)
    grids = vectors.reshape(3, 4, 6, 5)
    sums = [grids[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum(axis=(1, 2)) for i in range(2) for j in range(3)]
    expected = np.concatenate(sums, axis=1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(pool(vectors, LOCAL, (2, 3)), expected, atol=1e-6)
    np.testing.assert_array_equal(pool(vectors, Cosine(), (2, 3)), vectors)
    assert not pool(np.zeros((1, DIM), np.float32), LOCAL, (2, 3)).any(), "an image without ink stays 0"


@pytest.mark.parametrize("cohort", [LOCAL_COHORT, COSINE_COHORT], ids=["local", "cosine"])
def test_the_normalised_similarity_is_that_of_its_definition_for_every_pair(cohort):
    questioned, references = draw_unit_vectors(4, seed=1), draw_unit_vectors(3, seed=2)

    def compare_cohort(vector):
        cosines = [pool(vector[None], cohort.similarity, cohort.pooled)[0] @ member for member in cohort.directions]
        return np.mean(sorted(cosines)[-cohort.nearest :])

    expected = np.zeros((4, 3))
    for i, first in enumerate(questioned):
        for j, second in enumerate(references):
            mean = cohort.weight * (compare_cohort(first) + compare_cohort(second)) / 2
            expected[i, j] = (cohort.similarity.compare(first[None], second[None])[0, 0] - mean) / (1 - mean)
    np.testing.assert_allclose(cohort.compare(questioned, references), expected, atol=1e-5)
    assert cohort.compare(questioned[:0], references).shape == (0, 3)


@pytest.mark.parametrize("cohort", [LOCAL_COHORT, COSINE_COHORT], ids=["local", "cosine"])
def test_an_image_has_similarity_1_to_itself_and_less_to_any_other(cohort):
    vectors = draw_unit_vectors(5)
    similarities = cohort.compare_all(vectors)
    np.testing.assert_allclose(np.diag(similarities), 1, atol=1e-5)
    assert similarities[~np.eye(5, dtype=bool)].max() < 1
    np.testing.assert_allclose(similarities, cohort.compare(vectors, vectors), atol=1e-5)


def test_of_two_pairs_with_the_same_similarity_the_one_that_resembles_the_cohort_is_less_similar():
    axes = np.eye(4, dtype=np.float32)
    cohort = CohortSimilarity.from_members(Cosine(), (1, 1), axes[:1], nearest=1, weight=0.9)
    stranger = (axes[2] + axes[3]) / 2**0.5
    plain = (axes[0] + axes[1]) / 2**0.5
    other_plain = (axes[0] - axes[1]) / 2**0.5  # 0 to plain, as stranger and its like are to each other
    other_stranger = (axes[2] - axes[3]) / 2**0.5
    assert cohort.compare(plain[None], other_plain[None]) < cohort.compare(stranger[None], other_stranger[None])


@pytest.mark.parametrize("cohort", [LOCAL_COHORT, COSINE_COHORT], ids=["local", "cosine"])
def test_a_cohort_survives_the_manifest(cohort):
    read = make_similarity(json.loads(json.dumps(cohort.to_manifest())))
    assert read == cohort
    read.check_dim(DIM)
    np.testing.assert_array_equal(read.compare_all(draw_unit_vectors(3)), cohort.compare_all(draw_unit_vectors(3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": 1}, "a weight from 0 to less than 1"),
        ({"nearest": 7}, "1 to count nearest of its members"),
        ({"nearest": 1.5}, "1 to count nearest of its members"),
        ({"pooled": [2]}, "has a wrong value"),
        ({"pooled": "x"}, "has a wrong value"),
        ({"members": 5}, "not 6 rows of int8"),
        ({"members": "!"}, "not 6 rows of int8"),
        ({"count": 7}, "not 7 rows of int8"),
        ({"pooled": [2, 2]}, "the members of the cohort have 30 numbers each; pooled embeddings have 20"),
        ({"similarity": {"kind": "manhattan"}}, "this version knows cosine, local, cohort"),
        ({"similarity": LOCAL_COHORT.to_manifest()}, "relative to one cohort, not to two"),
        ({"similarity": {**LOCAL.to_manifest(), "rows": 7}}, "embeddings of 120 numbers are no grid of 7 x 6 places"),
        ({"other": 1}, "lacks or adds a field"),
    ],
)
def test_a_cohort_that_does_not_fit_is_refused(change, message):
    with pytest.raises(BadSimilarity, match=message):
        make_similarity({**LOCAL_COHORT.to_manifest(), **change}).check_dim(DIM)
