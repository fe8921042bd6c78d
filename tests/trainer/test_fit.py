"""The training loop on several devices: the same numbers as on one, up to rounding."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

TRAIN = """
import json, sys
from pathlib import Path
from trainer import quiet
tf = quiet.import_tensorflow()
devices, folder, data = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
from trainer import config, corpora, fit, model, plugins, resolve, records, splits, survey
from trainer.imaging import Imaging
labels = ("signature", "text")
samples = corpora.read(data).samples
look = survey.survey(samples, Imaging(32, 64), folder / "survey")
prepared = records.write(look, splits.split(samples, 0.3, 0.0, 1), labels, folder / "records", "source")
strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)]) if devices > 1 else None
problem = plugins.load("problems", "signature_vs_text")
flags = ["--epochs", "2", "--batch-size", "16", "--dropout", "0", "--image-height", "32", "--image-width", "64"]
wanted = resolve.resolved(config.from_command_line(flags, {}), problem)
fitted = fit.fit(
    problem, lambda: model.build(wanted.model, Imaging(32, 64), labels), prepared, wanted.training,
    folder / "checkpoints", folder / "training.csv", strategy=strategy,
)
print(json.dumps(fitted.history))
"""


@pytest.fixture
def history(scans, tmp_path):
    """Train in a process of its own with so many devices; the history."""

    def train(devices: int):
        command = [sys.executable, "-c", TRAIN, str(devices), str(tmp_path / str(devices)), str(scans)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return train


@pytest.mark.slow
def test_two_devices_learn_what_one_learns(history):
    one, two = history(1), history(2)
    assert len(one) == len(two) == 2
    for row, other in zip(one, two, strict=True):
        assert row == pytest.approx(other, rel=1e-3)
