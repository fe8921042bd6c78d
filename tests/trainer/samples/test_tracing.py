"""Tracing: a skeleton is one pixel wide and follows the ink, and strokes cover it once."""

import cv2
import numpy as np
import pytest

from trainer.samples import tracing


def draw(*lines, thickness=5):
    mask = np.zeros((60, 100), np.uint8)
    for start, end in lines:
        cv2.line(mask, start, end, 1, thickness)
    return mask


CROSS = draw(((10, 30), (90, 30)), ((50, 5), (50, 55)))


def test_a_skeleton_is_one_pixel_wide_inside_the_ink_and_connected():
    mask = draw(((10, 10), (90, 45)), ((90, 45), (20, 55)))
    skeleton = tracing.thin(mask)
    assert not (skeleton & (1 - mask)).any()
    assert cv2.connectedComponents(skeleton, connectivity=8)[0] == cv2.connectedComponents(mask, connectivity=8)[0]
    assert cv2.erode(skeleton, np.ones((2, 2), np.uint8)).sum() == 0, "no square of four pixels"


def test_a_stroke_continues_straight_over_a_crossing():
    strokes = tracing.trace(CROSS)
    lengths = sorted(np.ptp(stroke, axis=0).max() for stroke in strokes)
    assert len(strokes) <= 3
    assert lengths[-1] > 70, "the long line is one stroke"


def test_the_strokes_cover_the_skeleton():
    skeleton = tracing.thin(CROSS)
    drawn = np.zeros_like(CROSS)
    for stroke in tracing.trace(CROSS):
        cv2.polylines(drawn, [np.rint(stroke).astype(np.int32)[:, None]], False, 1, 3)
    assert (skeleton & (1 - drawn)).sum() <= 2


def test_a_dot_is_a_stroke_and_a_spur_is_not():
    dot = draw(((20, 20), (20, 20)), thickness=4)
    assert len(tracing.trace(dot)) == 1
    line_with_spur = draw(((10, 30), (90, 30)))
    line_with_spur[26, 50] = 1
    assert len(tracing.trace(line_with_spur)) == 1


@pytest.mark.parametrize("mask", [np.zeros((9, 9), np.uint8), np.ones((1, 1), np.uint8)])
def test_paper_without_lines_has_at_most_a_dot(mask):
    assert len(tracing.trace(mask)) <= 1
