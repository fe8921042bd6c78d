"""The protocol of verification: which signatures are compared with which references."""

import numpy as np
import pytest

from tests.trainer.evaluation.vectors import fit_verifier, make_comparisons, make_writers
from trainer.evaluation import protocol
from trainer.evaluation.protocol import ComparisonKind, GroundTruth, NoComparisons, compare, make_trials
from trainer.evaluation.verification_metrics import REFERENCE_COUNTS


def compare_zero(questioned, references):
    return np.zeros((len(questioned), len(references)))


def get_first(similarities, _):
    return similarities[:, 0]


@pytest.mark.parametrize("reference_count", REFERENCE_COUNTS)
def test_every_other_genuine_signature_every_forgery_and_other_writers_are_questioned(reference_count):
    vectors, samples = make_writers(5)
    calls = []

    def similarity(questioned, references):
        calls.append((questioned, references))
        return compare_zero(questioned, references)

    trials = make_trials(vectors, GroundTruth.from_samples(samples), reference_count, similarity, draws=2)
    questions = [(questioned, references) for questioned, references in calls if questioned is not references]
    assert len(trials) == len(questions) == 10
    for questioned, references in questions:
        assert len(references) == reference_count
        assert not (questioned[:, None] == references[None]).all(axis=2).any(), "no reference is questioned"
    kind = compare(trials, get_first).kind
    assert np.count_nonzero(kind == ComparisonKind.GENUINE) == 10 * (14 - reference_count)
    assert np.count_nonzero(kind == ComparisonKind.SKILLED) == 10 * 10
    assert np.count_nonzero(kind == ComparisonKind.RANDOM) == 10 * protocol.RANDOM_FORGERIES_PER_DRAW


def test_random_forgeries_come_from_the_same_corpus_and_writers_with_too_few_signatures_are_left_out():
    vectors, samples = make_writers(3)
    more_vectors, more_samples = make_writers(3, genuine=4, seed=9, corpus_id="there")
    truth = GroundTruth.from_samples([*samples, *more_samples])
    all_vectors = np.concatenate([vectors, more_vectors])
    assert {trial.writer for trial in make_trials(all_vectors, truth, 5, compare_zero, draws=1)} == {0, 1, 2}
    corpus_of = {row.tobytes(): index for row, index in zip(all_vectors, truth.corpus_index, strict=True)}

    def is_other_corpus(questioned, references):
        corpora = [[corpus_of[row.tobytes()] for row in rows] for rows in (questioned, references)]
        return np.not_equal.outer(*corpora).astype(float)

    assert not compare(make_trials(all_vectors, truth, 1, is_other_corpus, draws=1), get_first).score.any()


def test_a_writer_with_as_many_signatures_as_references_is_left_out():
    vectors, samples = make_writers(4, genuine=6, forged=2)
    selected = [*range(5), *range(8, len(samples))]  # the first writer: five genuine signatures, no forgery
    truth = GroundTruth.from_samples([samples[index] for index in selected])
    by_count = [{trial.writer for trial in make_trials(vectors[selected], truth, n, compare_zero)} for n in (4, 5)]
    assert [0 in writers for writers in by_count] == [True, False]


def test_an_image_that_is_no_signature_is_rejected_and_is_no_reference():
    vectors, samples = make_writers(5, seed=6)
    vectors[0] = 0
    comparisons = make_comparisons(vectors, GroundTruth.from_samples(samples), 10, fit_verifier())
    first_writer = comparisons.select((comparisons.writer == 0) & comparisons.genuine)
    assert np.count_nonzero(np.isneginf(first_writer.score)) == protocol.DRAWS


def test_test_samples_without_comparisons_are_refused_before_training():
    _, samples = make_writers(1, seed=4)
    protocol.check_samples(samples)
    with pytest.raises(NoComparisons, match="--test-fraction"):
        protocol.check_samples(samples[:1])
