"""``python -m tests.bench.training``: does the input pipeline keep the model busy?

It compares images per second of epochs from the shards (shuffled, augmented) with those of the same compiled training
step on a batch that stays in memory, in alternation within one process. The ratio has to be at least 0.9.
"""

import itertools
import statistics
import tempfile
import time
from pathlib import Path

from trainer import corpora
from trainer.console import quiet
from trainer.data import image_index, records, splits
from trainer.generators import signatures as generator
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.samples.amount import DatasetSpec
from trainer.settings import plugins
from trainer.settings.config import parse_config

ROUNDS, BATCH_SIZE = 5, 32
LABELS = ("signature", "text")
DATASET = DatasetSpec(writers=160, genuine=3, forged=2, text=5)


def main() -> None:
    """Print the two rates and their ratio."""
    tf = quiet.import_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        rates, num_replicas, canvas = _measure(Path(folder))
    ratios = sorted(from_shards / from_memory for from_shards, from_memory in rates)
    print(f"epoch from shards {statistics.median(a for a, _ in rates):7.0f} images/s")
    print(f"batch in memory   {statistics.median(b for _, b in rates):7.0f} images/s")
    print(f"ratio             {statistics.median(ratios):7.3f}  (min {ratios[0]:.3f}, max {ratios[-1]:.3f}; goal 0.9)")
    print(f"TensorFlow {tf.__version__}, {num_replicas} devices, batch {BATCH_SIZE}, {canvas} images")


def _prepare_records(folder: Path, imaging: Imaging) -> records.Records:
    for done in generator.write_dataset(folder / "scans", DATASET, seed=1):
        print(f"\rgenerating {done}", end="", flush=True)
    print()
    samples = corpora.read(folder / "scans").samples
    index = image_index.build_image_index(samples, imaging, folder / "index")
    splits_by_name = splits.split_samples(samples, 0.1, 0.0, seed=1)
    return records.write(index, splits_by_name, folder / "records", records.RecordsSpec(LABELS, "bench"))


def _measure(folder: Path) -> tuple[list[tuple[float, float]], int, tuple[int, int]]:
    """Return images per second (from shards, from memory) of each round, the number of devices, and the canvas."""
    import keras

    from trainer.data import batches
    from trainer.training import loop, network

    problem, strategy = plugins.load("problems", "signature_vs_text"), loop.get_default_strategy()
    imaging = Imaging(*problem.canvas)
    prepared = _prepare_records(folder, imaging)
    config = resolve_settings(parse_config(["--batch-size", str(BATCH_SIZE)], {}), problem)
    model, ema_model = (network.build_model(config.model, imaging, LABELS) for _ in range(2))
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    learner = loop.Learner(strategy, model, ema_model, optimizer)
    train_step, _ = loop.compile_steps(learner, problem, config.training)
    settings = batches.BatchSettings(problem.canvas, BATCH_SIZE, seed=1, augment=True)
    epoch = itertools.count()

    def measure_shards() -> float:
        dataset = batches.training_batches(prepared, settings, next(epoch))
        start, images = time.perf_counter(), 0
        for batch in strategy.experimental_distribute_dataset(dataset):
            train_step(*batch).numpy()
            images += BATCH_SIZE
        return images / (time.perf_counter() - start)

    batch_in_memory = next(iter(batches.training_batches(prepared, settings, 0)))

    def measure_memory() -> float:
        num_steps = prepared.count_images("train") // BATCH_SIZE
        start = time.perf_counter()
        for _ in range(num_steps):
            train_step(*batch_in_memory).numpy()
        return num_steps * BATCH_SIZE / (time.perf_counter() - start)

    measure_shards(), measure_memory()  # compile
    return [(measure_shards(), measure_memory()) for _ in range(ROUNDS)], strategy.num_replicas_in_sync, problem.canvas


if __name__ == "__main__":
    main()
