"""Splits declared by folders: what is trained on, validated with, tested with, left out, and refused."""

import functools
import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import CLASSIFIER_FLAGS
from trainer import prepare
from trainer.data import records
from trainer.generators import signatures as generator
from trainer.samples.amount import DatasetSpec

GENUINE_ONLY = DatasetSpec("writer_folders", writers=9, genuine=6)


generate_image = functools.cache(generator.generate_image)


def write_images(folder: Path, *writers: int) -> None:
    """Write two signatures and two words of each writer, in class folders."""
    for writer in writers:
        for label, kind in (("signature", "genuine"), ("text", "text")):
            for number in range(2):
                data, suffix = generate_image(3, writer, kind, number)
                path = folder / label / f"{writer:03d}_{number}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)


@pytest.fixture
def run(tmp_path, capsys):
    """``run(flags...)`` prepares the records of a job: (exit status, output)."""

    def prepare_job(*flags):
        status = prepare.main([*CLASSIFIER_FLAGS, "--job-dir", str(tmp_path / "job"), *map(str, flags)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return prepare_job


def read_records(tmp_path) -> records.Records:
    return records.read(tmp_path / "job" / "records")


def test_train_val_and_test_folders_are_the_splits_and_predict_is_left_out(tmp_path, run):
    data = tmp_path / "data"
    for split, writers in {"train": (1, 2, 3, 4), "Val": (5,), "test": (6, 7), "predict": (8,)}.items():
        write_images(data / split, *writers)
    status, printed = run("--train-dir", data)
    assert status == 0, printed
    assert "splits by folder names: 16 train, 4 validation, 8 test" in printed
    assert "4 images in folders named predict are left out" in printed
    written = read_records(tmp_path)
    assert written.counts == {"train": {"signature": 8, "text": 8}, "validation": {"signature": 2, "text": 2}}
    assert {name.split("/")[0] for _, name in written.test_images} == {"test"}
    assert len(written.test_images) == 8
    assert written.data_sources[0]["splits"] == {"train": 16, "validation": 4, "test": 8}
    assert written.data_sources[0]["predict"] == 4


def test_without_a_folder_for_validation_it_is_drawn_from_train_by_writer(tmp_path, run):
    write_images(tmp_path / "data" / "train", *range(1, 9))
    write_images(tmp_path / "data" / "test", 9)
    status, printed = run("--train-dir", tmp_path / "data")
    assert status == 0, printed
    written = read_records(tmp_path)
    assert {name for _, name in written.test_images} == {
        path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data" / "test").rglob("*.*")
    }
    assert written.count_images("train") + written.count_images("validation") == 32
    assert 0 < written.count_images("validation") < written.count_images("train")


def test_with_a_folder_for_validation_alone_the_test_split_is_drawn_from_the_rest(tmp_path, run):
    write_images(tmp_path / "data" / "train", *range(1, 9))
    write_images(tmp_path / "data" / "validation", 9)
    status, printed = run("--train-dir", tmp_path / "data")
    assert status == 0, printed
    written = read_records(tmp_path)
    assert written.count_images("validation") == 4
    assert {name.split("/")[0] for _, name in written.test_images} == {"train"}
    assert written.count_images("train") + len(written.test_images) == 32


def test_a_test_folder_and_a_test_dir_are_an_error_that_names_the_flag_to_drop(tmp_path, run):
    write_images(tmp_path / "data" / "train", *range(1, 9))
    write_images(tmp_path / "data" / "test", 9)
    write_images(tmp_path / "unseen", 10)
    status, printed = run("--train-dir", tmp_path / "data", "--test-dir", tmp_path / "unseen")
    assert status == 1
    assert "drop --test-dir" in printed
    status, printed = run("--train-dir", tmp_path / "unseen", "--test-dir", tmp_path / "data")
    assert status == 1
    assert "folders of splits (train and test)" in printed
    assert not (tmp_path / "job" / "records").exists()


def test_splits_without_a_train_split_are_an_error(tmp_path, run):
    write_images(tmp_path / "data" / "test", *range(1, 4))
    write_images(tmp_path / "data" / "val", 4)
    status, printed = run("--train-dir", tmp_path / "data")
    assert status == 1
    assert "no image is left to train on" in printed


def test_the_error_for_a_validation_folder_that_lacks_a_label_names_it(tmp_path, run):
    write_images(tmp_path / "data" / "train", *range(1, 9))
    write_images(tmp_path / "data" / "val", 9)
    for path in (tmp_path / "data" / "val" / "text").iterdir():
        path.unlink()
    status, printed = run("--train-dir", tmp_path / "data")
    assert status == 1
    assert "folders of the validation split hold no 'text'" in printed


def test_duplicates_and_writers_in_two_folders_of_splits_are_detected(tmp_path, run):
    data = tmp_path / "data"
    write_images(data / "train", *range(1, 9))
    write_images(data / "test", 8, 9)
    status, printed = run("--train-dir", data)
    assert status == 1
    assert "repeat images of the test split" in printed
    status, printed = run("--train-dir", data, "--drop-duplicates")
    assert status == 0, printed
    codes = {finding["code"] for finding in json.loads((tmp_path / "job" / "audit.json").read_text())["findings"]}
    assert {"duplicates_across_parts", "writers_across_parts"} <= codes


@pytest.fixture(scope="module")
def writer_folders(tmp_path_factory):
    """Folders 001 to 009 of genuine signatures, without forgeries."""
    folder = tmp_path_factory.mktemp("data") / "writers"
    for _ in generator.write_dataset(folder, GENUINE_ONLY, seed=4):
        pass
    return folder


def test_folders_of_writers_without_forgeries_can_train_a_verifier(tmp_path, run, writer_folders):
    verification_flags = ("--problem", "same_writer", "--batch-size", "16", "--test-fraction", "0.25")
    status, printed = run("--train-dir", writer_folders, *verification_flags)
    assert status == 0, printed
    written = read_records(tmp_path)
    assert written.labels == ("genuine", "forged")
    assert sum(count["forged"] for count in written.counts.values()) == 0


@pytest.mark.parametrize("problem", ["genuine_vs_forged", "signature_vs_text"])
def test_folders_of_writers_are_no_labels_unless_the_layout_is_named(tmp_path, run, writer_folders, problem):
    status, printed = run("--train-dir", writer_folders, "--problem", problem)
    assert status == 1
    assert "read as writer_folders" in printed
    assert "001_forg" in printed
    assert "--layout class_folders" in printed


def test_folders_of_writers_are_labels_where_the_layout_is_named(tmp_path, run, writer_folders):
    status, printed = run("--train-dir", writer_folders, "--problem", "genuine_vs_forged", "--layout", "class_folders")
    assert status == 0, printed
    assert read_records(tmp_path).labels == tuple(f"{number:03d}" for number in range(1, 10))


def test_few_folders_of_writers_can_train_a_verifier_where_the_layout_is_named(tmp_path, run, writer_folders):
    for number in range(1, 6):
        shutil.copytree(writer_folders / f"{number:03d}", tmp_path / "few" / f"{number:03d}")
    verification_flags = ("--problem", "same_writer", "--batch-size", "16", "--train-dir", tmp_path / "few")
    status, printed = run(*verification_flags)
    assert status == 1
    assert "--layout writer_folders" in printed
    status, printed = run(*verification_flags, "--layout", "writer_folders", "--test-fraction", "0.4")
    assert status == 0, printed
