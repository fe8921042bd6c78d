"""Training batches of images that a loss compares, drawn by writer from what fits into memory, and augmented.

The rows of a batch follow from seed and epoch, and its augmentation from seed, epoch and the number of the batch: the
same on any number of processes, and of devices, which share a batch. Next: ``sampling.py`` draws the rows,
``augmentation.py`` changes the images.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from trainer.data import augmentation
from trainer.data.examples import FEATURES, Canvas, Targets, Window, make_parser, memory_capacity, without_tuning
from trainer.data.sampling import SAMPLERS, WriterRows, check_writers
from trainer.parallel.processes import run_in_order

if TYPE_CHECKING:
    from trainer.data.batch_settings import BatchSettings
    from trainer.data.records import Records

COPIES_STREAM, AUGMENTATION_STREAM = 1, 2  # distinguish random numbers from those by which records are drawn


def sampled_batches(records: Records, settings: BatchSettings, epochs: range) -> tf.data.Dataset:
    """As many batches in each epoch as the split holds, from windows of writers, or of copies, that fit into memory."""
    canvas, size, seed = settings.canvas, settings.batch_size, settings.seed
    if epochs[0] == 0:  # outside of the generator, whose errors TensorFlow wraps
        _, targets = next(_windows(records, canvas, np.random.default_rng([seed, 0])))
        check_writers(_group_rows(targets))

    def batches():
        drawn = ((epoch, *each) for epoch in epochs for each in enumerate(_draw_batches(records, settings, epoch)))
        if not settings.augment:
            yield from (batch for _, _, batch in drawn)
            return
        arguments = ((*batch, [seed, epoch, AUGMENTATION_STREAM, step]) for epoch, step, batch in drawn)
        if settings.workers:
            yield from run_in_order(augmentation.augment_batch, arguments, settings.workers)
        else:
            yield from itertools.starmap(augmentation.augment_batch, arguments)

    target = tf.TensorSpec((size,), tf.int32)
    signature = (tf.TensorSpec((size, *canvas, 1), tf.uint8), dict.fromkeys(FEATURES, target))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def _draw_batches(records: Records, settings: BatchSettings, epoch: int) -> Iterator[Window]:
    """Draw as many batches as the split holds: each window of records gives its share of them."""
    rng = np.random.default_rng([settings.seed, epoch])
    copies_rng = np.random.default_rng([settings.seed, epoch, COPIES_STREAM])
    copies = _draw_copies(settings, copies_rng)
    num_images, num_batches = 0, 0
    for window in _windows(records, settings.canvas, rng):
        num_images += len(window[0])
        steps = num_images // settings.batch_size - num_batches
        num_batches += steps
        recorded = _draw_from_window(window, settings, steps, rng)
        for _ in range(steps):
            is_copied = settings.copies is not None and copies_rng.random() < settings.copies_share
            yield next(copies if is_copied else recorded)


def _draw_from_window(
    window: Window, settings: BatchSettings, steps: int, rng: np.random.Generator
) -> Iterator[Window]:
    images, targets = window
    for rows in SAMPLERS[settings.sampling](_group_rows(targets), settings.batch_size, steps, rng):
        yield images[rows], {name: values[rows] for name, values in targets.items()}


def _draw_copies(settings: BatchSettings, rng: np.random.Generator) -> Iterator[Window]:
    """Draw batches of copies without end, from windows of them; one window at a time is held in memory."""
    while settings.copies:
        for window in _windows(settings.copies, settings.canvas, rng):
            steps = max(1, len(window[0]) // settings.batch_size)
            yield from _draw_from_window(window, settings, steps, rng)


def _group_rows(targets: Targets) -> WriterRows:
    """Row numbers by writer; label 0 is genuine."""
    return WriterRows.from_targets(targets["writer"], targets["label"] == 0, targets["corpus_index"])


def _windows(records: Records, canvas: Canvas, rng: np.random.Generator) -> Iterator[Window]:
    """Yield the training split in windows that fit into memory, in random order; a writer is in one shard."""
    paths = records.shard_paths("train")
    shards_at_once = max(1, len(paths) * memory_capacity(canvas) // max(1, records.count_images("train")))
    if shards_at_once >= len(paths):
        yield _read_shards(tuple(paths), canvas)
        return
    shuffled_paths = [paths[position] for position in rng.permutation(len(paths))]
    starts = range(0, len(paths), shards_at_once)
    if len(paths) % shards_at_once and len(starts) > 1:
        starts = starts[:-1]  # the rest goes with the window before it: by itself it may hold too few writers
    for start in starts:
        end = len(paths) if start == starts[-1] else start + shards_at_once
        yield _read_shards.__wrapped__(tuple(shuffled_paths[start:end]), canvas)


@functools.lru_cache(maxsize=2)  # of the records and of the copies
def _read_shards(paths: tuple[str, ...], canvas: Canvas) -> Window:
    """Read whole shards, in order."""
    batches = tf.data.TFRecordDataset(paths, compression_type="GZIP").batch(1024)
    batches = without_tuning(batches.map(make_parser(canvas), num_parallel_calls=1))
    pieces = [(images.numpy(), {name: targets[name].numpy() for name in FEATURES}) for images, targets in batches]
    targets = {name: np.concatenate([values[name] for _, values in pieces]) for name in FEATURES}
    return np.concatenate([images for images, _ in pieces]), targets
