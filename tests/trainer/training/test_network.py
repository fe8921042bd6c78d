"""A trained encoder before its export: whitening, the flip embedding, and the dtype policy."""

import dataclasses

import numpy as np
import pytest

from tests.contract.test_models import make_small_config
from trainer.imaging import Imaging
from trainer.problems import same_writer
from trainer.settings import plugins
from trainer.training import loop, network

SMALL = Imaging(32, 64)


@pytest.fixture
def encoder(tensorflow):
    tensorflow.keras.utils.set_random_seed(4)
    model = network.build_model(make_small_config("same_writer", "strokes").model, SMALL, ("genuine", "forged"))
    norm = model.get_layer("embedding_norm")
    rng = np.random.default_rng(1)
    norm.set_weights([rng.uniform(0.5, 2, w.shape) for w in norm.get_weights()])  # not those of an untrained layer
    return model


@pytest.fixture
def images():
    return (np.random.default_rng(2).random((40, 32, 64, 1)) > 0.8).astype(np.uint8) * 255


def compute_unnormalised(encoder, images):
    import keras

    without_unit = keras.Model(encoder.inputs[0], encoder.get_layer("embedding_norm").output)
    return without_unit(images, training=False).numpy()


def test_whitening_multiplies_by_a_power_of_the_covariance_without_more_parameters(encoder, images):
    vectors = encoder(images, training=False).numpy()
    unnormalised, num_params = compute_unnormalised(encoder, images), encoder.count_params()
    same_writer.whiten(encoder, vectors)
    covariance = np.cov(vectors, rowvar=False)
    covariance += same_writer.SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, axes = np.linalg.eigh(covariance)
    expected = unnormalised @ (axes @ np.diag(values**-0.25) @ axes.T)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder(images, training=False).numpy(), expected, atol=1e-4)
    assert encoder.count_params() == num_params


def test_the_flip_embedding_concatenates_those_of_the_image_and_of_its_mirror_image(encoder, images):
    both = same_writer.add_flip_embedding(encoder)
    first = encoder(images, training=False).numpy()
    second = encoder(np.ascontiguousarray(images[:, :, ::-1]), training=False).numpy()
    expected = np.concatenate([first, second], axis=1) / 2**0.5
    np.testing.assert_allclose(both(images, training=False).numpy(), expected, atol=1e-5)
    assert both.count_params() == encoder.count_params()


@pytest.mark.parametrize("backbone", ["strokes", "lightweight"])
def test_only_backbones_with_a_flip_embedding_export_it(backbone, images):
    model = network.build_model(make_small_config("same_writer", backbone).model, SMALL, ("genuine", "forged"))
    plugin = plugins.load("backbones", backbone)
    dim = model.output_shape[-1]
    exported = same_writer.build_export_model(model, lambda _: (model(images, training=False).numpy(), {}), plugin)
    assert exported.output_shape[-1] == (2 * dim if plugin.has_flip_embedding else dim)


def test_the_trained_model_has_the_requested_dtype_policy_and_float32_vectors(images):
    config = make_small_config("same_writer", "strokes")
    training = dataclasses.replace(config.training, dtype_policy="mixed_bfloat16")

    def build():
        return network.build_model(config.model, SMALL, ("genuine", "forged"))

    problem = plugins.load("problems", "same_writer")
    model = loop._build_trained_model(loop.TrainingSpec(problem, build, records=None, settings=training))
    assert model.get_layer("conv3").compute_dtype == "bfloat16"
    assert model(images, training=False).dtype == "float32"
    assert build().get_layer("conv3").compute_dtype == "float32", "the policy of later models is unchanged"
