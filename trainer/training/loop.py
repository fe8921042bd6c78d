"""The training loop, on ``tf.distribute``: the same code for one CPU or GPU, several GPUs, and several machines.

After every epoch it saves the newest state, and the best weights by the metric that the problem monitors on the
validation split; it stops ``patience`` epochs after the best one. The same command resumes from the
newest state. ``keras.Model.fit`` is not used because it fails under multi-worker strategies (keras-team/keras#20585);
``keras.callbacks.CallbackList`` runs ordinary Keras callbacks. Works on records and problems, not image files. Next:
``steps.py`` for what a step computes, ``checkpoints.py`` for the state, ``export.py`` for what follows.
"""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from trainer.console.errors import UserError
from trainer.console.messages import LOG
from trainer.console.progress import Progress
from trainer.data import batches
from trainer.data.batch_settings import BatchSettings
from trainer.data.records import Records
from trainer.data.stream import StreamSpec
from trainer.problems import Problem
from trainer.settings import plugins
from trainer.settings.config import SpeedSettings, TrainingSettings, list_changed_settings
from trainer.settings.flags import get_old_names, use_current_names
from trainer.training import warm_start
from trainer.training.checkpoints import CheckpointConflict, TrainState
from trainer.training.network import get_base
from trainer.training.normalization import fuse_normalization
from trainer.training.optimizer import make_optimizer
from trainer.training.steps import Batches, Learner, PredictStep, TrainSteps, compile_steps

STEPS_BETWEEN_READINGS = 10  # of the loss: a GPU waits for each reading
OLD_NAMES = {"source": "data_digest", "imaging": "imaging_fingerprint"}  # keys of run.json one release ago


class Diverged(UserError):
    """The loss or the monitored metric is not finite."""


class TooFewImages(UserError):
    """There are fewer training images than one batch needs."""


@dataclasses.dataclass(frozen=True)
class TrainingSpec:
    """What is trained: a problem, a function that builds its model, the data, and the settings."""

    problem: Problem
    build_model: Callable[[], keras.Model]
    records: Records
    settings: TrainingSettings
    stream: StreamSpec | None = None  # generated images beside the records
    copies: Records | None = None  # of training images, for a share of the batches
    backbone: str = ""  # the name of that of the model
    speed: SpeedSettings = dataclasses.field(default_factory=SpeedSettings)

    def count_images(self) -> int:
        """Count the training images of an epoch."""
        return self.records.count_images("train") + (self.stream.count if self.stream else 0)


@dataclasses.dataclass(frozen=True)
class FitResult:
    """A model with its best weights, the epoch they come from, and one row for every epoch trained."""

    model: keras.Model
    best_epoch: int
    history: list[dict[str, float]]


def fit(
    spec: TrainingSpec,
    checkpoint_dir: Path,
    history_file: Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
) -> FitResult:
    """Train from the newest checkpoint, or from initial weights, until the monitored metric stops improving.

    ``history_file`` is the CSV with one row for each epoch. Without ``strategy`` the devices of this machine determine
    it. Raises ``TooFewImages``, ``CheckpointConflict`` and ``Diverged``.
    """
    problem, settings, num_images = spec.problem, spec.settings, spec.count_images()
    if num_images < settings.batch_size:
        raise TooFewImages(
            f"{num_images} training images are fewer than one batch of {settings.batch_size}; "
            "add images or give a smaller --batch-size"
        )
    keras.utils.set_random_seed(settings.seed)
    if spec.speed.deterministic:
        tf.config.experimental.enable_op_determinism()
    _claim_checkpoints(checkpoint_dir, spec)
    learner = make_learner(spec, strategy or get_default_strategy())
    state = TrainState(
        learner.model, learner.ema_model, learner.optimizer, checkpoint_dir, history_file, problem.monitor_tolerance
    )
    callback_list = keras.callbacks.CallbackList([*callbacks], model=learner.ema_model)
    callback_list.on_train_begin()
    steps = None
    epochs = range(state.resume(), settings.epochs)
    iterators = iterate_batches(spec, learner, epochs)
    for epoch in epochs:
        # Epochs with a frozen backbone do not count: the error may well fall once it is trained.
        if settings.patience and epoch - max(state.best_epoch, settings.frozen_epochs) >= settings.patience:
            best = state.best_epoch
            LOG.info(
                f"stopped after epoch {epoch}, {epoch - best} epochs after epoch {best}, the best by {problem.monitor}"
            )
            break
        if steps is None or epoch == settings.frozen_epochs:  # a new graph, for a new set of trainable variables
            get_base(learner.model, problem).trainable = epoch >= settings.frozen_epochs
            steps = compile_steps(learner, problem, settings, spec.speed)
        callback_list.on_epoch_begin(epoch)
        row = {"epoch": epoch + 1, **_run_epoch(spec, learner, steps, epoch, next(iterators))}
        row[problem.monitor] = _average_over_replicas(learner.strategy, row[problem.monitor])
        if not math.isfinite(row["loss"] + row[problem.monitor]):
            raise Diverged(
                f"in epoch {epoch + 1} the loss is {row['loss']}, {problem.monitor} {row[problem.monitor]}; try a "
                "smaller --learning-rate"
            )
        state.save(row, row[problem.monitor])
        callback_list.on_epoch_end(epoch, {name: value for name, value in row.items() if name != "epoch"})
    callback_list.on_train_end()
    return FitResult(learner.ema_model, state.restore_best(), state.history)


