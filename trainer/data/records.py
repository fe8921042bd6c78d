"""Canonical images on disk: TFRecord shards and a manifest that says what they are and what was refused.

What a survey has seen, dealt to the parts of a split, once. Knows parts and imaging, not models. Next: ``batches.py``
streams them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.console.errors import UserError
from trainer.corpora import Sample

if TYPE_CHECKING:
    from trainer.data.image_index import Survey
    from trainer.imaging import Imaging


FILE = "manifest.json"
Key = tuple[str, str]  # of an image: origin and name
Wanted = dict[Key, tuple[str, Sample]]  # the part of each image, and its sample with the label to learn
SHARD_IMAGES = 2048  # a shard of 64 x 128 images is about 2 MB compressed


class RecordsChanged(UserError):
    """The records in a job dir were made from other data or by another imaging; the message says to prepare again."""


@dataclasses.dataclass(frozen=True)
class Records:
    """What is prepared.

    Shards and counts by part, (image, reason) of what was refused or left out, the imaging's fingerprint, ``source``
    that changes with the data, ``sources`` as they were given with the generation of each, and the (origin, name) of
    the ``unseen`` images, which stay files.
    """

    folder: Path
    labels: tuple[str, ...]
    shards: dict[str, list[str]]
    counts: dict[str, dict[str, int]]
    refused: list[tuple[str, str]]
    imaging: str
    source: str
    sources: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    unseen: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def images(self, part: str) -> int:
        """How many images a part holds."""
        return sum(self.counts[part].values())

    def paths(self, part: str) -> list[str]:
        """The shard files of a part."""
        return [str(self.folder / name) for name in self.shards[part]]


def existing(folder: Path, source: str, imaging: Imaging) -> Records | None:
    """The records in a folder, if there are any. Raises ``RecordsChanged`` when they are of something else."""
    if not (folder / FILE).is_file():
        return None
    found = read(folder)
    again = "prepare again: delete the job dir's records and checkpoints, or choose another --job-dir"
    if found.imaging != imaging.fingerprint():
        raise RecordsChanged(
            f"the records were made by imaging {found.imaging}, this run wants {imaging.fingerprint()}; {again}"
        )
    if found.source != source:
        raise RecordsChanged(
            f"the images, their labels or their split have changed since the records were made; {again}"
        )
    return found


def write(
    look: Survey,
    parts: dict[str, list[Sample]],
    labels: tuple[str, ...],
    folder: Path,
    source: str,
    left_out: dict[Key, str] | None = None,
    by_writer: bool = False,
    people: Mapping[Key, Key] = {},
    **more: Any,
) -> Records:
    """Write the shards of every part; complete or absent: written aside and moved in one step.

    Samples are taken from the survey by origin and name; ``left_out`` gives the reason for those that are not wanted.
    ``by_writer`` keeps what a writer wrote in one shard; ``people`` says which groups are one writer under several
    names. The same survey and parts give the same shards.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    wanted = {(s.origin, s.name): (part, s) for part, chosen in parts.items() for s in chosen}
    refused = _left_out(look, wanted, left_out or {})
    called = {sample.group: people.get(sample.group, sample.group) for _, sample in wanted.values()}
    numbers = {name: number for number, name in enumerate(sorted(set(called.values())))}
    writers = {group: numbers[name] for group, name in called.items()}
    names, counts = _write_shards(look, wanted, list(parts), labels, writers, partial, by_writer)
    records = Records(partial, labels, names, counts, refused, look.imaging.fingerprint(), source, **more)
    (partial / FILE).write_text(
        json.dumps({k: v for k, v in dataclasses.asdict(records).items() if k != "folder"}, indent=1) + "\n"
    )
    shutil.rmtree(folder, ignore_errors=True)  # shards without a manifest: a copy that was interrupted
    os.replace(partial, folder)
    return read(folder)


def _left_out(look: Survey, wanted: Wanted, reasons: dict[Key, str]) -> list[tuple[str, str]]:
    """Take what cannot or shall not be used out of what is wanted; (path, reason) of each."""
    refused, found = dict(look.refused()), []
    for number, sample in enumerate(look.samples):
        key = (sample.origin, sample.name)
        if key in wanted and (reason := refused.get(number) or reasons.get(key)):
            found.append((str(sample.path), reason))
            del wanted[key]
    return found


