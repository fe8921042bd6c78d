"""The metrics of a verifier's report, against brute force and scikit-learn."""

import itertools
import json

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.trainer.artifact.test_similarity import LOCAL, make_grids
from tests.trainer.evaluation.vectors import brute_force_eer, fit_verifier, make_comparisons, make_writers
from trainer.artifact import manifest
from trainer.artifact.similarity import Cosine
from trainer.evaluation import verification_metrics
from trainer.evaluation.metrics import RankedScores, draw_bootstrap
from trainer.evaluation.protocol import ComparisonKind, Comparisons, GroundTruth, NoComparisons
from trainer.evaluation.verification_metrics import measure_verification


@pytest.fixture(scope="module")
def verifier():
    return fit_verifier()


def test_the_report_has_every_metric_with_its_value(verifier):
    vectors, samples = make_writers(12, seed=5)
    metrics = json.loads(json.dumps(measure_verification(vectors, samples, verifier)))
    assert list(metrics["references"]) == ["1", "5", "10"]
    ten = metrics["references"]["10"]
    comparisons = make_comparisons(vectors, GroundTruth.from_samples(samples), 10, verifier)
    skilled = comparisons.with_forgeries(ComparisonKind.SKILLED)
    assert ten["eer_skilled"] == pytest.approx(brute_force_eer(skilled.score, skilled.genuine))
    assert ten["auc_skilled"] == pytest.approx(sk.roc_auc_score(skilled.genuine, skilled.score))
    low, high = ten["eer_skilled_interval"]
    assert low <= ten["eer_skilled"] <= high
    rates = ten["thresholds"]["eer"]
    accepted = comparisons.score >= verifier.threshold_for("eer", 10)
    assert rates["frr"] == pytest.approx(100 * np.mean(~accepted[comparisons.genuine]))
    assert rates["far_skilled"] == pytest.approx(100 * np.mean(accepted[comparisons.kind == ComparisonKind.SKILLED]))
    assert rates["far_random"] == pytest.approx(100 * np.mean(accepted[comparisons.kind == ComparisonKind.RANDOM]))
    assert ten["conclusive"]["far_skilled"] < rates["far_skilled"], "inconclusive answers are where the errors are"
    eers = [metrics["references"][count]["eer_skilled"] for count in ("1", "5", "10")]
    assert eers[0] > eers[2], "more references, fewer errors"
    assert len(metrics["by_writer"]) == 12
    assert metrics["by_corpus"]["here"]["10"]["eer_skilled"] == pytest.approx(ten["eer_skilled"])


@pytest.mark.parametrize("similarity", [Cosine(), LOCAL], ids=["cosine", "local"])
def test_the_pair_metric_compares_single_signatures_of_one_writer(similarity):
    vectors, samples = make_writers(4, genuine=5, forged=3)
    if similarity is LOCAL:
        vectors = make_grids(len(samples))
    used = [sample.label == "genuine" or sample.writer != "w003" for sample in samples]
    vectors, samples = vectors[used], list(itertools.compress(samples, used))
    scores, genuine = [], []
    for (a, vector_a), (b, vector_b) in itertools.combinations(zip(samples, vectors, strict=True), 2):
        if a.writer == b.writer and "genuine" in (a.label, b.label):
            scores.append(float(similarity.compare(vector_a[None], vector_b[None])[0, 0]))
            genuine.append(a.label == b.label)
    metrics = verification_metrics._measure_pairs(vectors, GroundTruth.from_samples(samples), similarity)
    assert metrics["eer"] == pytest.approx(brute_force_eer(np.array(scores), np.array(genuine)))
    assert (metrics["genuine"], metrics["forged"]) == (4 * 10, 3 * 15)


def test_genuine_signatures_alone_are_measured_with_random_forgeries(verifier):
    metrics = measure_verification(*make_writers(6, forged=0), verifier)
    assert metrics["references"]["10"]["eer_skilled"] is None
    assert metrics["references"]["10"]["eer_random"] < 5
    assert metrics["calibration"] is None


def test_data_in_which_no_writer_has_two_signatures_is_refused(verifier):
    with pytest.raises(NoComparisons, match="name the writers"):
        measure_verification(*make_writers(3, genuine=1, forged=0), verifier)


