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
folder, data = Path(sys.argv[1]), Path(sys.argv[2])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from trainer import config, corpora, fit, model, plugins, resolve, records, splits, survey
from trainer.imaging import Imaging
labels = ("signature", "text")
samples = corpora.read(data).samples
look = survey.survey(samples, Imaging(32, 64), folder / "survey")
prepared = records.write(look, splits.split(samples, 0.3, 0.0, 1), labels, folder / "records", "source")
problem = plugins.load("problems", "signature_vs_text")
flags = ["--epochs", "2", "--batch-size", "16", "--dropout", "0", "--image-height", "32", "--image-width", "64"]
wanted = resolve.resolved(config.from_command_line(flags, {}), problem)
histories = [
    fit.fit(
        problem, lambda: model.build(wanted.model, Imaging(32, 64), labels), prepared, wanted.training,
        folder / name / "checkpoints", folder / name / "training.csv", strategy=strategy,
    ).history
    for name, strategy in (("one", None), ("two", tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])))
]
print(json.dumps(histories))
"""


@pytest.mark.slow
def test_two_devices_learn_what_one_learns(scans, tmp_path):
    """In a process of its own, whose processor counts as two devices."""
    command = [sys.executable, "-c", TRAIN, str(tmp_path), str(scans)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = json.loads(done.stdout.splitlines()[-1])
    assert len(one) == len(two) == 2
    for row, other in zip(one, two, strict=True):
        assert row == pytest.approx(other, rel=1e-3)
