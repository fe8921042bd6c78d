"""The ink of one signature is laid over that of another."""

import cv2
import numpy as np
import pytest

from trainer.generators import signatures as generator
from trainer.imaging import Imaging, canonicalise
from trainer.imaging.registration import register

HEIGHT, WIDTH = 96, 192


@pytest.fixture(scope="module")
def ink() -> np.ndarray:
    data, _ = generator.generate_image(31, 6, "genuine", 0)
    return canonicalise(data, Imaging(height=HEIGHT, width=WIDTH)).image[:, :, 0]


@pytest.mark.parametrize(("degrees", "scale"), [(0, 0.9), (8, 0.9), (-12, 1.0), (5, 1.1)])
def test_ink_that_was_turned_and_scaled_is_laid_over_itself(ink, degrees, scale):
    turned = cv2.warpAffine(
        ink, cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, 0.8 * scale), (WIDTH, HEIGHT)
    )
    registration = register(ink, turned)
    assert registration.is_moved
    assert registration.correlation > 0.98
    difference = np.abs(registration.image.astype(int) - turned).mean()
    assert difference < 0.25 * np.abs(ink.astype(int) - turned).mean()


def test_ink_that_lies_over_itself_already_stays(ink):
    registration = register(ink, ink)
    assert registration.correlation == pytest.approx(1)
    assert np.abs(registration.image.astype(int) - ink).max() <= 1


@pytest.mark.parametrize("other", ["empty", "one dot", "all dark"])
def test_inks_that_have_nothing_in_common_are_left_as_they_are(ink, other):
    fixed = np.full_like(ink, 255 if other == "all dark" else 0)
    if other == "one dot":
        fixed[2, 2] = 255
    registration = register(ink, fixed)
    assert registration.image.shape == ink.shape
    assert registration.correlation < 0.5
    assert registration.is_moved or np.array_equal(registration.image, ink)
