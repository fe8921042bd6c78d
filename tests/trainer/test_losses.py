"""Losses between images against loops over pairs and triplets, and what they pull and push."""

import itertools
import math

import numpy as np
import pytest

from trainer.losses import _accuracy, contrastive, ranked_contrastive, triplet
from trainer.losses import supervised_contrastive as supcon
from trainer.settings import plugins

GENUINE, FORGED = 0, 1


@pytest.fixture
def batch(tensorflow):
    """Unit vectors of three writers with genuine signatures and forgeries, one of them without forgeries."""
    rng = np.random.default_rng(5)
    writer = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], np.int32)
    label = np.array([0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0], np.int32)
    vectors = rng.normal(size=(12, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return {"label": tensorflow.constant(label), "writer": tensorflow.constant(writer)}, vectors


def fellows(targets, row):
    writer, label = targets["writer"].numpy(), targets["label"].numpy()
    alike = (writer == writer[row]) & (label == GENUINE)
    return [other for other in np.flatnonzero(alike) if other != row and label[row] == GENUINE]


def test_the_contrastive_loss_is_that_of_the_paper_pair_by_pair(batch):
    targets, vectors = batch
    expected = []
    for one, other in zip(range(0, 12, 2), range(1, 12, 2), strict=True):
        distance = float(np.linalg.norm(vectors[one] - vectors[other]))
        alike = other in fellows(targets, one)
        loss = distance**2 if alike else max(0.0, contrastive.MARGIN - distance) ** 2
        expected += [loss, loss]
    np.testing.assert_allclose(contrastive.contrastive(targets, vectors), expected, atol=1e-5)


def test_the_triplet_loss_takes_the_hardest_of_the_batch(batch):
    targets, vectors = batch
    each = {}
    for row in range(12):
        if near := fellows(targets, row):
            far = [1 - float(vectors[row] @ vectors[other]) for other in near]
            strangers = [1 - float(vectors[row] @ vectors[o]) for o in range(12) if o != row and o not in near]
            each[row] = max(0.0, triplet.MARGIN + max(far) - min(strangers))
    found = triplet.triplet(targets, vectors).numpy()
    assert found.mean() == pytest.approx(np.mean(list(each.values())), abs=1e-5)
    assert [row for row in range(12) if found[row]] == [row for row, loss in each.items() if loss]


def test_the_supervised_contrastive_loss_counts_own_forgeries_several_times(batch):
    targets, vectors = batch
    writer, label = targets["writer"].numpy(), targets["label"].numpy()
    each = []
    for row in range(12):
        near = fellows(targets, row)
        if not near:
            continue
        crowd = 0.0
        for other in range(12):
            own = writer[other] == writer[row] and label[other] == FORGED
            times = 0 if other == row else supcon.SKILLED if own else 1
            crowd += times * math.exp(float(vectors[row] @ vectors[other]) / supcon.TEMPERATURE)
        each.append(np.mean([math.log(crowd) - float(vectors[row] @ vectors[o]) / supcon.TEMPERATURE for o in near]))
    found = supcon.supervised_contrastive(targets, vectors).numpy()
    assert found.mean() == pytest.approx(np.mean(each), rel=1e-4)


def test_the_ranked_loss_adds_how_far_forged_pairs_of_anybody_rank_above_genuine_pairs(batch):
    targets, vectors = batch
    writer, label = targets["writer"].numpy(), targets["label"].numpy()
    genuine = [float(vectors[row] @ vectors[other]) for row in range(12) for other in fellows(targets, row)]
    forged = [
        float(vectors[row] @ vectors[other])
        for row in range(12)
        for other in range(12)
        if label[row] == GENUINE and label[other] == FORGED and writer[row] == writer[other]
    ]
    each = [math.log1p(math.exp((f - g) / ranked_contrastive.SOFTNESS + 1)) for f in forged for g in genuine]
    added = ranked_contrastive.ranked_contrastive(targets, vectors) - supcon.supervised_contrastive(targets, vectors)
    np.testing.assert_allclose(added.numpy(), ranked_contrastive.WEIGHT * np.mean(each), rtol=1e-4)


def test_accuracy_is_the_share_of_genuine_ones_whose_nearest_is_a_fellow(batch):
    targets, vectors = batch
    hits = []
    for row in range(12):
        if near := fellows(targets, row):
            others = [other for other in range(12) if other != row]
            hits.append(max(others, key=lambda other: float(vectors[row] @ vectors[other])) in near)
    assert float(np.mean(_accuracy.nearest_is_fellow(targets, vectors))) == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("name", plugins.load("problems", "same_writer").losses)
def test_a_step_downhill_draws_fellows_together_and_pushes_forgeries_away(tensorflow, name):
    loss = plugins.load("losses", name)
    targets = {"label": tensorflow.constant([0, 0, 0, 1, 0, 0]), "writer": tensorflow.constant([0, 0, 0, 0, 1, 1])}
    angle = np.array([0.0, 0.5, 0.2, 0.3, 1.4, 1.0])
    points = tensorflow.Variable(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))

    def distances():
        unit = points / tensorflow.norm(points, axis=1, keepdims=True)
        return {(i, j): float(tensorflow.norm(unit[i] - unit[j])) for i, j in itertools.combinations(range(6), 2)}

    before = distances()
    for _ in range(20):
        with tensorflow.GradientTape() as tape:
            total = tensorflow.reduce_mean(
                loss.function(targets, points / tensorflow.norm(points, axis=1, keepdims=True))
            )
        points.assign_sub(0.02 * tape.gradient(total, points))
    after = distances()
    assert after[0, 1] < before[0, 1], "two genuine signatures of one writer"
    assert after[2, 3] > before[2, 3], "a genuine signature and its forgery"
