"""Augmentation: similar within a writer, different across writers, the same for the same seed."""

import numpy as np
import pytest

from trainer.data import augmentation
from trainer.data.augmentation import Warp
from trainer.generators import signatures as generator
from trainer.imaging import Imaging, canonicalise


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return canonicalise(generator.generate_image(3, 4, "genuine", 0)[0], Imaging(48, 96)).image


def correlate(a, b) -> float:
    """Correlation of two images ``[48, 96]``, averaged over 4 x 4 pixels."""
    a, b = (np.asarray(image, float).reshape(12, 4, 24, 4).mean(axis=(1, 3)).ravel() for image in (a, b))
    return float(np.corrcoef(a, b)[0, 1])


def test_images_of_a_writer_stay_similar_in_a_batch_and_differ_from_those_of_others(image):
    """All images are the same before the augmentation."""
    writers = np.repeat(np.arange(12), 6)
    batch = augmentation.augment_by_writer(np.repeat(image[None], 72, axis=0), writers, np.random.default_rng(1))
    within, across = [], []
    for i in range(72):
        for j in range(i):
            (within if writers[i] == writers[j] else across).append(correlate(batch[i], batch[j]))
    assert np.mean(within) > np.mean(across) + 0.2
    assert len({augmented.tobytes() for augmented in batch}) == 72, "each image differs"
    assert batch.dtype == np.uint8


def test_the_same_generator_gives_the_same_batch(image):
    batch, writers = np.repeat(image[None], 8, axis=0), np.arange(8)
    first, same_seed, other_seed = (
        augmentation.augment_by_writer(batch, writers, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, same_seed)
    assert not np.array_equal(first, other_seed)


def test_augmentation_keeps_most_of_the_ink(image):
    batch = augmentation.augment_by_writer(np.repeat(image[None], 64, axis=0), np.arange(64), np.random.default_rng(2))
    amount = batch.reshape(64, -1).sum(axis=1) / image.sum()
    assert amount.min() > 0.25
    assert amount.max() < 4


def test_an_identity_warp_keeps_the_image(image):
    identity = Warp(np.eye(2), np.zeros(2))
    assert np.array_equal(augmentation.apply_warp(image[:, :, 0], identity), image[:, :, 0])
    no_displacement = Warp(np.eye(2), np.zeros(2), np.zeros((2, 48, 96), np.float32))
    assert np.array_equal(augmentation.apply_warp(image[:, :, 0], no_displacement), image[:, :, 0])


def test_a_composed_warp_equals_two_warps_in_succession(image):
    rng = np.random.default_rng(4)
    first, second = (Warp(np.eye(2) + rng.normal(0, 0.1, (2, 2)), rng.normal(0, 3, 2)) for _ in "12")
    composed = augmentation.apply_warp(image[:, :, 0], second.after(first))
    in_succession = augmentation.apply_warp(augmentation.apply_warp(image[:, :, 0], first), second)
    assert correlate(composed, in_succession) > 0.98


def test_a_change_of_strokes_keeps_their_positions(image):
    rng = np.random.default_rng(5)
    changed = np.stack([augmentation.augment_strokes(image[:, :, 0], rng) for _ in range(64)])
    amount = changed.reshape(64, -1).sum(axis=1) / image.sum()
    assert amount.min() < 0.95 < 1.05 < amount.max()
    near_ink = image[:, :, 0] > 0
    for _ in range(2):
        near_ink = near_ink | np.roll(near_ink, 1, 0) | np.roll(near_ink, -1, 0)
        near_ink = near_ink | np.roll(near_ink, 1, 1) | np.roll(near_ink, -1, 1)
    assert not changed[:, ~near_ink].any()
