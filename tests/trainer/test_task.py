"""The command as a whole: errors that name the remedy, and options that have their documented effect."""

import csv
import json
import shutil

import pytest

from tests.conftest import CLASSIFIER_FLAGS
from trainer import task
from trainer.artifact import manifest
from trainer.generators import signatures as generator
from trainer.samples.amount import DatasetSpec

pytestmark = pytest.mark.usefixtures("tensorflow")  # every command here trains, or fails just before


def run(capsys, *arguments) -> tuple[int, str]:
    """Train for one epoch: (exit status, output)."""
    status = task.main([*CLASSIFIER_FLAGS, "--epochs", "1", *map(str, arguments)])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


@pytest.mark.parametrize(
    ("folder", "message"),
    [("nowhere", "no folder"), ("empty", "holds no image"), ("one label", "at least 2 labels")],
)
def test_unusable_data_is_an_error_without_traceback_and_leaves_no_artefact(capsys, tmp_path, scans, folder, message):
    (tmp_path / "empty").mkdir()
    data = f"signature={scans}" if folder == "one label" else tmp_path / folder
    status, printed = run(capsys, "--train-dir", data, "--job-dir", tmp_path / "job")
    assert status == 1
    assert message in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "job" / "model").exists()


def test_more_than_two_labels_are_learnt_with_a_softmax(tensorflow, capsys, tmp_path):
    for label, writer in (("red", 1), ("green", 2), ("blue", 3)):
        for number in range(12):
            path = tmp_path / "data" / label / f"{number}x.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(generator.generate_image(1, writer, "genuine", number)[0])
    status, printed = run(capsys, "--train-dir", tmp_path / "data", "--job-dir", tmp_path / "job", "--batch-size", "8")
    assert status == 0, printed
    artifact_manifest = manifest.read(tmp_path / "job" / "model")
    assert artifact_manifest.labels == ["blue", "green", "red"]
    assert artifact_manifest.vector_size == 3


@pytest.mark.slow
def test_a_stream_joins_the_training_images_and_the_same_seed_streams_the_same(tensorflow, capsys, tmp_path, scans):
    def train(name, *flags):
        stream = ["--stream", "48", "--stream-repeats", "3", "--epochs", "2"]
        status, printed = run(capsys, "--train-dir", scans, *stream, "--job-dir", tmp_path / name, *flags)
        assert status == 0, printed
        return (tmp_path / name / "training.csv").read_text()

    first, again = train("first"), train("again")
    assert first == again
    assert first != train("other", "--seed", "8")


def test_a_stream_without_the_labels_of_the_data_is_refused(tensorflow, capsys, tmp_path, scans):
    for label, folder in (("red", "signature"), ("text", "text")):
        shutil.copytree(scans / folder, tmp_path / "data" / label)
    status, printed = run(capsys, "--train-dir", tmp_path / "data", "--stream", "48", "--job-dir", tmp_path / "job")
    assert status == 1
    assert "red" in printed
    assert "signature, text, other" in printed


def test_repeats_without_a_stream_are_refused(capsys, scans):
    status, printed = run(capsys, "--train-dir", scans, "--stream-repeats", "4")
    assert status == 1
    assert "add --stream" in printed


def test_a_stream_for_a_loss_that_compares_writers_is_refused(capsys, tmp_path, scans):
    status, printed = run(capsys, "--train-dir", scans, "--problem", "same_writer", "--stream", "48")
    assert status == 1
    assert "compares" in printed


def test_copies_for_a_loss_that_compares_no_images_are_refused(capsys, scans):
    status, printed = run(capsys, "--train-dir", scans, "--copies-share", "0.3")
    assert status == 1
    assert "--copies-share 0.3: the loss cross_entropy compares no images" in printed


def test_a_folder_to_copy_without_a_share_of_copies_is_refused(capsys, scans):
    flags = ("--problem", "same_writer", "--copies-share", "0", "--copies-dir", scans)
    status, printed = run(capsys, "--train-dir", scans, *flags)
    assert status == 1
    assert "give a --copies-share above 0" in printed


def test_a_folder_to_copy_that_holds_training_images_is_refused(tensorflow, capsys, tmp_path, verification_data):
    flags = ("--problem", "same_writer", "--copies-dir", verification_data, "--job-dir", tmp_path / "job")
    status, printed = run(capsys, "--train-dir", verification_data, *flags)
    assert status == 1
    assert "is in two of the given folders" in printed


def test_forgeries_of_a_closed_set_are_learnt_from_paired_folders(tensorflow, capsys, tmp_path):
    for _ in generator.write_dataset(tmp_path / "data", DatasetSpec("paired_folders", 3, 8, 8), seed=2):
        pass
    arguments = ("--problem", "genuine_vs_forged", "--train-dir", tmp_path / "data", "--job-dir", tmp_path / "job")
    status, printed = run(capsys, *arguments)
    assert status == 0, printed
    assert manifest.read(tmp_path / "job" / "model").labels == ["forged", "genuine"]


