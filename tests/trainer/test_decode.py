"""Every colour mode is decoded alike at every size: large pages are reduced, and only become smaller by it."""

import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.trainer.test_imaging import saved
from trainer.imaging.decode import decode
from trainer.samples import generator

MODULE = sys.modules["trainer.imaging.decode"]  # the package has a function of that name
GREY = decode(generator.image(1, 4, "genuine", 0)[0]).grey
PICTURE = Image.fromarray(cv2.resize(GREY, (401, 299), interpolation=cv2.INTER_AREA))
LEVELS = np.asarray(PICTURE)


def deep(kind, scale: float, bright: float | None = None) -> Image.Image:
    """The picture in another number type, 255 as ``scale``; ``bright`` is the value of one pixel of the paper."""
    levels = (LEVELS.astype(np.float64) * (scale / 255)).astype(kind)
    if bright is not None:
        levels[5, 5] = bright
    return Image.fromarray(levels)


def black_paper() -> Image.Image:
    """Dark ink on black paper: only whoever knows that black is transparent sees the writing."""
    return Image.fromarray(np.where(LEVELS > 200, 0, 80).astype(np.uint8))


def black_of_opacity() -> Image.Image:
    """Black all over; how opaque it is says where the ink is."""
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


FILES = {  # name, which begins with the mode that Pillow opens: (the file, what its unreduced decode has to be)
    "1": (lambda: tiff(PICTURE.point(lambda v: 255 * (v > 150)).convert("1")), 255 * (LEVELS > 150)),
    "L": (lambda: png(PICTURE), LEVELS),
    "L, black is transparent": (lambda: png(black_paper(), transparency=0), np.where(LEVELS > 200, 255, 80)),
    "LA": (lambda: png(black_of_opacity()), LEVELS),
    "P": (lambda: png(PICTURE.quantize(64)), None),
    "P, black is transparent": (lambda: saved(black_paper(), "GIF", transparency=0), None),
    "PA": (lambda: tiff(palette_with_alpha()), None),
    "RGB": (lambda: saved(PICTURE.convert("RGB"), "BMP"), LEVELS),
    "RGB, black is transparent": (
        lambda: png(black_paper().convert("RGB"), transparency=(0, 0, 0)), np.where(LEVELS > 200, 255, 80)
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
}  # fmt: skip
# Pixels that a page may have before it is reduced: by 2; by 2 and a little more, because sides are odd; by 3; by 7.
ROOMS = {"by 2": 60_000, "by 2 and a little": 29_975, "by 3": 13_500, "by 7": 2600}


def coarse(grey: np.ndarray) -> np.ndarray:
    """The mean levels of 20 x 15 areas of a page, which do not depend on how many pixels it has."""
    return cv2.resize(grey, (20, 15), interpolation=cv2.INTER_AREA).astype(float)


@pytest.mark.parametrize("name", FILES)
def test_every_mode_is_decoded_to_the_levels_that_were_drawn(name):
    make, expected = FILES[name]
    page = decode(make())
    assert page.kind.split(" ", 1)[1] == name.split(",")[0].split(" ")[0]
    if expected is not None:
        off = np.abs(page.grey.astype(float) - expected)
        assert np.quantile(off, 0.999) <= 2


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("name", FILES)
def test_a_page_that_is_reduced_has_the_levels_of_the_whole_page(name, room, monkeypatch):
    data = FILES[name][0]()
    whole = decode(data)
    monkeypatch.setattr(MODULE, "ROOMY", ROOMS[room])
    monkeypatch.setattr(MODULE, "BAND", 5000)
    page = decode(data)
    assert page.shrink > 1 or page.kind.endswith("LAB"), "LAB is small enough after its first channel is taken"
    assert np.ptp(page.grey) > 0.25 * np.ptp(whole.grey), "the writing is there"
    off = np.abs(coarse(page.grey) - coarse(whole.grey))
    assert off.max() <= 16
    assert off.mean() <= 2


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
def test_a_jpeg_that_its_decoder_scales_has_the_levels_of_the_whole_page(name, side):
    mode, options = JPEGS[name]
    data = saved(PICTURE.convert("RGB").convert(mode), "JPEG", quality=95, **options)
    whole, page = decode(data), decode(data, side=side)
    assert max(page.grey.shape) >= side
    off = np.abs(coarse(page.grey) - coarse(whole.grey))
    assert off.max() <= 8
    assert off.mean() <= 1
