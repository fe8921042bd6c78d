"""Average precision, recall against false boxes: by hand, and at the edges."""

import math

import numpy as np
import pytest

from trainer.evaluation.detection_metrics import PageResult, match


def make_page(found, true, signed=0.0) -> PageResult:
    """Make the result of a page: ``found`` are (score, left, right) of signatures, ``true`` (left, right)."""
    boxes = np.array([[left, 0, right, 1] for _, left, right in found], np.float32).reshape(-1, 4)
    scores = np.array([score for score, *_ in found], np.float32)
    true_boxes = np.array([[left, 0, right, 1] for left, right in true], np.float32).reshape(-1, 4)
    return PageResult(boxes, scores, ["signature"] * len(found), true_boxes, ["signature"] * len(true), signed)


def test_every_region_found_and_nothing_else_is_100_percent():
    pages = [make_page([(0.9, 0, 1)], [(0, 1)]), make_page([], [])]
    matches = match(pages, "signature", 0.5)
    assert matches.compute_average_precision() == pytest.approx(100)
    assert matches.compute_false_boxes(1.0) == 0
    assert matches.compute_rates(0.5) == (100, 0)


def test_average_precision_is_that_of_the_definition():
    # Ranked: right, wrong, right; one of three regions is never found. Precision 1 up to recall 1/3, 2/3 up to 2/3.
    pages = [make_page([(0.9, 0, 1), (0.8, 5, 6)], [(0, 1), (9, 10)]), make_page([(0.7, 2, 3)], [(2, 3)])]
    matches = match(pages, "signature", 0.5)
    assert matches.is_right.tolist() == [True, False, True]
    points = np.linspace(0, 1, 101)
    expected = np.mean(np.where(points <= 1 / 3, 1.0, np.where(points <= 2 / 3, 2 / 3, 0.0)))
    assert matches.compute_average_precision() == pytest.approx(100 * expected)
    assert matches.compute_false_boxes(2 / 3) == 0.5, "one false box on two pages"
    assert matches.compute_false_boxes(0.9) == math.inf


def test_a_region_counts_once_and_a_second_box_on_it_is_false():
    matches = match([make_page([(0.9, 0, 1), (0.8, 0, 1.1)], [(0, 1)])], "signature", 0.5)
    assert matches.is_right.tolist() == [True, False]


def test_the_overlap_decides_whether_a_box_is_right():
    page = make_page([(0.9, 0, 0.6)], [(0, 1)])
    assert match([page], "signature", 0.5).is_right.tolist() == [True]
    assert match([page], "signature", 0.65).is_right.tolist() == [False]


def test_other_labels_do_not_count():
    assert not len(match([make_page([(0.9, 0, 1)], [(0, 1)])], "stamp", 0.5).scores)
    assert math.isnan(match([make_page([], [])], "stamp", 0.5).compute_average_precision())


def test_the_interval_of_the_average_precision_is_over_pages_and_holds_the_value():
    found, missed = make_page([(0.9, 0, 1)], [(0, 1)]), make_page([], [(0, 1)])
    matches = match([found] * 30 + [missed] * 10, "signature", 0.5)
    low, high = matches.compute_interval()
    assert low < matches.compute_average_precision() < high
    # Each of 40 pages is found with 3 in 4: about 75 +- 2 x 6.8 % of the regions, all precise.
    assert 55 < low < 68
    assert 82 < high < 95
    assert match([found] * 5, "signature", 0.5).compute_interval() == pytest.approx([100, 100])
    assert match([make_page([], [])], "stamp", 0.5).compute_interval() == []
