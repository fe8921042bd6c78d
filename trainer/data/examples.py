"""Serialised examples of shards to images and targets, and how many of them are kept in memory. TensorFlow.

Next: ``batches.py`` makes batches of images, ``writer_batches.py`` of images that a loss compares.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer.data import regions

BUFFER_BYTES = 64 * 2**20  # of images in the shuffle buffer, or of records or copies from which batches are drawn
FEATURES = {"label": "label", "writer": "writer", "corpus_index": "source"}  # target: feature of the shards

Canvas = tuple[int, int]  # height and width in pixels
Targets = dict[str, np.ndarray]  # the keys of ``FEATURES``, each ``int32 [N]``
Window = tuple[np.ndarray, Targets]  # images ``uint8 [N, H, W, 1]`` and their targets

# No function here branches on a tensor; rewriting each for that takes longer than tracing it.
without_autograph = tf.autograph.experimental.do_not_convert


def memory_capacity(canvas: Canvas) -> int:
    """The number of images of this size that are kept in memory."""
    return max(256, BUFFER_BYTES // (canvas[0] * canvas[1]))


@functools.lru_cache(maxsize=2)
def read_examples(paths: tuple[str, ...]) -> tf.data.Dataset:
    """Serialised examples of shards that are read and unpacked once and then kept in memory, for every epoch."""
    return tf.data.TFRecordDataset(paths, compression_type="GZIP").cache()


def without_tuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Start no thread that tunes a dataset, of which nothing is left to be tuned.

    It keeps a processor for seconds, and an iterator that is deleted waits for it: 4 s after each epoch of 26 steps.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def make_parser(canvas: Canvas, has_regions: bool = False) -> Callable:
    """A function from serialised examples to images and targets."""
    return without_autograph(lambda examples: _parse(examples, canvas, has_regions))


def _parse(examples: tf.Tensor, canvas: Canvas, has_regions: bool) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    schema = {feature: tf.io.FixedLenFeature([], tf.int64) for feature in FEATURES.values()}
    schema["image"] = tf.io.FixedLenFeature([], tf.string)
    if has_regions:
        schema["regions"] = tf.io.RaggedFeature(tf.float32)
    parsed = tf.io.parse_example(examples, schema)
    images = tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), [-1, *canvas, 1])
    targets = {name: tf.cast(parsed[feature], tf.int32) for name, feature in FEATURES.items()}
    return images, {**targets, **({"regions": regions.parse_regions(parsed["regions"])} if has_regions else {})}
