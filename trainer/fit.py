"""The one training loop, on tf.distribute: one CPU or GPU, or several GPUs, with the same code.

Keeps the newest state after every epoch, and the best by validation loss; the same command continues from the newest.
``keras.Model.fit`` is not used because it fails under multi-worker strategies (keras-team/keras#20585);
``keras.callbacks.CallbackList`` keeps the callbacks people know. Knows records and problems, not files of images.
"""

import csv
import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from trainer import dataset
from trainer.config import Training
from trainer.errors import UserError
from trainer.problems import Problem
from trainer.progress import Progress
from trainer.records import Records

AVERAGING = 0.99  # of the running mean of weights that each step keeps
COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")


class OtherCheckpoints(UserError):
    """The checkpoint dir belongs to another run; the message says so."""


class Diverged(UserError):
    """The loss is no number any more."""


class TooFewImages(UserError):
    """Less than one batch to train on."""


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A model with its best weights, the epoch they come from, and one row for every epoch trained."""

    model: keras.Model
    best_epoch: int
    history: list[dict[str, float]]


def fit(
    problem: Problem, build: Callable[[], keras.Model], records: Records, training: Training,
    checkpoints: Path, log: Path, callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
) -> Fitted:  # fmt: skip
    """Train ``build()`` from its newest checkpoint (or from nothing) to the last epoch.

    ``log`` is the CSV with one row an epoch; without ``strategy`` the devices of this machine decide. Raises
    ``TooFewImages``.
    """
    if records.images("train") < training.batch_size:
        raise TooFewImages(
            f"{records.images('train')} training images are less than one batch of {training.batch_size}; "
            "bring more images or give a smaller --batch-size"
        )
    keras.utils.set_random_seed(training.seed)
    tf.config.experimental.enable_op_determinism()
    _claim(checkpoints, records, training)
    strategy = strategy or strategy_here()
    steps_in_all = training.epochs * (records.images("train") // training.batch_size)
    with strategy.scope():
        model, averaged = build(), build()
        averaged.set_weights(model.get_weights())
        # Down to nothing along a cosine: the last epochs settle instead of jumping about, so the best is a good one.
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(training.learning_rate, steps_in_all))
        optimizer.build(model.trainable_variables)
    state = _State(model, averaged, optimizer, checkpoints, log)
    watchers = keras.callbacks.CallbackList([*callbacks], model=averaged)
    watchers.on_train_begin()
    steps = compiled_steps(strategy, model, averaged, optimizer, problem, training.batch_size)
    for epoch in range(state.resume(), training.epochs):
        watchers.on_epoch_begin(epoch)
        row = {"epoch": epoch + 1, **_epoch(strategy, steps, averaged, records, training, epoch)}
        if not math.isfinite(row["loss"] + row["val_loss"]):
            raise Diverged(
                f"the loss is {row['loss']}, {row['val_loss']} in epoch {epoch + 1}; try a smaller --learning-rate"
            )
        state.keep(row)
        watchers.on_epoch_end(epoch, {name: value for name, value in row.items() if name != "epoch"})
    watchers.on_train_end()
    return Fitted(averaged, state.restore_best(), state.history)


def _claim(checkpoints: Path, records: Records, training: Training) -> None:
    """Note whose checkpoints these are. Raises ``OtherCheckpoints`` when they are of other data or settings."""
    mine = {"source": records.source, "imaging": records.imaging, **dataclasses.asdict(training)}
    note = checkpoints / "run.json"
    if note.is_file():
        theirs = json.loads(note.read_text())
        if theirs != mine:
            changed = ", ".join(sorted(name for name in mine if theirs.get(name) != mine[name]))
            raise OtherCheckpoints(
                f"{str(checkpoints)!r} holds the checkpoints of another run (other: {changed}); choose another "
                "--checkpoint-dir, or delete it"
            )
    checkpoints.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(mine) + "\n")


def strategy_here() -> tf.distribute.Strategy:
    """All GPUs of this machine, or the default device."""
    return (
        tf.distribute.MirroredStrategy()
        if len(tf.config.list_physical_devices("GPU")) > 1
        else tf.distribute.get_strategy()
    )


def compiled_steps(strategy, model, averaged, optimizer, problem: Problem, batch_size: int):
    """(train, judge): compiled functions of one distributed batch, each giving the sums of loss and accuracy.

    ``averaged`` follows ``model`` as a running mean of its weights (Polyak and Juditsky 1992); it is what is judged and
    exported, because single steps swing between the few writers whose signatures look like words.
    """
    pairs = [(mean.value, newest.value) for mean, newest in zip(averaged.weights, model.weights, strict=True)]

    def train_replica(images, targets):
        with tf.GradientTape() as tape:
            vectors = model(images, training=True)
            losses = problem.loss(targets, vectors)
            # Divide by the global batch: gradients are summed over replicas.
            loss = tf.reduce_sum(losses) / batch_size
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return _sums(losses, problem.accuracy(targets, vectors))

    def judge_replica(images, targets):
        vectors = averaged(images, training=False)
        return _sums(problem.loss(targets, vectors), problem.accuracy(targets, vectors))

    def average():
        # Outside the replicas: all of them hold the same weights by now.
        step = tf.cast(optimizer.iterations.value, tf.float32)
        keep = tf.minimum(AVERAGING, (1 + step) / (10 + step))  # the first steps are not worth remembering
        for mean, newest in pairs:
            strategy.extended.update(mean, lambda m, n: m.assign(keep * m + (1 - keep) * n), args=(newest,))

    @tf.function(reduce_retracing=True)
    def train(images, targets):
        sums = strategy.run(train_replica, args=(images, targets))
        average()
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    @tf.function(reduce_retracing=True)
    def judge(images, targets):
        return strategy.reduce(
            tf.distribute.ReduceOp.SUM, strategy.run(judge_replica, args=(images, targets)), axis=None
        )

    return train, judge


def _sums(losses, hits):
    return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(hits), tf.cast(tf.shape(losses)[0], tf.float32)])


def _epoch(strategy, steps, model, records, training, epoch) -> dict[str, float]:
    """One pass over train and validation; the numbers of the epoch's row."""
    train, judge = steps
    canvas = model.input_shape[1:3]
    images = records.images("train") // training.batch_size * training.batch_size
    total, judged = tf.zeros(3), tf.zeros(3)
    both = images + records.images("validation")
    with Progress(f"epoch {epoch + 1}/{training.epochs}", both, later=both * (training.epochs - epoch - 1)) as progress:
        batches = dataset.training(records, canvas, training.batch_size, training.seed, epoch, training.augment)
        for number, batch in enumerate(strategy.experimental_distribute_dataset(batches), start=1):
            total += train(*batch)
            loss, accuracy, count = total.numpy()
            progress.show(number * training.batch_size, loss=loss / count, accuracy=accuracy / count)
        held_out = dataset.validation(records, canvas, training.batch_size)
        for batch in strategy.experimental_distribute_dataset(held_out):
            judged += judge(*batch)
            progress.show(images + int(judged[2]), loss=loss / count, accuracy=accuracy / count)
        val_loss, val_accuracy, val_count = judged.numpy()
        row = {
            "loss": loss / count,
            "accuracy": accuracy / count,
            "val_loss": val_loss / val_count,
            "val_accuracy": val_accuracy / val_count,
        }
        progress.show(both, **row)
    return {name: float(value) for name, value in row.items()}


