"""Shards to batches: streamed, shuffled, augmented and prefetched. tf.data, on canonical images.

An epoch's order and augmentation follow from (seed, epoch) alone, so a run that resumes at epoch 5 continues as if it
had not been interrupted. Small splits are kept in memory, large ones stream from their shards: memory does not depend
on the number of images. Next: ``sampling.py`` draws the images of a batch for a loss that compares them.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from trainer.data import augmentation, regions
from trainer.data.records import Records
from trainer.data.sampling import SAMPLERS, Sampling, WriterRows, check_writers
from trainer.data.stream import StreamSpec, stream_epoch

BUFFER_BYTES = 64 * 2**20  # of images in the shuffle buffer, or of records or copies from which batches are drawn
COPIES_STREAM = 1  # distinguishes the random numbers of copies from those of the records
REPEAT_BUFFER = 256  # generated images that wait for their repetitions
FEATURES = {"label": "label", "writer": "writer", "corpus_index": "source"}  # target: feature of the shards
# Largest changes of ``random_affine``, in either direction.
MAX_ROTATION = math.radians(5)
MAX_ZOOM = 0.10
MAX_STRETCH = 0.05  # of the two axes against each other
MAX_SHIFT = 0.04  # as a share of the canvas

Canvas = tuple[int, int]  # height and width in pixels
Targets = dict[str, np.ndarray]  # the keys of ``FEATURES``, each ``int32 [N]``
Window = tuple[np.ndarray, Targets]  # images ``uint8 [N, H, W, 1]`` and their targets


@dataclasses.dataclass(frozen=True)
class BatchSettings:
    """How training batches are made; ``sampling`` decides whether a batch holds any images or comparable ones."""

    canvas: Canvas
    batch_size: int
    seed: int
    augment: bool
    sampling: Sampling = Sampling.IMAGES
    stream: StreamSpec | None = None  # generated images that join those of the records
    copies: Records | None = None  # of training images, drawn by writer
    copies_share: float = 0.0  # of the batches that are drawn from copies


def training_batches(records: Records, settings: BatchSettings, epoch: int) -> tf.data.Dataset:
    """Stream one epoch of whole batches: images ``uint8 [B, H, W, 1]``, and targets ``int32 [B]`` by name.

    The targets have the keys of ``FEATURES``. Raises ``TooFewWriters`` when a sampler cannot compare.
    """
    if settings.sampling in SAMPLERS:
        return _shard_by_data(_sampled_batches(records, settings, epoch)).prefetch(4)
    if settings.stream:
        batches = _mixed_batches(records, settings, settings.stream, epoch)
    else:
        batches = _shuffled_batches(records, settings, epoch)
    if settings.augment:
        seed = _combine_seed(settings.seed, epoch)
        batches = batches.enumerate().map(
            _without_autograph(lambda step, batch: _augment(batch[0], batch[1], [seed, step])),
            num_parallel_calls=1,
        )
    return _shard_by_data(batches).prefetch(4)


def _shard_by_data(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Give each of several machines its share of every batch; shares of the files would give other batches."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)


def _mixed_batches(records: Records, settings: BatchSettings, stream: StreamSpec, epoch: int) -> tf.data.Dataset:
    """Batches of images of the records and of the stream, in every batch by their numbers, at least one of each."""
    size, canvas = settings.batch_size, settings.canvas
    recorded = records.count_images("train")
    steps = (recorded + stream.count) // size
    share = min(size - 1, max(1, round(size * recorded / (recorded + stream.count))))
    examples = _shuffled_examples(records, settings, epoch).repeat().batch(share).map(_make_parser(canvas))

    def generate():
        for images, labels in stream_epoch(stream, epoch):
            yield images, {name: labels if name == "label" else np.full_like(labels, -1) for name in FEATURES}

    target = tf.TensorSpec((None,), tf.int32)
    signature = (tf.TensorSpec((None, *canvas, 1), tf.uint8), dict.fromkeys(FEATURES, target))
    generated = tf.data.Dataset.from_generator(generate, output_signature=signature).unbatch()
    if stream.repeats > 1:  # mixed, so that an image and its repetition are rarely in one batch
        again = _without_autograph(lambda *example: tf.data.Dataset.from_tensors(example).repeat(stream.repeats))
        seed = _combine_seed(settings.seed, epoch)
        generated = generated.flat_map(again).shuffle(REPEAT_BUFFER * stream.repeats, seed=seed)
    generated = generated.repeat().batch(size - share, drop_remainder=True)
    join = _without_autograph(lambda *parts: tf.nest.map_structure(lambda *tensors: tf.concat(tensors, 0), *parts))
    return tf.data.Dataset.zip((examples, generated)).map(join).take(steps)


def _shuffled_batches(records: Records, settings: BatchSettings, epoch: int) -> tf.data.Dataset:
    """Batches of every training image once, in random order."""
    examples = _shuffled_examples(records, settings, epoch)
    batches = examples.batch(settings.batch_size, drop_remainder=True)
    return batches.map(_make_parser(settings.canvas, bool(records.region_labels)), num_parallel_calls=1)


def _shuffled_examples(records: Records, settings: BatchSettings, epoch: int) -> tf.data.Dataset:
    """Serialised examples of every training image once, in random order."""
    buffer_size, paths, seed = _memory_capacity(settings.canvas), records.shard_paths("train"), settings.seed
    if records.count_images("train") <= buffer_size:  # all of it fits: read once, and the buffer mixes all
        examples = _cached(tuple(paths))
    else:
        files = tf.random.experimental.stateless_shuffle(tf.constant(paths), seed=[seed, epoch])
        examples = tf.data.TFRecordDataset(files, compression_type="GZIP")
    return examples.shuffle(buffer_size, seed=_combine_seed(seed, epoch))


def _sampled_batches(records: Records, settings: BatchSettings, epoch: int) -> tf.data.Dataset:
    """As many batches as the split holds, sampled from windows of writers, or of copies, that fit into memory."""
    canvas, size, seed = settings.canvas, settings.batch_size, settings.seed
    if epoch == 0:  # outside of the generator, whose errors TensorFlow wraps
        _, targets = next(_windows(records, canvas, np.random.default_rng([seed, epoch])))
        check_writers(_group_rows(targets))

    def batches():
        rng, copies_rng = np.random.default_rng([seed, epoch]), np.random.default_rng([seed, epoch, COPIES_STREAM])
        copies = _sample_copies(settings, copies_rng)
        for window in _windows(records, canvas, rng):
            recorded = _sample_window(window, settings, rng)
            for _ in range(_count_steps(window, size)):
                is_copied = settings.copies is not None and copies_rng.random() < settings.copies_share
                yield next(copies if is_copied else recorded)

    target = tf.TensorSpec((size,), tf.int32)
    signature = (tf.TensorSpec((size, *canvas, 1), tf.uint8), dict.fromkeys(FEATURES, target))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def _sample_window(window: Window, settings: BatchSettings, rng: np.random.Generator) -> Iterator[Window]:
    """Yield as many batches as a window holds."""
    images, targets = window
    steps = _count_steps(window, settings.batch_size)
    for rows in SAMPLERS[settings.sampling](_group_rows(targets), settings.batch_size, steps, rng):
        batch, writers = images[rows], targets["writer"][rows]
        batch = augmentation.augment_by_writer(batch, writers, rng) if settings.augment else batch
        yield batch, {name: values[rows] for name, values in targets.items()}


def _sample_copies(settings: BatchSettings, rng: np.random.Generator) -> Iterator[Window]:
    """Yield batches of copies without end, from windows of them; each holds one window in memory."""
    while settings.copies:
        for window in _windows(settings.copies, settings.canvas, rng):
            yield from _sample_window(window, settings, rng)


def _count_steps(window: Window, size: int) -> int:
    """The number of batches in a window."""
    return max(1, len(window[0]) // size)


def _group_rows(targets: Targets) -> WriterRows:
    """Row numbers by writer; label 0 is genuine."""
    return WriterRows.from_targets(targets["writer"], targets["label"] == 0, targets["corpus_index"])


# No function here branches on a tensor; rewriting each for that takes longer than tracing it.
_without_autograph = tf.autograph.experimental.do_not_convert


def _windows(records: Records, canvas: Canvas, rng: np.random.Generator) -> Iterator[Window]:
    """Yield the training split in windows that fit into memory, in random order; a writer is in one shard."""
    paths = records.shard_paths("train")
    shards_at_once = max(1, len(paths) * _memory_capacity(canvas) // max(1, records.count_images("train")))
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
    batches = batches.map(_make_parser(canvas), num_parallel_calls=1)
    pieces = [(images.numpy(), {name: targets[name].numpy() for name in FEATURES}) for images, targets in batches]
    targets = {name: np.concatenate([values[name] for _, values in pieces]) for name in FEATURES}
    return np.concatenate([images for images, _ in pieces]), targets


def _memory_capacity(canvas: Canvas) -> int:
    """The number of images of this size that are kept in memory."""
    return max(256, BUFFER_BYTES // (canvas[0] * canvas[1]))


def ordered_batches(records: Records, split: str, canvas: Canvas, batch_size: int) -> tf.data.Dataset:
    """Stream a split in order, in batches as from ``training_batches``; the last one may be smaller."""
    paths = tuple(records.shard_paths(split))
    fits = records.count_images(split) <= _memory_capacity(canvas)
    examples = _cached(paths) if fits else tf.data.TFRecordDataset(paths, compression_type="GZIP")
    parser = _make_parser(canvas, bool(records.region_labels))
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


@functools.lru_cache(maxsize=2)
def _cached(paths: tuple[str, ...]) -> tf.data.Dataset:
    """Serialised examples of shards that are read and unpacked once and then kept in memory, for every epoch."""
    return tf.data.TFRecordDataset(paths, compression_type="GZIP").cache()


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
        return random_affine(images, seed), targets
    images, moved = regions.move_pages(images, targets["regions"], seed)
    return images, {**targets, "regions": moved}


def _make_parser(canvas: Canvas, has_regions: bool = False) -> Callable:
    """A function from serialised examples to images and targets."""
    return _without_autograph(lambda examples: _parse(examples, canvas, has_regions))


def _parse(examples: tf.Tensor, canvas: Canvas, has_regions: bool) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    schema = {feature: tf.io.FixedLenFeature([], tf.int64) for feature in FEATURES.values()}
    schema["image"] = tf.io.FixedLenFeature([], tf.string)
    if has_regions:
        schema["regions"] = tf.io.RaggedFeature(tf.float32)
    parsed = tf.io.parse_example(examples, schema)
    images = tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), [-1, *canvas, 1])
    targets = {name: tf.cast(parsed[feature], tf.int32) for name, feature in FEATURES.items()}
    return images, {**targets, **({"regions": regions.parse_regions(parsed["regions"])} if has_regions else {})}


def _combine_seed(seed: int, epoch: int) -> int:
    """One number for tf.data's single seed that differs for every epoch."""
    return (seed * 1_000_003 + epoch) % (2**31)
