"""The loss of a grid: least for the right grid, and its gradient moves scores and edges the right way."""

import numpy as np
import pytest

ROWS, LABELS = 8, 2
REGION = (0.0, 0.2, 0.3, 0.7, 0.6)  # label 0, left, top, right, bottom
NONE = (-1.0, -1.0, -1.0, -1.0, -1.0)


@pytest.fixture(scope="module")
def region_loss(tensorflow):
    from trainer.losses.region_loss import region_loss

    return region_loss


def make_grid(score: float = 0.01, edges: tuple[float, ...] | None = None) -> np.ndarray:
    """Make a grid in which the cells in the middle of the region have a score, and all cells its edges."""
    y, x = np.divmod(np.arange(ROWS * ROWS), ROWS)
    x, y = (x + 0.5) / ROWS, (y + 0.5) / ROWS
    left, top, right, bottom = edges or REGION[1:]
    cells = np.full((ROWS * ROWS, LABELS + 4), 0.01, np.float32)
    cells[:, LABELS:] = np.maximum(0.01, np.stack([x - left, y - top, right - x, bottom - y], axis=1))
    middle = (abs(x - 0.45) <= 0.125) & (abs(y - 0.45) <= 0.09375)
    assert middle.sum() == 2
    cells[middle, 0] = score
    return cells.reshape(1, ROWS, ROWS, LABELS + 4)


def compute(region_loss, grid: np.ndarray, *regions: tuple[float, ...]) -> float:
    targets = {"regions": np.array([[*regions, NONE]], np.float32)}
    return float(region_loss(targets, grid)[0])


def test_the_right_grid_has_a_loss_near_0_and_each_error_raises_it(region_loss):
    right = compute(region_loss, make_grid(0.99), REGION)
    assert right == pytest.approx(0, abs=0.01)
    assert compute(region_loss, make_grid(0.3), REGION) > right + 0.1, "a region is missed"
    assert compute(region_loss, make_grid(0.99)) > right + 0.1, "a region is found that is not there"
    assert compute(region_loss, make_grid(0.99, (0.3, 0.3, 0.7, 0.6)), REGION) > right + 0.1, "a box is too small"
    assert compute(region_loss, make_grid(0.99), (1.0, *REGION[1:])) > right + 0.1, "the label is another"


def test_a_page_without_regions_is_right_with_low_scores(region_loss):
    assert compute(region_loss, make_grid(0.01)) == pytest.approx(0, abs=0.01)


def test_of_two_regions_around_a_cell_the_smaller_is_its_own(region_loss):
    large = (1.0, 0.05, 0.1, 0.9, 0.9)
    with_large = compute(region_loss, make_grid(0.99), REGION, large)
    assert with_large == compute(region_loss, make_grid(0.99), large, REGION), "in any order"
    assert with_large > compute(region_loss, make_grid(0.99), REGION), "the large one is missed beside the small one"


def test_the_gradient_raises_the_score_of_a_missed_region_and_lowers_that_of_a_false_one(tensorflow, region_loss):
    import tensorflow as tf

    for regions, sign in (([REGION, NONE], -1), ([NONE, NONE], 1)):
        grid = tf.constant(make_grid(0.5))
        with tf.GradientTape() as tape:
            tape.watch(grid)
            loss = tf.reduce_sum(region_loss({"regions": tf.constant([regions])}, grid))
        gradient = tape.gradient(loss, grid).numpy()
        assert np.isfinite(gradient).all()
        middle = make_grid(0.5)[..., 0] == 0.5
        assert (np.sign(gradient[..., 0][middle]) == sign).all()
