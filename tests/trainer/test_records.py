"""Canonical images on disk: complete, in order, refusing what changed, naming what could not be read."""

import dataclasses
import shutil

import numpy as np
import pytest

from trainer import corpora, dataset, records, splits
from trainer.imaging import Imaging, canonicalise
from trainer.records import RecordsChanged, UnreadableImages

IMAGING = Imaging(32, 64)
LABELS = ("signature", "text")


@pytest.fixture
def data(scans, tmp_path):
    """A copy of the dataset with one damaged file."""
    folder = shutil.copytree(scans, tmp_path / "scans")
    (folder / "text" / "001_099.png").write_bytes(b"not an image")
    return folder


def parts_of(folder):
    return splits.split(corpora.read(folder), 0.3, 0.0, seed=1)


def test_every_readable_image_is_stored_once_with_its_label(data, tmp_path, tensorflow):
    parts = parts_of(data)
    prepared = records.prepare(parts, LABELS, IMAGING, tmp_path / "records")
    assert len(prepared.refused) == 1
    assert prepared.refused[0][0].endswith("001_099.png")
    stored = [
        (image.tobytes(), LABELS[label])
        for images, targets in dataset.validation(prepared, (32, 64), 8)
        for image, label in zip(images.numpy(), targets["label"].numpy(), strict=True)
    ]
    expected = [
        (canonicalise(s.path.read_bytes(), IMAGING).image.tobytes(), s.label)
        for s in parts["validation"]
        if not s.name.endswith("001_099.png")
    ]
    assert stored == expected
    assert prepared.images("validation") == len(expected)


def test_strict_names_the_file_and_leaves_nothing(data, tmp_path):
    with pytest.raises(UnreadableImages, match=r"001_099\.png"):
        records.prepare(parts_of(data), LABELS, IMAGING, tmp_path / "records", strict=True)
    assert not (tmp_path / "records").exists()


def test_records_are_reused_and_an_interrupted_preparation_is_not(data, tmp_path):
    parts = parts_of(data)
    (tmp_path / "records.partial").mkdir()
    (tmp_path / "records.partial" / "train-00000.tfrecord.gz").write_bytes(b"half")
    first = records.prepare(parts, LABELS, IMAGING, tmp_path / "records")
    stamps = [(p, p.stat().st_mtime_ns) for p in sorted((tmp_path / "records").iterdir())]
    assert records.prepare(parts, LABELS, IMAGING, tmp_path / "records") == first
    assert stamps == [(p, p.stat().st_mtime_ns) for p in sorted((tmp_path / "records").iterdir())]


def test_another_imaging_or_other_data_says_to_prepare_again(data, tmp_path):
    parts = parts_of(data)
    records.prepare(parts, LABELS, IMAGING, tmp_path / "records")
    with pytest.raises(RecordsChanged, match="prepare again"):
        records.prepare(parts, LABELS, Imaging(32, 96), tmp_path / "records")
    parts["train"] = [dataclasses.replace(parts["train"][0], label="text"), *parts["train"][1:]]
    with pytest.raises(RecordsChanged, match="changed"):
        records.prepare(parts, LABELS, IMAGING, tmp_path / "records")


def test_an_epoch_follows_from_seed_and_epoch_and_holds_every_image_once(scans, tmp_path):
    prepared = records.prepare(parts_of(scans), LABELS, IMAGING, tmp_path / "records")

    def images(seed, epoch, augment=False):
        batches = dataset.training(prepared, (32, 64), 5, seed, epoch, augment)
        return np.concatenate([batch.numpy() for batch, _ in batches])

    assert np.array_equal(images(1, 0), images(1, 0))
    assert not np.array_equal(images(1, 0), images(1, 1))
    assert not np.array_equal(images(1, 0), images(2, 0))
    assert sorted(i.tobytes() for i in images(1, 0)) == sorted(i.tobytes() for i in images(1, 1))
    assert np.array_equal(images(1, 0, True), images(1, 0, True))
    assert not np.array_equal(images(1, 0, True), images(1, 0))


def test_jitter_moves_ink_but_keeps_it_ink(tensorflow, signature):
    image = canonicalise(signature, IMAGING).image
    changed = dataset.jitter(tensorflow.constant(np.stack([image] * 32)), [3, 4]).numpy()
    assert changed.shape == (32, 32, 64, 1)
    assert changed.dtype == np.uint8
    assert len({one.tobytes() for one in changed}) == 32, "each image by an amount of its own"
    amount = changed.reshape(32, -1).sum(axis=1) / image.sum()
    assert amount.min() > 0.25
    assert amount.max() < 4
