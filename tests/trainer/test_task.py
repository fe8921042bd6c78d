"""The command as a whole: errors that say what to do, and options that do what they say."""

import csv
import json

import pytest

from tests.conftest import SMALL_RUN
from trainer import task
from trainer.artifact import manifest
from trainer.samples import generator
from trainer.samples.amount import Amount

pytestmark = pytest.mark.usefixtures("tensorflow")  # every command here trains, or is refused when it would


def run(capsys, *arguments) -> tuple[int, str]:
    status = task.main([*SMALL_RUN, "--epochs", "1", *map(str, arguments)])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


@pytest.mark.parametrize(
    ("folder", "says"),
    [("nowhere", "no folder"), ("empty", "holds no image"), ("one", "at least 2 labels")],
)
def test_unusable_data_is_one_sentence_and_leaves_no_artefact(capsys, tmp_path, scans, folder, says):
    (tmp_path / "empty").mkdir()
    place = f"signature={scans}" if folder == "one" else tmp_path / folder
    status, printed = run(capsys, "--train-dir", place, "--job-dir", tmp_path / "job")
    assert status == 1
    assert says in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "job" / "model").exists()


def test_more_classes_than_two_are_learnt_with_a_softmax(tensorflow, capsys, tmp_path):
    for label, writer in (("red", 1), ("green", 2), ("blue", 3)):
        for number in range(12):
            path = tmp_path / "data" / label / f"{number}x.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(generator.image(1, writer, "genuine", number)[0])
    status, printed = run(capsys, "--train-dir", tmp_path / "data", "--job-dir", tmp_path / "job", "--batch-size", "8")
    assert status == 0, printed
    described = manifest.read(tmp_path / "job" / "model")
    assert described.labels == ["blue", "green", "red"]
    assert described.vector_size == 3


def test_people_of_a_closed_set_are_learnt_from_paired_folders(tensorflow, capsys, tmp_path):
    for _ in generator.write(tmp_path / "data", Amount("paired_folders", 3, 8, 8), seed=2):
        pass
    arguments = ("--problem", "genuine_vs_forged", "--train-dir", tmp_path / "data", "--job-dir", tmp_path / "job")
    status, printed = run(capsys, *arguments)
    assert status == 0, printed
    assert manifest.read(tmp_path / "job" / "model").labels == ["forged", "genuine"]


def test_a_test_dir_is_the_unseen_part_and_a_model_dir_takes_the_artefact(capsys, tmp_path, scans, monkeypatch):
    monkeypatch.setenv("CLOUD_ML_TRIAL_ID", "7")  # and it is a trial of a study
    monkeypatch.setenv("CLOUD_ML_HP_METRIC_FILE", str(tmp_path / "output.metrics"))
    for _ in generator.write(tmp_path / "unseen", Amount(writers=3, genuine=2, forged=1, text=3), seed=77):
        pass
    board = tmp_path / "board"
    status, printed = run(
        capsys, "--train-dir", scans, "--test-dir", tmp_path / "unseen", "--job-dir", tmp_path / "job",
        "--model-dir", tmp_path / "published", "--tensorboard-dir", board, "--no-augment", "--verbose",
    )  # fmt: skip
    assert status == 0, printed
    assert manifest.read(tmp_path / "published").metrics["images"] == 18
    assert not (tmp_path / "job" / "7" / "model").exists()
    assert list(board.glob("events.out.tfevents.*"))
    kept = (tmp_path / "job" / "7" / "log.txt").read_text()
    for more in ("conv1 (Conv2D)", "tensorflow 2.", "prepare took", "train took", "export took", "evaluate took"):
        assert more in printed
        assert more in kept
    (row,) = csv.DictReader((tmp_path / "job" / "7" / "training.csv").read_text().splitlines())
    assert set(row) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    told = [json.loads(line) for line in (tmp_path / "output.metrics").read_text().splitlines()]
    losses = [(one["global_step"], float(one["val_loss"])) for one in told if "val_loss" in one]
    assert losses == [("1", pytest.approx(float(row["val_loss"])))] * 2, "after the epoch, and for what is exported"


def test_a_batch_larger_than_the_data_is_refused_with_the_flag_to_change(capsys, tmp_path, scans):
    status, printed = run(capsys, "--train-dir", scans, "--job-dir", tmp_path / "job", "--batch-size", "5000")
    assert status == 1
    assert "--batch-size" in printed


def test_checkpoints_of_another_run_are_not_taken_for_ours(capsys, tmp_path, scans):
    shared = ("--train-dir", scans, "--checkpoint-dir", tmp_path / "checkpoints")
    assert run(capsys, *shared, "--job-dir", tmp_path / "one")[0] == 0
    status, printed = run(capsys, *shared, "--job-dir", tmp_path / "two", "--seed", "9")
    assert status == 1
    assert "another run" in printed
    assert not (tmp_path / "two" / "model").exists()


def test_the_same_folder_cannot_train_and_test(capsys, tmp_path, scans):
    status, printed = run(capsys, "--train-dir", scans, "--test-dir", scans, "--job-dir", tmp_path / "job")
    assert status == 1
    assert "two of the given folders" in printed


def test_a_test_label_nobody_trained_is_named_with_the_nearest(capsys, tmp_path, scans):
    for label in ("Signature", "text"):
        (tmp_path / "unseen" / label).mkdir(parents=True)
        (tmp_path / "unseen" / label / "a.png").write_bytes(generator.image(1, 1, "text", 0)[0] + label.encode())
    status, printed = run(
        capsys, "--train-dir", scans, "--test-dir", tmp_path / "unseen", "--job-dir", tmp_path / "job"
    )
    assert status == 1
    assert "did you mean 'signature'" in printed


def test_a_label_whose_images_cannot_be_read_is_not_trained_without(capsys, tmp_path):
    for number in range(12):
        for label, data in (("signature", generator.image(1, 1, "genuine", number)[0]), ("text", b"damaged")):
            path = tmp_path / "data" / label / f"{number}x.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    status, printed = run(capsys, "--train-dir", tmp_path / "data", "--job-dir", tmp_path / "job", "--batch-size", "2")
    assert status == 1
    assert "no 'text' image is left" in printed


def test_strict_refuses_an_unreadable_test_image(capsys, tmp_path, scans):
    (tmp_path / "unseen" / "text").mkdir(parents=True)
    (tmp_path / "unseen" / "signature").mkdir()
    (tmp_path / "unseen" / "text" / "good.png").write_bytes(generator.image(1, 1, "text", 0)[0])
    (tmp_path / "unseen" / "signature" / "bad.png").write_bytes(b"bad")
    common = ("--train-dir", scans, "--test-dir", tmp_path / "unseen")
    status, printed = run(capsys, *common, "--strict", "--job-dir", tmp_path / "strict")
    assert status == 1
    assert "bad.png" in printed
    assert not (tmp_path / "strict" / "model").exists()
    status, printed = run(capsys, *common, "--job-dir", tmp_path / "lenient")
    assert status == 0
    assert "bad.png" in (tmp_path / "lenient" / "report" / "report.md").read_text()