class _State:
    """What survives a kill: newest and best weights, and the rows of the epochs they have seen."""

    def __init__(self, model, averaged, optimizer, folder: Path, log: Path):
        trained = [variable.value for variable in model.variables]  # dropout's random state among them
        weights = [variable.value for variable in averaged.variables]
        self._epoch = tf.Variable(0, dtype=tf.int64)
        self._best_loss = tf.Variable(float("inf"))
        self._best_epoch = tf.Variable(0, dtype=tf.int64)
        everything = {"trained": trained, "weights": weights, "optimizer": [v.value for v in optimizer.variables]}
        counters = {"epoch": self._epoch, "best_loss": self._best_loss, "best_epoch": self._best_epoch}
        self._newest = tf.train.CheckpointManager(
            tf.train.Checkpoint(**everything, **counters), str(folder / "newest"), max_to_keep=1
        )
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(weights=weights), str(folder / "best"), max_to_keep=1
        )
        # The rows live beside the weights they belong to: a restarted job may keep nothing but its checkpoints.
        self._rows, self._log = folder / "history.csv", log
        self.history: list[dict[str, float]] = []

    def resume(self) -> int:
        """Restore the newest state; returns the number of epochs it has seen."""
        if self._newest.restore_or_initialize():
            self.history = [row for row in _read_rows(self._rows) if row["epoch"] <= int(self._epoch)]
            print(f"continuing after epoch {int(self._epoch)}: a checkpoint was found", flush=True)
        return int(self._epoch)

    def keep(self, row: dict[str, float]) -> None:
        """Best first, newest last: a kill in between repeats the epoch, which gives the same numbers."""
        self.history.append(row)
        if row["val_loss"] < float(self._best_loss):
            self._best_loss.assign(row["val_loss"])
            self._best_epoch.assign(row["epoch"])
            self._best.save(row["epoch"])
        _write_rows(self._rows, self.history)
        self._epoch.assign(row["epoch"])
        self._newest.save(row["epoch"])
        _write_rows(self._log, self.history)

    def restore_best(self) -> int:
        """Put the best weights into the model; returns the epoch they come from."""
        if self._best.latest_checkpoint is None:
            raise OtherCheckpoints(
                "the best checkpoint is gone, the newest is there; delete the checkpoints to train again"
            )
        self._best.checkpoint.restore(self._best.latest_checkpoint).expect_partial()
        return int(self._best_epoch)


def _read_rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{k: int(v) if k == "epoch" else float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _write_rows(path: Path, rows) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
