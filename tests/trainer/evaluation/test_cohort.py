"""The cohort of a training: whose signatures are in it, and what it does to the error of mixed sources."""

import numpy as np
import pytest

from tests.trainer.evaluation.vectors import make_targets, make_writers, normalise
from trainer.artifact.similarity import CohortSimilarity, Cosine
from trainer.evaluation.cohort import MAX_MEMBERS, fit_cohort
from trainer.evaluation.protocol import ComparisonKind, compare, make_ground_truth, make_trials


def make_targets_of(writers: list[int], labels: list[int]) -> dict[str, np.ndarray]:
    return {"writer": np.array(writers), "label": np.array(labels)}


def test_a_member_is_the_mean_of_a_writer_and_the_two_most_similar_and_forgeries_do_not_count():
    axes = np.eye(6, dtype=np.float32)
    near = normalise(np.stack([axes[0], axes[0] + 0.1 * axes[1], axes[0] - 0.1 * axes[1], axes[3]]))
    vectors = np.concatenate([near, axes[4:5]])
    cohort = fit_cohort(Cosine(), [(vectors, make_targets_of([1, 2, 3, 4, 1], [0, 0, 0, 0, 1]))])
    assert isinstance(cohort, CohortSimilarity)
    np.testing.assert_allclose(cohort.directions[0], normalise(near[:3].mean(axis=0)[None])[0], atol=0.01)
    assert not cohort.directions[:, 4].any(), "nothing of a forgery"
    assert (cohort.directions.max(axis=1) < 0.999).sum() == 1, "the writer who resembles nobody is not alone either"


def test_the_cohort_does_not_depend_on_how_the_split_is_divided_into_batches():
    vectors, samples = make_writers(20)
    targets = make_targets(samples)
    forged = np.flatnonzero(targets["label"])[:3]
    parts = [forged, *np.array_split(np.arange(len(vectors)), 7)]  # the first has no genuine signature
    batches = [(vectors[rows], {name: values[rows] for name, values in targets.items()}) for rows in parts]
    assert fit_cohort(Cosine(), batches) == fit_cohort(Cosine(), [(vectors, targets)])


def test_a_cohort_has_at_most_so_many_members_and_less_than_three_writers_make_none():
    vectors, samples = make_writers(MAX_MEMBERS + 20, genuine=2, forged=0)
    cohort = fit_cohort(Cosine(), [(vectors, make_targets(samples))])
    assert isinstance(cohort, CohortSimilarity)
    assert cohort.count == MAX_MEMBERS
    vectors, samples = make_writers(2)
    assert fit_cohort(Cosine(), [(vectors, make_targets(samples))]) == Cosine()


@pytest.mark.parametrize("references", [1, 5])
def test_one_threshold_serves_two_sources_better_with_a_cohort(references):
    train, train_samples = make_writers(60, seed=3)
    test, test_samples = make_writers(60, seed=4, corpus_id="plain")
    common = np.full(train.shape[1], 0.12, np.float32)  # what the signatures of half of the writers share
    for vectors, samples in ((train, train_samples), (test, test_samples)):
        is_plain = np.array([int(str(sample.writer)[1:]) % 2 == 0 for sample in samples])
        vectors[is_plain] = normalise(vectors[is_plain] + common)
    similarity = fit_cohort(Cosine(), [(train, make_targets(train_samples))])
    truth = make_ground_truth(make_targets(test_samples))
    errors = {}
    for name, each in (("cosine", Cosine()), ("cohort", similarity)):
        trials = make_trials(test, truth, references, each.compare)
        comparisons = compare(trials, lambda similarities, _: similarities.mean(axis=1))
        errors[name] = comparisons.compute_eer(ComparisonKind.SKILLED)
    assert errors["cohort"] < 0.9 * errors["cosine"], errors
