"""``python -m tests.bench.training [PROBLEM ...]``: does the training wait for its images, and how fast is it?

For each problem, with its default settings and generated data, it alternates epochs from the shards (drawn, augmented)
with as many steps on a batch that stays in memory, by the same compiled steps in one process. The ratio of their speeds
has to be at least 0.9; the rest is the share of time in which the training waits for images. ``--flags`` measures other
settings, such as ``"--dtype-policy mixed_bfloat16"``. Next: ``trainer/training/steps.py``, the measured code.
"""

import argparse
import collections
import datetime
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from trainer.console import quiet
from trainer.pipeline.preparation import LocalExecution, prepare_data
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.pipeline.run_dir import open_run_dir
from trainer.settings import plugins
from trainer.settings.config import Config, parse_config

ROUNDS, EPOCHS = 5, 2  # measured; epochs in a round
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

    from trainer.data.examples import without_tuning
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
    num_steps = spec.count_images() // config.training.batch_size
    iterators = loop.iterate_batches(spec, learner, range(10**6))

    def train(iterator: Iterator[Any]) -> None:
        done = 0
        while done < num_steps:
            count = min(config.speed.steps_per_execution, num_steps - done)
            sums, done = train_steps(iterator, tf.constant(count)), done + count
        sums.numpy()

    def measure(use: Callable[[Any], None], source: Callable[[], Any]) -> float:
        """Return images per second; what was drawn in advance meanwhile goes to an epoch before, not measured."""
        use(source())
        start = time.perf_counter()
        for _ in range(EPOCHS):
            use(source())
        return EPOCHS * num_steps * config.training.batch_size / (time.perf_counter() - start)

    def draw(iterator: Iterator[Any]) -> None:
        collections.deque(itertools.islice(iterator, num_steps), maxlen=0)

    batch = next(next(loop.iterate_batches(spec, learner, range(1))))
    repeated = without_tuning(tf.data.Dataset.from_tensors(batch).repeat())
    in_memory = iter(strategy.experimental_distribute_dataset(repeated))
    for iterator in (next(iterators), in_memory):  # compile
        train(iterator)
    return [
        Rates(
            measure(draw, lambda: next(iterators)),
            measure(train, lambda: next(iterators)),
            measure(train, lambda: in_memory),
        )
        for _ in range(ROUNDS)
    ]


if __name__ == "__main__":
    main()
