"""Decoding of every colour mode: to the same levels at every size, also where large pages are reduced."""

import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.trainer.imaging.test_ink import SCANS, saved
from trainer.imaging.decode import decode

MODULE = sys.modules["trainer.imaging.decode"]  # the package has a function of that name
GREY = decode(SCANS[0].read_bytes()).grey
PICTURE = Image.fromarray(cv2.resize(GREY, (401, 299), interpolation=cv2.INTER_AREA))
LEVELS = np.asarray(PICTURE)


def deep(dtype, scale: float, bright: float | None = None) -> Image.Image:
    """Return the picture with another dtype, 255 as ``scale``; ``bright`` is the value of one pixel of the paper."""
    levels = (LEVELS.astype(np.float64) * (scale / 255)).astype(dtype)
    if bright is not None:
        levels[5, 5] = bright
    return Image.fromarray(levels)


def black_paper() -> Image.Image:
    """Return dark ink on black paper, which is visible only if black is transparent."""
    return Image.fromarray(np.where(LEVELS > 200, 0, 80).astype(np.uint8))


def black_of_opacity() -> Image.Image:
    """Return a black image whose opacity is the ink."""
    return Image.merge("LA", (Image.new("L", PICTURE.size), Image.fromarray(255 - LEVELS)))


def palette_with_alpha() -> Image.Image:
    picture = PICTURE.quantize(64)
    picture.putalpha(200)
    return picture


def big_endian() -> Image.Image:
    return Image.frombytes("I;16B", PICTURE.size, (LEVELS.astype(">u2") * 257).tobytes())


def lab() -> Image.Image:
    return Image.merge("LAB", (PICTURE, *[Image.new("L", PICTURE.size, 128)] * 2))


def png(picture: Image.Image, **options) -> bytes:
    return saved(picture, "PNG", **options)


def tiff(picture: Image.Image) -> bytes:
    return saved(picture, "TIFF")


# By name, which begins with the mode of Pillow: a function that makes the file, and the expected levels.
FILES = {
    "1": (lambda: tiff(PICTURE.point(lambda v: 255 * (v > 150)).convert("1")), 255 * (LEVELS > 150)),
    "L": (lambda: png(PICTURE), LEVELS),
    "L, black is transparent": (lambda: png(black_paper(), transparency=0), np.where(LEVELS > 200, 255, 80)),
    "LA": (lambda: png(black_of_opacity()), LEVELS),
    "P": (lambda: png(PICTURE.quantize(64)), None),
    "P, black is transparent": (lambda: saved(black_paper(), "GIF", transparency=0), None),
    "PA": (lambda: tiff(palette_with_alpha()), None),
    "RGB": (lambda: saved(PICTURE.convert("RGB"), "BMP"), LEVELS),
    "RGB, black is transparent": (
        lambda: png(black_paper().convert("RGB"), transparency=(0, 0, 0)),
        np.where(LEVELS > 200, 255, 80),
    ),
    "RGB from RGBX": (lambda: tiff(PICTURE.convert("RGBX")), LEVELS),
    "RGBA": (lambda: saved(black_of_opacity().convert("RGBA"), "WEBP", lossless=True, exact=True), LEVELS),
    "CMYK": (lambda: tiff(PICTURE.convert("RGB").convert("CMYK")), LEVELS),
    "YCbCr": (lambda: tiff(PICTURE.convert("YCbCr")), LEVELS),
    "LAB": (lambda: tiff(lab()), LEVELS),
    "I": (lambda: tiff(deep(np.int32, 255)), LEVELS),
    "I of 16 bits": (lambda: tiff(deep(np.int32, 65535)), LEVELS),
    "I, a pixel beyond 16 bits": (lambda: tiff(deep(np.int32, 65535, 70_000)), LEVELS),
    "I;16": (lambda: png(deep(np.uint16, 65535)), LEVELS),
    "I;16 of 12 bits": (lambda: tiff(deep(np.uint16, 4095)), LEVELS),
    "I;16, a bright pixel": (lambda: tiff(deep(np.uint16, 15_000, 17_000)), LEVELS * (15_000 / 65535)),
    "I;16B": (lambda: tiff(big_endian()), LEVELS),
    "F": (lambda: tiff(deep(np.float32, 1)), LEVELS),
    "F of 8 bits": (lambda: tiff(deep(np.float32, 255)), LEVELS),
    "F of 16 bits": (lambda: tiff(deep(np.float32, 65535)), LEVELS),
    "F, a bright pixel": (lambda: tiff(deep(np.float32, 250, 260)), LEVELS * (250 / 1023)),
    "F, a pixel that is no number": (lambda: tiff(deep(np.float32, 1, np.nan)), LEVELS),
    "F, a pixel without a bound": (lambda: tiff(deep(np.float32, 1, np.inf)), LEVELS),
}
# Limits of unreduced pixels for which the page is reduced by 2, by slightly more because sides are odd, by 3 and by 7.
PIXEL_LIMITS = {"by 2": 60_000, "by 2 and a little": 29_975, "by 3": 13_500, "by 7": 2600}


def mean_levels(grey: np.ndarray) -> np.ndarray:
    """Return the mean levels of 20 x 15 areas of a page, which do not depend on its number of pixels."""
    return cv2.resize(grey, (20, 15), interpolation=cv2.INTER_AREA).astype(float)


@pytest.mark.parametrize("name", FILES)
def test_every_mode_is_decoded_to_the_levels_that_were_drawn(name):
    make, expected = FILES[name]
    page = decode(make())
    assert page.format_and_mode.split(" ", 1)[1] == name.split(",")[0].split(" ")[0]
    if expected is not None:
        difference = np.abs(page.grey.astype(float) - expected)
        assert np.quantile(difference, 0.999) <= 2


@pytest.mark.parametrize("factor", PIXEL_LIMITS)
@pytest.mark.parametrize("name", FILES)
def test_a_reduced_page_has_the_levels_of_the_unreduced_page(name, factor, monkeypatch):
    data = FILES[name][0]()
    unreduced = decode(data)
    monkeypatch.setattr(MODULE, "MAX_UNREDUCED_PIXELS", PIXEL_LIMITS[factor])
    monkeypatch.setattr(MODULE, "PIXELS_PER_BAND", 5000)
    page = decode(data)
    assert page.downscale > 1 or page.format_and_mode.endswith("LAB"), "of LAB, only one channel is used"
    assert np.ptp(page.grey) > 0.25 * np.ptp(unreduced.grey), "the writing must be visible"
    difference = np.abs(mean_levels(page.grey) - mean_levels(unreduced.grey))
    assert difference.max() <= 16
    assert difference.mean() <= 2


JPEGS = {
    "L": ("L", {}),
    "RGB": ("RGB", {"subsampling": 0}),
    "RGB, coarse colours": ("RGB", {"subsampling": 2}),
    "RGB, progressive": ("RGB", {"progressive": True}),
    "RGB, colours as they are": ("RGB", {"keep_rgb": True}),
    "CMYK": ("CMYK", {}),
}


@pytest.mark.parametrize("side", [260, 101, 51])  # by 1, by 2 and by 4: the decoder scales by powers of 2
@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_that_its_decoder_scales_has_the_levels_of_the_unscaled_page(name, side):
    mode, options = JPEGS[name]
    data = saved(PICTURE.convert("RGB").convert(mode), "JPEG", quality=95, **options)
    unscaled, page = decode(data), decode(data, side=side)
    assert max(page.grey.shape) >= side
    difference = np.abs(mean_levels(page.grey) - mean_levels(unscaled.grey))
    assert difference.max() <= 8
    assert difference.mean() <= 1
