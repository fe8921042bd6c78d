"""Numbers against a computation by hand, so that no number is only what scikit-learn was told."""

from pathlib import Path

import numpy as np
import pytest

from trainer.artifact.decision import Classify
from trainer.artifact.manifest import BadArtifact
from trainer.corpora import Sample
from trainer.evaluation.metrics import classification


def labelled(labels) -> list[Sample]:
    return [Sample(Path(), str(number), label, None, "here") for number, label in enumerate(labels)]


def by_hand(vectors, truth, labels):
    """Counting, one image at a time."""
    answers = [labels[max(range(len(labels)), key=lambda i: vector[i])] for vector in vectors]
    each = {}
    for label in labels:
        hits = sum(a == t == label for a, t in zip(answers, truth, strict=True))
        answered, present = answers.count(label), truth.count(label)
        each[label] = (100 * hits / answered if answered else 0.0, 100 * hits / present)
    return 100 * sum(a == t for a, t in zip(answers, truth, strict=True)) / len(truth), each


def area_by_hand(scores, positive):
    """The chance that a positive scores above a negative, ties half."""
    wins = [(p > n) + 0.5 * (p == n) for p in scores[positive] for n in scores[~positive]]
    return sum(wins) / len(wins)


@pytest.mark.parametrize("labels", [("signature", "text"), ("a", "b", "c")])
def test_classification_numbers_are_those_of_counting(labels):
    rng = np.random.default_rng(4)
    truth = [labels[i] for i in rng.integers(0, len(labels), 200)]
    vectors = rng.dirichlet(np.ones(len(labels)), 200).astype(np.float32)
    found = classification(vectors, labelled(truth), Classify.even(labels))
    accuracy, each = by_hand(vectors, truth, labels)
    assert found["accuracy"] == pytest.approx(accuracy)
    for label, (precision, recall) in each.items():
        of = found["labels"][label]
        assert of["precision"] == pytest.approx(precision)
        assert of["recall"] == pytest.approx(recall)
        assert of["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert sum(map(sum, found["confusion"])) == 200
    areas = [area_by_hand(vectors[:, i], np.array(truth) == label) for i, label in enumerate(labels)]
    assert found["roc_auc"] == pytest.approx(areas[0] if len(labels) == 2 else np.mean(areas), abs=1e-6)


def test_a_label_without_images_has_no_area():
    found = classification(np.array([[0.9, 0.1]], np.float32), labelled(["a"]), Classify.even(("a", "b")))
    assert found["roc_auc"] is None


@pytest.mark.parametrize(("p", "label"), [(0.69, "b"), (0.71, "a")])
def test_a_threshold_moves_the_answer_of_two_labels(p, label):
    decision = Classify(("a", "b"), (0.7, 0.3))
    assert decision.answer(np.array([p, 1 - p], np.float32))["label"] == label


@pytest.mark.parametrize("thresholds", [(0.5,), (0.5, 0.0), (0.5, 0.5, 0.5)])
def test_thresholds_that_make_no_sense_are_refused(thresholds):
    with pytest.raises(BadArtifact, match="threshold"):
        Classify(("a", "b"), thresholds)
