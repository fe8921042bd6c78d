"""Signatures varied for training: by one hand alike, by another person otherwise, and the same for the same seed."""

import numpy as np
import pytest

from trainer.data import augmentation
from trainer.data.augmentation import Warp
from trainer.imaging import Imaging, canonicalise
from trainer.samples import generator


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return canonicalise(generator.image(3, 4, "genuine", 0)[0], Imaging(48, 96)).image


def likeness(one, other) -> float:
    """Correlation of two images, a little blurred."""
    one, other = (np.asarray(each, float).reshape(12, 4, 24, 4).mean(axis=(1, 3)).ravel() for each in (one, other))
    return float(np.corrcoef(one, other)[0, 1])


def test_a_person_stays_one_person_in_a_batch_and_differs_from_the_next(image):
    """The same image as two people's: within a person all are alike, across people they are not."""
    writers = np.repeat(np.arange(12), 6)
    batch = augmentation.vary(np.repeat(image[None], 72, axis=0), writers, np.random.default_rng(1))
    within, across = [], []
    for one in range(72):
        for other in range(one):
            (within if writers[one] == writers[other] else across).append(likeness(batch[one], batch[other]))
    assert np.mean(within) > np.mean(across) + 0.2
    assert len({each.tobytes() for each in batch}) == 72, "each by an amount of its own"
    assert batch.dtype == np.uint8


def test_the_same_generator_gives_the_same_batch(image):
    batch, writers = np.repeat(image[None], 8, axis=0), np.arange(8)
    one, same, other = (augmentation.vary(batch, writers, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_ink_stays_ink(image):
    batch = augmentation.vary(np.repeat(image[None], 64, axis=0), np.arange(64), np.random.default_rng(2))
    amount = batch.reshape(64, -1).sum(axis=1) / image.sum()
    assert amount.min() > 0.25
    assert amount.max() < 4


def test_no_change_is_no_change(image):
    still = Warp(np.eye(2), np.zeros(2))
    assert np.array_equal(augmentation.apply(image[:, :, 0], still), image[:, :, 0])
    bent = Warp(np.eye(2), np.zeros(2), np.zeros((2, 48, 96), np.float32))
    assert np.array_equal(augmentation.apply(image[:, :, 0], bent), image[:, :, 0])


def test_two_warps_in_one_are_one_after_the_other(image):
    rng = np.random.default_rng(4)
    first, second = (Warp(np.eye(2) + rng.normal(0, 0.1, (2, 2)), rng.normal(0, 3, 2)) for _ in "12")
    together = augmentation.apply(image[:, :, 0], second.after(first))
    in_turn = augmentation.apply(augmentation.apply(image[:, :, 0], first), second)
    assert likeness(together, in_turn) > 0.98


def test_another_pen_changes_strokes_but_not_where_they_are(image):
    rng = np.random.default_rng(5)
    changed = np.stack([augmentation.repen(image[:, :, 0], rng) for _ in range(64)])
    amount = changed.reshape(64, -1).sum(axis=1) / image.sum()
    assert amount.min() < 0.95 < 1.05 < amount.max()
    near = image[:, :, 0] > 0
    for _ in range(2):
        near = near | np.roll(near, 1, 0) | np.roll(near, -1, 0)
        near = near | np.roll(near, 1, 1) | np.roll(near, -1, 1)
    assert not changed[:, ~near].any()
