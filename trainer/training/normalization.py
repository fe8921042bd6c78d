"""Batch normalisation for training: in one kernel on one device, over the batch of all devices on several.

Keras computes it by a dozen operations, which take a third of a training step on processors. The model that learns has
these layers instead of those of Keras, with the same weights and names; what is evaluated and exported has Keras' own.
Next: ``loop.py``, which replaces them.
"""

from typing import Any

import keras
import tensorflow as tf

FUSED_RANK = 4  # of images; vectors are normalised by Keras


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """``keras.layers.BatchNormalization`` over the last axis, whose statistics are those of all devices."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise ``float [N, ..., C]``; in training by the mean and variance of the whole batch."""
        is_fused = training and self.trainable and len(inputs.shape) == FUSED_RANK
        if not is_fused or tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return super().call(inputs, training=training, mask=mask)
        normalised, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
        )
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        variance *= (count - 1) / count  # the kernel returns that of the population; Keras averages that of the batch
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + value * (1 - self.momentum))
        return normalised


def fuse_normalization(model: keras.Model) -> keras.Model:
    """Return a copy of a functional model whose batch normalisations are fused; with the same weights and names."""

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if type(layer) is not keras.layers.BatchNormalization or config["axis"] not in (-1, len(layer.input.shape) - 1):
            return layer.__class__.from_config(config)
        return FusedBatchNormalization.from_config({**config, "axis": -1, "synchronized": True})

    fused = keras.models.clone_model(model, clone_function=replace, recursive=True)
    fused.set_weights(model.get_weights())
    return fused
