"""Shards to batches: streamed, shuffled, augmented and prefetched. tf.data, on canonical images.

An epoch's order and augmentation follow from (seed, epoch) alone, so a run that resumes at epoch 5 continues as if it
had not been interrupted. Small splits are kept in memory, large ones stream from their shards: memory does not depend
on the number of images. Next: ``writer_batches.py`` for a loss that compares images, ``examples.py`` for the shards.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.data import regions
from trainer.data.batch_settings import BatchSettings
from trainer.data.examples import (
    FEATURES,
    Canvas,
    Targets,
    make_parser,
    memory_capacity,
    read_examples,
    without_autograph,
    without_tuning,
)
from trainer.data.records import Records
from trainer.data.sampling import SAMPLERS
from trainer.data.stream import StreamSpec, stream_epoch
from trainer.data.writer_batches import sampled_batches

REPEAT_BUFFER = 256  # generated images that wait for their repetitions
# Largest changes of ``random_affine``, in either direction.
MAX_ROTATION = math.radians(5)
MAX_ZOOM = 0.10
MAX_STRETCH = 0.05  # of the two axes against each other
MAX_SHIFT = 0.04  # as a share of the canvas


def iterate_epochs(
    records: Records, settings: BatchSettings, epochs: range, distribute: Callable[[tf.data.Dataset], Iterable[Any]]
) -> Iterator[Iterator[Any]]:
    """Yield for each epoch an iterator of its batches, as ``distribute`` shares a dataset among the devices.

    For a loss that compares images it is one and the same: the next epoch is drawn while devices validate, and the
    processes that augment stay. Raises ``TooFewWriters`` when a sampler cannot compare.
    """
    if settings.sampling in SAMPLERS:
        batches = sampled_batches(records, settings, epochs)
        yield from itertools.repeat(iter(distribute(_shard_by_data(batches).prefetch(4))), len(epochs))
        return
    for epoch in epochs:
        yield iter(distribute(training_batches(records, settings, epoch)))


def training_batches(records: Records, settings: BatchSettings, epoch: int) -> tf.data.Dataset:
    """Stream one epoch of whole batches: images ``uint8 [B, H, W, 1]``, and targets ``int32 [B]`` by name.

    The targets have the keys of ``FEATURES``. Raises ``TooFewWriters`` when a sampler cannot compare.
    """
    if settings.sampling in SAMPLERS:
        return _shard_by_data(sampled_batches(records, settings, range(epoch, epoch + 1))).prefetch(4)
    if settings.stream:
        batches = _mixed_batches(records, settings, settings.stream, epoch)
    else:
        batches = _shuffled_batches(records, settings, epoch)
    if settings.augment:
        seed = _combine_seed(settings.seed, epoch)
        batches = batches.enumerate().map(
            without_autograph(lambda step, batch: _augment(batch[0], batch[1], [seed, step])),
            num_parallel_calls=max(1, settings.workers),
        )
    return _shard_by_data(batches).prefetch(4)


def _shard_by_data(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Give each of several machines its share of every batch; shares of the files would give other batches."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return without_tuning(batches).with_options(options)


def _mixed_batches(records: Records, settings: BatchSettings, stream: StreamSpec, epoch: int) -> tf.data.Dataset:
    """Batches of images of the records and of the stream, in every batch by their numbers, at least one of each."""
    size, canvas = settings.batch_size, settings.canvas
    recorded = records.count_images("train")
    steps = (recorded + stream.count) // size
    share = min(size - 1, max(1, round(size * recorded / (recorded + stream.count))))
    examples = _shuffled_examples(records, settings, epoch).repeat().batch(share).map(make_parser(canvas))

    def generate():
        for images, labels in stream_epoch(stream, epoch):
            yield images, {name: labels if name == "label" else np.full_like(labels, -1) for name in FEATURES}

    target = tf.TensorSpec((None,), tf.int32)
    signature = (tf.TensorSpec((None, *canvas, 1), tf.uint8), dict.fromkeys(FEATURES, target))
    generated = tf.data.Dataset.from_generator(generate, output_signature=signature).unbatch()
    if stream.repeats > 1:  # mixed, so that an image and its repetition are rarely in one batch
        again = without_autograph(lambda *example: tf.data.Dataset.from_tensors(example).repeat(stream.repeats))
        seed = _combine_seed(settings.seed, epoch)
        generated = generated.flat_map(again).shuffle(REPEAT_BUFFER * stream.repeats, seed=seed)
    generated = generated.repeat().batch(size - share, drop_remainder=True)
    join = without_autograph(lambda *parts: tf.nest.map_structure(lambda *tensors: tf.concat(tensors, 0), *parts))
    return tf.data.Dataset.zip((examples, generated)).map(join).take(steps)


def _shuffled_batches(records: Records, settings: BatchSettings, epoch: int) -> tf.data.Dataset:
    """Batches of every training image once, in random order."""
    examples = _shuffled_examples(records, settings, epoch)
    batches = examples.batch(settings.batch_size, drop_remainder=True)
    parser = make_parser(settings.canvas, bool(records.region_labels))
    return batches.map(parser, num_parallel_calls=max(1, settings.workers))


def _shuffled_examples(records: Records, settings: BatchSettings, epoch: int) -> tf.data.Dataset:
    """Serialised examples of every training image once, in random order."""
    buffer_size, paths, seed = memory_capacity(settings.canvas), records.shard_paths("train"), settings.seed
    if records.count_images("train") <= buffer_size:  # all of it fits: read once, and the buffer mixes all
        examples = read_examples(tuple(paths))
    else:
        files = tf.random.experimental.stateless_shuffle(tf.constant(paths), seed=[seed, epoch])
        examples = tf.data.TFRecordDataset(files, compression_type="GZIP")
    return examples.shuffle(buffer_size, seed=_combine_seed(seed, epoch))


def ordered_batches(records: Records, split: str, canvas: Canvas, batch_size: int) -> tf.data.Dataset:
    """Stream a split in order, in batches as from ``training_batches``; the last one may be smaller."""
    paths = tuple(records.shard_paths(split))
    fits = records.count_images(split) <= memory_capacity(canvas)
    examples = read_examples(paths) if fits else tf.data.TFRecordDataset(paths, compression_type="GZIP")
    parser = make_parser(canvas, bool(records.region_labels))
    return _shard_by_data(examples.batch(batch_size).map(parser, num_parallel_calls=1)).prefetch(4)


def encode_batches(
    encode: Callable[[np.ndarray], np.ndarray], records: Records, split: str, canvas: Canvas
) -> Iterator[tuple[np.ndarray, Targets]]:
    """Yield the embeddings of a split by ``encode`` (``uint8 [N, H, W, 1] -> float32 [N, D]``), and their targets."""
    for images, targets in ordered_batches(records, split, canvas, 64):
        yield np.asarray(encode(images.numpy())), {name: values.numpy() for name, values in targets.items()}


def encode_split(
    encode: Callable[[np.ndarray], np.ndarray], records: Records, split: str, canvas: Canvas
) -> tuple[np.ndarray, Targets]:
    """Return all embeddings of a split ``float32 [N, D]``, as from ``encode_batches``, and its targets."""
    pieces = list(encode_batches(encode, records, split, canvas))
    targets = {name: np.concatenate([values[name] for _, values in pieces]) for name in pieces[0][1]}
    return np.concatenate([embeddings for embeddings, _ in pieces]), targets


def random_affine(images: tf.Tensor, seed: list) -> tf.Tensor:
    """Rotate, zoom, stretch and shift each image at random, by at most ``MAX_ROTATION``, ``MAX_ZOOM`` and so on.

    ``uint8 [N, H, W, 1]`` to the same; bilinear, paper (0) outside. ``seed`` is two integers or scalar tensors.
    """
    shape = tf.shape(images)
    count, height, width = shape[0], tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    draws = tf.random.stateless_uniform([5, count], tf.cast(tf.stack(seed), tf.int64), -1, 1)
    angle, zoom, stretch = draws[0] * MAX_ROTATION, draws[1] * MAX_ZOOM, draws[2] * MAX_STRETCH
    scale_x, scale_y = tf.exp(-zoom - stretch), tf.exp(-zoom + stretch)  # output pixel -> input pixel
    a, b = tf.cos(angle) * scale_x, -tf.sin(angle) * scale_y
    c, d = tf.sin(angle) * scale_x, tf.cos(angle) * scale_y
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    shift_x = centre_x - a * centre_x - b * centre_y + draws[3] * MAX_SHIFT * width
    shift_y = centre_y - c * centre_x - d * centre_y + draws[4] * MAX_SHIFT * height
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, shift_x, c, d, shift_y, zero, zero], axis=1),
        output_shape=shape[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


def _augment(images: tf.Tensor, targets: dict[str, tf.Tensor], seed: list) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Move the images of a batch at random, and the regions on them."""
    if "regions" not in targets:
        moved = random_affine(images, seed)
    else:
        moved, moved_regions = regions.move_pages(images, targets["regions"], seed)
        targets = {**targets, "regions": moved_regions}
    return tf.ensure_shape(moved, images.shape), targets  # the transformation does not know the shape of its result


def _combine_seed(seed: int, epoch: int) -> int:
    """One number for tf.data's single seed that differs for every epoch."""
    return (seed * 1_000_003 + epoch) % (2**31)