def test_a_test_dir_is_the_test_split_and_a_model_dir_gets_the_artefact(capsys, tmp_path, scans, monkeypatch):
    monkeypatch.setenv("CLOUD_ML_TRIAL_ID", "7")  # the run is a trial of a hyperparameter tuning job
    monkeypatch.setenv("CLOUD_ML_HP_METRIC_FILE", str(tmp_path / "output.metrics"))
    for _ in generator.write_dataset(tmp_path / "unseen", DatasetSpec(writers=3, genuine=2, forged=1, text=3), seed=77):
        pass
    tensorboard_dir = tmp_path / "tensorboard"
    data = ("--train-dir", scans, "--test-dir", tmp_path / "unseen")
    folders = ("--job-dir", tmp_path / "job", "--model-dir", tmp_path / "published")
    options = ("--tensorboard-dir", tensorboard_dir, "--no-augment", "--verbose")
    status, printed = run(capsys, *data, *folders, *options)
    assert status == 0, printed
    assert manifest.read(tmp_path / "published").metrics["images"] == 18
    assert not (tmp_path / "job" / "7" / "model").exists()
    assert list(tensorboard_dir.glob("events.out.tfevents.*"))
    log = (tmp_path / "job" / "7" / "log.txt").read_text()
    for text in ("conv1 (Conv2D)", "tensorflow 2.", "prepare took", "train took", "export took", "evaluate took"):
        assert text in printed
        assert text in log
    (row,) = csv.DictReader((tmp_path / "job" / "7" / "training.csv").read_text().splitlines())
    assert set(row) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    metrics = [json.loads(line) for line in (tmp_path / "output.metrics").read_text().splitlines()]
    losses = [(entry["global_step"], float(entry["val_loss"])) for entry in metrics if "val_loss" in entry]
    assert losses == [("1", pytest.approx(float(row["val_loss"])))] * 2, "after the epoch, and for the exported weights"


def test_the_error_for_a_batch_larger_than_the_data_names_the_flag(capsys, tmp_path, scans):
    status, printed = run(capsys, "--train-dir", scans, "--job-dir", tmp_path / "job", "--batch-size", "5000")
    assert status == 1
    assert "--batch-size" in printed


def test_checkpoints_of_another_run_are_refused(capsys, tmp_path, scans):
    common = ("--train-dir", scans, "--checkpoint-dir", tmp_path / "checkpoints")
    assert run(capsys, *common, "--job-dir", tmp_path / "first")[0] == 0
    status, printed = run(capsys, *common, "--job-dir", tmp_path / "second", "--seed", "9")
    assert status == 1
    assert "another run" in printed
    assert not (tmp_path / "second" / "model").exists()


def test_the_same_folder_cannot_train_and_test(capsys, tmp_path, scans):
    status, printed = run(capsys, "--train-dir", scans, "--test-dir", scans, "--job-dir", tmp_path / "job")
    assert status == 1
    assert "two of the given folders" in printed


def test_the_error_for_an_untrained_test_label_suggests_the_nearest(capsys, tmp_path, scans):
    for label in ("Signature", "text"):
        (tmp_path / "unseen" / label).mkdir(parents=True)
        (tmp_path / "unseen" / label / "a.png").write_bytes(
            generator.generate_image(1, 1, "text", 0)[0] + label.encode()
        )
    status, printed = run(
        capsys, "--train-dir", scans, "--test-dir", tmp_path / "unseen", "--job-dir", tmp_path / "job"
    )
    assert status == 1
    assert "did you mean 'signature'" in printed


def test_a_label_whose_images_cannot_be_read_is_not_trained_without(capsys, tmp_path):
    for number in range(12):
        for label, data in (("signature", generator.generate_image(1, 1, "genuine", number)[0]), ("text", b"damaged")):
            path = tmp_path / "data" / label / f"{number}x.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    status, printed = run(capsys, "--train-dir", tmp_path / "data", "--job-dir", tmp_path / "job", "--batch-size", "2")
    assert status == 1
    assert "no 'text' image is left" in printed


def test_strict_refuses_an_unreadable_test_image(capsys, tmp_path, scans):
    (tmp_path / "unseen" / "text").mkdir(parents=True)
    (tmp_path / "unseen" / "signature").mkdir()
    (tmp_path / "unseen" / "text" / "good.png").write_bytes(generator.generate_image(1, 1, "text", 0)[0])
    (tmp_path / "unseen" / "signature" / "bad.png").write_bytes(b"bad")
    common = ("--train-dir", scans, "--test-dir", tmp_path / "unseen")
    status, printed = run(capsys, *common, "--strict", "--job-dir", tmp_path / "strict")
    assert status == 1
    assert "bad.png" in printed
    assert not (tmp_path / "strict" / "model").exists()
    status, printed = run(capsys, *common, "--job-dir", tmp_path / "lenient")
    assert status == 0
    assert "bad.png" in (tmp_path / "lenient" / "report" / "report.md").read_text()
