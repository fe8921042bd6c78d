"""The loss of a grid that locates regions: which cells lie in the middle of a region, and where its edges are.

A cell is trained as in FCOS (Tian et al. 2019): the cells around the middle of a region are positive, and each predicts
the distances to the four edges. The score of a positive cell is trained to be the overlap of its box with the region
(quality focal loss, Li et al. 2020, "Generalized focal loss"), and the box by the generalised overlap (Rezatofighi et
al. 2019). Next: ``trainer/artifact/location.py`` reads the grid.
"""

import numpy as np
from keras import ops

from trainer.data.sampling import Sampling
from trainer.losses import Loss, Targets, Tensor

EDGES = 4
MIDDLE = 0.25  # share of a region's width and height, to either side of its centre, in which cells are positive
MIN_MIDDLE = 0.75  # of a cell, for regions that are smaller
BOX_WEIGHT = 1.5
FOCUS = 2.0  # exponent of the focal loss
TINY = 1e-6


def region_loss(targets: Targets, vectors: Tensor) -> Tensor:
    """Return the loss of each page, ``float32 [N]``.

    ``targets`` has ``regions``, ``float32 [N, M, 5]``: the number of the label, -1 for none, and left, top, right and
    bottom as shares of a square canvas. ``vectors`` are the grid ``float32 [N, rows, columns, L + 4]`` whose cells
    ``location.Locator`` describes.
    """
    regions = ops.cast(targets["regions"], "float32")
    size, count = vectors.shape[1], vectors.shape[3] - EDGES
    grid = ops.reshape(vectors, (-1, size * size, count + EDGES))
    probabilities, distances = grid[..., :count], grid[..., count:]
    centres = _make_centres(size)
    owner, is_positive = _assign(regions, centres, 1.0 / size)
    edges = ops.take_along_axis(regions[..., 1:], owner[..., None], axis=1)  # [N, cells, 4]
    labels = ops.take_along_axis(regions[..., 0], owner, axis=1)
    boxes = centres + distances * np.array([-1, -1, 1, 1], np.float32)
    overlap, generalised = _compute_overlaps(boxes, edges)
    quality = ops.stop_gradient(overlap)
    is_label = ops.cast(ops.equal(labels[..., None], ops.arange(count, dtype="float32")), "float32")
    expected = is_label * (is_positive * ops.maximum(quality, 0.1))[..., None]
    certain = ops.clip(probabilities, TINY, 1 - TINY)
    entropy = -expected * ops.log(certain) - (1 - expected) * ops.log(1 - certain)
    score_loss = ops.sum(ops.abs(expected - probabilities) ** FOCUS * entropy, axis=(1, 2))
    box_loss = ops.sum(is_positive * (1 - generalised), axis=1)
    positives = ops.maximum(1.0, ops.mean(ops.sum(is_positive, axis=1)))
    return (score_loss + BOX_WEIGHT * box_loss) / positives


def _make_centres(size: int) -> np.ndarray:
    """Return x, y, x, y of the centres of all cells, as shares of the canvas: ``float32 [cells, 4]``."""
    y, x = np.divmod(np.arange(size * size), size)
    return ((np.stack([x, y, x, y], axis=1) + 0.5) / size).astype(np.float32)


def _assign(regions: Tensor, centres: np.ndarray, cell: float) -> tuple[Tensor, Tensor]:
    """Return the smallest region around whose middle a cell is, ``int32 [N, cells]``, and whether there is one."""
    left, top, right, bottom = (regions[:, None, :, index] for index in range(1, 5))
    x, y = centres[None, :, None, 0], centres[None, :, None, 1]
    reach_x, reach_y = (ops.maximum(MIDDLE * side, MIN_MIDDLE * cell) for side in (right - left, bottom - top))
    is_near = (ops.abs(x - (left + right) / 2) <= reach_x) & (ops.abs(y - (top + bottom) / 2) <= reach_y)
    is_near = is_near & (regions[:, None, :, 0] >= 0)
    area = ops.where(is_near, (right - left) * (bottom - top), 9.0)
    return ops.argmin(area, axis=2), ops.cast(ops.min(area, axis=2) < 9.0, "float32")


def _compute_overlaps(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the intersection over union of pairs of boxes ``float32 [..., 4]``, and its generalised form."""
    common = ops.maximum(
        0.0, ops.minimum(first[..., 2:], second[..., 2:]) - ops.maximum(first[..., :2], second[..., :2])
    )
    around = ops.maximum(first[..., 2:], second[..., 2:]) - ops.minimum(first[..., :2], second[..., :2])
    intersection, hull = (sides[..., 0] * sides[..., 1] for sides in (common, around))
    areas = ((box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]) for box in (first, second))
    union = ops.maximum(sum(areas) - intersection, TINY * TINY)
    overlap = intersection / union
    hull = ops.maximum(hull, TINY * TINY)
    return overlap, overlap - (hull - union) / hull


LOSS = Loss(region_loss, Sampling.IMAGES)