def test_one_writer_with_forgeries_can_be_measured(verifier):
    metrics = measure_verification(*make_writers(1, seed=4), verifier)
    assert metrics["references"]["10"]["eer_random"] is None
    assert metrics["references"]["10"]["eer_skilled"] is not None


def test_an_image_that_is_no_signature_counts_as_rejected(verifier):
    vectors, samples = make_writers(5, seed=6)
    vectors[0] = 0
    metrics = measure_verification(vectors, samples, verifier)
    assert metrics["not_a_signature"] == {"genuine": 1, "forged": 0}
    assert metrics["references"]["10"]["thresholds"]["eer"]["frr"] > 0


def test_intervals_include_the_rate_when_few_writers_have_forgeries(verifier):
    vectors, samples = make_writers(2, seed=8, skill=0.97)
    more_vectors, more_samples = make_writers(20, forged=0, seed=9, corpus_id="there")
    metrics = measure_verification(np.concatenate([vectors, more_vectors]), [*samples, *more_samples], verifier)
    ten = metrics["references"]["10"]
    low, high = ten["eer_skilled_interval"]
    assert low <= ten["eer_skilled"] <= high
    assert low > 0, "no round of the bootstrap is without forgeries"


def test_the_interval_includes_nineteen_of_twenty_rounds_of_the_bootstrap(verifier):
    vectors, samples = make_writers(40, seed=3, skill=0.97)
    comparisons = make_comparisons(vectors, GroundTruth.from_samples(samples), 5, verifier)
    skilled = comparisons.with_forgeries(ComparisonKind.SKILLED)
    writers, writer_index = np.unique(skilled.writer, return_inverse=True)
    ranked = RankedScores(skilled.score, skilled.genuine)
    rounds = draw_bootstrap(np.ones(len(writers), bool))
    eers = [ranked.compute_error_rates(counts[writer_index]).compute_eer() for counts in rounds]
    metrics = verification_metrics._measure_forgeries(skilled, "skilled", ComparisonKind.SKILLED)
    low, high = metrics["eer_skilled_interval"]
    assert np.mean([low <= eer <= high for eer in eers]) == pytest.approx(0.95, abs=0.02)


def test_scores_equal_to_a_threshold_are_accepted_and_random_forgeries_do_not_count_as_inconclusive(verifier):
    low, high = verifier.decision_bounds(1)
    kinds = np.repeat([ComparisonKind.GENUINE, ComparisonKind.SKILLED, ComparisonKind.RANDOM], [2, 2, 3])
    writers = np.zeros(7, int)
    scores = np.array([high, low, low, low - 9, low, low, low])
    metrics = verification_metrics._measure(Comparisons(scores, kinds, writers), 1, verifier)
    assert metrics["inconclusive"] == pytest.approx(100 * 2 / 4)
    threshold = verifier.threshold_for("eer", 1)
    comparisons = Comparisons(np.full(7, threshold), kinds, writers)
    rates = verification_metrics._measure_at_threshold(comparisons, threshold)
    assert rates == {"frr": 0.0, "far_skilled": 100.0, "far_random": 100.0}


def test_metrics_of_the_format_before_are_read_by_their_current_names(verifier, tmp_path):
    metrics = measure_verification(*make_writers(12, seed=5), verifier)
    old_names = {"by_corpus": "by_source"} | {
        f"eer_{kind}_per_writer_threshold": f"eer_{kind}_own_threshold" for kind in ("skilled", "random")
    }
    old_metrics = {old_names.get(name, name): value for name, value in metrics.items()}
    old_metrics["references"] = {
        count: {old_names.get(name, name): value for name, value in row.items()}
        for count, row in metrics["references"].items()
    }
    assert "by_source" in old_metrics
    assert "eer_skilled_own_threshold" in old_metrics["references"]["10"]
    written = manifest.Manifest(
        "same_writer", "?", "strokes", [], 4, {}, "0", {}, {}, {}, "float32", {}, {}, {}, "today"
    )
    manifest.write(written, tmp_path)
    values = json.loads((tmp_path / manifest.FILE).read_text()) | {"format": "countersign/2", "metrics": old_metrics}
    (tmp_path / manifest.FILE).write_text(json.dumps(values))
    assert manifest.read(tmp_path).metrics == json.loads(json.dumps(metrics))