def make_learner(spec: TrainingSpec, strategy: tf.distribute.Strategy) -> Learner:
    """Build both models, with equal weights, and the optimizer on the devices of a strategy."""
    settings = spec.settings
    num_steps = settings.epochs * (spec.count_images() // settings.batch_size)
    with strategy.scope():
        model, ema_model = _build_trained_model(spec), spec.build_model()
        ema_model.set_weights(model.get_weights())
        optimizer = make_optimizer(settings, num_steps)
        optimizer.build(model.trainable_variables)
    return Learner(strategy, model, ema_model, optimizer)


def _build_trained_model(spec: TrainingSpec) -> keras.Model:
    """Build the model that learns, with the dtype policy and the initial weights of the settings."""
    default_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(spec.settings.dtype_policy)
    try:
        model = spec.build_model()
    finally:
        keras.config.set_dtype_policy(default_policy)
    if spec.settings.init_from:
        LOG.info(warm_start.load_weights(model, spec.settings.init_from, spec.records.labels, spec.backbone))
    model.summary(print_fn=LOG.debug)
    return fuse_normalization(model)


def _claim_checkpoints(checkpoint_dir: Path, spec: TrainingSpec) -> None:
    """Store the digests of data and copies and the settings beside the checkpoints.

    Raises ``CheckpointConflict`` when checkpoints of other data or settings are there.
    """
    identity = {
        "data_digest": spec.records.data_digest,
        **({"copies_digest": spec.copies.data_digest} if spec.copies else {}),
        "imaging_fingerprint": spec.records.imaging_fingerprint,
        **dataclasses.asdict(spec.settings),
    }
    path = checkpoint_dir / "run.json"
    if path.is_file():
        old_names = {**OLD_NAMES, **get_old_names(TrainingSettings)}
        stored = use_current_names(json.loads(path.read_text()), old_names, str(path), warn=False)
        if changed := list_changed_settings(TrainingSettings, stored, identity):
            raise CheckpointConflict(
                f"{str(checkpoint_dir)!r} holds the checkpoints of another run (different: {', '.join(changed)}); "
                "choose another --checkpoint-dir, or delete it"
            )
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(identity) + "\n")


def get_default_strategy() -> tf.distribute.Strategy:
    """Return a strategy for all GPUs of this machine, or for its default device."""
    has_several = len(tf.config.list_physical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if has_several else tf.distribute.get_strategy()


def _average_over_replicas(strategy: tf.distribute.Strategy, value: float) -> float:
    """Return the mean of a metric over all replicas.

    Workers with different processors may compute it with another last bit; all have to stop after the same epoch.
    """
    if strategy.num_replicas_in_sync == 1:
        return value

    @tf.function(autograph=False)
    def mean(tensor):
        return strategy.reduce(tf.distribute.ReduceOp.MEAN, strategy.run(lambda: tf.identity(tensor)), axis=None)

    return float(mean(tf.constant(value, tf.float64)))


def _run_epoch(
    spec: TrainingSpec, learner: Learner, steps: tuple[TrainSteps, PredictStep], epoch: int, iterator: Batches
) -> dict[str, float]:
    """Train on one pass over the training split, then predict the validation split; return the metrics of the epoch."""
    train_steps, predict_step = steps
    strategy, records, settings = learner.strategy, spec.records, spec.settings
    canvas, batch_size = learner.ema_model.input_shape[1:3], settings.batch_size
    num_steps = spec.count_images() // batch_size
    num_images = num_steps * batch_size + records.count_images("validation")
    later_images = num_images * (settings.epochs - epoch - 1)
    with Progress(f"epoch {epoch + 1}/{settings.epochs}", num_images, later_total=later_images) as progress:
        row, sums, step = dict[str, float](), tf.zeros(3), 0
        while step < num_steps:
            count = min(spec.speed.steps_per_execution, num_steps - step)
            sums += train_steps(iterator, tf.constant(count))
            step += count
            if step == num_steps or step % STEPS_BETWEEN_READINGS < count:
                loss, accuracy, images = sums.numpy()
                row = {"loss": loss / images, "accuracy": accuracy / images}
                progress.update(step * batch_size, **row)
        vectors, targets = [], []
        dataset = batches.ordered_batches(records, "validation", canvas, batch_size)
        for images, batch_targets in strategy.experimental_distribute_dataset(dataset):
            vectors.append(strategy.gather(predict_step(images), axis=0).numpy())
            targets.append({name: strategy.gather(values, axis=0).numpy() for name, values in batch_targets.items()})
            progress.update(num_steps * batch_size + sum(map(len, vectors)), **row)
        all_targets = {name: np.concatenate([each[name] for each in targets]) for name in targets[0]}
        similarity = spec.problem.similarity(learner.ema_model)
        row.update(spec.problem.validation_metrics(np.concatenate(vectors), all_targets, similarity))
        progress.update(num_images, **row)
    return {name: float(value) for name, value in row.items()}


def iterate_batches(spec: TrainingSpec, learner: Learner, epochs: range) -> Iterator[Batches]:
    """Yield for each epoch the iterator of its batches, on the devices of the learner."""
    settings = spec.settings
    batch_settings = BatchSettings(
        learner.ema_model.input_shape[1:3],
        settings.batch_size,
        settings.seed,
        settings.augment,
        plugins.load("losses", settings.loss).sampling,
        stream=spec.stream,
        copies=spec.copies,
        copies_share=settings.copies_share or 0.0,
        workers=_count_augmentation_workers(spec.speed),
    )
    distribute = learner.strategy.experimental_distribute_dataset
    return batches.iterate_epochs(spec.records, batch_settings, epochs, distribute)


def _count_augmentation_workers(speed: SpeedSettings) -> int:
    """Without a GPU the training needs the processors itself."""
    if speed.augmentation_workers is not None:
        return speed.augmentation_workers
    return (os.cpu_count() or 1) if tf.config.list_physical_devices("GPU") else 0
