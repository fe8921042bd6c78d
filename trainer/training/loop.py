"""The one training loop, on tf.distribute: one CPU or GPU, or several GPUs, with the same code.

Keeps the newest state after every epoch, and the best by what the problem watches on the validation part (a loss, an
equal error rate); stops when that has not improved for ``patience`` epochs; the same command continues from the newest.
``keras.Model.fit`` is not used because it fails under multi-worker strategies (keras-team/keras#20585);
``keras.callbacks.CallbackList`` keeps the callbacks people know. Knows records and problems, not files of images.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from trainer.console.errors import UserError
from trainer.console.messages import LOG
from trainer.console.progress import Progress
from trainer.data import batches
from trainer.data.records import Records
from trainer.losses import Loss
from trainer.problems import Problem
from trainer.settings import plugins
from trainer.settings.config import Training
from trainer.settings.flags import renamed, with_current_names
from trainer.training import warm_start
from trainer.training.checkpoints import OtherCheckpoints, State
from trainer.training.network import trunk


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
    """Train ``build()`` from its newest checkpoint (or from nothing) until validation stops improving.

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
    loss = plugins.load("losses", training.loss)
    steps_in_all = training.epochs * (records.images("train") // training.batch_size)
    with strategy.scope():
        model, averaged = _learning(build, training), build()
        averaged.set_weights(model.get_weights())
        optimizer = _optimizer(training, steps_in_all)
        optimizer.build(model.trainable_variables)
    state = State(model, averaged, optimizer, checkpoints, log)
    watchers = keras.callbacks.CallbackList([*callbacks], model=averaged)
    watchers.on_train_begin()
    steps = None
    for epoch in range(state.resume(), training.epochs):
        # While the backbone is frozen no epoch counts: what follows may well be better.
        if training.patience and epoch - max(state.best_epoch, training.frozen_epochs) >= training.patience:
            best = state.best_epoch
            LOG.info(
                f"stopped after epoch {epoch}: {problem.watched} has not improved for {epoch - best} epochs; "
                f"best epoch {best}"
            )
            break
        if steps is None or epoch == training.frozen_epochs:  # compiled anew, for more variables
            trunk(model).trainable = epoch >= training.frozen_epochs
            steps = compiled_steps(strategy, model, averaged, optimizer, problem, loss, training)
        watchers.on_epoch_begin(epoch)
        row = {"epoch": epoch + 1, **_epoch(strategy, steps, problem, averaged, records, training, epoch)}
        row[problem.watched] = _agreed(strategy, row[problem.watched])
        if not math.isfinite(row["loss"] + row[problem.watched]):
            raise Diverged(
                f"in epoch {epoch + 1} the loss is {row['loss']}, {problem.watched} {row[problem.watched]}; try a "
                "smaller --learning-rate"
            )
        state.keep(row, row[problem.watched])
        watchers.on_epoch_end(epoch, {name: value for name, value in row.items() if name != "epoch"})
    watchers.on_train_end()
    return Fitted(averaged, state.restore_best(), state.history)


def _optimizer(training: Training, steps: int) -> keras.optimizers.Optimizer:
    """Adam whose rate rises to its start and falls to nothing along a cosine over so many steps.

    The last epochs settle instead of jumping about, so the best of them is a good one.
    """
    rate, rising = training.learning_rate, int((training.warmup or 0) * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if rising else rate, steps - rising, warmup_target=rate if rising else None, warmup_steps=rising
    )
    optimizer = keras.optimizers.Adam(
        schedule, weight_decay=training.weight_decay or None, clipnorm=training.clip_norm or None
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _learning(build: Callable[[], keras.Model], training: Training) -> keras.Model:
    """The model that learns, with the dtype policy and from the weights of the settings."""
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(training.dtype_policy)
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy(usual)
    if training.init_from:
        LOG.info(warm_start.load(model, training.init_from))
    model.summary(print_fn=LOG.debug)
    return model


def _claim(checkpoints: Path, records: Records, training: Training) -> None:
    """Note whose checkpoints these are. Raises ``OtherCheckpoints`` when they are of other data or settings."""
    mine = {"source": records.source, "imaging": records.imaging, **dataclasses.asdict(training)}
    note = checkpoints / "run.json"
    if note.is_file():
        theirs = with_current_names(json.loads(note.read_text()), renamed(Training), str(note), warn=False)
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


def _agreed(strategy: tf.distribute.Strategy, number: float) -> float:
    """The mean of a number over all replicas: one value for all workers, which decide by it when to stop.

    Processors of several kinds may compute it with another last bit.
    """
    if strategy.num_replicas_in_sync == 1:
        return number

    @tf.function(autograph=False)
    def mean(value):
        return strategy.reduce(tf.distribute.ReduceOp.MEAN, strategy.run(lambda: tf.identity(value)), axis=None)

    return float(mean(tf.constant(number, tf.float64)))


def compiled_steps(
    strategy, model, averaged, optimizer, problem: Problem, loss: Loss, training: Training
):  # fmt: skip
    """(train, answer): compiled functions of one distributed batch, to sums of loss and accuracy, and to vectors.

    ``averaged`` follows ``model`` as a running mean of its weights (Polyak and Juditsky 1992); it is what is judged and
    exported, because single steps swing between the few writers that are hard. What is frozen when this is called stays
    as it is.
    """
    learning = model.trainable_variables
    pairs = [(mean.value, newest.value) for mean, newest in zip(averaged.weights, model.weights, strict=True)]

    def train_replica(images, targets):
        with tf.GradientTape() as tape:
            vectors = model(images, training=True)
            losses = loss.function(targets, vectors)
            # Divide by the global batch: gradients are summed over replicas.
            total = tf.reduce_sum(losses) / training.batch_size
        optimizer.apply_gradients(zip(tape.gradient(total, learning), learning, strict=True))
        hits = problem.accuracy(targets, vectors)
        return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(hits), tf.cast(tf.shape(losses)[0], tf.float32)])

    def average():
        # Outside the replicas: all of them hold the same weights by now.
        step = tf.cast(optimizer.iterations.value, tf.float32)
        keep = tf.minimum(training.ema_decay, (1 + step) / (10 + step))  # the first steps are not worth remembering
        for mean, newest in pairs:
            strategy.extended.update(mean, lambda m, n: m.assign(keep * m + (1 - keep) * n), args=(newest,))

    @tf.function(reduce_retracing=True, autograph=False)  # nothing branches on a tensor
    def train(images, targets):
        sums = strategy.run(train_replica, args=(images, targets))
        average()
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    @tf.function(reduce_retracing=True, autograph=False)
    def answer(images):
        return strategy.run(lambda ours: averaged(ours, training=False), args=(images,))

    return train, answer


