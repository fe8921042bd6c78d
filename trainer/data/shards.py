"""Files of canonical images: ``tf.train.Example`` in compressed TFRecord files, written and read one by one.

Knows no splits and no manifest. Next: ``records.py``, which says what the shards of a run hold; ``batches.py`` reads
whole batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


class StoredImage(NamedTuple):
    """An image of a shard, ``uint8 [H, W, 1]``, with the numbers of its label, writer and corpus."""

    image: np.ndarray
    label: int
    writer: int
    corpus_index: int


class ShardWriter:
    """Writes the files of one split; ``assignment`` is the shard of each image, ``int [N]``.

    Training images are assigned to shards at random and shuffled inside each: a shuffle buffer that is smaller than
    the data mixes only neighbours, and an epoch that ends with one label biases the model to it. The other splits keep
    their order.
    """

    def __init__(self, split: str, folder: Path, assignment: np.ndarray):
        import tensorflow as tf

        self._folder, self._split = folder, split
        self.names = [format_shard_name(split, number) for number in range(max(assignment, default=-1) + 1)]
        self._writers = [tf.io.TFRecordWriter(str(folder / f"{name}.ordered")) for name in self.names]
        self._assignment = iter(assignment)

    def write(self, example: bytes) -> None:
        """Append the next image of the split to its shard."""
        self._writers[next(self._assignment)].write(example)

    def close(self) -> None:
        """Shuffle and compress the files, one at a time, so that memory holds no more than one of them."""
        import tensorflow as tf

        for number, (name, writer) in enumerate(zip(self.names, self._writers, strict=True)):
            writer.close()
            ordered = self._folder / f"{name}.ordered"
            examples = [example.numpy() for example in tf.data.TFRecordDataset(str(ordered))]
            write_shard(self._folder / name, examples, self._split, number)
            ordered.unlink()


def format_shard_name(split: str, number: int) -> str:
    """Return the file name of a shard, which counts from 0 in each split."""
    return f"{split}-{number:05d}.tfrecord.gz"


def write_shard(path: Path, examples: Sequence[bytes], split: str, number: int) -> None:
    """Write the examples of one shard, shuffled if they are to train on. Equal arguments give equal files."""
    import tensorflow as tf

    order = np.random.default_rng(number).permutation(len(examples)) if split == "train" else range(len(examples))
    options = tf.io.TFRecordOptions("GZIP", compression_level=1)
    with tf.io.TFRecordWriter(str(path), options) as shard:
        for position in order:
            shard.write(examples[position])


def serialise(
    image: np.ndarray, label: int, writer: int, corpus_index: int, regions: Iterable[Iterable[float]] | None = None
) -> bytes:
    """Serialise an image ``uint8 [h, w, 1]`` as ``tf.train.Example``, to the same bytes in every process.

    The feature ``source`` is the corpus: shards of all versions have this name. ``regions`` are five numbers each, see
    ``regions.py``.
    """
    import tensorflow as tf

    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "writer": tf.train.Feature(int64_list=tf.train.Int64List(value=[writer])),
        "source": tf.train.Feature(int64_list=tf.train.Int64List(value=[corpus_index])),
    }
    if regions is not None:
        values = [value for region in regions for value in region]
        features["regions"] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def read_shards(paths: Iterable[str], canvas: tuple[int, int]) -> Iterator[StoredImage]:
    """Yield the images of shards in order; ``canvas`` is their height and width."""
    import tensorflow as tf

    for serialised in tf.data.TFRecordDataset([*paths], compression_type="GZIP"):
        features = tf.train.Example.FromString(serialised.numpy()).features.feature
        pixels = np.frombuffer(features["image"].bytes_list.value[0], np.uint8)
        numbers = (features[name].int64_list.value[0] for name in ("label", "writer", "source"))
        yield StoredImage(pixels.reshape(*canvas, 1), *numbers)
