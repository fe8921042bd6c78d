"""Canonical images on disk: TFRecord shards, and a manifest that describes them and lists the refused images.

Written once from an image index and the splits. Works on splits and imaging, not models. Next: ``shard_plan.py``
writes the files that are planned here, ``batches.py`` streams them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.console.errors import UserError
from trainer.corpora import Sample
from trainer.data import shard_plan
from trainer.data.regions import list_regions
from trainer.data.shard_plan import ShardPlan

if TYPE_CHECKING:
    from trainer.data.image_index import ImageIndex
    from trainer.imaging import Imaging


MANIFEST_FILE = "manifest.json"
FORMAT = 2  # of the manifest; format 1, which has no number, is read as well
RENAMED = {  # key of format 1: key of format 2
    "source": "data_digest",
    "sources": "data_sources",
    "imaging": "imaging_fingerprint",
    "unseen": "test_images",
}
Key = tuple[str, str]  # corpus, and the name of an image or of a split unit
Selection = dict[Key, tuple[str, Sample]]  # the split of each image, and its sample with the problem's label
IMAGES_PER_SHARD = 2048  # a shard of 64 x 128 images is about 2 MB compressed


class RecordsChanged(UserError):
    """The records in a job dir belong to other data or another imaging; the message asks to prepare again."""


@dataclasses.dataclass(frozen=True)
class RecordsSpec:
    """What ``write`` stores with the images of the splits, and how it stores them.

    ``labels`` are in the order of the label numbers. ``data_digest`` changes with the data, ``data_sources`` describe
    each input with a digest of its files, ``test_images`` are (corpus, name) of the test split, and
    ``monitoring_images`` those of validation images with which the monitoring of the artefact starts: these four go to
    the manifest. Images in ``exclusion_reasons``, by corpus and name, are refused for that reason.
    ``region_labels`` are those of the boxes that are stored with pages, without any for images of one thing.
    ``writer_in_one_shard`` keeps all images of a writer in one shard; ``merged_writers`` maps a split unit to that of
    the same writer under another name.
    """

    labels: tuple[str, ...]
    data_digest: str
    data_sources: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    test_images: list[Key] = dataclasses.field(default_factory=list)
    monitoring_images: list[Key] = dataclasses.field(default_factory=list)
    exclusion_reasons: Mapping[Key, str] = dataclasses.field(default_factory=dict)
    region_labels: tuple[str, ...] = ()
    writer_in_one_shard: bool = False
    merged_writers: Mapping[Key, Key] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Records:
    """The shards of a run and what its manifest says about them.

    ``shards`` and ``counts`` are by split, ``refused`` are (path, reason) of the images that are not stored; for
    ``data_digest``, ``data_sources``, ``test_images``, ``monitoring_images`` and ``region_labels`` see ``RecordsSpec``.
    Test images stay image files.
    """

    folder: Path
    labels: tuple[str, ...]
    shards: dict[str, list[str]]
    counts: dict[str, dict[str, int]]
    refused: list[tuple[str, str]]
    imaging_fingerprint: str
    data_digest: str
    data_sources: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    test_images: list[Key] = dataclasses.field(default_factory=list)
    region_labels: tuple[str, ...] = ()
    monitoring_images: list[Key] = dataclasses.field(default_factory=list)

    def count_images(self, split: str) -> int:
        """Return the number of images in a split."""
        return sum(self.counts[split].values())

    def shard_paths(self, split: str) -> list[str]:
        """Return the shard files of a split."""
        return [str(self.folder / name) for name in self.shards[split]]


def read_existing(folder: Path, data_digest: str, imaging: Imaging) -> Records | None:
    """Read the records in a folder, ``None`` without any. Raises ``RecordsChanged`` for other data or imaging."""
    if not (folder / MANIFEST_FILE).is_file():
        return None
    records = read(folder)
    remedy = "prepare again: delete the job dir's records and checkpoints, or choose another --job-dir"
    if records.imaging_fingerprint != imaging.fingerprint():
        raise RecordsChanged(
            f"the records were made by imaging {records.imaging_fingerprint}, this run needs {imaging.fingerprint()}; "
            f"{remedy}"
        )
    if records.data_digest != data_digest:
        raise RecordsChanged(
            f"the images, their labels or their split have changed since the records were made; {remedy}"
        )
    return records


def write(
    index: ImageIndex,
    splits: dict[str, list[Sample]],
    folder: Path,
    spec: RecordsSpec,
    write_shards: Callable[[ImageIndex, ShardPlan, Path], None] = shard_plan.write_shards,
) -> Records:
    """Write the shards of every split and the manifest, and return them as ``Records``.

    Images are taken from the index by corpus and name; the same arguments give the same shards, to the byte. The folder
    is complete or absent. ``write_shards`` writes the files of a plan.
    """
    with replace_folder(folder) as partial:
        selection = {(s.corpus_id, s.name): (split, s) for split, samples in splits.items() for s in samples}
        refused = _exclude(index, selection, spec.exclusion_reasons)
        plan = _plan_shards(index, selection, list(splits), spec)
        write_shards(index, plan, partial)
        fingerprint = index.imaging.fingerprint()
        write_manifest(
            Records(
                partial,
                spec.labels,
                {split: plan.list_shards(split) for split in splits},
                plan.count_labels(spec.labels),
                refused,
                fingerprint,
                spec.data_digest,
                spec.data_sources,
                spec.test_images,
                spec.region_labels,
                spec.monitoring_images,
            )
        )
    return read(folder)


@contextlib.contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` in one step, unless the block raises."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    shutil.rmtree(folder, ignore_errors=True)  # shards without a manifest: a copy that was interrupted
    os.replace(partial, folder)


def write_manifest(records: Records) -> None:
    """Write the manifest of records into their folder."""
    values = {name: value for name, value in dataclasses.asdict(records).items() if name != "folder"}
    (records.folder / MANIFEST_FILE).write_text(json.dumps({"format": FORMAT, **values}, indent=1) + "\n")


def _exclude(index: ImageIndex, selection: Selection, reasons: Mapping[Key, str]) -> list[tuple[str, str]]:
    """Remove rejected and excluded images from the selection; return (path, reason) of each."""
    rejected, refused = dict(index.list_rejected()), []
    for number, sample in enumerate(index.samples):
        key = (sample.corpus_id, sample.name)
        if key in selection and (reason := rejected.get(number) or reasons.get(key)):
            refused.append((f"{sample.corpus_id}/{sample.name}", reason))
            del selection[key]
    return refused


def _plan_shards(index: ImageIndex, selection: Selection, splits: list[str], spec: RecordsSpec) -> ShardPlan:
    """Plan the shards of the images that are selected."""
    writers = _number_writers(selection, spec.merged_writers)
    corpora = {corpus: position for position, corpus in enumerate(sorted({s.corpus_id for _, s in selection.values()}))}
    canvas, sizes = (index.imaging.height, index.imaging.width), index.properties.sizes
    rows: list[tuple[int, ...]] = []
    regions = {}
    for number, indexed in enumerate(index.samples):
        if (selected := selection.get((indexed.corpus_id, indexed.name))) is None:
            continue
        split, sample = selected  # with the problem's label
        label, corpus = spec.labels.index(sample.label), corpora[sample.corpus_id]
        rows.append((number, splits.index(split), label, writers[sample.split_unit], corpus))
        if spec.region_labels:
            height, width = sizes[number].tolist()
            regions[number] = list_regions(sample.boxes, spec.region_labels, (height, width), canvas)
    table = np.array(rows, np.int64).reshape(-1, 5)
    split_numbers, labels, writer_numbers, corpus_numbers = table[:, 1:].astype(np.int32).T
    shards = np.zeros(len(table), np.int32)
    for position, split in enumerate(splits):
        is_split = split_numbers == position
        shards[is_split] = _assign_shards(writer_numbers[is_split], split == "train", spec.writer_in_one_shard)
    columns = (split_numbers, shards, labels, writer_numbers, corpus_numbers)
    return ShardPlan(splits, table[:, 0], *columns, regions=regions if spec.region_labels else None)


def _number_writers(selection: Selection, merged_writers: Mapping[Key, Key]) -> dict[Key, int]:
    """The number of the writer of each split unit, from 0, in the order of the names."""
    names = {unit: merged_writers.get(unit, unit) for unit in (sample.split_unit for _, sample in selection.values())}
    numbers = {name: number for number, name in enumerate(sorted(set(names.values())))}
    return {unit: numbers[name] for unit, name in names.items()}


def _assign_shards(writers: np.ndarray, shuffled: bool, writer_in_one_shard: bool) -> np.ndarray:
    """Assign each image of a split, by its writer ``int [N]``, to a shard ``int [N]``.

    In order, or if ``shuffled`` at random, or at random with all images of a writer in one shard.
    """
    rng = np.random.default_rng(0)
    if shuffled and writer_in_one_shard:
        rank = rng.permutation(writers.max(initial=-1) + 1)[writers]  # of each image's writer, in random order
        image_counts = np.bincount(rank) if len(rank) else np.zeros(0, int)
        shard = (np.cumsum(image_counts) - image_counts) // IMAGES_PER_SHARD  # that of a writer's first image
        return np.unique(shard[rank], return_inverse=True)[1]
    shard = np.arange(len(writers)) // IMAGES_PER_SHARD
    return rng.permutation(shard) if shuffled else shard


def read(folder: Path) -> Records:
    """Read the records in a folder. Raises ``RecordsChanged`` for those of a later version."""
    values = json.loads((folder / MANIFEST_FILE).read_text())
    version = values.pop("format", 1)
    if version == 1:
        values = {RENAMED.get(name, name): value for name, value in values.items()}
    elif version != FORMAT:
        raise RecordsChanged(
            f"the records in {str(folder)!r} have format {version!r}, this version reads 1 and {FORMAT}; prepare "
            "again: delete the job dir's records and checkpoints, or choose another --job-dir"
        )
    for name in ("refused", "test_images", "monitoring_images"):
        values[name] = [tuple(pair) for pair in values.get(name, ())]
    tuples = {name: tuple(values.get(name, ())) for name in ("labels", "region_labels")}
    return Records(folder=folder, **{**values, **tuples})
