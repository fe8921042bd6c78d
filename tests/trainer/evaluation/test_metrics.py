"""Metrics against scikit-learn and against counting, so that none is compared with itself alone."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn import metrics as sk

from tests.trainer.evaluation.vectors import brute_force_eer
from trainer.artifact.decision import Classifier
from trainer.artifact.manifest import BadArtifact
from trainer.corpora import Sample
from trainer.evaluation.classification import CLASSIFICATION_REPORT
from trainer.evaluation.metrics import RankedScores, calibration_curve, compute_error_rates, measure_classification


def make_samples(labels) -> list[Sample]:
    return [Sample(Path(), str(number), label, None, "here") for number, label in enumerate(labels)]


def count_accuracy(vectors, truth, labels):
    """Accuracy, and precision and recall of each label, in percent, by counting one image at a time."""
    answers = [labels[max(range(len(labels)), key=lambda index: vector[index])] for vector in vectors]
    by_label = {}
    for label in labels:
        hits = sum(answer == true == label for answer, true in zip(answers, truth, strict=True))
        answered, present = answers.count(label), truth.count(label)
        by_label[label] = (100 * hits / answered if answered else 0.0, 100 * hits / present)
    return 100 * sum(answer == true for answer, true in zip(answers, truth, strict=True)) / len(truth), by_label


def count_area(scores, positive):
    """The share of pairs in which the positive one has the higher score; ties count half."""
    wins = [(p > n) + 0.5 * (p == n) for p in scores[positive] for n in scores[~positive]]
    return sum(wins) / len(wins)


@pytest.mark.parametrize("labels", [("signature", "text"), ("a", "b", "c")])
def test_classification_metrics_equal_those_of_counting(labels):
    rng = np.random.default_rng(4)
    truth = [labels[i] for i in rng.integers(0, len(labels), 200)]
    vectors = rng.dirichlet(np.ones(len(labels)), 200).astype(np.float32)
    metrics = measure_classification(vectors, make_samples(truth), Classifier.with_equal_thresholds(labels))
    accuracy, by_label = count_accuracy(vectors, truth, labels)
    assert metrics["accuracy"] == pytest.approx(accuracy)
    for label, (precision, recall) in by_label.items():
        row = metrics["labels"][label]
        assert row["precision"] == pytest.approx(precision)
        assert row["recall"] == pytest.approx(recall)
        assert row["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert sum(map(sum, metrics["confusion"])) == 200
    areas = [count_area(vectors[:, i], np.array(truth) == label) for i, label in enumerate(labels)]
    assert metrics["roc_auc"] == pytest.approx(areas[0] if len(labels) == 2 else np.mean(areas), abs=1e-6)


def test_roc_auc_is_none_if_a_label_has_no_image():
    classifier = Classifier.with_equal_thresholds(("a", "b"))
    metrics = measure_classification(np.array([[0.9, 0.1]], np.float32), make_samples(["a"]), classifier)
    assert metrics["roc_auc"] is None


@pytest.mark.parametrize(("probability", "label"), [(0.69, "b"), (0.71, "a")])
def test_a_threshold_moves_the_answer_of_two_labels(probability, label):
    decision = Classifier(("a", "b"), (0.7, 0.3))
    assert decision.answer(np.array([probability, 1 - probability], np.float32))["label"] == label


@pytest.mark.parametrize("thresholds", [(0.5,), (0.5, 0.0), (0.5, 0.5, 0.5)])
def test_invalid_thresholds_of_a_classifier_raise(thresholds):
    with pytest.raises(BadArtifact, match="threshold"):
        Classifier(("a", "b"), thresholds)


@pytest.mark.parametrize("seed", range(6))
def test_error_rates_equal_those_of_every_threshold_and_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    genuine = rng.random(200) < 0.3
    scores = np.round(rng.normal(size=200) + genuine * rng.uniform(0, 3), 1)  # with ties
    rates = compute_error_rates(scores, genuine)
    assert rates.compute_eer() == pytest.approx(brute_force_eer(scores, genuine))
    assert rates.compute_auc() == pytest.approx(sk.roc_auc_score(genuine, scores))
    far, accepted_genuine, _ = sk.roc_curve(genuine, scores, drop_intermediate=False)
    np.testing.assert_allclose(rates.far, far)
    np.testing.assert_allclose(rates.frr, 1 - accepted_genuine)


def test_a_weight_counts_a_score_several_times():
    rng = np.random.default_rng(3)
    scores, genuine, counts = rng.normal(size=80), rng.random(80) < 0.5, rng.integers(0, 4, 80)
    weighted = RankedScores(scores, genuine).compute_error_rates(counts.astype(float))
    repeated = compute_error_rates(np.repeat(scores, counts), np.repeat(genuine, counts))
    assert weighted.compute_eer() == pytest.approx(repeated.compute_eer())


def test_the_equal_error_rate_of_perfect_scores_is_0_and_of_reversed_scores_100_percent():
    scores, genuine = np.arange(10.0), np.arange(10) >= 5
    assert compute_error_rates(scores, genuine).compute_eer() == 0
    assert compute_error_rates(-scores, genuine).compute_eer() == 100


def test_the_expected_calibration_error_equals_that_of_counting_bins():
    rng = np.random.default_rng(8)
    probabilities, genuine = rng.random(500), rng.random(500) < 0.5
    weights = np.where(genuine, 0.5 / genuine.sum(), 0.5 / (~genuine).sum())
    expected = 0.0
    for low in np.arange(10) / 10:
        members = (probabilities >= low) & (probabilities < low + 0.1)
        expected += abs(np.sum(weights[members] * probabilities[members]) - np.sum(weights[members] * genuine[members]))
    assert calibration_curve(probabilities, genuine)["ece"] == pytest.approx(expected)


def test_a_probability_of_1_is_in_the_last_bin():
    bins = calibration_curve(np.array([0.0, 0.95, 1.0]), np.array([False, True, True]))["bins"]
    assert [row["predicted"] for row in bins] == pytest.approx([0.0, 0.975])


@pytest.mark.parametrize("num_labels", [3, 20])
def test_unknown_answers_are_wrong_counted_apart_and_a_column_of_the_confusions(num_labels):
    labels = tuple(f"w{number:02d}" for number in range(num_labels))
    rng = np.random.default_rng(num_labels)
    truth = [labels[i] for i in rng.integers(0, num_labels, 300)]
    vectors = rng.dirichlet(np.full(num_labels, 0.2), 300).astype(np.float32)
    classifier = Classifier(labels, (1 / num_labels,) * num_labels, 0.5)
    metrics = measure_classification(vectors, make_samples(truth), classifier)
    answers = [classifier.answer(vector)["label"] for vector in vectors]
    pairs = Counter((true, answer) for true, answer in zip(truth, answers, strict=True))
    assert metrics["unknown"] == pytest.approx(100 * answers.count("unknown") / 300)
    assert metrics["accuracy"] == pytest.approx(100 * sum(pairs[label, label] for label in labels) / 300)
    assert metrics["top_1"] == pytest.approx(count_accuracy(vectors, truth, labels)[0])
    for label in labels:
        assert metrics["labels"][label]["recall"] == pytest.approx(100 * pairs[label, label] / truth.count(label))
    if num_labels == 3:
        assert metrics["confusion"] == [[pairs[true, answer] for answer in (*labels, "unknown")] for true in labels]
        assert "confused" not in metrics
    else:
        errors = sorted((count for (true, answer), count in pairs.items() if true != answer), reverse=True)
        assert [row["images"] for row in metrics["confused"]] == errors[:10]
        assert all(row["images"] == pairs[row["label"], row["answer"]] for row in metrics["confused"])
        assert "confusion" not in metrics
    assert json.loads(json.dumps(metrics)) == metrics


def test_the_report_of_many_labels_has_a_line_for_all_of_them_and_no_matrix():
    labels = tuple(f"w{number:03d}" for number in range(200))
    truth = [label for label in labels for _ in range(2)]
    vectors = np.full((400, 200), 0.001, np.float32)
    vectors[np.arange(400), np.repeat(np.arange(200), 2)] = 0.8
    vectors[0, [0, 7]] = 0.1, 0.9  # w000 is answered once as w007
    vectors[2] = 1 / 200  # w001 is once unknown
    classifier = Classifier(labels, (1 / 200,) * 200, 0.5)
    samples = make_samples(truth)
    metrics = measure_classification(vectors, samples, classifier)
    table = CLASSIFICATION_REPORT.format_table(metrics)
    assert "| 200 | 50.00 | 100.00 | 100.00 | 99.50 | 198 |" in table
    assert "| w000 | w007 | 1 |" in table
    assert "| w001 | unknown | 1 |" in table
    assert len(table.splitlines()) < 20
    plots = CLASSIFICATION_REPORT.make_plots(vectors, samples, classifier, metrics)
    assert list(plots) == ["recall.png"]
    plots["recall.png"](Figure().add_subplot())
