"""The decision of a verifier is calibrated on validation writers, and holds for writers it was not calibrated on."""

import json

import numpy as np
import pytest

from tests.trainer.evaluation.vectors import (
    LABELS,
    fit_verifier,
    make_comparisons,
    make_targets,
    make_writers,
    normalise,
)
from trainer.artifact.decision import from_manifest
from trainer.artifact.similarity import Cosine
from trainer.evaluation import calibration
from trainer.evaluation.metrics import calibration_curve
from trainer.evaluation.protocol import ComparisonKind, Comparisons, GroundTruth, NoComparisons


@pytest.fixture(scope="module")
def verifier():
    return fit_verifier()


def test_scores_and_thresholds_are_calibrated_for_unseen_writers(verifier):
    """For 1 to 10 references with one threshold; half of the tolerance for real writers."""
    vectors, samples = make_writers(120, seed=77)
    truth = GroundTruth.from_samples(samples)
    for reference_count in (1, 3, 10):
        comparisons = make_comparisons(vectors, truth, reference_count, verifier)
        skilled = comparisons.with_forgeries(ComparisonKind.SKILLED)
        assert calibration_curve(1 / (1 + np.exp(-skilled.score)), skilled.genuine)["ece"] < 0.05
        accepted = skilled.score[~skilled.genuine] >= verifier.threshold_for("0.01", reference_count)
        assert 0.005 < np.mean(accepted) < 0.02


@pytest.mark.parametrize("writers", [3, 6, 16, 60])
@pytest.mark.parametrize("forged", [0, 8])
def test_a_lower_rate_has_no_lower_threshold_and_accepts_no_more_than_was_counted(writers, forged):
    vectors, samples = make_writers(writers, seed=writers, forged=forged)
    verifier = calibration.fit_verifier(LABELS, vectors, make_targets(samples), Cosine())
    kind = ComparisonKind.SKILLED if forged else ComparisonKind.RANDOM
    for reference_count in (1, 5, 10):
        thresholds = {name: verifier.threshold_for(name, reference_count) for name in verifier.thresholds}
        assert list(thresholds.values()) == sorted(thresholds.values())
        comparisons = make_comparisons(vectors, GroundTruth.from_samples(samples), reference_count, verifier)
        assert np.mean(comparisons.score[comparisons.kind == kind] >= thresholds["0.01"]) <= 0.02
        low, high = verifier.decision_bounds(reference_count, 0.01)
        assert low <= high


def test_the_effect_of_more_references_is_not_extrapolated():
    vectors, samples = make_writers(30, genuine=4, seed=3)
    verifier = calibration.fit_verifier(LABELS, vectors, make_targets(samples), Cosine())
    assert verifier.max_references == 3
    assert verifier.log_references(10) == np.log(3)


def test_a_decision_survives_the_manifest(verifier):
    assert from_manifest(json.loads(json.dumps(verifier.to_manifest()))) == verifier


def test_a_useless_encoder_gives_a_decision_that_does_not_prefer_dissimilar_signatures():
    vectors = normalise(np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32))
    targets = {"label": np.arange(60) % 2, "writer": np.arange(60) // 6, "corpus_index": np.zeros(60)}
    assert_prefers_similar(calibration.fit_verifier(LABELS, vectors, targets, Cosine()))


def test_an_encoder_that_prefers_forgeries_gives_a_decision_that_does_not_prefer_dissimilar_signatures():
    """Genuine signatures differ from each other, and each forgery is the mean of its writer's genuine ones."""
    genuine = np.random.default_rng(5).normal(size=(30, 6, 32))
    forged = np.repeat(genuine.mean(axis=1, keepdims=True), 4, axis=1)
    vectors = normalise(np.concatenate([genuine, forged], axis=1).reshape(-1, 32))
    label = np.tile([0] * 6 + [1] * 4, 30)
    targets = {"label": label, "writer": np.arange(300) // 10, "corpus_index": np.zeros(300)}
    assert_prefers_similar(calibration.fit_verifier(LABELS, vectors, targets, Cosine()))


def assert_prefers_similar(verifier):
    assert verifier.a0 > 0
    assert verifier.a0 + verifier.a1 * np.log(verifier.max_references) > 0


def test_writers_and_kinds_have_equal_weights_in_the_calibration():
    kind = np.array([ComparisonKind.GENUINE] * 9 + [ComparisonKind.SKILLED] * 4)
    writer = np.array([0] * 8 + [1] + [0] * 3 + [1])
    weights = calibration._balance_weights(Comparisons(np.zeros(13), kind, writer))
    for mask in (kind == ComparisonKind.GENUINE, kind == ComparisonKind.SKILLED):
        assert [weights[mask & (writer == number)].sum() for number in (0, 1)] == pytest.approx([0.25, 0.25])


def test_a_tenth_of_the_validation_comparisons_is_inconclusive(verifier):
    """Over all numbers of references together, with equal weights of the writers."""
    vectors, samples = make_writers(120, seed=1)
    inconclusive, weights = [], []
    for reference_count in (1, 2, 3, 5, 7, 10):
        comparisons = make_comparisons(vectors, GroundTruth.from_samples(samples), reference_count, verifier)
        skilled = comparisons.with_forgeries(ComparisonKind.SKILLED)
        inconclusive.append(verifier.is_inconclusive(skilled.score, reference_count))
        weights.append(calibration._balance_weights(skilled))
    share = np.average(np.concatenate(inconclusive), weights=np.concatenate(weights))
    assert share == pytest.approx(0.10, abs=0.005)


@pytest.mark.parametrize(("writers", "genuine"), [(1, 8), (8, 1)])
def test_a_validation_split_without_comparisons_is_refused_with_the_flag_to_change(writers, genuine):
    vectors, samples = make_writers(writers, genuine=genuine, forged=0)
    with pytest.raises(NoComparisons, match="--validation-fraction"):
        calibration.compute_validation_metrics(vectors, make_targets(samples), Cosine())
