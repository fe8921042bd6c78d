"""Bytes to canonical ink: the same writing gives the same image whatever the file, and any bytes give our errors."""

import contextlib
import dataclasses
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer import imaging, samples
from trainer.imaging import ALGORITHM, ImageError, ImageTooLarge, Imaging, Limits, NoInk, UnreadableImage, canonicalise
from trainer.imaging.decode import decode

GOLDEN = Path(__file__).parent.parent / "golden" / "imaging"
CANVAS = Imaging()


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    """One generated signature as grey levels."""
    return decode(samples.image(1, 4, "genuine", 0)[0])


def saved(picture: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def ink(data: bytes) -> np.ndarray:
    return canonicalise(data, CANVAS).image


@pytest.mark.parametrize("source", sorted(GOLDEN.glob("*.source.*")), ids=lambda path: path.name)
def test_golden_images_are_canonicalised_to_the_pixel(source):
    expected = np.asarray(Image.open(source.with_name(source.name.split(".")[0] + ".canonical.png")))
    np.testing.assert_array_equal(ink(source.read_bytes())[:, :, 0], expected)


def test_golden_images_belong_to_this_algorithm():
    recorded = json.loads((GOLDEN / "algorithm.json").read_text())
    assert recorded == {"algorithm": ALGORITHM, "fingerprint": CANVAS.fingerprint()}, (
        "canonical images changed: raise ALGORITHM and run python -m tests.golden.regenerate, in a commit of its own"
    )


def test_canonical_images_are_uint8_ink_on_zero_paper(grey):
    image = ink(saved(Image.fromarray(grey), "PNG"))
    assert image.dtype == np.uint8
    assert image.shape == (64, 128, 1)
    assert image.max() == 255
    assert np.median(image) == 0


LOSSLESS = {
    "tiff": lambda p: saved(p, "TIFF"),
    "tiff-lzw": lambda p: saved(p, "TIFF", compression="tiff_lzw"),
    "bmp": lambda p: saved(p, "BMP"),
    "webp": lambda p: saved(p.convert("RGB"), "WEBP", lossless=True),
    "rgb": lambda p: saved(p.convert("RGB"), "PNG"),
    "palette": lambda p: saved(p.quantize(256), "PNG"),
    "opaque alpha": lambda p: saved(p.convert("RGBA"), "PNG"),
    "16 bit": lambda p: saved(Image.fromarray(np.asarray(p).astype(np.uint16) * 257), "PNG"),
    "float": lambda p: saved(Image.fromarray(np.asarray(p).astype(np.float32) / 255), "TIFF"),
    "32 bit": lambda p: saved(Image.fromarray(np.asarray(p).astype(np.int32)), "TIFF"),
}


@pytest.mark.parametrize("form", LOSSLESS)
def test_the_file_format_does_not_change_the_canonical_image(grey, form):
    picture = Image.fromarray(grey)
    np.testing.assert_array_equal(ink(LOSSLESS[form](picture)), ink(saved(picture, "PNG")))


def test_a_transparent_signature_is_read_on_white_paper(grey):
    layers = np.zeros((*grey.shape, 4), np.uint8)
    layers[..., 3] = 255 - grey  # black ink whose opacity is the writing: what pen tablets and PDF tools save
    shown = saved(Image.fromarray(layers), "PNG")
    np.testing.assert_array_equal(ink(shown), ink(saved(Image.fromarray(grey), "PNG")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(grey, orientation):
    upright = Image.fromarray(grey)
    # The transformation that a camera held this way would have applied: the inverse of what EXIF asks for.
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turned[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(ink(saved(stored, "PNG", exif=exif)), ink(saved(upright, "PNG")))


@pytest.mark.parametrize("change", [lambda g: g * 0.7, lambda g: g * 0.5 + 120, lambda g: 255 * (g / 255) ** 1.4])
def test_brightness_and_gamma_hardly_matter(grey, change):
    plain = ink(saved(Image.fromarray(grey), "PNG")).astype(int)
    changed = ink(saved(Image.fromarray(np.clip(change(grey.astype(float)), 0, 255).astype(np.uint8)), "PNG"))
    assert np.abs(plain - changed).mean() < 3


def test_white_margins_do_not_matter(grey):
    wide = np.pad(grey, 60, mode="edge")
    difference = np.abs(ink(saved(Image.fromarray(wide), "PNG")).astype(int) - ink(saved(Image.fromarray(grey), "PNG")))
    assert difference.mean() < 4


def test_chalk_on_a_board_is_ink_on_paper(grey):
    plain, inverted = (ink(saved(Image.fromarray(g), "PNG")).astype(int) for g in (grey, 255 - grey))
    assert np.abs(plain - inverted).mean() < 8


def test_greys_come_from_geometry_alone():
    """The leak of the popular datasets: faint ink on dark paper must look like dark ink on white paper."""
    drawn = np.full((200, 400), 255, np.uint8)
    drawn[80:90, 50:350] = drawn[40:160, 190:200] = 0
    faint = (200 - (255 - drawn.astype(int)) // 4).astype(np.uint8)
    np.testing.assert_array_equal(ink(saved(Image.fromarray(drawn), "PNG")), ink(saved(Image.fromarray(faint), "PNG")))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 40), st.booleans())
def test_strips_of_any_shape_are_an_image_or_one_of_our_errors(length, breadth, upright):
    strip = np.random.default_rng(length).integers(0, 2, (breadth, length), np.uint8) * 255
    with contextlib.suppress(ImageError):
        assert ink(saved(Image.fromarray(strip.T if upright else strip), "BMP")).shape == (64, 128, 1)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_page_is_a_named_error(level):
    with pytest.raises(NoInk):
        ink(saved(Image.new("L", (300, 200), level), "PNG"))


def test_paper_grain_is_not_ink():
    page = np.random.default_rng(0).normal(200, 3, (300, 400)).clip(0, 255).astype(np.uint8)
    with pytest.raises(NoInk):
        ink(saved(Image.fromarray(page), "PNG"))


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"PK\x03\x04" + b"x" * 99])
def test_bytes_that_are_no_image_are_unreadable_and_not_quoted(data):
    with pytest.raises(UnreadableImage) as error:
        ink(data)
    assert "no image" not in str(error.value)
    assert f"{len(data)}" in str(error.value)


def test_a_truncated_image_is_unreadable(grey):
    whole = saved(Image.fromarray(grey), "JPEG")
    with pytest.raises(UnreadableImage, match="damaged"):
        ink(whole[: len(whole) // 2])


def bomb(side: int) -> bytes:
    """A PNG header of side x side pixels without the pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_too_many_pixels_are_refused_by_the_header(side):
    with pytest.raises(ImageTooLarge, match="pixels"):
        ink(bomb(side))


def test_small_files_that_cost_a_lot_are_refused_by_their_header(grey):
    jpeg = saved(Image.fromarray(grey), "JPEG", progressive=True)
    start = jpeg.rindex(b"\xff\xda")
    with pytest.raises(ImageTooLarge, match="scans"):
        ink(jpeg[:-2] + jpeg[start:-2] * 120 + jpeg[-2:])
    tags = {256: 100, 257: 100, 258: 8, 259: 1, 262: 1, 277: 1, 322: 46_336, 323: 46_336, 324: 8, 325: 4}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    with pytest.raises(ImageTooLarge, match="tiles"):  # 100 x 100 pixels, cut from one tile of 2 gigapixels
        ink(b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + b"\0\0\0\0")
    bmp = bytearray(saved(Image.fromarray(grey), "BMP"))
    bmp[30] = 1  # the header says RLE8
    with pytest.raises(UnreadableImage, match="run-length"):
        ink(bytes(bmp))


def test_too_many_bytes_are_refused_before_they_are_looked_at():
    with pytest.raises(ImageTooLarge, match="at most 10"):
        canonicalise(b"x" * 11, CANVAS, Limits(max_bytes=10))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_gives_an_image_or_one_of_our_errors(data):
    whole = bytearray(data.draw(st.sampled_from(SOURCES)))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for damaged in (bytes(whole), bytes(whole[:cut])):
        with contextlib.suppress(ImageError):  # any other exception fails the test
            assert ink(damaged).shape == (64, 128, 1)


SOURCES = [path.read_bytes() for path in sorted(GOLDEN.glob("*.source.*"))]


@pytest.mark.parametrize("height", [15, 1025])
def test_an_absurd_canvas_is_refused(height):
    with pytest.raises(ValueError, match="16 to 1024"):
        Imaging(height=height)


def test_every_parameter_changes_the_fingerprint():
    for field in dataclasses.fields(Imaging):
        changed = dataclasses.replace(CANVAS, **{field.name: getattr(CANVAS, field.name) * 2})
        assert changed.fingerprint() != CANVAS.fingerprint()


def test_warnings_name_what_was_measured():
    small = np.full((40, 60), 255, np.uint8)
    small[:, 20:24] = small[18:22, :] = 0
    codes = {warning.code: warning for warning in canonicalise(saved(Image.fromarray(small), "PNG"), CANVAS).warnings}
    assert "cut_off" in codes
    faint = np.full((200, 400), 200, np.uint8)
    faint[80:90, 50:350] = 165
    (warning,) = canonicalise(saved(Image.fromarray(faint), "PNG"), CANVAS).warnings
    assert warning.code == "low_contrast"
    assert warning.value < warning.limit
    assert imaging.Warning_("x", 1.0, 2.0)
