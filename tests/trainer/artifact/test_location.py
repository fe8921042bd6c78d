"""What is found in a grid of numbers: boxes, suppression, snapping to ink, the decision's JSON form."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from trainer.artifact import decision
from trainer.artifact.location import (
    EDGES,
    Locator,
    compute_overlaps,
    find_components,
    snap_to_ink,
    suppress,
)
from trainer.artifact.manifest import BadArtifact

LABELS = ("signature", "stamp")
LOCATOR = Locator(LABELS, grid=(8, 12), stride=8, thresholds={"signature": 0.5, "stamp": 0.4})


def make_vector(*cells: tuple[int, int, str, float, tuple[float, float, float, float]]) -> np.ndarray:
    """Make a vector of cells: row, column, label, score, and the box in pixels of the canvas."""
    grid = np.zeros((*LOCATOR.grid, len(LABELS) + EDGES), np.float32)
    side = 8 * 12
    for row, column, label, score, (left, top, right, bottom) in cells:
        x, y = (column + 0.5) * 8, (row + 0.5) * 8
        grid[row, column, LABELS.index(label)] = score
        grid[row, column, len(LABELS) :] = np.array([x - left, y - top, right - x, bottom - y]) / side
    return grid.ravel()


def test_a_cell_above_the_threshold_of_its_label_is_a_region_with_its_box():
    box = (8.0, 4.0, 60.0, 30.0)
    vector = make_vector(
        (2, 4, "signature", 0.9, box), (6, 9, "signature", 0.45, box), (6, 2, "stamp", 0.45, (1, 40, 40, 62))
    )
    found = LOCATOR.locate(vector)
    assert [(region.label, round(region.score, 3)) for region in found] == [("signature", 0.9), ("stamp", 0.45)]
    np.testing.assert_allclose(found[0].box, box, atol=1e-4)
    assert len(LOCATOR.locate(vector, least_score=0.1)) == 2, "another signature overlaps the first"
    assert LOCATOR.measure_signed(vector) == pytest.approx(0.9)


def test_a_region_has_the_mean_of_the_boxes_that_say_the_same():
    first, second = (10.0, 10.0, 50.0, 30.0), (14.0, 10.0, 54.0, 30.0)
    (region,) = LOCATOR.locate(
        make_vector(
            (2, 3, "signature", 0.9, first),
            (2, 4, "signature", 0.4, second),
            (6, 9, "signature", 0.3, (70, 40, 90, 60)),
        )
    )
    share = 0.4 * 36 / 44 / (0.9 + 0.4 * 36 / 44)  # of the second, by its score and its overlap of 36 / 44
    assert region.score == pytest.approx(0.9)
    np.testing.assert_allclose(region.box, (10 + 4 * share, 10, 50 + 4 * share, 30), atol=1e-3)


def test_what_overlaps_a_signature_is_the_signature():
    box = (10.0, 10.0, 50.0, 30.0)
    vector = make_vector(
        (2, 3, "stamp", 0.9, box), (2, 4, "signature", 0.6, box), (6, 9, "stamp", 0.5, (70, 40, 90, 60))
    )
    located = LOCATOR.locate(vector)
    assert [each.label for each in located] == ["stamp", "signature", "stamp"]
    assert LOCATOR.prefer_signatures(located) == located[1:]
    assert LOCATOR.prefer_signatures(located[:1]) == located[:1]
    assert LOCATOR.answer(vector)["signed"]
    assert [each["label"] for each in LOCATOR.answer(vector)["regions"]] == ["signature", "stamp"]


def test_boxes_end_at_the_canvas():
    (found,) = LOCATOR.locate(make_vector((0, 0, "signature", 0.9, (-20.0, -20.0, 30.0, 500.0))))
    assert found.box == (0.0, 0.0, 30.0, 64.0)


def test_a_page_of_zeros_has_no_region_and_is_not_signed():
    vector = np.zeros(LOCATOR.vector_size, np.float32)
    assert LOCATOR.locate(vector) == []
    assert LOCATOR.measure_signed(vector) == 0


def test_overlaps_are_intersection_over_union():
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]], float)
    np.testing.assert_allclose(compute_overlaps(boxes, boxes), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])


def test_suppression_keeps_the_best_of_each_group_and_boxes_that_hardly_overlap():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [8, 0, 18, 10], [0, 0, 10, 9]], float)
    assert suppress(boxes, 0.4) == [0, 2]
    assert suppress(boxes[:0], 0.4) == []


def draw_page() -> np.ndarray:
    """Draw a page ``uint8 [80, 120]`` with a stroke of 20 to 70 by 30 to 50, and a line far below."""
    page = np.zeros((80, 120), np.uint8)
    cv2.polylines(page, [np.array([[20, 50], [45, 30], [70, 50]])], False, 255, 1)
    cv2.line(page, (5, 75), (115, 75), 255, 1)
    return page


@pytest.mark.parametrize("box", [(23, 31, 66, 53), (10, 20, 90, 60), (22, 32, 72, 52)])
def test_a_box_is_fitted_to_the_stroke_that_lies_in_it(box):
    left, top, right, bottom = snap_to_ink(box, draw_page())
    assert (left, top) == (20, 30)
    assert right == pytest.approx(71, abs=1)
    assert bottom == pytest.approx(51, abs=1)


def test_a_box_without_ink_or_with_a_part_of_a_long_line_stays_as_it_is():
    page = draw_page()
    assert snap_to_ink((80, 10, 110, 20), page, find_components(page)) == (80, 10, 110, 20)
    assert snap_to_ink((40, 70, 60, 79), page) == (40, 70, 60, 79)


def test_a_box_grows_by_no_more_than_a_tenth():
    page = np.zeros((80, 120), np.uint8)
    page[40, 10:110] = 255
    left, _, right, _ = snap_to_ink((16, 30, 104, 50), page)
    assert (left, right) == (10, 110)
    left, _, right, _ = snap_to_ink((20, 30, 105, 50), page)
    assert (left, right) == (11.5, 110)


def test_the_decision_survives_the_manifest():
    assert decision.from_manifest(json.loads(json.dumps(LOCATOR.to_manifest()))) == LOCATOR


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": {"signature": 0.5}},
        {"labels": ("stamp",), "thresholds": {"stamp": 0.5}},
        {"grid": (0, 12)},
        {"overlap": 0.0},
    ],
)
def test_an_incomplete_decision_is_refused(change):
    with pytest.raises(BadArtifact, match="locate needs a grid"):
        dataclasses.replace(LOCATOR, **change)
