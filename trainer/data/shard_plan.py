"""Which shard every image goes to, and what is stored with it, decided before any shard is written.

So the shards can be written by one process, or by many that each read a part of the images. Next: ``records.py`` plans
and writes, ``shards.py`` stores the examples, ``trainer/beam/shards.py`` writes with many workers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trainer.data.shards import ShardWriter, format_shard_name, serialise

if TYPE_CHECKING:
    from trainer.data.image_index import ImageIndex

Regions = list[tuple[float, ...]]


class PlannedImage(NamedTuple):
    """An image of the index by its number, the split and shard it goes to, and the numbers that are stored with it.

    ``regions`` are those of ``regions.py``, ``None`` for images of one thing.
    """

    number: int
    split: str
    shard: int
    label: int
    writer: int
    corpus_index: int
    regions: Regions | None = None

    def serialise(self, image: np.ndarray) -> bytes:
        """Serialise the image ``uint8 [h, w, 1]`` with its numbers."""
        return serialise(image, self.label, self.writer, self.corpus_index, self.regions)


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """All images to store, by ascending number, as columns ``int32 [n]``; ``numbers`` are ``int64 [n]``.

    ``split_numbers`` are positions in ``splits``, ``shards`` count from 0 in each split. ``regions`` are those of the
    pages, by image number.
    """

    splits: Sequence[str]
    numbers: np.ndarray
    split_numbers: np.ndarray
    shards: np.ndarray
    labels: np.ndarray
    writers: np.ndarray
    corpora: np.ndarray
    regions: Mapping[int, Regions] | None = None

    @property
    def digest(self) -> str:
        """Return what differs for other plans of the same index."""
        columns = (self.numbers, self.split_numbers, self.shards, self.labels, self.writers, self.corpora)
        rest = json.dumps([[*self.splits], [*(self.regions or {}).items()]])
        return hashlib.sha256(b"".join(column.tobytes() for column in columns) + rest.encode()).hexdigest()[:16]

    def select(self, start: int, stop: int) -> Iterator[PlannedImage]:
        """Yield the images with numbers from ``start`` to before ``stop``."""
        rows = slice(*np.searchsorted(self.numbers, (start, stop)))
        columns = (self.numbers, self.split_numbers, self.shards, self.labels, self.writers, self.corpora)
        for number, split, shard, label, writer, corpus in zip(*(c[rows].tolist() for c in columns), strict=True):
            regions = None if self.regions is None else self.regions[number]
            yield PlannedImage(number, self.splits[split], shard, label, writer, corpus, regions)

    def list_shards(self, split: str) -> list[str]:
        """Return the file names of the shards of a split."""
        shards = self.shards[self.split_numbers == self.splits.index(split)]
        return [format_shard_name(split, number) for number in range(shards.max(initial=-1) + 1)]

    def count_labels(self, labels: Sequence[str]) -> dict[str, dict[str, int]]:
        """Count the images of each of all ``labels``, by split."""
        counts = {}
        for number, split in enumerate(self.splits):
            label_counts = np.bincount(self.labels[self.split_numbers == number], minlength=len(labels))
            counts[split] = dict(zip(labels, label_counts.tolist(), strict=True))
        return counts


def write_shards(index: ImageIndex, plan: ShardPlan, folder: Path) -> None:
    """Write all shards of a plan into a folder."""
    shards = {
        split: ShardWriter(split, folder, plan.shards[plan.split_numbers == number])
        for number, split in enumerate(plan.splits)
    }
    images = index.iter_images()
    for planned in plan.select(0, len(index.samples)):
        image = next(image for number, image in images if number == planned.number)
        shards[planned.split].write(planned.serialise(image))
    for shard in shards.values():
        shard.close()
