"""``python -m tests.bench.training [PROBLEM ...]``: does the training wait for its images, and how fast is it?

For each problem, with its default settings and generated data, it alternates epochs from the shards (drawn, augmented)
with as many steps on a batch that stays in memory, by the same compiled steps in one process. The ratio of their speeds
has to be at least 0.9; the rest is the share of time in which the training waits for images. ``--flags`` measures other
settings, such as ``"--dtype-policy mixed_bfloat16"``. Next: ``trainer/training/steps.py``, the measured code.
"""

import argparse
import datetime
import itertools
import statistics
import tempfile
import time
from typing import NamedTuple

from trainer.console import quiet
from trainer.pipeline.preparation import LocalExecution, prepare_data
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.pipeline.run_dir import open_run_dir
from trainer.settings import plugins
from trainer.settings.config import Config, parse_config

ROUNDS = 5
AMOUNT = {"signature_on_page": ["--pages", "200"]}  # of the generated data; of other problems:
WRITERS = ["--writers", "120"]


class Rates(NamedTuple):
    """Images per second: of the input pipeline alone, of epochs from the shards, and of a batch in memory."""

    alone: float
    from_shards: float
    in_memory: float


def main() -> None:
    """Print a line for each problem."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.training", description=__doc__)
    names = plugins.list_names("problems")
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", help=f"of {', '.join(names)}; by default all")
    parser.add_argument("--flags", default="", help="more flags of trainer.task, in one word")
    options = parser.parse_args()
    tf = quiet.import_tensorflow()
    print("problem                 batch  input alone  from shards    in memory   ratio (min to max)   waits for input")
    for name in options.problems or names:
        with tempfile.TemporaryDirectory() as folder:
            amount = AMOUNT.get(name, WRITERS)
            flags = ["--problem", name, "--job-dir", f"{folder}/job", *amount, *options.flags.split()]
            config = resolve_settings(parse_config(flags, {}), plugins.load("problems", name))
            rounds = _measure(config)
        ratios = sorted(rates.from_shards / rates.in_memory for rates in rounds)
        medians = [statistics.median(values) for values in zip(*rounds, strict=True)]
        ratio = statistics.median(ratios)
        waits = max(0.0, 1 - ratio)
        print(
            f"{name:22}  {config.training.batch_size:5}  {medians[0]:7.0f} im/s {medians[1]:7.0f} im/s "
            f"{medians[2]:7.0f} im/s   {ratio:5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})   {waits:15.0%}",
            flush=True,
        )
    devices = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("CPU")
    print(f"TensorFlow {tf.__version__}, {', '.join(device.name for device in devices)}; goal: a ratio of 0.9")


def _measure(config: Config) -> list[Rates]:
    """Train a model of the settings from shards and from memory, in alternation, after one round that compiles."""
    import tensorflow as tf

    from trainer.data import batches
    from trainer.training import loop, network
    from trainer.training.steps import compile_steps

    problem = plugins.load("problems", config.model.problem)
    with open_run_dir(config, datetime.datetime.now()) as run_dir:
        prepared = prepare_data(config, problem, run_dir, LocalExecution())
    labels = prepared.records.labels

    def build():
        return network.build_model(config.model, prepared.imaging, labels)

    spec = loop.TrainingSpec(
        problem, build, prepared.records, config.training, None, prepared.copies, config.model.backbone, config.speed
    )
    strategy = loop.get_default_strategy()
    learner = loop.make_learner(spec, strategy)
    train_steps, _ = compile_steps(learner, problem, config.training, config.speed)
    settings = loop.make_batch_settings(spec, learner.ema_model.input_shape[1:3])
    num_steps = spec.count_images() // settings.batch_size
    epoch = itertools.count()

    def make_epoch():
        return batches.training_batches(prepared.records, settings, next(epoch))

    def measure_alone() -> float:
        start = time.perf_counter()
        count = sum(1 for _ in make_epoch())
        return count * settings.batch_size / (time.perf_counter() - start)

    def measure_training(dataset: tf.data.Dataset) -> float:
        iterator, done = iter(strategy.experimental_distribute_dataset(dataset)), 0
        start = time.perf_counter()
        while done < num_steps:
            count = min(config.speed.steps_per_execution, num_steps - done)
            sums, done = train_steps(iterator, tf.constant(count)), done + count
        sums.numpy()
        return num_steps * settings.batch_size / (time.perf_counter() - start)

    in_memory = tf.data.Dataset.from_tensors(next(iter(make_epoch()))).repeat()
    measure_training(make_epoch()), measure_training(in_memory)  # compile
    return [Rates(measure_alone(), measure_training(make_epoch()), measure_training(in_memory)) for _ in range(ROUNDS)]


if __name__ == "__main__":
    main()
