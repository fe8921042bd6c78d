"""Fused normalisation is that of Keras: the same outputs, gradients, averages, weights and names."""

import keras
import numpy as np
import pytest

from trainer.training.normalization import FusedBatchNormalization, fuse_normalization


@pytest.fixture
def model():
    """A convolution of images and a dense layer, each normalised."""
    keras.utils.set_random_seed(3)
    images = keras.Input((6, 8, 1))
    features = keras.layers.Conv2D(4, 3, use_bias=False, name="conv")(images)
    features = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9, name="norm")(features))
    vectors = keras.layers.Dense(5)(keras.layers.Flatten()(features))
    return keras.Model(images, keras.layers.BatchNormalization(name="vector_norm")(vectors))


@pytest.fixture
def images():
    return np.random.default_rng(4).normal(2, 3, (10, 6, 8, 1)).astype(np.float32)


def test_weights_and_names_stay(model, images):
    fused = fuse_normalization(model)
    assert [weight.path for weight in fused.weights] == [weight.path for weight in model.weights]
    np.testing.assert_array_equal(fused(images, training=False), model(images, training=False))
    assert type(model.get_layer("norm")) is keras.layers.BatchNormalization, "the model itself is not changed"
    assert isinstance(fused.get_layer("norm"), FusedBatchNormalization)


def test_a_training_step_is_that_of_keras(tensorflow, model, images):
    fused = fuse_normalization(model)

    def train(trained):
        with tensorflow.GradientTape() as tape:
            vectors = trained(images, training=True)
            total = tensorflow.reduce_sum(vectors**3)
        return [vectors, *tape.gradient(total, trained.trainable_variables), *trained.get_weights()]

    for of_keras, of_kernel in zip(train(model), train(fused), strict=True):
        np.testing.assert_allclose(of_kernel, of_keras, rtol=1e-4, atol=1e-4)


def test_frozen_layers_keep_their_averages(model, images):
    fused = fuse_normalization(model)
    fused.trainable = False
    before = fused.get_weights()
    np.testing.assert_array_equal(fused(images, training=True), fused(images, training=False))
    assert all(map(np.array_equal, before, fused.get_weights()))


def test_another_axis_stays_with_keras(images):
    inputs = keras.Input((6, 8, 1))
    model = keras.Model(inputs, keras.layers.BatchNormalization(axis=1, name="norm")(inputs))
    assert type(fuse_normalization(model).get_layer("norm")) is keras.layers.BatchNormalization
