"""Copies beside the records: complete or absent, reused, and drawn as a share of the batches."""

import collections
import itertools
import shutil

import numpy as np
import pytest

from trainer import corpora, prepare
from trainer.data import batches, copies, image_index, records, splits, writer_batches
from trainer.data.batch_settings import BatchSettings
from trainer.data.dataset import read_run_data
from trainer.data.sampling import Sampling
from trainer.data.shards import read_shards
from trainer.generators import signatures as generator
from trainer.imaging import Imaging
from trainer.samples.amount import DatasetSpec
from trainer.settings import plugins
from trainer.settings.config import parse_config, read_config

IMAGING = Imaging(48, 96)
CANVAS = (48, 96)


def run_here(function, arguments, processes=None):
    """Run in this process what ``run_in_order`` runs in others."""
    return itertools.starmap(function, arguments)


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(copies, "run_in_order", run_here)


@pytest.fixture(scope="module")
def data(tmp_path_factory, tensorflow):
    """A folder of generated images of six writers, and records of them."""
    folder = tmp_path_factory.mktemp("data")
    for _ in generator.write_dataset(folder / "images", DatasetSpec("paired_folders", 6, 3, 1), seed=4):
        pass
    samples = corpora.read(folder / "images").samples
    index = image_index.build_image_index(samples, IMAGING, folder / "index")
    split_samples = splits.split_samples(samples, 0.2, 0.0, seed=1)
    spec = records.RecordsSpec(("genuine", "forged"), "digest", writer_in_one_shard=True)
    records.write(index, split_samples, folder / "records", spec)
    return folder


@pytest.fixture
def prepared(data, tmp_path):
    """Records without copies, in a folder of their own."""
    shutil.copytree(data / "records", tmp_path / "records")
    return records.read(tmp_path / "records")


@pytest.fixture
def handwriting(data):
    """Samples of a folder of which no writer is known: six images, the last of them damaged."""
    folder = data / "handwriting"
    if not folder.is_dir():
        folder.mkdir()
        for number in range(5):
            (folder / f"w{number}x.png").write_bytes(generator.generate_image(9, number, "genuine", 0)[0])
        (folder / "w5x.png").write_bytes(b"no image")
    return corpora.read(folder, "handwriting").samples


