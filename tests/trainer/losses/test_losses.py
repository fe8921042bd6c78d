"""Losses of pairs and triplets equal those of loops in Python, and a step of training moves the right vectors."""

import itertools
import math

import numpy as np
import pytest

from trainer.losses import NOT_COMPARED, _accuracy, contrastive, ranked_contrastive, triplet
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


def get_positives(targets, anchor):
    """The rows of the other genuine images by the anchor's writer; none if the anchor is forged."""
    writer, label = targets["writer"].numpy(), targets["label"].numpy()
    same = (writer == writer[anchor]) & (label == GENUINE)
    return [row for row in np.flatnonzero(same) if row != anchor and label[anchor] == GENUINE]


def test_the_contrastive_loss_is_that_of_the_paper_for_each_pair(batch):
    targets, vectors = batch
    expected = []
    for a, b in zip(range(0, 12, 2), range(1, 12, 2), strict=True):
        distance = float(np.linalg.norm(vectors[a] - vectors[b]))
        is_positive = b in get_positives(targets, a)
        loss = distance**2 if is_positive else max(0.0, contrastive.MARGIN - distance) ** 2
        expected += [loss, loss]
    np.testing.assert_allclose(contrastive.contrastive(targets, vectors @ vectors.T), expected, atol=1e-5)


def test_the_triplet_loss_takes_the_hardest_triplets_of_the_batch(batch):
    targets, vectors = batch
    expected = {}
    for anchor in range(12):
        if positives := get_positives(targets, anchor):
            distances = [1 - float(vectors[anchor] @ vector) for vector in vectors]
            negatives = [row for row in range(12) if row != anchor and row not in positives]
            farthest, nearest = max(distances[row] for row in positives), min(distances[row] for row in negatives)
            expected[anchor] = max(0.0, triplet.MARGIN + farthest - nearest)
    losses = triplet.triplet(targets, vectors @ vectors.T).numpy()
    assert losses.mean() == pytest.approx(np.mean(list(expected.values())), abs=1e-5)
    assert [row for row in range(12) if losses[row]] == [row for row, loss in expected.items() if loss]


def test_the_supervised_contrastive_loss_weights_forgeries_of_the_anchors_writer(batch):
    targets, vectors = batch
    writer, label = targets["writer"].numpy(), targets["label"].numpy()
    expected = []
    for anchor in range(12):
        positives = get_positives(targets, anchor)
        if not positives:
            continue
        logits = [float(vectors[anchor] @ vector) / supcon.TEMPERATURE for vector in vectors]
        denominator = 0.0
        for row in range(12):
            is_skilled = writer[row] == writer[anchor] and label[row] == FORGED
            weight = 0 if row == anchor else supcon.SKILLED_WEIGHT if is_skilled else 1
            denominator += weight * math.exp(logits[row])
        expected.append(np.mean([math.log(denominator) - logits[row] for row in positives]))
    losses = supcon.supervised_contrastive(targets, vectors @ vectors.T).numpy()
    assert losses.mean() == pytest.approx(np.mean(expected), rel=1e-4)


def test_the_ranked_loss_adds_a_loss_of_forged_pairs_that_rank_above_genuine_pairs_of_any_writer(batch):
    targets, vectors = batch
    writer, label = targets["writer"].numpy(), targets["label"].numpy()
    genuine = [float(vectors[a] @ vectors[b]) for a in range(12) for b in get_positives(targets, a)]
    forged = [
        float(vectors[a] @ vectors[b])
        for a, b in itertools.product(range(12), repeat=2)
        if label[a] == GENUINE and label[b] == FORGED and writer[a] == writer[b]
    ]
    losses = [math.log1p(math.exp((f - g) / ranked_contrastive.RANKING_SCALE + 1)) for f in forged for g in genuine]
    added = ranked_contrastive.ranked_contrastive(targets, vectors @ vectors.T) - supcon.supervised_contrastive(
        targets, vectors @ vectors.T
    )
    np.testing.assert_allclose(added.numpy(), ranked_contrastive.RANKING_WEIGHT * np.mean(losses), rtol=1e-4)


@pytest.fixture
def partly_compared(batch):
    """Similarities of seven writers with two genuine signatures and a forgery; a writer with the next ones only.

    The similarities of other writers are equal, so that those that are compared stand for all of them exactly.
    """
    count, size = 7, 3
    writer = np.repeat(np.arange(count, dtype=np.int32), size)
    label = np.tile(np.array([GENUINE, GENUINE, FORGED], np.int32), count)
    rng = np.random.default_rng(8)
    similarities = np.where(writer[:, None] == writer[None], rng.uniform(0.2, 0.9, (len(writer), len(writer))), 0.1)
    similarities = ((similarities + similarities.T) / 2).astype(np.float32)
    distance = np.abs(writer[:, None] - writer[None])
    compared = np.minimum(distance, count - distance) <= 1
    return {"label": label, "writer": writer}, similarities, np.where(compared, similarities, NOT_COMPARED)


@pytest.mark.parametrize("name", ["supervised_contrastive", "ranked_contrastive", "triplet"])
def test_a_loss_of_neighbours_is_that_of_all_where_neighbours_are_like_the_others(tensorflow, partly_compared, name):
    targets, all_similarities, some_similarities = partly_compared
    targets = {name: tensorflow.constant(values) for name, values in targets.items()}
    loss = plugins.load("losses", name).function
    expected, actual = (loss(targets, tensorflow.constant(each)) for each in (all_similarities, some_similarities))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    recalls = [_accuracy.recall_at_1(targets, tensorflow.constant(e)) for e in (all_similarities, some_similarities)]
    np.testing.assert_array_equal(*recalls)


def test_recall_at_1_is_the_share_of_anchors_whose_nearest_image_is_a_positive(batch):
    targets, vectors = batch
    hits = []
    for anchor in range(12):
        if positives := get_positives(targets, anchor):
            similarities = [-2.0 if row == anchor else float(vectors[anchor] @ vectors[row]) for row in range(12)]
            hits.append(int(np.argmax(similarities)) in positives)
    assert float(np.mean(_accuracy.recall_at_1(targets, vectors @ vectors.T))) == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("name", plugins.load("problems", "same_writer").losses)
def test_gradient_descent_pulls_genuine_signatures_together_and_pushes_forgeries_away(tensorflow, name):
    loss = plugins.load("losses", name)
    targets = {"label": tensorflow.constant([0, 0, 0, 1, 0, 0]), "writer": tensorflow.constant([0, 0, 0, 0, 1, 1])}
    angle = np.array([0.0, 0.5, 0.2, 0.3, 1.4, 1.0])
    points = tensorflow.Variable(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))

    def normalise():
        return points / tensorflow.norm(points, axis=1, keepdims=True)

    def compare(unit):
        return tensorflow.matmul(unit, unit, transpose_b=True)

    def measure_distances():
        unit = normalise()
        return {(i, j): float(tensorflow.norm(unit[i] - unit[j])) for i, j in itertools.combinations(range(6), 2)}

    before = measure_distances()
    for _ in range(20):
        with tensorflow.GradientTape() as tape:
            total = tensorflow.reduce_mean(loss.function(targets, compare(normalise())))
        points.assign_sub(0.02 * tape.gradient(total, points))
    after = measure_distances()
    assert after[0, 1] < before[0, 1], "two genuine signatures of one writer"
    assert after[2, 3] > before[2, 3], "a genuine signature and its forgery"
