"""Image index and records: complete, in order, resumable; changed data and unreadable images are refused."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from trainer import corpora
from trainer.data import batches, files, image_index, records, splits
from trainer.data.batch_settings import BatchSettings
from trainer.data.records import RecordsChanged, RecordsSpec
from trainer.imaging import Imaging, canonicalise

IMAGING = Imaging(32, 64)
LABELS = ("signature", "text")


@pytest.fixture
def data(scans, tmp_path):
    """A copy of the dataset with one damaged file."""
    folder = shutil.copytree(scans, tmp_path / "scans")
    (folder / "text" / "001_099.png").write_bytes(b"not an image")
    return folder


@pytest.fixture
def prepare(tmp_path):
    """A function that indexes, splits and writes the images of a folder; returns the splits and the records."""

    def prepare(folder, **options):
        samples = corpora.read(folder).samples
        index = image_index.build_image_index(samples, IMAGING, tmp_path / "index")
        split_samples = splits.split_samples(samples, 0.3, 0.0, seed=1)
        spec = RecordsSpec(LABELS, "source", **options)
        return split_samples, records.write(index, split_samples, tmp_path / "records", spec)

    return prepare


def test_every_readable_image_is_stored_once_with_its_label(data, prepare, tensorflow):
    split_samples, prepared = prepare(data)
    assert len(prepared.refused) == 1
    assert prepared.refused[0][0].endswith("001_099.png")
    stored = [
        (image.tobytes(), LABELS[label])
        for images, targets in batches.ordered_batches(prepared, "validation", (32, 64), 8)
        for image, label in zip(images.numpy(), targets["label"].numpy(), strict=True)
    ]
    expected = [
        (canonicalise(s.path.read_bytes(), IMAGING).image.tobytes(), s.label)
        for s in split_samples["validation"]
        if not s.name.endswith("001_099.png")
    ]
    assert stored == expected
    assert prepared.count_images("validation") == len(expected)


def test_an_example_is_the_same_bytes_in_every_process():
    code = (
        "import hashlib, numpy as np; from trainer.data.shards import serialise; "
        "data = serialise(np.ones((4, 4, 1), np.uint8), 1, 2, 3, [[0, 0.1, 0.2, 0.3, 0.4]]); "
        "print(hashlib.sha256(data).hexdigest())"
    )
    printed = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(printed) == 1


def test_an_excluded_image_is_refused_with_its_reason(scans, prepare):
    sample = corpora.read(scans).samples[0]
    split_samples, prepared = prepare(scans, exclusion_reasons={(sample.corpus_id, sample.name): "quality 0.4"})
    assert prepared.refused == [(f"{sample.corpus_id}/{sample.name}", "quality 0.4")]
    assert sum(prepared.count_images(split) for split in split_samples) == len(corpora.read(scans).samples) - 1


def test_an_interrupted_index_continues_and_gives_the_same_result(scans, tmp_path, monkeypatch):
    monkeypatch.setattr(image_index, "IMAGES_PER_CHUNK", 32)
    samples = corpora.read(scans).samples
    uninterrupted = image_index.build_image_index(samples, IMAGING, tmp_path / "whole")
    inspected = []
    inspect_image = image_index._inspect_image

    def inspect_until_interrupted(sample, imaging):
        inspected.append(sample)
        if len(inspected) == 100:
            raise KeyboardInterrupt
        return inspect_image(sample, imaging)

    monkeypatch.setattr(image_index, "_inspect_image", inspect_until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        image_index.build_image_index(samples, IMAGING, tmp_path / "again")
    done = len(list((tmp_path / "again").glob("*.npz")))
    assert 0 < done < len(samples) / 32
    inspected.clear()
    monkeypatch.setattr(image_index, "_inspect_image", lambda *args: inspected.append(args) or inspect_image(*args))
    resumed = image_index.build_image_index(samples, IMAGING, tmp_path / "again")
    assert len(inspected) == len(samples) - 32 * done, "complete chunks are not inspected again"
    assert [(n, i.tobytes()) for n, i in resumed.iter_images()] == [
        (n, i.tobytes()) for n, i in uninterrupted.iter_images()
    ]
    for field in dataclasses.fields(image_index.ImageProperties):
        np.testing.assert_array_equal(
            getattr(resumed.properties, field.name), getattr(uninterrupted.properties, field.name)
        )


def test_an_index_of_other_files_or_another_imaging_is_built_anew(scans, tmp_path):
    samples = corpora.read(scans).samples
    image_index.build_image_index(samples, IMAGING, tmp_path / "index")
    wider = Imaging(32, 96)
    index = image_index.build_image_index(samples[:5], wider, tmp_path / "index")
    data = samples[3].path.read_bytes()
    np.testing.assert_array_equal(
        index.read_comparison_image(3), canonicalise(data, image_index.COMPARISON_IMAGING).image[:, :, 0]
    )
    images = dict(index.iter_images())
    np.testing.assert_array_equal(images[3], canonicalise(data, wider).image)
    assert len(images) == 5


def test_shards_without_a_manifest_are_no_records_and_are_replaced(scans, prepare, tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "train-00000.tfrecord.gz").write_bytes(b"half a copy")
    assert records.read_existing(tmp_path / "records", "source", IMAGING) is None
    _, prepared = prepare(scans)
    assert prepared.count_images("train") > 0


def test_records_of_another_imaging_or_other_data_are_refused(scans, prepare, tmp_path):
    _, prepared = prepare(scans)
    assert records.read_existing(tmp_path / "records", "source", IMAGING) == prepared
    assert records.read_existing(tmp_path / "elsewhere", "source", IMAGING) is None
    with pytest.raises(RecordsChanged, match="prepare again"):
        records.read_existing(tmp_path / "records", "source", Imaging(32, 96))
    with pytest.raises(RecordsChanged, match="changed"):
        records.read_existing(tmp_path / "records", "other", IMAGING)


def test_records_of_the_previous_format_are_read_and_those_of_a_later_one_are_refused(scans, prepare, tmp_path):
    _, prepared = prepare(scans, data_sources=[{"path": "scans"}], test_images=[("scans", "text/001.png")])
    path = tmp_path / "records" / records.MANIFEST_FILE
    values = json.loads(path.read_text())
    old_names = {new: old for old, new in records.RENAMED.items()}
    old_values = {old_names.get(name, name): value for name, value in values.items() if name != "format"}
    path.write_text(json.dumps(old_values))
    assert records.read(tmp_path / "records") == prepared
    path.write_text(json.dumps({**values, "format": records.FORMAT + 1}))
    with pytest.raises(RecordsChanged, match=r"format 3, this version reads 1 and 2; prepare again"):
        records.read(tmp_path / "records")


def test_a_change_of_a_file_changes_the_digest_of_the_files(data):
    samples = corpora.read(data).samples
    before = files.compute_files_digest(samples)
    assert files.compute_files_digest(samples) == before
    samples[0].path.write_bytes(samples[0].path.read_bytes() + b" ")
    assert files.compute_files_digest(samples) != before


def test_an_epoch_depends_only_on_seed_and_number_and_holds_every_image_once(scans, prepare, monkeypatch):
    monkeypatch.setattr(records, "IMAGES_PER_SHARD", 30)
    split_samples, prepared = prepare(scans)
    assert len(prepared.shards["train"]) == -(-len(split_samples["train"]) // 30)

    def read_epoch(seed, epoch, augment=False):
        stream = batches.training_batches(prepared, BatchSettings((32, 64), 5, seed, augment), epoch)
        return np.concatenate([images.numpy() for images, _ in stream])

    assert np.array_equal(read_epoch(1, 0), read_epoch(1, 0))
    assert not np.array_equal(read_epoch(1, 0), read_epoch(1, 1))
    assert not np.array_equal(read_epoch(1, 0), read_epoch(2, 0))
    singles = [image for image, _ in batches.training_batches(prepared, BatchSettings((32, 64), 1, 1, False), 0)]
    assert len({image.numpy().tobytes() for image in singles}) == len(split_samples["train"])
    assert np.array_equal(read_epoch(1, 0, True), read_epoch(1, 0, True))
    assert not np.array_equal(read_epoch(1, 0, True), read_epoch(1, 0))


@pytest.mark.parametrize("augment", [False, True])
def test_a_batch_declares_the_size_of_its_images_by_which_a_training_step_is_compiled(scans, prepare, augment):
    _, prepared = prepare(scans)
    images, _ = batches.training_batches(prepared, BatchSettings((32, 64), 5, 1, augment), 0).element_spec
    assert images.shape[1:] == (32, 64, 1)


def test_training_shards_hold_labels_in_random_order(scans, prepare, tensorflow):
    """With sorted shards every epoch ends with one label, which cost three points of accuracy."""
    _, prepared = prepare(scans)
    ((_, targets),) = batches.ordered_batches(prepared, "train", (32, 64), 999)
    labels = targets["label"].numpy()
    changes = np.count_nonzero(np.diff(labels))
    assert 0.3 < changes / len(labels) < 0.7


def test_random_affine_moves_ink_and_keeps_most_of_it(tensorflow, signature):
    image = canonicalise(signature, IMAGING).image
    changed = batches.random_affine(tensorflow.constant(np.stack([image] * 32)), [3, 4]).numpy()
    assert changed.shape == (32, 32, 64, 1)
    assert changed.dtype == np.uint8
    assert len({augmented.tobytes() for augmented in changed}) == 32, "each image differs"
    amount = changed.reshape(32, -1).sum(axis=1) / image.sum()
    assert amount.min() > 0.25
    assert amount.max() < 4
