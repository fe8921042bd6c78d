"""Copies of signatures: they follow from a seed, resemble their original, and forgery-like ones resemble it less."""

import cv2
import numpy as np
import pytest

from trainer.generators import signatures as generator
from trainer.imaging import Imaging, canonicalise, draw_ink
from trainer.samples import copying, traced_ink

IMAGING = Imaging(96, 192)
GENUINE = slice(1, 1 + copying.GENUINE_COPIES)
FORGED = slice(1 + copying.GENUINE_COPIES, None)


def copy(image: np.ndarray, seed: int = 1) -> np.ndarray:
    """Return the copies of an image, the original inked again first."""
    copies = copying.make_copies(image, IMAGING.working_side, np.random.default_rng(seed))
    assert copies is not None
    return np.stack([draw_ink(ink, IMAGING) for ink in copies])


@pytest.fixture(scope="module")
def originals() -> list[np.ndarray]:
    """Canonical images of generated genuine signatures of eight writers."""
    files = [generator.generate_image(3, writer, "genuine", 0)[0] for writer in range(8)]
    return [canonicalise(file, IMAGING).image for file in files]


@pytest.fixture(scope="module")
def copies(originals) -> list[np.ndarray]:
    return [copy(original) for original in originals]


def measure_distances(ink: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the distance in pixels from every pixel of ink to the nearest ink of another image."""
    to_other = cv2.distanceTransform((other[:, :, 0] < 128).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return to_other[ink[:, :, 0] >= 128]


def chamfer(first: np.ndarray, second: np.ndarray) -> float:
    return float(measure_distances(first, second).mean() + measure_distances(second, first).mean())


def draw(*lines: tuple, thickness: int = 3) -> np.ndarray:
    image = np.zeros((96, 192), np.uint8)
    for start, end in lines:
        cv2.line(image, start, end, 255, thickness)
    return image[:, :, None]


def test_the_same_seed_gives_the_same_copies_and_another_seed_others(originals, copies):
    np.testing.assert_array_equal(copy(originals[0]), copies[0])
    another = copy(originals[0], seed=2)
    np.testing.assert_array_equal(another[0], copies[0][0], "the original inked again has no random part")
    assert all((image != other).any() for image, other in zip(another[1:], copies[0][1:], strict=True))


def test_copies_are_canonical_images(originals, copies):
    for original, made in zip(originals, copies, strict=True):
        assert made.shape == (1 + copying.GENUINE_COPIES + copying.FORGED_COPIES, *original.shape)
        assert made.dtype == np.uint8
        for image in made:
            _, _, width, height = cv2.boundingRect(image)
            border = round(2 * IMAGING.margin * IMAGING.height)
            assert width >= IMAGING.width - border - 2 or height >= IMAGING.height - border - 2, "fits the canvas"


def test_the_original_inked_again_is_where_it_was(originals, copies):
    for original, (reinked, *_) in zip(originals, copies, strict=True):
        assert (measure_distances(original, reinked) <= 2).mean() >= 0.95
        assert (measure_distances(reinked, original) <= 2).mean() >= 0.95
        assert 0.7 < reinked.sum() / original.sum() < 1.4, "by a pen of about the same width"


def test_forgery_like_copies_deviate_more_than_genuine_like_copies(originals, copies):
    def measure(part: slice) -> float:
        pairs = zip(originals, copies, strict=True)
        return float(np.mean([chamfer(original, image) for original, made in pairs for image in made[part]]))

    genuine, forged = measure(GENUINE), measure(FORGED)
    assert forged > 1.25 * genuine
    assert genuine > 0.5, "a copy is no duplicate"


def test_lines_that_touch_still_touch_in_genuine_like_copies():
    table = draw(((20, 20), (170, 20)), ((95, 20), (95, 85)), ((60, 50), (130, 50)))
    for image in copy(table)[: GENUINE.stop]:
        assert cv2.connectedComponents((image >= 128).astype(np.uint8))[0] == 2, "paper and one piece of ink"


@pytest.mark.parametrize("width", [3, 5, 7])
def test_the_width_of_the_pen_is_measured(width):
    image = np.zeros((96, 192, 1), np.uint8)
    image[10:80, 20 : 20 + width] = image[40 : 40 + width, 20:180] = 255
    traced = traced_ink.trace_ink(image)
    assert np.median(traced.widths) * np.sqrt(160 * 70) == pytest.approx(width, rel=0.3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((96, 192, 1), np.uint8),
        np.full((96, 192, 1), 255, np.uint8),
        draw(((90, 48), (92, 48))),
        draw(((60, 48), (130, 48)), thickness=35),
        np.random.default_rng(0).integers(0, 2, (96, 192, 1), np.uint8) * 255,
    ],
    ids=["blank", "black", "dot", "blot", "noise"],
)
def test_ink_that_cannot_be_traced_gives_no_copies(image):
    assert copying.make_copies(image, IMAGING.working_side, np.random.default_rng(1)) is None
