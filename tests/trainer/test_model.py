"""What is done to a trained encoder before it is exported: directions evened out, a second look."""

import dataclasses

import numpy as np
import pytest

from tests.contract.test_models import chosen
from trainer.imaging import Imaging
from trainer.problems import same_writer
from trainer.settings import plugins
from trainer.training import loop, network

SMALL = Imaging(32, 64)


@pytest.fixture
def encoder(tensorflow):
    tensorflow.keras.utils.set_random_seed(4)
    built = network.build(chosen("same_writer", "strokes").model, SMALL, ("genuine", "forged"))
    norm = built.get_layer("embedding_norm")
    rng = np.random.default_rng(1)
    norm.set_weights([rng.uniform(0.5, 2, w.shape) for w in norm.get_weights()])  # as training would leave it
    return built


@pytest.fixture
def images():
    return (np.random.default_rng(2).random((40, 32, 64, 1)) > 0.8).astype(np.uint8) * 255


def before_unit(encoder, images):
    import keras

    inner = keras.Model(encoder.inputs[0], encoder.get_layer("embedding_norm").output)
    return inner(images, training=False).numpy()


def test_evening_out_is_multiplying_by_the_power_of_the_covariance_folded_into_the_layers(encoder, images):
    vectors = encoder(images, training=False).numpy()
    plain, parameters = before_unit(encoder, images), encoder.count_params()
    same_writer.whiten(encoder, vectors)
    covariance = np.cov(vectors, rowvar=False)
    covariance += same_writer.SHRINK * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, axes = np.linalg.eigh(covariance)
    expected = plain @ (axes @ np.diag(values**-0.25) @ axes.T)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder(images, training=False).numpy(), expected, atol=1e-4)
    assert encoder.count_params() == parameters


def test_the_second_look_is_the_same_encoder_at_the_mirror_image(encoder, images):
    both = same_writer.mirrored(encoder)
    first = encoder(images, training=False).numpy()
    second = encoder(np.ascontiguousarray(images[:, :, ::-1]), training=False).numpy()
    expected = np.concatenate([first, second], axis=1) / 2**0.5
    np.testing.assert_allclose(both(images, training=False).numpy(), expected, atol=1e-5)
    assert both.count_params() == encoder.count_params()


@pytest.mark.parametrize("backbone", ["strokes", "lightweight"])
def test_only_backbones_that_profit_look_twice(backbone, images):
    built = network.build(chosen("same_writer", backbone).model, SMALL, ("genuine", "forged"))
    plugin = plugins.load("backbones", backbone)
    size = built.output_shape[-1]
    done = same_writer.finish(built, built(images, training=False).numpy(), plugin)
    assert done.output_shape[-1] == (2 * size if plugin.mirrored else size)


def test_what_learns_computes_in_the_precision_asked_for_and_answers_in_float32(images):
    wanted = chosen("same_writer", "strokes")
    training = dataclasses.replace(wanted.training, dtype_policy="mixed_bfloat16")

    def build():
        return network.build(wanted.model, SMALL, ("genuine", "forged"))

    learning = loop._learning(build, training)
    assert learning.get_layer("conv3").compute_dtype == "bfloat16"
    assert learning(images, training=False).dtype == "float32"
    assert build().get_layer("conv3").compute_dtype == "float32", "and nothing is changed for what comes after"
