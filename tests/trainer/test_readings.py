"""A split that folders say is kept: what is trained on, validated with, tested with, left out, and refused."""

import functools
import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import SMALL_RUN
from trainer import prepare
from trainer.data import records
from trainer.samples import generator
from trainer.samples.amount import Amount

GENUINE_ONLY = Amount("writer_folders", writers=9, genuine=4)


image = functools.cache(generator.image)


def write(folder: Path, *people: int) -> None:
    """Two signatures and two words of each of these people, in class folders."""
    for writer in people:
        for label, kind in (("signature", "genuine"), ("text", "text")):
            for number in range(2):
                data, suffix = image(3, writer, kind, number)
                path = folder / label / f"{writer:03d}_{number}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)


@pytest.fixture
def run(tmp_path, capsys):
    """``run(flags...)`` prepares a job: (exit status, what was printed)."""

    def prepared(*flags):
        status = prepare.main([*SMALL_RUN, "--job-dir", str(tmp_path / "job"), *map(str, flags)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return prepared


def of_job(tmp_path) -> records.Records:
    return records.read(tmp_path / "job" / "records")


def test_train_val_and_test_folders_are_the_parts_and_predict_is_left_out(tmp_path, run):
    data = tmp_path / "data"
    for part, people in {"train": (1, 2, 3, 4), "Val": (5,), "test": (6, 7), "predict": (8,)}.items():
        write(data / part, *people)
    status, printed = run("--train-dir", data)
    assert status == 0, printed
    assert "parts as its folders say: 16 train, 4 validation, 8 test" in printed
    assert "4 images to predict are left out" in printed
    found = of_job(tmp_path)
    assert found.counts == {"train": {"signature": 8, "text": 8}, "validation": {"signature": 2, "text": 2}}
    assert {name.split("/")[0] for _, name in found.unseen} == {"test"}
    assert len(found.unseen) == 8
    assert found.sources[0]["parts"] == {"train": 16, "validation": 4, "test": 8}
    assert found.sources[0]["predict"] == 4


def test_without_a_folder_for_validation_it_is_drawn_from_train_by_writer(tmp_path, run):
    write(tmp_path / "data" / "train", *range(1, 9))
    write(tmp_path / "data" / "test", 9)
    status, printed = run("--train-dir", tmp_path / "data")
    assert status == 0, printed
    found = of_job(tmp_path)
    assert {name for _, name in found.unseen} == {
        path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data" / "test").rglob("*.*")
    }
    assert found.images("train") + found.images("validation") == 32
    assert 0 < found.images("validation") < found.images("train")


def test_with_a_folder_for_validation_alone_the_test_part_is_drawn_from_the_rest(tmp_path, run):
    write(tmp_path / "data" / "train", *range(1, 9))
    write(tmp_path / "data" / "validation", 9)
    status, printed = run("--train-dir", tmp_path / "data")
    assert status == 0, printed
    found = of_job(tmp_path)
    assert found.images("validation") == 4
    assert {name.split("/")[0] for _, name in found.unseen} == {"train"}
    assert found.images("train") + len(found.unseen) == 32


def test_a_test_folder_and_a_test_dir_are_an_error_that_says_which_to_drop(tmp_path, run):
    write(tmp_path / "data" / "train", *range(1, 9))
    write(tmp_path / "data" / "test", 9)
    write(tmp_path / "unseen", 10)
    status, printed = run("--train-dir", tmp_path / "data", "--test-dir", tmp_path / "unseen")
    assert status == 1
    assert "drop --test-dir" in printed
    status, printed = run("--train-dir", tmp_path / "unseen", "--test-dir", tmp_path / "data")
    assert status == 1
    assert "folders of parts (train and test)" in printed
    assert not (tmp_path / "job" / "records").exists()


def test_parts_without_anything_to_learn_from_are_an_error(tmp_path, run):
    write(tmp_path / "data" / "test", *range(1, 4))
    write(tmp_path / "data" / "val", 4)
    status, printed = run("--train-dir", tmp_path / "data")
    assert status == 1
    assert "no image is left to learn from" in printed


def test_a_validation_folder_that_lacks_a_label_is_named(tmp_path, run):
    write(tmp_path / "data" / "train", *range(1, 9))
    write(tmp_path / "data" / "val", 9)
    for path in (tmp_path / "data" / "val" / "text").iterdir():
        path.unlink()
    status, printed = run("--train-dir", tmp_path / "data")
    assert status == 1
    assert "folders of the validation part hold no 'text'" in printed


def test_copies_and_writers_that_cross_the_folders_are_found(tmp_path, run):
    data = tmp_path / "data"
    write(data / "train", *range(1, 9))
    write(data / "test", 8, 9)
    status, printed = run("--train-dir", data)
    assert status == 1
    assert "repeat images of the test part" in printed
    status, printed = run("--train-dir", data, "--drop-duplicates")
    assert status == 0, printed
    codes = {finding["code"] for finding in json.loads((tmp_path / "job" / "audit.json").read_text())["findings"]}
    assert {"duplicates_across_parts", "writers_across_parts"} <= codes


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Folders 001 to 009 of genuine signatures, without forgeries."""
    folder = tmp_path_factory.mktemp("data") / "people"
    for _ in generator.write(folder, GENUINE_ONLY, seed=4):
        pass
    return folder


def test_folders_of_persons_without_forgeries_are_data_to_compare_hands(tmp_path, run, people):
    hands = ("--problem", "same_writer", "--batch-size", "16", "--test-fraction", "0.25")
    status, printed = run("--train-dir", people, *hands)
    assert status == 0, printed
    found = of_job(tmp_path)
    assert found.labels == ("genuine", "forged")
    assert sum(count["forged"] for count in found.counts.values()) == 0


@pytest.mark.parametrize("problem", ["genuine_vs_forged", "signature_vs_text"])
def test_folders_of_persons_are_no_classes_unless_the_layout_says_so(tmp_path, run, people, problem):
    status, printed = run("--train-dir", people, "--problem", problem)
    assert status == 1
    assert "read as writer_folders" in printed
    assert "001_forg" in printed
    assert "--layout class_folders" in printed


def test_folders_of_persons_are_classes_where_the_layout_says_so(tmp_path, run, people):
    status, printed = run("--train-dir", people, "--problem", "genuine_vs_forged", "--layout", "class_folders")
    assert status == 0, printed
    assert of_job(tmp_path).labels == tuple(f"{number:03d}" for number in range(1, 10))


def test_few_folders_of_persons_are_data_to_compare_hands_where_the_layout_says_so(tmp_path, run, people):
    for number in range(1, 6):
        shutil.copytree(people / f"{number:03d}", tmp_path / "few" / f"{number:03d}")
    hands = ("--problem", "same_writer", "--batch-size", "16", "--train-dir", tmp_path / "few")
    status, printed = run(*hands)
    assert status == 1
    assert "--layout writer_folders" in printed
    status, printed = run(*hands, "--layout", "writer_folders", "--test-fraction", "0.4")
    assert status == 0, printed