@pytest.fixture(scope="module")
def copied(data, tmp_path_factory):
    """Copies in several small shards, which no test changes."""
    folder = shutil.copytree(data / "records", tmp_path_factory.mktemp("copied") / "records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "IMAGES_PER_SHARD", 50)
        patch.setattr(copies, "run_in_order", run_here)
        return copies.prepare_copies(records.read(folder), [], IMAGING, seed=3)


def read_all(copied: records.Records) -> list:
    return list(read_shards(copied.shard_paths("train"), CANVAS))


@pytest.mark.slow
def test_each_original_is_a_writer_with_genuine_and_forged_copies_whoever_makes_them(prepared, tmp_path, monkeypatch):
    copied = copies.prepare_copies(prepared, [], IMAGING, seed=3)
    images = read_all(copied)
    originals = prepared.counts["train"]["genuine"]
    assert copied.counts == {"train": {"genuine": 6 * originals, "forged": 5 * originals}}
    labels = collections.Counter((image.writer, image.label) for image in images)
    assert labels == {(writer, label): (6, 5)[label] for writer in range(originals) for label in (0, 1)}
    assert {image.corpus_index for image in images} == {0}
    shutil.rmtree(copied.folder)
    monkeypatch.setattr(copies, "run_in_order", run_here)
    for first, second in zip(images, read_all(copies.prepare_copies(prepared, [], IMAGING, seed=3)), strict=True):
        np.testing.assert_array_equal(first.image, second.image)
        assert first[1:] == second[1:]


def test_another_seed_gives_other_copies(prepared, copied, in_this_process):
    other = read_all(copies.prepare_copies(prepared, [], IMAGING, seed=4))
    assert {image.image.tobytes() for image in other} != {image.image.tobytes() for image in read_all(copied)}


def test_images_of_another_folder_are_copied_as_a_corpus_and_damaged_ones_are_counted(
    prepared, handwriting, in_this_process, caplog
):
    with caplog.at_level("INFO", "trainer"):
        copied = copies.prepare_copies(prepared, handwriting, IMAGING, seed=3)
    originals = prepared.counts["train"]["genuine"]
    counts = collections.Counter(image.corpus_index for image in read_all(copied))
    assert counts == {0: 11 * originals, 1: 11 * 5}
    assert f"{originals + 5} originals; 1 could not be traced" in caplog.text


def test_shards_have_even_sizes_and_hold_whole_writers(copied):
    writers = [[image.writer for image in read_shards([path], CANVAS)] for path in copied.shard_paths("train")]
    sizes = [len(shard) for shard in writers]
    assert len(sizes) > 2
    assert max(sizes) <= 55
    assert max(sizes) - min(sizes) <= 11
    assert sum(len(set(shard)) for shard in writers) == len(set.union(*map(set, writers)))


def test_existing_copies_are_reused_and_those_of_other_data_are_refused(prepared, handwriting, in_this_process):
    copied = copies.prepare_copies(prepared, [], IMAGING, seed=3)
    written = [path.stat().st_mtime_ns for path in sorted(copied.folder.iterdir())]
    assert copies.prepare_copies(prepared, [], IMAGING, seed=3) == copied
    assert [path.stat().st_mtime_ns for path in sorted(copied.folder.iterdir())] == written
    for arguments in (([], IMAGING, 4), (handwriting, IMAGING, 3), ([], Imaging(32, 64), 3)):
        with pytest.raises(records.RecordsChanged, match="prepare again"):
            copies.prepare_copies(prepared, *arguments)


def test_copies_are_complete_or_absent(prepared, monkeypatch, in_this_process):
    def stop_after_two(function, arguments, processes=None):
        yield from itertools.islice(run_here(function, arguments), 2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copies, "run_in_order", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            copies.prepare_copies(prepared, [], IMAGING, seed=3)
    assert not (prepared.folder / "copies").exists()
    assert copies.prepare_copies(prepared, [], IMAGING, seed=3).count_images("train")


def test_data_that_cannot_be_traced_is_an_error_that_says_what_helps(prepared, monkeypatch, in_this_process):
    monkeypatch.setattr(copies.copying, "make_copies", lambda *_: None)
    with pytest.raises(copies.TooFewCopies, match=r"0 of \d+ images .*--copies-share 0 to train"):
        copies.prepare_copies(prepared, [], IMAGING, seed=3)


def test_the_remedy_for_too_few_copies_works_in_the_same_job_dir(data, tmp_path, monkeypatch, in_this_process, capsys):
    monkeypatch.setattr(copies.copying, "make_copies", lambda *_: None)
    flags = ["--problem", "same_writer", "--init-from", "none", "--image-height", "48", "--image-width", "96"]
    flags += ["--train-dir", str(data / "images"), "--job-dir", str(tmp_path / "job"), "--batch-size", "16"]
    for _ in range(2):  # the second time the records are there
        assert prepare.main(flags) == 1
        assert "--copies-share 0" in capsys.readouterr().err
    assert prepare.main([*flags, "--copies-share", "0"]) == 0
    assert read_config(tmp_path / "job" / "config.toml").training.copies_share == 0


def test_the_images_to_copy_are_counted_and_folders_of_one_name_keep_their_writers_apart(
    prepared, data, tmp_path, monkeypatch, in_this_process, caplog
):
    for seed, (parent, split) in enumerate((("a", "train"), ("a", "test"), ("b", "train"))):
        folder = tmp_path / parent / "words" / split / "001"
        folder.mkdir(parents=True)
        for number in range(2):
            image, suffix = generator.generate_image(seed, 1, "genuine", number)
            (folder / f"{number}{suffix}").write_bytes(image)
    flags = ["--train-dir", str(data / "images"), "--layout", "writer_folders"]
    flags += [word for parent in "ab" for word in ("--copies-dir", str(tmp_path / parent / "words"))]
    problem = plugins.load("problems", "same_writer")
    monkeypatch.setattr(copies, "MAX_ORIGINALS", 3)
    with caplog.at_level("INFO", "trainer"):
        run_data = read_run_data(parse_config(flags, {}), problem, tmp_path)
        samples = run_data.list_copies_samples()
        copies.prepare_copies(prepared, samples, IMAGING, seed=3)
    assert {sample.split_unit for sample in samples} == {("words", "001"), ("words-2", "001")}
    assert "words: writer_folders, 2 images to copy; 2 in folders named validation or test are left out" in caplog.text
    assert "words-2: writer_folders, 2 images to copy" in caplog.text
    assert "3 of 4 images of --copies-dir are drawn" in caplog.text


def test_originals_are_spread_over_the_writers():
    writers = ["ann"] * 90 + ["bob"] * 6 + ["eve"] * 4
    drawn = copies.draw_originals(writers, 14, np.random.default_rng(2))
    assert collections.Counter(writers[position] for position in drawn) == {"ann": 5, "bob": 5, "eve": 4}
    assert drawn == sorted(set(drawn))
    assert len(copies.draw_originals(writers, 500, np.random.default_rng(2))) == 100
    assert drawn != copies.draw_originals(writers, 14, np.random.default_rng(3))


def read_batches(prepared, copied, share: float, epoch: int, augment: bool = False) -> list[np.ndarray]:
    settings = BatchSettings(CANVAS, 16, 5, augment, Sampling.WRITERS, copies=copied, copies_share=share)
    return [images.numpy() for images, _ in batches.training_batches(prepared, settings, epoch)]


def test_a_share_of_whole_batches_is_drawn_from_the_copies_and_epochs_are_as_long(prepared, copied, monkeypatch):
    monkeypatch.setattr(writer_batches, "memory_capacity", lambda canvas: 60)  # a part of the copies at a time
    known = {image.image.tobytes() for image in read_all(copied)}

    def count_copied(share):
        read = [batch for epoch in range(12) for batch in read_batches(prepared, copied, share, epoch)]
        is_copied = [[image.tobytes() in known for image in batch] for batch in read]
        assert all(len(set(images)) == 1 for images in is_copied), "a batch is of one kind"
        return sum(images[0] for images in is_copied), len(read)

    (none, total), (some, total_of_some), (every, total_of_every) = map(count_copied, (0.0, 0.5, 1.0))
    assert total == total_of_some == total_of_every
    assert (none, every) == (0, total)
    assert 0.3 * total < some < 0.7 * total


def test_batches_of_copies_follow_from_seed_and_epoch_and_leave_the_others_as_they_were(prepared, copied):
    first, again, following = (read_batches(prepared, copied, 0.5, epoch, augment=True) for epoch in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, following)
    without, unused = read_batches(prepared, None, 0.0, 1, True), read_batches(prepared, copied, 0.0, 1, True)
    np.testing.assert_array_equal(without, unused)
