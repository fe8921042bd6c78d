"""A training step learns the same on one device and on several, in one call of TensorFlow and in many."""

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from tests.conftest import ROOT

PROGRAM = """
import json, sys
import keras
import numpy as np
from trainer.console import quiet
tf = quiet.import_tensorflow()
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
from trainer.data import sampling
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import plugins
from trainer.settings.config import parse_config
from trainer.settings.sections import SpeedSettings
from trainer.training import network
from trainer.training.normalization import fuse_normalization
from trainer.training.steps import Learner, compile_steps

STEPS, BATCH_SIZE = 3, 64
problem = plugins.load("problems", "same_writer")

def make_batches(sampling_kind):
    rng = np.random.default_rng(7)
    group = sampling.GROUP_SIZES[sampling_kind]
    writers = np.repeat(np.arange(BATCH_SIZE // group), group).astype(np.int32)
    labels = np.tile(np.arange(group) * 2 // group, len(writers) // group).astype(np.int32)
    images = rng.integers(-1000, 256, (STEPS, BATCH_SIZE, 32, 64, 1)).clip(0).astype(np.uint8)  # 80 % are paper
    targets = {"writer": writers, "label": labels, "corpus_index": np.zeros_like(writers)}
    repeated = {name: np.stack([values] * STEPS) for name, values in targets.items()}
    return tf.data.Dataset.from_tensor_slices((images, repeated))

def train(devices, backbone, loss, **speed):
    flags = ["--problem", "same_writer", "--image-height", "32", "--image-width", "64", "--loss", loss, "--backbone",
             backbone, "--batch-size", str(BATCH_SIZE), "--init-from", "none"]
    config = resolve_settings(parse_config(flags, {}), problem, devices)
    keras.utils.set_random_seed(3)
    names = [f"CPU:{number}" for number in range(devices)]
    strategy = tf.distribute.MirroredStrategy(names) if devices > 1 else tf.distribute.get_strategy()
    with strategy.scope():
        built, average = (network.build_model(config.model, Imaging(32, 64), ("genuine", "forged")) for _ in range(2))
        model = fuse_normalization(built)
        average.set_weights(model.get_weights())
        optimizer = keras.optimizers.SGD(0.01)  # Adam divides by gradients, of which some are rounding alone
        optimizer.build(model.trainable_variables)
    start = [*model.get_weights(), *average.get_weights()]
    learner = Learner(strategy, model, average, optimizer)
    train_steps, _ = compile_steps(learner, problem, config.training, SpeedSettings(**speed))
    kind = plugins.load("losses", loss).sampling
    iterator = iter(strategy.experimental_distribute_dataset(make_batches(kind)))
    counts = [speed.get("steps_per_execution", 1)] * (STEPS // speed.get("steps_per_execution", 1))
    sums = [train_steps(iterator, tf.constant(count)).numpy() for count in counts]
    trained = [*model.get_weights(), *average.get_weights()]
    return [np.sum(sums, axis=0), *(after - before for after, before in zip(trained, start, strict=True))]

for number, arguments in enumerate(json.loads(sys.argv[1])):
    np.savez(f"{sys.argv[2]}/{number}.npz", *train(**arguments))
"""

Run = list[np.ndarray]  # sums of loss, accuracy and images, and the changes of all weights


@pytest.fixture
def train(tmp_path) -> Callable[..., list[Run]]:
    """Train each run of ``devices``, ``backbone`` and ``loss`` in one process."""

    def train(*runs: dict) -> list[Run]:
        command = [sys.executable, "-c", PROGRAM, json.dumps(runs), str(tmp_path)]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
        assert process.returncode == 0, process.stderr[-3000:]
        archives = [np.load(tmp_path / f"{number}.npz") for number in range(len(runs))]
        return [[archive[name] for name in archive.files] for archive in archives]

    return train


def assert_equal_but_for_rounding(run: Run, expected: Run):
    np.testing.assert_allclose(run[0], expected[0], rtol=1e-3)
    for change, expected_change in zip(run[1:], expected[1:], strict=True):
        assert np.linalg.norm(change - expected_change) <= 0.04 * np.linalg.norm(expected_change) + 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "loss"),
    [("strokes", "ranked_contrastive"), ("pooled", "supervised_contrastive"), ("strokes", "contrastive")],
)
def test_devices_compare_the_images_of_all_devices(train, backbone, loss):
    """With losses of a half of the batch, or statistics of it, the weights would be others after one step."""
    run = {"backbone": backbone, "loss": loss}
    one, two = train({**run, "devices": 1}, {**run, "devices": 2})
    (four,) = train({**run, "devices": 4})  # a process has one group of devices
    assert one[0][2] == 3 * 64, "images"
    for several in (two, four):
        assert_equal_but_for_rounding(several, one)


@pytest.mark.slow
def test_steps_in_one_call_and_xla_learn_what_single_steps_learn(train):
    run = {"devices": 1, "backbone": "strokes", "loss": "ranked_contrastive"}
    single, together, compiled = train(run, {**run, "steps_per_execution": 3}, {**run, "jit_compile": True})
    assert all(np.array_equal(*pair) for pair in zip(together, single, strict=True))
    assert_equal_but_for_rounding(compiled, single)
