"""The compiled steps of a training: several training steps in one call of TensorFlow, and a prediction step.

On several devices each computes its share of a batch; a loss that compares images compares those of all devices, so
the numbers do not depend on how many there are, but for rounding. Next: ``loop.py`` calls the steps, ``replicas.py``
gathers what devices share.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from trainer.console.errors import UserError
from trainer.data import sampling
from trainer.problems import Problem
from trainer.settings import plugins
from trainer.settings.sections import SpeedSettings, TrainingSettings
from trainer.training.batch_similarity import compute_similarities
from trainer.training.replicas import gather

Batches = Iterator[tuple[Any, Any]]  # of a distributed dataset: images, targets
TrainSteps = Callable[[Batches, Any], Any]  # batches, number of steps -> sums over them: loss, accuracy, images
PredictStep = Callable[[Any], Any]  # images -> vectors


@dataclasses.dataclass(frozen=True)
class Learner:
    """The models and the optimizer of a run, on the devices of a strategy.

    ``ema_model`` has the exponential moving average of the weights of ``model``.
    """

    strategy: tf.distribute.Strategy
    model: keras.Model
    ema_model: keras.Model
    optimizer: keras.optimizers.Optimizer


def compile_steps(
    learner: Learner, problem: Problem, settings: TrainingSettings, speed: SpeedSettings
) -> tuple[TrainSteps, PredictStep]:
    """Compile training steps and the prediction step, each of a distributed batch.

    ``ema_model`` follows ``model`` as a running average of its weights (Polyak and Juditsky 1992). It is evaluated and
    exported because single steps swing between the few writers that are hard. Layers that are frozen when this is
    called stay frozen in the training step. Raises ``UserError`` for XLA on several devices.
    """
    strategy, model, ema_model, optimizer = learner.strategy, learner.model, learner.ema_model, learner.optimizer
    if speed.jit_compile and strategy.num_replicas_in_sync > 1:
        raise UserError(
            f"--jit-compile: XLA compiles the step of one device, and there are {strategy.num_replicas_in_sync}; "
            "leave it out"
        )
    variables = model.trainable_variables
    compute_gradients = _make_gradients(model, problem, settings, strategy.num_replicas_in_sync, speed.jit_compile)
    averages = [(average.value, weight.value) for average, weight in zip(ema_model.weights, model.weights, strict=True)]

    def train_replica(images, targets):
        gradients, sums = compute_gradients(images, targets)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return sums

    def update_averages():
        # Outside the replicas, which all have the same weights now. The first steps count less: the rule is that of
        # tf.train.ExponentialMovingAverage(num_updates=...), which takes no variables of Keras 3.
        step = tf.cast(optimizer.iterations.value, tf.float32)
        decay = tf.minimum(settings.ema_decay, (1 + step) / (10 + step))
        for average, weight in averages:
            strategy.extended.update(average, lambda a, w: a.assign(decay * a + (1 - decay) * w), args=(weight,))

    @tf.function(reduce_retracing=True, autograph=False)  # nothing branches on a tensor
    def train_steps(batches, count):
        def train_step(step, sums):
            images, targets = next(batches)
            replica_sums = strategy.run(train_replica, args=(images, targets))
            update_averages()
            return step + 1, sums + strategy.reduce(tf.distribute.ReduceOp.SUM, replica_sums, axis=None)

        return tf.while_loop(lambda step, _: step < count, train_step, (tf.constant(0), tf.zeros(3)))[1]

    @tf.function(reduce_retracing=True, autograph=False)
    def predict_step(images):
        return strategy.run(lambda replica_images: ema_model(replica_images, training=False), args=(images,))

    return train_steps, predict_step


def _make_gradients(
    model: keras.Model, problem: Problem, settings: TrainingSettings, replicas: int, jit_compile: bool
) -> Callable[[Any, Any], tuple[list[Any], Any]]:
    """Make the function of one device from its images and targets to gradients, and sums of loss, accuracy, images.

    Gradients and sums are summed over the devices. A loss that compares images is computed on every device from the
    images of all, of which each counts its share.
    """
    loss, similarity = plugins.load("losses", settings.loss), problem.similarity(model)
    group_size = sampling.GROUP_SIZES.get(loss.sampling, 1)
    share = 1.0 if similarity is None else 1.0 / replicas

    def compute_gradients(images, targets):
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            if similarity is not None:
                targets = {name: gather(values) for name, values in targets.items()}
                outputs = compute_similarities(outputs, similarity, group_size, use_numba=not jit_compile)
            losses = loss.function(targets, outputs)
            total = share * tf.reduce_sum(losses) / settings.batch_size
        gradients = tape.gradient(total, model.trainable_variables)
        hits = problem.accuracy(targets, outputs)
        count = tf.cast(tf.shape(losses)[0], tf.float32)
        return gradients, share * tf.stack([tf.reduce_sum(losses), tf.reduce_sum(hits), count])

    return tf.function(compute_gradients, jit_compile=True, autograph=False) if jit_compile else compute_gradients