def _write_shards(
    look: Survey, wanted: Wanted, parts: list[str], labels: tuple[str, ...], writers: dict[Key, int], folder: Path,
    by_writer: bool,
):  # fmt: skip
    """The names of the shards and the counts of the labels, by part."""
    coming: dict[str, list[int]] = {part: [] for part in parts}
    for number, _ in enumerate(look.samples):
        if found := _found(look, wanted, number):
            coming[found[0]].append(writers[found[1].group])
    lots = {part: _lots(np.array(coming[part], int), part == "train", by_writer) for part in parts}
    counts = {part: dict.fromkeys(labels, 0) for part in parts}
    sources = sorted({sample.origin for _, sample in wanted.values()})
    shards = {part: _Shards(part, folder, lots[part]) for part in parts}
    for number, image in look.images():
        if (found := _found(look, wanted, number)) is None:
            continue
        part, sample = found
        counts[part][sample.label] += 1
        numbers = (labels.index(sample.label), writers[sample.group], sources.index(sample.origin))
        shards[part].write(_example(image, *numbers))
    for shard in shards.values():
        shard.close()
    return {part: shard.names for part, shard in shards.items()}, counts


def _found(look: Survey, wanted: Wanted, number: int) -> tuple[str, Sample] | None:
    known = look.samples[number]
    return wanted.get((known.origin, known.name))


def _lots(writers: np.ndarray, mixed: bool, by_writer: bool) -> np.ndarray:
    """The shard of each image of a part: in order, by lot, or by lot with all images of a writer in one."""
    rng = np.random.default_rng(0)
    if mixed and by_writer:
        place = rng.permutation(writers.max(initial=-1) + 1)[writers]
        order = np.argsort(place, kind="stable")
        images = np.bincount(place[order]) if len(place) else np.zeros(0, int)
        shard = (np.cumsum(images) - images) // SHARD_IMAGES  # where a writer's first image falls
        return np.unique(shard[place], return_inverse=True)[1]
    lots = np.arange(len(writers)) // SHARD_IMAGES
    return rng.permutation(lots) if mixed else lots


def read(folder: Path) -> Records:
    """What a folder of records holds."""
    values = json.loads((folder / FILE).read_text())
    for name in ("refused", "unseen"):
        values[name] = [tuple(pair) for pair in values.get(name, ())]
    return Records(folder=folder, **{**values, "labels": tuple(values["labels"])})


class _Shards:
    """The files of one part.

    Training images go to a shard by lot and lie there in no order: a shuffle buffer that is smaller than the data mixes
    only what lies near, and an epoch that ends with one label teaches that label. The other parts keep their order.
    """

    def __init__(self, part: str, folder: Path, lots: np.ndarray):
        import tensorflow as tf

        self._folder, self._mixed = folder, part == "train"
        self.names = [f"{part}-{number:05d}.tfrecord.gz" for number in range(max(lots, default=-1) + 1)]
        self._writers = [tf.io.TFRecordWriter(str(folder / f"{name}.ordered")) for name in self.names]
        self._lots = iter(lots)

    def write(self, example: bytes) -> None:
        self._writers[next(self._lots)].write(example)

    def close(self) -> None:
        """Pack the files, one at a time, so that memory holds no more than one of them."""
        import tensorflow as tf

        for number, (name, writer) in enumerate(zip(self.names, self._writers, strict=True)):
            writer.close()
            ordered = self._folder / f"{name}.ordered"
            examples = [example.numpy() for example in tf.data.TFRecordDataset(str(ordered))]
            order = np.random.default_rng(number).permutation(len(examples)) if self._mixed else range(len(examples))
            packed = tf.io.TFRecordOptions("GZIP", compression_level=1)
            with tf.io.TFRecordWriter(str(self._folder / name), packed) as shard:
                for place in order:
                    shard.write(examples[place])
            ordered.unlink()


def _example(image, label: int, writer: int, source: int) -> bytes:
    import tensorflow as tf

    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "writer": tf.train.Feature(int64_list=tf.train.Int64List(value=[writer])),
        "source": tf.train.Feature(int64_list=tf.train.Int64List(value=[source])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
