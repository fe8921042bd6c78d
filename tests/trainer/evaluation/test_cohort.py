"""The cohort of generated signatures, and what a cohort does to the error of mixed sources."""

import numpy as np
import pytest

from tests.trainer.evaluation.vectors import make_targets, make_writers, normalise
from trainer.artifact.cohort import CohortSimilarity, pool
from trainer.artifact.similarity import Cosine, LocalSimilarity
from trainer.evaluation import cohort
from trainer.evaluation.protocol import ComparisonKind, compare, make_ground_truth, make_trials
from trainer.imaging import Imaging

LOCAL = LocalSimilarity(rows=3, columns=6, row_reach=1, column_reach=1, step_cost=0.05)


def encode_mean_ink(images: np.ndarray) -> np.ndarray:
    """Encode ``uint8 [N, 24, 48, 1]`` as two numbers in each of 3 x 6 places: mean ink, and where there is some."""
    cells = images.reshape(len(images), 3, 8, 6, 8).mean(axis=(2, 4)).reshape(len(images), -1, 1)
    return normalise(np.concatenate([cells, 64.0 * (cells > 0)], axis=2).reshape(len(images), -1))


def test_the_members_are_the_embeddings_of_generated_people_and_the_same_every_time():
    seen: list[np.ndarray] = []

    def encode(images):
        seen.append(images)
        return encode_mean_ink(images)

    made, again = (cohort.make_cohort(LOCAL, encode, Imaging(24, 48)) for _ in range(2))
    assert made == again
    images = seen[0]
    assert len(images) == made.count == cohort.SIZE
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == cohort.SIZE, "each of another person"
    np.testing.assert_allclose(made.directions, pool(encode_mean_ink(images), LOCAL, cohort.POOLED), atol=0.02)


@pytest.mark.parametrize("references", [1, 5])
def test_one_threshold_serves_two_sources_better_with_a_cohort(references):
    strangers, _ = make_writers(60, genuine=1, forged=0, seed=3)
    test, samples = make_writers(60, seed=4)
    common = np.full(test.shape[1], 0.12, np.float32)  # what the signatures of half of the people share
    strangers[::2] = normalise(strangers[::2] + common)
    is_plain = np.array([int(str(sample.writer)[1:]) % 2 == 0 for sample in samples])
    test[is_plain] = normalise(test[is_plain] + common)
    similarity = CohortSimilarity.from_members(Cosine(), cohort.POOLED, strangers, nearest=8, weight=cohort.WEIGHT)
    truth = make_ground_truth(make_targets(samples))
    errors = {}
    for name, each in (("cosine", Cosine()), ("cohort", similarity)):
        trials = make_trials(test, truth, references, each.compare)
        comparisons = compare(trials, lambda similarities, _: similarities.mean(axis=1))
        errors[name] = comparisons.compute_eer(ComparisonKind.SKILLED)
    assert errors["cohort"] < 0.9 * errors["cosine"], errors