def _epoch(strategy, steps, problem, model, records, training, epoch) -> dict[str, float]:
    """One pass over train and validation; the numbers of the epoch's row."""
    train, answer = steps
    canvas, size = model.input_shape[1:3], training.batch_size
    images = records.images("train") // size * size
    both = images + records.images("validation")
    with Progress(f"epoch {epoch + 1}/{training.epochs}", both, later=both * (training.epochs - epoch - 1)) as progress:
        way = plugins.load("losses", training.loss).sampling
        stream = batches.training(records, canvas, size, training.seed, epoch, training.augment, way)
        total = tf.zeros(3)
        for number, batch in enumerate(strategy.experimental_distribute_dataset(stream), start=1):
            total += train(*batch)
            loss, accuracy, count = total.numpy()
            row = {"loss": loss / count, "accuracy": accuracy / count}
            progress.show(number * size, **row)
        vectors, seen = [], []
        for ours, targets in strategy.experimental_distribute_dataset(
            batches.in_order(records, "validation", canvas, size)
        ):
            vectors.append(strategy.gather(answer(ours), axis=0).numpy())
            seen.append({name: strategy.gather(values, axis=0).numpy() for name, values in targets.items()})
            progress.show(images + sum(map(len, vectors)), **row)
        held_out = {name: np.concatenate([each[name] for each in seen]) for name in seen[0]}
        row.update(problem.watch(np.concatenate(vectors), held_out))
        progress.show(both, **row)
    return {name: float(value) for name, value in row.items()}
