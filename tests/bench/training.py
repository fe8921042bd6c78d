"""``python -m tests.bench.training``: does the input pipeline keep the model busy?

Images a second of real epochs (shards, shuffle, augmentation) against the same compiled step on a batch that stays in
memory, in turns within one run. The pipeline is good when the ratio is at least 0.9.
"""

import itertools
import statistics
import tempfile
import time
from pathlib import Path

from trainer.console import quiet
from trainer.data import batches, image_index, records, splits
from trainer.settings import config, plugins
from trainer.training import loop, network

ROUNDS, BATCH = 5, 32


def main() -> None:
    """Print the two rates and their ratio."""
    tf = quiet.import_tensorflow()
    import keras

    from trainer import corpora
    from trainer.imaging import Imaging
    from trainer.pipeline.problem_defaults import resolve_settings
    from trainer.samples import generator
    from trainer.samples.amount import Amount

    with tempfile.TemporaryDirectory() as folder:
        for done in generator.write(Path(folder) / "scans", Amount(writers=160, genuine=3, forged=2, text=5), seed=1):
            print(f"\rgenerating {done}", end="", flush=True)
        found = corpora.read(Path(folder) / "scans").samples
        print()
        problem, strategy = plugins.load("problems", "signature_vs_text"), loop.strategy_here()
        canvas = problem.canvas
        look = image_index.survey(found, Imaging(*canvas), Path(folder) / "survey")
        parts = splits.split(found, 0.1, 0.0, seed=1)
        prepared = records.write(look, parts, ("signature", "text"), Path(folder) / "records", "bench")
        wanted = resolve_settings(config.from_command_line(["--batch-size", str(BATCH)], {}), problem)
        trained, averaged = (network.build(wanted.model, Imaging(*canvas), ("signature", "text")) for _ in "12")
        optimizer = keras.optimizers.Adam()
        optimizer.build(trained.trainable_variables)
        loss = plugins.load("losses", wanted.training.loss)
        train, _ = loop.compiled_steps(strategy, trained, averaged, optimizer, problem, loss, wanted.training)
        epoch = itertools.count()

        def real() -> float:
            stream = batches.training(prepared, canvas, BATCH, 1, next(epoch), augment=True)
            began, images = time.perf_counter(), 0
            for batch in strategy.experimental_distribute_dataset(stream):
                train(*batch).numpy()
                images += BATCH
            return images / (time.perf_counter() - began)

        resident = next(iter(batches.training(prepared, canvas, BATCH, 1, 0, augment=True)))

        def memory() -> float:
            steps = prepared.images("train") // BATCH
            began = time.perf_counter()
            for _ in range(steps):
                train(*resident).numpy()
            return steps * BATCH / (time.perf_counter() - began)

        real(), memory()  # compile
        rates = [(real(), memory()) for _ in range(ROUNDS)]
    ratios = sorted(a / b for a, b in rates)
    print(f"real epoch      {statistics.median(a for a, _ in rates):7.0f} images/s")
    print(f"batch in memory {statistics.median(b for _, b in rates):7.0f} images/s")
    print(f"ratio           {statistics.median(ratios):7.3f}  (min {ratios[0]:.3f}, max {ratios[-1]:.3f}; wanted 0.9)")
    print(f"TensorFlow {tf.__version__}, {strategy.num_replicas_in_sync} devices, batch {BATCH}, {canvas} images")


if __name__ == "__main__":
    main()
