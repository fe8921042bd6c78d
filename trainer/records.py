"""Canonical images on disk: TFRecord shards and a manifest that says what they are and what was refused.

The costly work (decode, ink) is done once, in parallel. Knows splits and imaging, not models. Next: ``dataset.py``
streams them.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from trainer.corpora import Sample
from trainer.errors import UserError
from trainer.imaging import ImageError, Imaging, canonicalise
from trainer.progress import Progress

FILE = "manifest.json"
SHARD_IMAGES = 2048  # a shard of 64 x 128 images is about 2 MB compressed


class RecordsChanged(UserError):
    """The records in a job dir were made from other data or by another imaging; the message says to prepare again."""


class UnreadableImages(UserError):
    """``--strict``: images were refused; the message names them."""


@dataclasses.dataclass(frozen=True)
class Records:
    """What is prepared: shards and counts by part, (path, reason) of what was refused, what the images came from."""

    folder: Path
    labels: tuple[str, ...]
    shards: dict[str, list[str]]
    counts: dict[str, dict[str, int]]
    refused: list[tuple[str, str]]
    imaging: str
    source: str

    def images(self, part: str) -> int:
        """How many images a part holds."""
        return sum(self.counts[part].values())

    def paths(self, part: str) -> list[str]:
        """The shard files of a part."""
        return [str(self.folder / name) for name in self.shards[part]]


def prepare(
    parts: dict[str, list[Sample]],
    labels: tuple[str, ...],
    imaging: Imaging,
    folder: Path,
    strict: bool = False,
) -> Records:
    """Write the shards of every part, or find that they are there already.

    Complete or absent: shards are written aside and moved in one step. Raises ``RecordsChanged`` and, with ``strict``,
    ``UnreadableImages``.
    """
    source = _identity(parts, labels)
    if (folder / FILE).is_file():
        return _checked(read(folder), source, imaging)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    writers = {
        group: index for index, group in enumerate(sorted({s.group for chosen in parts.values() for s in chosen}))
    }
    shards: dict[str, list[str]] = {}
    counts: dict[str, dict[str, int]] = {}
    refused: list[tuple[str, str]] = []
    with Progress("preparing", sum(map(len, parts.values()))) as progress:
        for part, samples in parts.items():
            ordered = _mixed(samples) if part == "train" else samples
            seen = progress.counted(_seen_in_order(ordered, imaging))
            shards[part], counts[part] = _write_part(part, seen, labels, writers, partial, refused)
    if refused and strict:
        raise _unreadable(refused, progress.total)
    records = Records(partial, labels, shards, counts, refused, imaging.fingerprint(), source)
    (partial / FILE).write_text(
        json.dumps({k: v for k, v in dataclasses.asdict(records).items() if k != "folder"}, indent=1) + "\n"
    )
    os.replace(partial, folder)
    return read(folder)


def check_readable(samples: list[Sample], imaging: Imaging) -> None:
    """Raises ``UnreadableImages`` when any of the images cannot be canonicalised."""
    refused = [(str(s.path), reason) for s, _, reason in _seen_in_order(samples, imaging) if reason is not None]
    if refused:
        raise _unreadable(refused, len(samples))


def _unreadable(refused: list[tuple[str, str]], total: int) -> UnreadableImages:
    shown = "\n".join(f"  {path}: {reason}" for path, reason in refused[:20])
    return UnreadableImages(f"{len(refused)} of {total} images cannot be read (--strict):\n{shown}")


def _mixed(samples: list[Sample]) -> list[Sample]:
    """In an order without order: a shuffle buffer that is smaller than the data mixes only what lies near."""
    return [samples[i] for i in np.random.default_rng(0).permutation(len(samples))]


def read(folder: Path) -> Records:
    """What a folder of records holds."""
    values = json.loads((folder / FILE).read_text())
    values["refused"] = [tuple(pair) for pair in values["refused"]]
    return Records(folder=folder, **{**values, "labels": tuple(values["labels"])})


def _write_part(part, seen, labels, writers, folder, refused):
    """(sample, image, reason) to shards in the given order: the same data, the same shards."""
    import tensorflow as tf

    compressed = tf.io.TFRecordOptions("GZIP", compression_level=1)
    counts: dict[str, int] = dict.fromkeys(labels, 0)
    names: list[str] = []
    writer: Any = None
    for sample, image, reason in seen:
        if image is None:
            refused.append((str(sample.path), reason))
            continue
        if sum(counts.values()) % SHARD_IMAGES == 0:
            if writer:
                writer.close()
            names.append(f"{part}-{len(names):05d}.tfrecord.gz")
            writer = tf.io.TFRecordWriter(str(folder / names[-1]), compressed)
        counts[sample.label] += 1
        writer.write(_example(image, labels.index(sample.label), writers[sample.group]))
    if writer:
        writer.close()
    return names, counts


def _seen_in_order(samples, imaging: Imaging, ahead: int = 256):
    """Canonicalise in threads (the decoders release the interpreter), at most ``ahead`` images before the reader."""
    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for sample in samples:
            waiting.append(pool.submit(_see, sample, imaging))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _see(sample: Sample, imaging: Imaging):
    try:
        return sample, canonicalise(sample.path.read_bytes(), imaging).image, None
    except (ImageError, OSError) as error:
        return sample, None, str(error)


def _example(image, label: int, writer: int) -> bytes:
    import tensorflow as tf

    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "writer": tf.train.Feature(int64_list=tf.train.Int64List(value=[writer])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _identity(parts, labels) -> str:
    """Changes when a file (by size or date), its label, its writer or its part does."""
    digest = hashlib.sha256(json.dumps(labels).encode())
    for part, samples in sorted(parts.items()):
        for sample in samples:
            stat = sample.path.stat()
            content = [part, sample.origin, sample.name, sample.label, sample.writer, stat.st_size, stat.st_mtime_ns]
            digest.update(json.dumps(content).encode())
    return digest.hexdigest()[:16]


def _checked(records: Records, source: str, imaging: Imaging) -> Records:
    again = f"prepare again: delete {str(records.folder)!r} and its run's checkpoints, or choose another --job-dir"
    if records.imaging != imaging.fingerprint():
        raise RecordsChanged(
            f"the records were made by imaging {records.imaging}, this run wants {imaging.fingerprint()}; {again}"
        )
    if records.source != source:
        raise RecordsChanged(
            f"the images, their labels or their split have changed since the records were made; {again}"
        )
    return records
