"""The protocol of verification: which signatures are compared with which references."""

import numpy as np
import pytest

from tests.trainer.evaluation.vectors import fit_verifier, make_writers
from trainer.evaluation import protocol
from trainer.evaluation.protocol import ComparisonKind, GroundTruth, NoComparisons, compare
from trainer.evaluation.verification_metrics import REFERENCE_COUNTS


def score_zero(questioned, _):
    return np.zeros(len(questioned))


@pytest.mark.parametrize("reference_count", REFERENCE_COUNTS)
def test_every_other_genuine_signature_every_forgery_and_other_writers_are_questioned(reference_count):
    vectors, samples = make_writers(5)
    calls = []

    def score(questioned, references):
        calls.append((questioned, references))
        return np.zeros(len(questioned))

    comparisons = compare(vectors, GroundTruth.from_samples(samples), reference_count, score, draws=2)
    assert len(calls) == 10
    for questioned, references in calls:
        assert len(references) == reference_count
        assert not (questioned[:, None] == references[None]).all(axis=2).any(), "no reference is questioned"
    assert np.count_nonzero(comparisons.kind == ComparisonKind.GENUINE) == 10 * (14 - reference_count)
    assert np.count_nonzero(comparisons.kind == ComparisonKind.SKILLED) == 10 * 10
    assert np.count_nonzero(comparisons.kind == ComparisonKind.RANDOM) == 10 * protocol.RANDOM_FORGERIES_PER_DRAW


def test_random_forgeries_come_from_the_same_corpus_and_writers_with_too_few_signatures_are_left_out():
    vectors, samples = make_writers(3)
    more_vectors, more_samples = make_writers(3, genuine=4, seed=9, corpus_id="there")
    truth = GroundTruth.from_samples([*samples, *more_samples])
    all_vectors = np.concatenate([vectors, more_vectors])
    assert len(np.unique(compare(all_vectors, truth, 5, score_zero, draws=1).writer)) == 3
    corpus_of = {row.tobytes(): index for row, index in zip(all_vectors, truth.corpus_index, strict=True)}

    def is_other_corpus(questioned, references):
        corpus = corpus_of[references[0].tobytes()]
        return np.array([float(corpus_of[row.tobytes()] != corpus) for row in questioned])

    assert not compare(all_vectors, truth, 1, is_other_corpus, draws=1).score.any()


def test_a_writer_with_as_many_signatures_as_references_is_left_out():
    vectors, samples = make_writers(4, genuine=6, forged=2)
    selected = [*range(5), *range(8, len(samples))]  # the first writer: five genuine signatures, no forgery
    truth = GroundTruth.from_samples([samples[index] for index in selected])
    assert 0 not in compare(vectors[selected], truth, 5, score_zero).writer
    assert 0 in compare(vectors[selected], truth, 4, score_zero).writer


def test_an_image_that_is_no_signature_is_rejected_and_is_no_reference():
    vectors, samples = make_writers(5, seed=6)
    vectors[0] = 0
    comparisons = compare(vectors, GroundTruth.from_samples(samples), 10, fit_verifier().log_odds)
    first_writer = comparisons.select((comparisons.writer == 0) & comparisons.genuine)
    assert np.count_nonzero(np.isneginf(first_writer.score)) == protocol.DRAWS


def test_test_samples_without_comparisons_are_refused_before_training():
    _, samples = make_writers(1, seed=4)
    protocol.check_samples(samples)
    with pytest.raises(NoComparisons, match="--test-fraction"):
        protocol.check_samples(samples[:1])
