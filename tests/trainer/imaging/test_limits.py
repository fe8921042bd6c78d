"""Limits of imaging, each tested with the last value that is accepted and the first that is not."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.trainer.imaging.test_ink import GOLDEN
from trainer.imaging import ImageTooLarge, Limits, QualityLimits, decode, headers
from trainer.imaging.decode import Page
from trainer.imaging.ink import APART, _drop_far_specks, find_ink
from trainer.imaging.quality import measure_writing


@pytest.fixture(scope="module")
def signature() -> bytes:
    return (GOLDEN / "forged-1.source.png").read_bytes()


def test_a_file_of_the_largest_size_is_read_and_one_with_a_byte_more_is_refused(signature):
    assert decode(signature, Limits(max_bytes=len(signature))).grey.size
    with pytest.raises(ImageTooLarge, match="bytes"):
        decode(signature, Limits(max_bytes=len(signature) - 1))


def test_the_strips_of_a_tiff_may_have_twice_the_size_of_the_file_and_a_megabyte():
    def tiff(total):
        return struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, headers.STRIP_SIZES, 4, 1, total, 0)

    largest = 2 * len(tiff(0)) + 2**20
    headers.check(tiff(largest))
    with pytest.raises(ImageTooLarge, match="strips"):
        headers.check(tiff(largest + 1))


def test_specks_near_the_strokes_stay_and_those_at_a_distance_are_removed():
    strokes = np.zeros((100, 300), np.uint8)
    strokes[40:60, 50:150] = 1  # 100 pixels long, so specks at more than 8 pixels are removed
    near, apart = strokes.copy(), strokes.copy()
    near[50, 150 + round(100 * APART) - 1] = 1
    apart[50, 150 + round(100 * APART)] = 1
    np.testing.assert_array_equal(_drop_far_specks(near, strokes), near)
    np.testing.assert_array_equal(_drop_far_specks(apart, strokes), strokes)


@pytest.mark.parametrize("code", ["blank", "low_resolution", "low_contrast", "too_much_ink", "blurred", "cut_off"])
def test_a_measure_equal_to_its_limit_gives_no_warning_and_one_beyond_it_does(signature, code):
    page = Page(decode(signature).grey)
    ink = find_ink(page.grey, 480)
    lenient = QualityLimits(blurred=1e9, low_resolution=-1, low_contrast=-1, cut_off=1e9, blank=-1, too_much_ink=1e9)
    assert lenient.find_warnings(measure_writing(ink, page), page.has_more_pages) == ()
    strict = QualityLimits(blurred=-1, low_resolution=1e9, low_contrast=1e9, cut_off=-1, blank=1e9, too_much_ink=-1)
    (value,) = (
        warning.value
        for warning in strict.find_warnings(measure_writing(ink, page), page.has_more_pages)
        if warning.code == code
    )
    beyond = np.inf if code in ("blank", "low_resolution", "low_contrast") else -np.inf
    on, past = ({code: float(limit)} for limit in (value, np.nextafter(value, beyond)))
    assert QualityLimits(**{**vars(lenient), **on}).find_warnings(measure_writing(ink, page), page.has_more_pages) == ()
    assert [
        warning.code
        for warning in QualityLimits(**{**vars(lenient), **past}).find_warnings(
            measure_writing(ink, page), page.has_more_pages
        )
    ] == [code]


def test_nan_and_infinity_are_paper():
    levels = np.full((4, 5), 0.5, np.float32)
    levels[1, 2], levels[2, 3], levels[3, 4] = np.nan, np.inf, 1.0
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "TIFF")
    grey = decode(buffer.getvalue()).grey
    assert (grey[1, 2], grey[2, 3], grey[3, 4], grey[0, 0]) == (255, 255, 255, 128)
