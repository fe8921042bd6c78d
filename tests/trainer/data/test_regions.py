"""Regions of canonical pages: from boxes of a file, padded, and moved with the page."""

import numpy as np
import pytest

from trainer.corpora import LabelledBox

LABELS = ("signature", "stamp")


@pytest.fixture(scope="module")
def regions(tensorflow):
    from trainer.data import regions

    return regions


def test_boxes_become_shares_of_the_canvas_the_largest_first_and_other_labels_are_left_out(regions):
    boxes = [
        LabelledBox("stamp", 10, 20, 30, 40),
        LabelledBox("signature", 0, 0, 100, 50),
        LabelledBox("logo", 0, 0, 9, 9),
        LabelledBox("stamp", 0.5, 0.5, 0.6, 1.0, is_relative=True),
    ]
    found = regions.list_regions(boxes, LABELS, (200, 100), (64, 64))  # a tall page: half of the canvas is empty
    expected = [(0, 0, 0, 0.5, 0.25), (1, 0.25, 0.5, 0.3, 1.0), (1, 0.05, 0.1, 0.15, 0.2)]
    np.testing.assert_allclose(found, expected)


def test_too_many_regions_leave_out_the_smallest(regions):
    boxes = [LabelledBox("stamp", 0, 0, 1 + number, 10) for number in range(regions.MAX_REGIONS + 5)]
    found = regions.list_regions(boxes, LABELS, (100, 100), (64, 64))
    assert len(found) == regions.MAX_REGIONS
    assert found[0][3] == pytest.approx((regions.MAX_REGIONS + 5) / 100)
    assert found[-1][3] == pytest.approx(0.06)


def test_a_moved_region_lies_where_its_ink_is_and_one_that_leaves_the_page_is_dropped(tensorflow, regions):
    import tensorflow as tf

    pages, boxes = np.zeros((16, 96, 96, 1), np.uint8), np.full((16, 3, 5), -1, np.float32)
    pages[:, 30:50, 20:60] = 255
    boxes[:, 0] = (0, 20 / 96, 30 / 96, 60 / 96, 50 / 96)
    boxes[:, 1] = (1, 0.0, 0.97, 0.03, 1.0)  # in a corner
    moved, moved_boxes = regions.move_pages(tf.constant(pages), tf.constant(boxes), [3, 4])
    dropped = 0
    for page, (first, second, third) in zip(moved.numpy()[..., 0], moved_boxes.numpy(), strict=True):
        y, x = np.nonzero(page > 127)
        expected = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) / 96
        assert first[0] == 0
        np.testing.assert_allclose(first[1:], expected, atol=0.02)
        assert third[0] == -1
        assert second[1:].min() >= 0
        assert second[1:].max() <= 1
        dropped += second[0] == -1
    assert 0 < dropped < 16
    assert len({tuple(box) for box in moved_boxes.numpy()[:, 0].tolist()}) == 16, "each page moves in its own way"
