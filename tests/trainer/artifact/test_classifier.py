"""A classifier with a rejection limit answers ``unknown`` below it; without one nothing has changed."""

import numpy as np
import pytest

from trainer.artifact import decision
from trainer.artifact.decision import Classifier
from trainer.artifact.manifest import UNKNOWN, BadArtifact

LABELS = ("anna", "ben", "cem")
THRESHOLDS = (1 / 3, 1 / 3, 1 / 3)


def test_an_image_whose_best_label_is_less_probable_than_the_limit_is_unknown():
    classifier = Classifier(LABELS, THRESHOLDS, 0.5)
    answer = classifier.answer(np.array([0.375, 0.25, 0.375], np.float32))
    assert answer == {"label": UNKNOWN, "score": 0.375, "scores": {"anna": 0.375, "ben": 0.25, "cem": 0.375}}
    assert classifier.to_row(answer) == ["unknown", "0.375000", "0.375000", "0.250000", "0.375000"]
    assert classifier.answers == (*LABELS, UNKNOWN)


def test_a_probability_equal_to_the_limit_is_no_rejection():
    assert Classifier(LABELS, THRESHOLDS, 0.5).answer(np.array([0.25, 0.5, 0.25], np.float32))["label"] == "ben"


def test_rejections_of_a_batch_are_those_of_its_vectors():
    classifier = Classifier(LABELS, THRESHOLDS, 0.6)
    vectors = np.random.default_rng(1).dirichlet((1, 1, 1), 50).astype(np.float32)
    expected = [classifier.answer(vector)["label"] == UNKNOWN for vector in vectors]
    assert 0 < sum(expected) < 50
    np.testing.assert_array_equal(classifier.is_rejected(vectors), expected)


def test_a_manifest_without_a_limit_is_read_and_written_as_before_and_rejects_nothing():
    values = {"kind": "classify", "labels": ["a", "b"], "thresholds": [0.5, 0.5]}
    classifier = decision.from_manifest(values)
    assert classifier.rejection_limit is None
    assert classifier.to_manifest() == values
    assert classifier.get_metadata() == {}
    assert not classifier.is_rejected(np.zeros((2, 2), np.float32)).any()
    assert classifier.answers == ("a", "b")


def test_a_limit_is_kept_in_the_manifest_and_published():
    classifier = Classifier(LABELS, THRESHOLDS, 0.25)
    assert decision.from_manifest(classifier.to_manifest()) == classifier
    assert classifier.get_metadata() == {"rejection_limit": 0.25}


@pytest.mark.parametrize(
    ("labels", "limit", "message"),
    [(("anna", "unknown"), 0.5, "another name"), (LABELS, 1.5, "0 to 1"), (LABELS, -0.1, "0 to 1")],
)
def test_a_label_that_is_the_answer_below_the_limit_and_a_limit_out_of_range_are_errors(labels, limit, message):
    with pytest.raises(BadArtifact, match=message):
        Classifier(labels, (1 / len(labels),) * len(labels), limit)
    Classifier(("anna", "unknown"), (0.5, 0.5))
