"""Shards to batches: streamed, shuffled, augmented, ready before the model asks. tf.data, on canonical images.

An epoch's order and augmentation follow from (seed, epoch) alone, so a run that resumes at epoch 5 sees what an
uninterrupted one would. Small parts are kept in memory, large ones stream from their shards: memory does not depend on
the number of images.
"""

import functools
import math

import tensorflow as tf

from trainer.records import Records

SHUFFLE = 64 * 2**20  # bytes of images in the shuffle buffer
ROTATION = math.radians(5)  # the most a training image is turned, either way
ZOOM = 0.10  # the most it is scaled
STRETCH = 0.05  # the most its two axes are scaled apart
SHIFT = 0.04  # the most it is moved, as a share of the canvas


def training(
    records: Records, canvas: tuple[int, int], batch_size: int, seed: int, epoch: int, augment: bool
) -> tf.data.Dataset:
    """One epoch of (images ``uint8 [B, H, W, 1]``, targets) in whole batches; ``targets`` see ``_parse``."""
    buffer = max(256, SHUFFLE // (canvas[0] * canvas[1]))
    if records.images("train") <= buffer:  # all of it fits: read once, and the buffer mixes all
        images = _kept(tuple(records.paths("train")))
    else:
        files = tf.random.experimental.stateless_shuffle(tf.constant(records.paths("train")), seed=[seed, epoch])
        images = tf.data.TFRecordDataset(files, compression_type="GZIP")
    images = images.shuffle(buffer, seed=_mix(seed, epoch))
    images = images.batch(batch_size, drop_remainder=True).map(lambda e: _parse(e, canvas), num_parallel_calls=1)
    if augment:
        images = images.enumerate().map(
            lambda step, batch: (jitter(batch[0], [_mix(seed, epoch), step]), batch[1]), num_parallel_calls=1
        )
    return images.prefetch(4)


def validation(records: Records, canvas: tuple[int, int], batch_size: int) -> tf.data.Dataset:
    """The validation part as it is, in order, the last batch maybe smaller."""
    small = records.images("validation") <= SHUFFLE // (canvas[0] * canvas[1])
    paths = tuple(records.paths("validation"))
    images = _kept(paths) if small else tf.data.TFRecordDataset(paths, compression_type="GZIP")
    return images.batch(batch_size).map(lambda e: _parse(e, canvas), num_parallel_calls=1).prefetch(4)


@functools.lru_cache(maxsize=2)
def _kept(paths: tuple[str, ...]) -> tf.data.Dataset:
    """Shards that are read and unpacked once and then kept in memory, for every epoch."""
    return tf.data.TFRecordDataset(paths, compression_type="GZIP").cache()


def jitter(images, seed):
    """Rotate, zoom, rescale and shift each image by a little of its own.

    ``uint8 [N, H, W, 1]`` to the same; bilinear, paper (0) outside. ``seed`` is two integers.
    """
    shape = tf.shape(images)
    count, height, width = shape[0], tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    draw = tf.random.stateless_uniform([5, count], tf.cast(tf.stack(seed), tf.int64), -1, 1)
    angle, zoom, stretch = draw[0] * ROTATION, draw[1] * ZOOM, draw[2] * STRETCH
    scale_x, scale_y = tf.exp(-zoom - stretch), tf.exp(-zoom + stretch)  # output pixel -> input pixel
    a, b = tf.cos(angle) * scale_x, -tf.sin(angle) * scale_y
    c, d = tf.sin(angle) * scale_x, tf.cos(angle) * scale_y
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    move_x = middle_x - a * middle_x - b * middle_y + draw[3] * SHIFT * width
    move_y = middle_y - c * middle_x - d * middle_y + draw[4] * SHIFT * height
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images, transforms=tf.stack([a, b, move_x, c, d, move_y, zero, zero], axis=1),
        output_shape=shape[1:3], interpolation="BILINEAR", fill_mode="CONSTANT", fill_value=0.0,
    )  # fmt: skip


def _parse(examples, canvas):
    """Serialised examples to images and ``{"label": int32 [N], "writer": int32 [N]}``."""
    kinds = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "writer": tf.io.FixedLenFeature([], tf.int64),
    }
    found = tf.io.parse_example(examples, kinds)
    images = tf.reshape(tf.io.decode_raw(found["image"], tf.uint8), [-1, *canvas, 1])
    return images, {"label": tf.cast(found["label"], tf.int32), "writer": tf.cast(found["writer"], tf.int32)}


def _mix(seed: int, epoch: int) -> int:
    """One number for tf.data's single seed that differs for every epoch."""
    return (seed * 1_000_003 + epoch) % (2**31)
