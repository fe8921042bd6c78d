"""The head of the problems whose answer is a class: exported, two classes are wrong equally often in validation."""

import numpy as np
import pytest
from scipy import special


@pytest.fixture
def balance(tensorflow):
    from trainer.problems import _class_head

    def balance(log_odds, label, num_labels=2):
        """Return the balanced probabilities of a head whose log-odds of the first of two classes are its features."""
        features = tensorflow.keras.Input((1,))
        model = tensorflow.keras.Model(features, _class_head.probabilities(features, num_labels, 0))
        kernel, bias = model.layers[1].get_weights()
        model.layers[1].set_weights([np.ones_like(kernel), np.zeros_like(bias)])
        images = np.asarray(log_odds, np.float32)[:, None]
        half = len(images) // 2
        batches = [
            (model(images[rows]).numpy(), {"label": np.asarray(label)[rows]})
            for rows in (slice(half), slice(half, None))
        ]
        balanced = _class_head.balance(model, lambda split: iter(batches))
        return balanced(images).numpy()

    return balance


@pytest.mark.parametrize("seed", range(4))
def test_each_of_two_classes_is_wrong_equally_often_on_the_validation_split(balance, seed):
    rng = np.random.default_rng(seed)
    label = np.repeat([0, 1], [300, 700])
    log_odds = rng.normal(0, 2, 1000) + np.where(label == 0, 1, -5)  # a network that is too sure of the second class
    wrong = balance(log_odds, label).argmax(axis=1) != label
    assert wrong[label == 0].mean() == pytest.approx(wrong[label == 1].mean(), abs=1 / 300)
    assert wrong.mean() < np.mean((log_odds < 0) != label), "better than before"


def test_classes_that_are_all_told_apart_are_divided_half_way_between_their_log_odds(balance):
    probabilities = balance([-1.0, 3.0, -7.0, -5.0], [0, 0, 1, 1])
    np.testing.assert_allclose(special.logit(probabilities[:, 0]), [2, 6, -4, -2], atol=1e-3)


def test_a_network_that_is_certain_and_right_stays_as_it_is(balance):
    np.testing.assert_allclose(balance([99.0, -99.0], [0, 1]), [[1, 0], [0, 1]], atol=1e-6)


@pytest.mark.parametrize(("label", "num_labels"), [([0, 0, 0], 2), ([0, 1, 2], 3)])
def test_a_split_of_one_class_or_a_head_of_three_changes_nothing(balance, label, num_labels):
    probabilities = balance([-4.0, -3.0, 1.0], label, num_labels)
    expected = 1 / 3 if num_labels > 2 else special.expit([-4.0, -3.0, 1.0])
    np.testing.assert_allclose(probabilities[:, 0], expected, atol=1e-6)
