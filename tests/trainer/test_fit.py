"""The training loop: when it stops, what it keeps, and the same numbers on several devices as on one."""

import dataclasses
import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.conftest import ROOT, SMALL_RUN
from trainer.data import records
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import config, plugins
from trainer.training import loop
from trainer.training.network import FEATURES

PROBLEM = plugins.load("problems", "signature_vs_text")


class Script:
    """Validation losses in the order of the epochs, whatever the model answers."""

    def __init__(self, *losses: float):
        self.losses = list(losses)

    def problem(self):
        return dataclasses.replace(PROBLEM, watch=lambda vectors, targets: {"val_loss": self.losses.pop(0)})


@pytest.fixture
def fitting(run_dir, tmp_path):
    """``fitting(script, "--patience", "2")`` trains a linear model on prepared records, in one folder."""

    def linear():
        images = keras.Input((32, 64, 1), dtype="uint8")
        pixels = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
        return keras.Model(images, PROBLEM.head(keras.layers.Identity(name=FEATURES)(pixels), 2, 0))

    def run(script: Script, *flags: str, callbacks=()):
        settings = resolve_settings(config.from_command_line([*SMALL_RUN, *flags], {}), PROBLEM)
        prepared = records.read(run_dir / "records")
        places = (tmp_path / "checkpoints", tmp_path / "training.csv")
        return loop.fit(script.problem(), linear, prepared, settings.training, *places, callbacks)

    return run


class Snapshots(keras.callbacks.Callback):
    """The weights after each epoch; ends the process' work after ``last``, as a kill would."""

    def __init__(self, last: int = 1000):
        super().__init__()
        self.last, self.weights = last, []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())
        if len(self.weights) == self.last:
            raise KeyboardInterrupt


def test_training_stops_when_validation_has_not_improved_and_keeps_the_best_weights(fitting, capsys):
    seen = Snapshots()
    fitted = fitting(Script(0.9, 0.5, 0.7, 0.6), "--epochs", "20", "--patience", "2", callbacks=[seen])
    assert [row["epoch"] for row in fitted.history] == [1, 2, 3, 4]
    assert "stopped after epoch 4: val_loss has not improved for 2 epochs; best epoch 2" in capsys.readouterr().out
    assert fitted.best_epoch == 2
    assert all(map(np.array_equal, fitted.model.get_weights(), seen.weights[1]))
    assert not all(map(np.array_equal, fitted.model.get_weights(), seen.weights[3]))


def test_a_number_that_stays_the_same_is_no_improvement_and_a_lower_one_starts_the_count_again(fitting):
    fitted = fitting(Script(0.2, 0.3, *[0.1] * 9), "--epochs", "20", "--patience", "2")
    assert (fitted.best_epoch, len(fitted.history)) == (3, 5)


def test_patience_0_trains_every_epoch(fitting, capsys):
    assert len(fitting(Script(0.1, 1.0, 1.0), "--epochs", "3", "--patience", "0").history) == 3
    assert "stopped" not in capsys.readouterr().out


def test_an_interrupted_run_goes_on_counting_where_it_was(fitting, capsys):
    flags = ("--epochs", "20", "--patience", "2")
    with pytest.raises(KeyboardInterrupt):
        fitting(Script(0.5, 0.6), *flags, callbacks=[Snapshots(last=2)])
    fitted = fitting(Script(0.6), *flags)
    assert (fitted.best_epoch, len(fitted.history)) == (1, 3)
    again = fitting(Script(), *flags)
    assert again.history == fitted.history, "what has stopped is not trained further"
    assert capsys.readouterr().out.count("stopped after epoch 3") == 2


def test_checkpoints_of_the_release_before_go_on(fitting, tmp_path):
    flags = ("--epochs", "3", "--patience", "0")
    with pytest.raises(KeyboardInterrupt):
        fitting(Script(0.5, 0.4), *flags, callbacks=[Snapshots(last=2)])
    (note,) = tmp_path.rglob("run.json")
    claimed = json.loads(note.read_text())
    old = {"ema_decay": "averaging", "dtype_policy": "precision"}
    note.write_text(json.dumps({old.get(name, name): value for name, value in claimed.items()}))
    assert len(fitting(Script(0.3), *flags).history) == 3, "one more than before the interruption"
    assert json.loads(note.read_text()) == claimed


def test_epochs_in_which_only_the_head_learns_do_not_stop_a_run(fitting):
    script = Script(0.5, *[0.6] * 2)
    fitted = fitting(script, "--epochs", "20", "--patience", "1", "--frozen-epochs", "2")
    assert len(fitted.history) == 3, "1 epoch after the backbone began to learn"


@pytest.mark.parametrize("name", plugins.names("problems"))
def test_every_problem_stops_by_default_and_0_means_never(name):
    problem = plugins.load("problems", name)
    patience, never = (
        resolve_settings(config.from_command_line(["--problem", name, *flags], {}), problem).training.patience
        for flags in ((), ("--patience", "0"))
    )
    assert 0 < patience < problem.defaults["epochs"]
    assert never == 0


TRAIN = """
import json, sys
from pathlib import Path
from trainer.console import quiet
tf = quiet.import_tensorflow()
folder, data = Path(sys.argv[1]), Path(sys.argv[2])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from trainer import corpora; from trainer.pipeline.problem_defaults import resolve_settings
from trainer.training import loop as fit, network as model
from trainer.data import image_index, records, splits
from trainer.settings import config, plugins
from trainer.imaging import Imaging
labels = ("signature", "text")
samples = corpora.read(data).samples
look = image_index.survey(samples, Imaging(32, 64), folder / "survey")
prepared = records.write(look, splits.split(samples, 0.3, 0.0, 1), labels, folder / "records", "source")
problem = plugins.load("problems", "signature_vs_text")
flags = ["--epochs", "2", "--batch-size", "16", "--dropout", "0", "--image-height", "32", "--image-width", "64"]
wanted = resolve_settings(config.from_command_line(flags, {}), problem)
histories = [
    fit.fit(
        problem, lambda: model.build(wanted.model, Imaging(32, 64), labels), prepared, wanted.training,
        folder / name / "checkpoints", folder / name / "training.csv", strategy=strategy,
    ).history
    for name, strategy in (("one", None), ("two", tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])))
]
print(json.dumps(histories))
"""


@pytest.mark.whole
def test_two_devices_learn_what_one_learns(scans, tmp_path):
    """In a process of its own, whose processor counts as two devices."""
    command = [sys.executable, "-c", TRAIN, str(tmp_path), str(scans)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = json.loads(done.stdout.splitlines()[-1])
    assert len(one) == len(two) == 2
    for row, other in zip(one, two, strict=True):
        assert row == pytest.approx(other, rel=1e-3)
