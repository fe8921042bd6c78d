"""The training loop: when it stops, what it keeps, and that several devices learn what one learns."""

import dataclasses
import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.conftest import CLASSIFIER_FLAGS, ROOT
from trainer.data import records
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import plugins
from trainer.settings.config import parse_config
from trainer.training import loop
from trainer.training.checkpoints import CheckpointConflict
from trainer.training.network import FEATURES_LAYER

PROBLEM = plugins.load("problems", "signature_vs_text")


def make_problem(losses: list[float]):
    """A problem whose validation losses are these, one for each epoch, whatever the model predicts."""
    remaining = list(losses)
    return dataclasses.replace(PROBLEM, validation_metrics=lambda *_: {"val_loss": remaining.pop(0)})


@pytest.fixture
def fit(run_dir, tmp_path):
    """``fit([0.5, 0.4], "--patience", "2")`` trains a linear model on prepared records, always in the same folder."""

    def build_linear_model():
        images = keras.Input((32, 64, 1), dtype="uint8")
        pixels = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
        return keras.Model(images, PROBLEM.head(keras.layers.Identity(name=FEATURES_LAYER)(pixels), 2, 0))

    def run(losses: list[float], *flags: str, callbacks=()):
        settings = resolve_settings(parse_config([*CLASSIFIER_FLAGS, *flags], {}), PROBLEM)
        prepared = records.read(run_dir / "records")
        spec = loop.TrainingSpec(make_problem(losses), build_linear_model, prepared, settings.training)
        return loop.fit(spec, tmp_path / "checkpoints", tmp_path / "training.csv", callbacks)

    return run


class Snapshots(keras.callbacks.Callback):
    """Keep the weights after each epoch; interrupt the training after ``last`` epochs, as a kill would."""

    def __init__(self, last: int = 1000):
        super().__init__()
        self.last, self.weights = last, []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())
        if len(self.weights) == self.last:
            raise KeyboardInterrupt


def test_training_stops_when_validation_does_not_improve_and_returns_the_best_weights(fit, capsys):
    snapshots = Snapshots()
    result = fit([0.9, 0.5, 0.7, 0.6], "--epochs", "20", "--patience", "2", callbacks=[snapshots])
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]
    assert "stopped after epoch 4, 2 epochs after epoch 2, the best by val_loss" in capsys.readouterr().out
    assert result.best_epoch == 2
    assert all(map(np.array_equal, result.model.get_weights(), snapshots.weights[1]))
    assert not all(map(np.array_equal, result.model.get_weights(), snapshots.weights[3]))


def test_an_equal_loss_is_no_improvement_and_a_lower_loss_restarts_the_patience(fit):
    result = fit([0.2, 0.3, *[0.1] * 9], "--epochs", "20", "--patience", "2")
    assert (result.best_epoch, len(result.history)) == (3, 5)


def test_with_a_tolerance_the_last_epoch_near_the_lowest_loss_is_the_best(fit, monkeypatch):
    """Its weights, too; the patience counts from it."""
    monkeypatch.setattr(sys.modules[__name__], "PROBLEM", dataclasses.replace(PROBLEM, monitor_tolerance=0.25))
    snapshots = Snapshots()
    result = fit([10.0, 9.0, 11.0, 12.0, 13.0], "--epochs", "20", "--patience", "2", callbacks=[snapshots])
    assert (result.best_epoch, len(result.history)) == (3, 5)
    assert all(map(np.array_equal, result.model.get_weights(), snapshots.weights[2]))


def test_patience_0_trains_every_epoch(fit, capsys):
    assert len(fit([0.1, 1.0, 1.0], "--epochs", "3", "--patience", "0").history) == 3
    assert "stopped" not in capsys.readouterr().out


def test_an_interrupted_run_continues_to_count_its_patience(fit, capsys):
    flags = ("--epochs", "20", "--patience", "2")
    with pytest.raises(KeyboardInterrupt):
        fit([0.5, 0.6], *flags, callbacks=[Snapshots(last=2)])
    result = fit([0.6], *flags)
    assert (result.best_epoch, len(result.history)) == (1, 3)
    assert fit([], *flags).history == result.history, "a run that has stopped is not trained further"
    assert capsys.readouterr().out.count("stopped after epoch 3") == 2


