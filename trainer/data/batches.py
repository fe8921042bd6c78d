"""Shards to batches: streamed, shuffled, augmented, ready before the model asks. tf.data, on canonical images.

An epoch's order and augmentation follow from (seed, epoch) alone, so a run that resumes at epoch 5 sees what an
uninterrupted one would. Small parts are kept in memory, large ones stream from their shards: memory does not depend on
the number of images. Next: ``sampling.py`` says which images meet where a loss compares them.
"""

import functools
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from trainer.data import augmentation, sampling
from trainer.data.records import Records

SHUFFLE = 64 * 2**20  # bytes of images in the shuffle buffer, or from which batches of people are drawn
TARGETS = ("label", "writer", "source")  # numbers that lie beside each image
ROTATION = math.radians(5)  # the most a training image is turned, either way
ZOOM = 0.10  # the most it is scaled
STRETCH = 0.05  # the most its two axes are scaled apart
SHIFT = 0.04  # the most it is moved, as a share of the canvas


def training(
    records: Records, canvas: tuple[int, int], batch_size: int, seed: int, epoch: int, augment: bool,
    way: str = sampling.IMAGES,
) -> tf.data.Dataset:  # fmt: skip
    """One epoch of (images ``uint8 [B, H, W, 1]``, targets) in whole batches; ``targets`` see ``_parser``.

    ``way`` is ``sampling.IMAGES`` or of ``sampling.WAYS``: any images, or such as a loss can compare.
    """
    if way in sampling.WAYS:
        return _by_worker(_by_hand(records, canvas, batch_size, seed, epoch, augment, way)).prefetch(4)
    images = _by_lot(records, canvas, batch_size, seed, epoch)
    if augment:
        images = images.enumerate().map(
            _as_written(lambda step, batch: (jitter(batch[0], [_mix(seed, epoch), step]), batch[1])),
            num_parallel_calls=1,
        )
    return _by_worker(images).prefetch(4)


def _by_worker(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Where several machines train, each takes its part of every batch; by files, batches would be other ones."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)


def _by_lot(records, canvas, batch_size, seed, epoch):
    """Every image once, in no order."""
    buffer = _room(canvas)
    if records.images("train") <= buffer:  # all of it fits: read once, and the buffer mixes all
        images = _kept(tuple(records.paths("train")))
    else:
        files = tf.random.experimental.stateless_shuffle(tf.constant(records.paths("train")), seed=[seed, epoch])
        images = tf.data.TFRecordDataset(files, compression_type="GZIP")
    images = images.shuffle(buffer, seed=_mix(seed, epoch))
    return images.batch(batch_size, drop_remainder=True).map(_parser(canvas), num_parallel_calls=1)


def _by_hand(records, canvas, batch_size, seed, epoch, augment, way):
    """As many batches as there are in the part, drawn from a window of people that fits into memory."""
    if epoch == 0:  # outside of the generator, whose errors TensorFlow wraps
        _, targets = next(_windows(records, canvas, np.random.default_rng([seed, epoch])))
        sampling.check(_hands(targets))

    def batches():
        rng = np.random.default_rng([seed, epoch])
        for images, targets in _windows(records, canvas, rng):
            hands = _hands(targets)
            steps = max(1, len(images) // batch_size)
            for rows in sampling.WAYS[way](hands, batch_size, steps, rng):
                drawn = augmentation.vary(images[rows], targets["writer"][rows], rng) if augment else images[rows]
                yield drawn, {name: values[rows] for name, values in targets.items()}

    whole = tf.TensorSpec((batch_size,), tf.int32)
    kinds = (tf.TensorSpec((batch_size, *canvas, 1), tf.uint8), dict.fromkeys(TARGETS, whole))
    return tf.data.Dataset.from_generator(batches, output_signature=kinds)


def _hands(targets: dict[str, np.ndarray]) -> sampling.Hands:
    return sampling.Hands.of(targets["writer"], targets["label"] == 0, targets["source"])


# No function here branches on a tensor; rewriting each for that takes longer than tracing it.
_as_written = tf.autograph.experimental.do_not_convert

Window = tuple[np.ndarray, dict[str, np.ndarray]]  # images and targets


def _windows(records: Records, canvas: tuple[int, int], rng: np.random.Generator) -> Iterator[Window]:
    """The training part in pieces that fit into memory, in a new order each epoch; a writer lies in one shard."""
    paths = records.paths("train")
    together = max(1, len(paths) * _room(canvas) // max(1, records.images("train")))
    if together >= len(paths):
        yield _read(tuple(paths), canvas)
        return
    order = [paths[place] for place in rng.permutation(len(paths))]
    starts = range(0, len(order), together)
    if len(order) % together and len(starts) > 1:
        starts = starts[:-1]  # the rest goes with the piece before it: by itself it may hold too few people
    for start in starts:
        end = len(order) if start == starts[-1] else start + together
        yield _read.__wrapped__(tuple(order[start:end]), canvas)


@functools.lru_cache(maxsize=1)
def _read(paths: tuple[str, ...], canvas: tuple[int, int]) -> Window:
    """Whole shards, in order."""
    parts = tf.data.TFRecordDataset(paths, compression_type="GZIP").batch(1024)
    parts = parts.map(_parser(canvas), num_parallel_calls=1)
    seen = [(images.numpy(), {name: targets[name].numpy() for name in TARGETS}) for images, targets in parts]
    targets = {name: np.concatenate([each[name] for _, each in seen]) for name in TARGETS}
    return np.concatenate([images for images, _ in seen]), targets


def _room(canvas: tuple[int, int]) -> int:
    """How many images of a size are kept in memory."""
    return max(256, SHUFFLE // (canvas[0] * canvas[1]))


def in_order(records: Records, part: str, canvas: tuple[int, int], batch_size: int) -> tf.data.Dataset:
    """A part as it is, in order, the last batch maybe smaller; see ``training`` for what it holds."""
    small = records.images(part) <= _room(canvas)
    paths = tuple(records.paths(part))
    images = _kept(paths) if small else tf.data.TFRecordDataset(paths, compression_type="GZIP")
    return _by_worker(images.batch(batch_size).map(_parser(canvas), num_parallel_calls=1)).prefetch(4)


def answers(of, records: Records, part: str, canvas: tuple[int, int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What ``of`` (``uint8 [N, H, W, 1] -> float32 [N, D]``) says to a part, and the part's targets; both ``[N, ...]``.

    Images pass by in batches; only vectors are kept.
    """
    seen = [(np.asarray(of(images.numpy())), targets) for images, targets in in_order(records, part, canvas, 64)]
    targets = {name: np.concatenate([each[name].numpy() for _, each in seen]) for name in TARGETS}
    return np.concatenate([vectors for vectors, _ in seen]), targets


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


def _parser(canvas):
    """Serialised examples to images and targets: ``TARGETS``, each ``int32 [N]``."""
    return _as_written(lambda examples: _parse(examples, canvas))


def _parse(examples, canvas):
    kinds = {name: tf.io.FixedLenFeature([], tf.int64) for name in TARGETS}
    kinds["image"] = tf.io.FixedLenFeature([], tf.string)
    found = tf.io.parse_example(examples, kinds)
    images = tf.reshape(tf.io.decode_raw(found["image"], tf.uint8), [-1, *canvas, 1])
    return images, {name: tf.cast(found[name], tf.int32) for name in TARGETS}


def _mix(seed: int, epoch: int) -> int:
    """One number for tf.data's single seed that differs for every epoch."""
    return (seed * 1_000_003 + epoch) % (2**31)
