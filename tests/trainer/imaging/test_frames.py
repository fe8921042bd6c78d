"""The pages of a TIFF: each is decoded as if it were a file of its own, under the same limits."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.trainer.imaging.test_ink import SCANS, saved
from trainer.imaging import ImageTooLarge, Imaging, Limits, UnreadableImage, canonicalise, decode, headers, read_ink
from trainer.imaging.decode import ORIENTATION

SIZES = ((40, 30), (25, 60), (70, 20))  # width, height
PICTURES = [Image.effect_noise(size, 60) for size in SIZES]


def tiff(pictures, **options) -> bytes:
    return saved(pictures[0], "TIFF", save_all=True, append_images=pictures[1:], **options)


def directory(entries, next_offset=0, order="<") -> bytes:
    """Return a directory of (tag, type, count, value)."""
    packed = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return struct.pack(order + "H", len(entries)) + packed + struct.pack(order + "I", next_offset)


def test_every_page_of_a_tiff_is_decoded_with_its_own_size():
    for options in ({}, {"compression": "tiff_lzw"}, {"big_tiff": True}):
        data = tiff(PICTURES, **options)
        for frame, picture in enumerate(PICTURES):
            page = decode(data, frame=frame)
            np.testing.assert_array_equal(page.grey, np.asarray(picture))
            assert page.has_more_pages == (frame < len(PICTURES) - 1)


def test_every_page_of_a_tiff_has_its_own_orientation():
    first, second = tiff(PICTURES[:1]), tiff(PICTURES[:1], tiffinfo={ORIENTATION: 6})
    data = tiff([Image.open(io.BytesIO(file)) for file in (first, second)])
    np.testing.assert_array_equal(decode(data, frame=0).grey, np.asarray(PICTURES[0]))
    np.testing.assert_array_equal(decode(data, frame=1).grey, np.rot90(np.asarray(PICTURES[0]), -1))


def test_the_canonical_image_of_a_page_is_that_of_a_file_with_only_this_page():
    scans = [Image.open(path).convert("L") for path in SCANS[:2]]
    data, imaging = tiff(scans), Imaging()
    for frame, scan in enumerate(scans):
        expected = canonicalise(saved(scan, "PNG"), imaging)
        np.testing.assert_array_equal(canonicalise(data, imaging, frame=frame).image, expected.image)
        assert read_ink(data, imaging, frame=frame)[0].size == expected.size


@pytest.mark.parametrize("frame", [-1, 3, 10**6])
def test_a_page_that_a_tiff_does_not_have_is_unreadable(frame):
    with pytest.raises(UnreadableImage, match=f"no page {frame + 1}"):
        decode(tiff(PICTURES), frame=frame)


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "BMP", "JPEG"])
def test_only_a_tiff_has_pages_after_the_first(format):
    options = {"save_all": True, "append_images": [PICTURES[0].rotate(180)]} if format in ("PNG", "GIF", "WEBP") else {}
    data = saved(PICTURES[0], format, **options)
    assert decode(data).grey.shape == (30, 40)
    with pytest.raises(UnreadableImage, match="only a TIFF"):
        decode(data, frame=1)


def test_the_limit_of_pixels_holds_for_the_page_that_is_read():
    data = tiff([PICTURES[0], Image.new("L", (200, 100))])
    limits = Limits(max_pixels=19_999)
    assert decode(data, limits).grey.size
    with pytest.raises(ImageTooLarge, match="20,000 pixels"):
        decode(data, limits, frame=1)


def test_the_limit_of_strips_holds_for_the_page_that_is_read():
    claim = 3 * 2**20
    first = directory([(256, 3, 1, 8)], next_offset=8 + 18)
    data = struct.pack("<2sHI", b"II", 42, 8) + first + directory([(headers.STRIP_SIZES, 4, 1, claim)])
    headers.check(data)
    with pytest.raises(ImageTooLarge, match="claim 3,145,728 bytes"):
        headers.check(data, frame=1)


def test_a_tag_of_unknown_type_does_not_end_the_check_of_a_tiff():
    entries = [(headers.STRIP_SIZES, 99, 9, 0), (headers.STRIP_SIZES, 4, 1, 2**30)]
    with pytest.raises(ImageTooLarge, match="strips"):
        headers.check(struct.pack("<2sHI", b"II", 42, 8) + directory(entries))


@pytest.mark.parametrize(("start", "order"), [(b"MM\0+", ">"), (b"MM*\0", ">"), (b"II\0*", "<")])
def test_a_tiff_with_an_unusual_start_is_checked_as_pillow_reads_it(start, order):
    data = start + struct.pack(order + "I", 8) + directory([(700, 3, 2**20, 0)], order=order)
    with pytest.raises(ImageTooLarge, match="tag 700"):
        headers.check(data)


def test_the_entries_of_all_pages_up_to_the_frame_are_limited():
    entries, size = [(256, 3, 1, 8)] * 2500, 2 + 2500 * 12 + 4
    data = struct.pack("<2sHI", b"II", 42, 8)
    data += b"".join(directory(entries, next_offset=8 + (index + 1) * size) for index in range(10))
    headers.check(data, frame=7)
    with pytest.raises(ImageTooLarge, match="20,000 entries"):
        headers.check(data, frame=8)


def test_a_chain_of_directories_is_followed_to_the_last_page_that_is_accepted():
    first, second = struct.pack("<2sHI", b"II", 42, 8) + directory([], 14), directory([], 8)
    assert len(list(headers.iterate_directories(first + second))) == 2, "the third is the first again"
    data = b"".join(directory([], 8 + 6 * (index + 1)) for index in range(headers.MAX_FRAMES + 1))
    data = struct.pack("<2sHI", b"II", 42, 8) + data
    headers.check(data, frame=headers.MAX_FRAMES - 1)
    with pytest.raises(ImageTooLarge, match="1,000 pages"):
        headers.check(data, frame=headers.MAX_FRAMES)
