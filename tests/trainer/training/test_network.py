"""A trained encoder before its export: whitening, the places of its embedding, and the dtype policy."""

import dataclasses

import keras
import numpy as np
import pytest

from tests.contract.test_models import make_small_config
from trainer.artifact.similarity import Cosine
from trainer.imaging import Imaging
from trainer.problems import _embedding
from trainer.settings import plugins
from trainer.training import loop, network

SMALL = Imaging(32, 64)


@pytest.fixture
def images():
    return (np.random.default_rng(2).random((40, 32, 64, 1)) > 0.8).astype(np.uint8) * 255


def build(backbone):
    keras.utils.set_random_seed(4)
    return network.build_model(make_small_config("same_writer", backbone).model, SMALL, ("genuine", "forged"))


def compute_after(layer, encoder, images):
    """Compute the output of a layer."""
    return keras.Model(encoder.inputs[0], encoder.get_layer(layer).output)(images, training=False).numpy()


def compute_whitening(vectors):
    covariance = np.cov(vectors, rowvar=False)
    covariance += _embedding.SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, axes = np.linalg.eigh(covariance)
    return axes @ np.diag(values**-0.25) @ axes.T


def test_whitening_multiplies_vectors_by_a_power_of_their_covariance_without_more_parameters(tensorflow, images):
    encoder = build("lightweight")
    norm, rng = encoder.get_layer("embedding_norm"), np.random.default_rng(1)
    norm.set_weights([rng.uniform(0.5, 2, w.shape) for w in norm.get_weights()])  # not those of an untrained layer
    vectors = encoder(images, training=False).numpy()
    expected, num_params = (
        compute_after("embedding_norm", encoder, images) @ compute_whitening(vectors),
        encoder.count_params(),
    )
    _embedding.whiten(encoder, np.split(vectors, [7, 30]))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder(images, training=False).numpy(), expected, atol=1e-4)
    assert encoder.count_params() == num_params


def test_whitening_multiplies_the_descriptors_of_all_inked_places_by_one_matrix(tensorflow, images):
    images[:, :16] = 0
    encoder = build("strokes")
    vectors, dim = encoder(images, training=False).numpy(), encoder.get_layer("embedding").filters
    descriptors = vectors.reshape(-1, dim)
    inked = descriptors.any(axis=1)
    units = descriptors[inked] / np.linalg.norm(descriptors[inked], axis=1, keepdims=True)
    expected = compute_after("embedding", encoder, images).reshape(-1, dim) @ compute_whitening(units)
    _embedding.whiten(encoder, iter(np.split(vectors, [7, 30])))
    whitened = encoder(images, training=False).numpy().reshape(-1, dim)
    np.testing.assert_array_equal(whitened.any(axis=1), inked)
    cosines = np.sum(whitened[inked] * expected[inked], axis=1)
    np.testing.assert_allclose(
        cosines, np.prod([np.linalg.norm(v[inked], axis=1) for v in (whitened, expected)], 0), rtol=1e-4
    )


@pytest.mark.parametrize("offset", [0, 1000])
def test_the_covariance_of_batches_is_that_of_all_vectors_even_far_from_0(offset):
    rng = np.random.default_rng(5)
    vectors = (offset + rng.random((500, 6)) @ rng.random((6, 6))).astype(np.float32)
    batches = [vectors[:0], vectors[:1], vectors[1:130], vectors[130:130], vectors[130:]]
    np.testing.assert_allclose(
        _embedding.compute_covariance(iter(batches)), np.cov(vectors, rowvar=False, ddof=1), rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize(
    ("name", "is_trained"), [("same_writer", True), ("genuine_vs_forged", False), ("writer_identification", False)]
)
def test_with_a_frozen_base_an_embedding_is_trained_only_where_it_is_the_head(tensorflow, name, is_trained):
    model = network.build_model(make_small_config(name, "lightweight").model, SMALL, ("genuine", "forged"))
    network.get_base(model, plugins.load("problems", name)).trainable = False
    trained = {weight.path.partition("/")[0] for weight in model.trainable_variables}
    head = {"embedding", "embedding_norm"} if is_trained else {"probability"}
    assert trained == head


def test_the_places_of_an_embedding_have_equal_lengths_and_those_without_ink_are_0(tensorflow, images):
    images[:, :, 32:] = 0
    encoder = build("strokes")
    similarity = _embedding.get_similarity(encoder)
    assert (similarity.rows, similarity.columns) == (4, 8)
    vectors = encoder(images, training=False).numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    lengths = np.linalg.norm(vectors.reshape(40, 4, 8, -1), axis=3)
    np.testing.assert_allclose(lengths[:, :, :4], 1 / 4, atol=1e-5)
    assert (lengths[:, :, 4:] == 0).all()


def test_a_backbone_without_places_is_compared_by_the_cosine(tensorflow):
    assert _embedding.get_similarity(build("lightweight")) == Cosine()


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
