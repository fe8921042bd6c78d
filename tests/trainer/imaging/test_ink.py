"""Canonical images: equal writing gives equal images in every format, and any other bytes give an ``ImageError``."""

import contextlib
import dataclasses
import io
import json
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.imaging import ALGORITHM, ImageError, ImageTooLarge, Imaging, Limits, NoInk, UnreadableImage, canonicalise
from trainer.imaging.decode import decode

GOLDEN = Path(__file__).parents[2] / "golden" / "imaging"
SCANS = sorted((GOLDEN.parent / "scans").iterdir())  # generated signatures of four writers, as of scanners and phones
CANVAS = Imaging()


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    """The grey levels of a generated signature, ``uint8 [h, w]``."""
    return decode(SCANS[0].read_bytes()).grey


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
    stored = json.loads((GOLDEN / "algorithm.json").read_text())
    assert stored == {"algorithm": ALGORITHM, "fingerprint": CANVAS.fingerprint()}, (
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
    layers[..., 3] = 255 - grey  # black, with the writing as opacity, as pen tablets and PDF tools save it
    transparent = saved(Image.fromarray(layers), "PNG")
    np.testing.assert_array_equal(ink(transparent), ink(saved(Image.fromarray(grey), "PNG")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(grey, orientation):
    upright = Image.fromarray(grey)
    # The transformation of a camera in this orientation: the inverse of that which EXIF requires.
    transformations = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(transformations[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(ink(saved(stored, "PNG", exif=exif)), ink(saved(upright, "PNG")))


@pytest.mark.parametrize("change", [lambda g: g * 0.7, lambda g: g * 0.5 + 120, lambda g: 255 * (g / 255) ** 1.4])
def test_brightness_and_gamma_hardly_change_the_canonical_image(grey, change):
    plain = ink(saved(Image.fromarray(grey), "PNG")).astype(int)
    changed = ink(saved(Image.fromarray(np.clip(change(grey.astype(float)), 0, 255).astype(np.uint8)), "PNG"))
    assert np.abs(plain - changed).mean() < 3


def test_bright_writing_on_a_dark_page_gives_nearly_the_same_canonical_image(grey):
    plain, inverted = (ink(saved(Image.fromarray(g), "PNG")).astype(int) for g in (grey, 255 - grey))
    assert np.abs(plain - inverted).mean() < 8


def test_the_greys_of_a_canonical_image_depend_on_geometry_alone():
    """In popular datasets the levels of ink and paper imply the label, so they must not be in the canonical image."""
    drawn = np.full((200, 400), 255, np.uint8)
    drawn[80:90, 50:350] = drawn[40:160, 190:200] = 0
    faint = (200 - (255 - drawn.astype(int)) // 4).astype(np.uint8)
    np.testing.assert_array_equal(ink(saved(Image.fromarray(drawn), "PNG")), ink(saved(Image.fromarray(faint), "PNG")))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 40), st.booleans())
def test_strips_of_any_shape_give_an_image_or_an_image_error(length, breadth, upright):
    strip = np.random.default_rng(length).integers(0, 2, (breadth, length), np.uint8) * 255
    with contextlib.suppress(ImageError):
        assert ink(saved(Image.fromarray(strip.T if upright else strip), "BMP")).shape == (64, 128, 1)


@pytest.mark.parametrize("level", [0, 128, 255])  # black and blank
def test_an_empty_page_has_no_ink(level):
    with pytest.raises(NoInk):
        ink(saved(Image.new("L", (300, 200), level), "PNG"))


def test_paper_grain_is_not_ink():
    page = np.random.default_rng(0).normal(200, 3, (300, 400)).clip(0, 255).astype(np.uint8)
    with pytest.raises(NoInk):
        ink(saved(Image.fromarray(page), "PNG"))


@pytest.mark.parametrize(
    "data", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"MThd", b"PK\x03\x04" + b"x" * 99]
)
def test_bytes_that_are_no_image_are_unreadable_and_not_quoted(data):
    with pytest.raises(UnreadableImage) as error:
        ink(data)
    assert "no image" not in str(error.value)
    assert f"{len(data)}" in str(error.value)


def test_a_truncated_image_is_unreadable(grey):
    data = saved(Image.fromarray(grey), "JPEG")
    with pytest.raises(UnreadableImage, match="damaged"):
        ink(data[: len(data) // 2])


def bomb(side: int) -> bytes:
    """Return a PNG with a header of side x side pixels, but without the pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND")


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_too_many_pixels_are_refused_by_the_header(side):
    with pytest.raises(ImageTooLarge, match="pixels"):
        ink(bomb(side))


def tiff(tags: dict[int, tuple[int, int, int]], order: str = "<") -> bytes:
    """Return a TIFF with one directory, {tag: (type, count, value)}, and no pixels."""
    directory = b"".join(struct.pack(f"{order}HHII", tag, *entry) for tag, entry in sorted(tags.items()))
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IH", 8, len(tags)) + directory + b"\0\0\0\0"


PLAIN = {256: (4, 1, 8), 257: (4, 1, 8), 258: (4, 1, 8), 259: (4, 1, 1), 262: (4, 1, 1), 277: (4, 1, 1)}


def chunk(chunk_type: bytes, data: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + chunk_type + data + struct.pack(">I", zlib.crc32(chunk_type + data))


def png_with(inserted: bytes) -> bytes:
    """Return a PNG with bytes after its header."""
    data = saved(Image.new("L", (8, 8)), "PNG")
    return data[:33] + inserted + data[33:]


def jpeg_with(inserted: bytes) -> bytes:
    """Return a JPEG with bytes after its start marker."""
    data = saved(Image.new("L", (8, 8)), "JPEG")
    return data[:2] + inserted + data[2:]


COSTLY = {
    "progressive scans": (lambda: progressive(120), "scans"),
    "jpeg segments": (lambda: jpeg_with(b"\xff\xe0\0\2" * 3000), "markers"),
    "jpeg exif": (lambda: jpeg_with((b"\xff\xe1\0\x12Exif\0\0" + b"x" * 10) * 100_000), "markers"),
    "jpeg fill": (lambda: jpeg_with(b"\xff" * 3000), "markers"),
    "png chunks": (lambda: png_with(chunk(b"teXt") * 30_000), "chunks"),
    "png profiles": (lambda: png_with(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10_000))) * 2), "profiles"),
    "gif comments": (
        lambda: saved(Image.new("L", (8, 8)), "GIF")[:-1] + b"!\xfe" + b"\1x" * 300_000 + b"\0;",
        "blocks",
    ),
    "tiff values": (lambda: tiff({**PLAIN, 274: (5, 3_000_000, 8)}), "3,000,000 values"),
    "tiff entries": (lambda: b"II*\0" + struct.pack("<IH", 8, 50_000), "50,000 entries"),
    "tiff strips": (lambda: tiff({**PLAIN, 279: (4, 1, 2**31)}), "strips or tiles claim"),
    "tiff strips, big-endian": (lambda: tiff({**PLAIN, 279: (4, 1, 2**31)}, ">"), "strips or tiles claim"),
    "tiff tile": (lambda: tiff({**PLAIN, 322: (4, 1, 46_336), 323: (4, 1, 46_336), 324: (4, 1, 8)}), "tiles"),
    "strip": (lambda: saved(Image.new("1", (70_000, 1)), "PNG"), "along a side"),
    "webp": (lambda: saved(Image.new("L", (16_000, 1600)), "WEBP"), "in a WebP"),
}


def progressive(scans: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated."""
    data = saved(Image.new("L", (64, 64), 77), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * scans + data[-2:]


@pytest.mark.parametrize("name", COSTLY)
def test_small_files_that_take_long_to_decode_are_refused_by_their_structure(name):
    make, expected = COSTLY[name]
    data = make()
    start = time.process_time()
    with pytest.raises(ImageTooLarge, match=expected):
        ink(data)
    assert time.process_time() - start < 2, "decoding them takes from seconds to minutes"


def test_bytes_after_the_picture_are_not_counted_as_scans(grey):
    """Phones append videos to their pictures: megabytes in which any pattern occurs."""
    video = b"\xff\xda" * 1000
    picture = Image.fromarray(grey)
    np.testing.assert_array_equal(ink(saved(picture, "JPEG") + video), ink(saved(picture, "JPEG")))


@pytest.mark.parametrize("value_type", [1, 2, 7])
def test_a_tag_of_the_wrong_type_is_a_damaged_image(value_type):
    with pytest.raises(ImageError):
        ink(tiff({**PLAIN, 273: (4, 1, 8), 278: (4, 1, 8), 279: (4, 1, 64), 322: (value_type, 1, 0x61)}) + bytes(64))


@pytest.mark.parametrize("offset", [2**64 - 1, 2**63, 10_000])
def test_a_directory_beyond_the_end_of_the_file_is_a_damaged_image(offset):
    with pytest.raises(UnreadableImage):
        ink(b"II+\0\x08\0\0\0" + struct.pack("<Q", offset) + bytes(64))


def test_run_length_encoded_bmp_is_refused_with_advice(grey):
    bmp = bytearray(saved(Image.fromarray(grey), "BMP"))
    bmp[30] = 1  # RLE8
    with pytest.raises(UnreadableImage, match="run-length"):
        ink(bytes(bmp))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e38])
def test_a_pixel_that_is_no_number_is_paper(grey, value):
    levels = grey.astype(np.float32) / 255
    plain = ink(saved(Image.fromarray(levels), "TIFF"))
    levels[3, 3] = value
    changed = ink(saved(Image.fromarray(levels), "TIFF"))
    assert (changed != plain).mean() < 0.01


def test_too_many_bytes_are_refused_before_decoding():
    with pytest.raises(ImageTooLarge, match="at most 10"):
        canonicalise(b"x" * 11, CANVAS, Limits(max_bytes=10))


def seeds() -> list[bytes]:
    """Return small generated files of every format, which a test damages."""
    picture = Image.fromarray(decode(SCANS[0].read_bytes()).grey).resize((160, 80))
    colour, bilevel = picture.convert("RGB"), picture.convert("1")
    return [
        *(path.read_bytes() for path in sorted(GOLDEN.glob("*.source.*"))[:3]),
        *(saved(bilevel, "TIFF", compression=name) for name in ("group3", "group4", "packbits")),
        *(saved(picture, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")),
        saved(colour, "TIFF", save_all=True, append_images=[colour]),
        saved(Image.fromarray(np.asarray(picture).astype(np.float32)), "TIFF"),
        saved(colour.convert("CMYK"), "JPEG"),
        saved(colour, "JPEG", progressive=True),
        saved(colour, "MPO", save_all=True, append_images=[colour]),
        saved(picture.quantize(16), "PNG"),
        saved(colour.convert("RGBA"), "PNG"),
        saved(Image.fromarray(np.asarray(picture).astype(np.uint16) * 257), "PNG"),
        saved(bilevel, "PNG"),
        saved(picture, "GIF", save_all=True, append_images=[picture.transpose(0)]),
        saved(colour, "WEBP"),
        saved(colour.convert("RGBA"), "WEBP", lossless=True),
        saved(colour, "BMP"),
        saved(bilevel, "BMP"),
    ]


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_damage_gives_an_image_or_an_image_error(data):
    changed = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 8))):
        position = data.draw(st.integers(0, len(changed) - 1) | st.integers(0, min(200, len(changed) - 1)))
        changed[position] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(changed)))
    for damaged in (bytes(changed), bytes(changed[:length])):
        with contextlib.suppress(ImageError):  # any other exception fails the test
            assert ink(damaged).shape == (64, 128, 1)


SEEDS = seeds()


@pytest.mark.parametrize("height", [15, 1025])
def test_a_canvas_out_of_range_is_refused(height):
    with pytest.raises(ValueError, match="16 to 1024"):
        Imaging(height=height)


def test_every_parameter_changes_the_fingerprint():
    for field in dataclasses.fields(Imaging):
        value = getattr(CANVAS, field.name)
        other = {"soft-binary": "grey", "ink": "page"}.get(value) or value * 2
        changed = dataclasses.replace(CANVAS, **{field.name: other})
        assert changed.fingerprint() != CANVAS.fingerprint()
