"""Regions of canonical pages: from the boxes of a file, and when a page is augmented.

A region is five numbers: that of its label, and left, top, right and bottom as shares of the canvas. Next:
``records.py`` stores them, ``batches.py`` streams them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

    from trainer.corpora import LabelledBox

MAX_REGIONS = 48  # of a page in a batch; further ones are left out, the smallest first
NO_REGION = -1.0
# Largest changes of ``move_pages``, in either direction.
MAX_ZOOM = 0.25  # logarithm
MAX_STRETCH = 0.15  # of the two axes against each other
MAX_SHIFT = 0.08  # as a share of the canvas


def list_regions(
    boxes: Sequence[LabelledBox], labels: Sequence[str], size: tuple[int, int], canvas: tuple[int, int]
) -> list[tuple[float, ...]]:
    """List the regions of a page of ``size`` in a canvas, both (height, width), the largest first.

    Boxes with other labels are left out.
    """
    height, width = size
    scale = min(canvas[0] / height, canvas[1] / width)
    regions: list[tuple[float, ...]] = []
    for box in boxes:
        if box.label not in labels:
            continue
        unit = (width, height) if box.is_relative else (1, 1)
        x = [edge * unit[0] * scale / canvas[1] for edge in (box.left, box.right)]
        y = [edge * unit[1] * scale / canvas[0] for edge in (box.top, box.bottom)]
        regions.append((float(labels.index(box.label)), x[0], y[0], x[1], y[1]))
    return sorted(regions, key=lambda region: (region[1] - region[3]) * (region[4] - region[2]))[:MAX_REGIONS]


def parse_regions(values: tf.RaggedTensor) -> tf.Tensor:
    """Return the regions of pages, ``float32 [N, MAX_REGIONS, 5]``, from their numbers; the rest is ``NO_REGION``."""
    import tensorflow as tf

    padded = values.to_tensor(NO_REGION, shape=[None, 5 * MAX_REGIONS])
    return tf.reshape(padded, [-1, MAX_REGIONS, 5])


def move_pages(pages: tf.Tensor, regions: tf.Tensor, seed: Iterable) -> tuple[tf.Tensor, tf.Tensor]:
    """Zoom, stretch and shift pages at random, with their regions.

    ``uint8 [N, H, W, 1]`` and ``float32 [N, M, 5]`` to the same; regions of which less than half is left are dropped.
    """
    import tensorflow as tf

    count = tf.shape(pages)[0]
    draws = tf.random.stateless_uniform([4, count], tf.cast(tf.stack([*seed]), tf.int64), -1, 1)
    zoom, stretch = draws[0] * MAX_ZOOM, draws[1] * MAX_STRETCH
    scale = tf.stack([tf.exp(zoom + stretch), tf.exp(zoom - stretch)], axis=1)  # x, y
    shift = tf.transpose(draws[2:]) * MAX_SHIFT
    size = tf.cast(tf.shape(pages)[1:3], tf.float32)[::-1]
    zero = tf.zeros([count])
    inverse, moved = 1 / scale, -shift / scale * size
    transforms = tf.stack(
        [inverse[:, 0], zero, moved[:, 0], zero, inverse[:, 1], moved[:, 1], zero, zero], axis=1
    )  # output pixel -> input pixel
    images = tf.raw_ops.ImageProjectiveTransformV3(
        images=pages, transforms=transforms, output_shape=tf.shape(pages)[1:3], interpolation="BILINEAR",
        fill_mode="CONSTANT", fill_value=0.0,
    )  # fmt: skip
    factors, shifts = tf.tile(scale, [1, 2])[:, None], tf.tile(shift, [1, 2])[:, None]
    boxes = regions[..., 1:] * factors + shifts
    visible = tf.clip_by_value(boxes, 0.0, 1.0)
    share = _measure_area(visible) / tf.maximum(_measure_area(boxes), 1e-9)
    labels = tf.where(share > 0.5, regions[..., :1], NO_REGION)
    return images, tf.concat([labels, visible], axis=-1)


def _measure_area(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[..., 2:3] - boxes[..., 0:1]) * (boxes[..., 3:4] - boxes[..., 1:2])