def test_checkpoints_of_the_release_before_are_continued(fit, tmp_path):
    flags = ("--epochs", "3", "--patience", "0")
    with pytest.raises(KeyboardInterrupt):
        fit([0.5, 0.4], *flags, callbacks=[Snapshots(last=2)])
    (path,) = tmp_path.rglob("run.json")
    identity = json.loads(path.read_text())
    old_names = {"ema_decay": "averaging", "dtype_policy": "precision"}
    old_names |= {"data_digest": "source", "imaging_fingerprint": "imaging"}
    old_identity = {old_names.get(name, name): value for name, value in identity.items()}
    assert (old_identity.pop("copies_share"), old_identity.pop("init_from")) == (0.0, ""), "off, and unknown before"
    path.write_text(json.dumps(old_identity))
    assert len(fit([0.3], *flags).history) == 3, "one epoch more than before the interruption"
    assert json.loads(path.read_text()) == identity


def test_checkpoints_with_other_copies_are_those_of_another_run(run_dir, tmp_path):
    settings = resolve_settings(parse_config(CLASSIFIER_FLAGS, {}), PROBLEM).training
    prepared = records.read(run_dir / "records")

    def claim(copies_digest):
        copies = dataclasses.replace(prepared, data_digest=copies_digest)
        loop._claim_checkpoints(tmp_path, loop.TrainingSpec(PROBLEM, None, prepared, settings, copies=copies))

    claim("first")
    claim("first")
    with pytest.raises(CheckpointConflict, match="different: copies_digest"):
        claim("second")


def test_epochs_with_a_frozen_backbone_do_not_count_for_the_patience(fit):
    result = fit([0.5, 0.6, 0.6], "--epochs", "20", "--patience", "1", "--frozen-epochs", "2")
    assert len(result.history) == 3, "one epoch after the backbone is trained"


@pytest.mark.parametrize("name", plugins.list_names("problems"))
def test_every_problem_stops_by_default_and_0_means_never(name):
    problem = plugins.load("problems", name)
    patience, never = (
        resolve_settings(parse_config(["--problem", name, *flags], {}), problem).training.patience
        for flags in ((), ("--patience", "0"))
    )
    assert 0 < patience < problem.defaults["epochs"]
    assert never == 0


PROGRAM = """
import json, sys
from pathlib import Path
from trainer.console import quiet
tf = quiet.import_tensorflow()
folder, data = Path(sys.argv[1]), Path(sys.argv[2])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from trainer import corpora
from trainer.data import image_index, records, splits
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import plugins
from trainer.settings.config import parse_config
from trainer.training import loop, network
imaging, labels = Imaging(32, 64), ("signature", "text")
samples = corpora.read(data).samples
index = image_index.build_image_index(samples, imaging, folder / "index")
prepared = records.write(
    index, splits.split_samples(samples, 0.3, 0.0, 1), folder / "records", records.RecordsSpec(labels, "digest")
)
problem = plugins.load("problems", "signature_vs_text")
flags = ["--epochs", "2", "--batch-size", "16", "--dropout", "0", "--image-height", "32", "--image-width", "64"]
config = resolve_settings(parse_config(flags, {}), problem)
spec = loop.TrainingSpec(
    problem, lambda: network.build_model(config.model, imaging, labels), prepared, config.training
)
strategies = {"one": None, "two": tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])}
results = [
    loop.fit(spec, folder / name / "checkpoints", folder / name / "training.csv", strategy=strategy)
    for name, strategy in strategies.items()
]
print(json.dumps([result.history for result in results]))
"""


@pytest.mark.whole
def test_two_devices_learn_what_one_device_learns(scans, tmp_path):
    """In a process of its own, whose processor counts as two devices."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(scans)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert process.returncode == 0, process.stderr[-3000:]
    on_one_device, on_two_devices = json.loads(process.stdout.splitlines()[-1])
    assert len(on_one_device) == len(on_two_devices) == 2
    for row, expected in zip(on_two_devices, on_one_device, strict=True):
        assert row == pytest.approx(expected, rel=1e-3)
