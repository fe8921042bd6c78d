"""Every problem on every backbone keeps the contract of an exported model. New files in the folders are tested here."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from trainer import model, plugins, report, samples
from trainer.artifact import decision
from trainer.artifact.manifest import read
from trainer.artifact.model import Model
from trainer.corpora import Sample
from trainer.evaluate import Evaluation
from trainer.export import export, publish
from trainer.imaging import Imaging

LABELS = ("first", "second", "third")
PAIRS = [(problem, backbone) for problem in plugins.names("problems") for backbone in plugins.names("backbones")]
HEIGHT, WIDTH = 32, 64


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request):
    return request.param


@pytest.fixture
def built(pair):
    keras.utils.set_random_seed(3)
    return model.build(*pair, HEIGHT, WIDTH, LABELS, dropout=0.5)


@pytest.fixture
def images(rng):
    return (rng.random((5, HEIGHT, WIDTH, 1)) > 0.9).astype(np.uint8) * 255


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_model_maps_canonical_images_to_float32_vectors(built, images):
    vectors = built.predict(images, verbose=0)
    assert built.input_shape == (None, HEIGHT, WIDTH, 1)
    assert built.inputs[0].dtype == "uint8"
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, built.output_shape[-1])


def test_a_batch_is_answered_as_its_images_one_by_one(built, images):
    together = built.predict(images, verbose=0)
    alone = np.concatenate([built.predict(image[None], verbose=0) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_predicting_twice_gives_the_same_vectors_so_nothing_is_dropped(built, images):
    np.testing.assert_array_equal(built(images, training=False), built(images, training=False))


def test_training_drops_features(built, images):
    assert not np.array_equal(built(images, training=True), built(images, training=True))


def test_the_loss_is_one_finite_number_an_image_and_can_be_learnt_from(tensorflow, pair, built, images):
    problem = plugins.load("problems", pair[0])
    targets = {"label": tensorflow.constant([0, 1, 2, 0, 1]), "writer": tensorflow.constant([0, 0, 1, 1, 2])}
    with tensorflow.GradientTape() as tape:
        losses = problem.loss(targets, built(images, training=False))
        total = tensorflow.reduce_mean(losses)
    gradients = tape.gradient(total, built.trainable_variables)
    assert losses.shape == (5,)
    assert np.isfinite(losses).all()
    assert all(gradient is not None for gradient in gradients)
    assert problem.accuracy(targets, built(images, training=False)).shape == (5,)


def test_export_answers_alike_in_all_its_forms_and_survives_a_round_trip(pair, built, images, tmp_path):
    imaging = Imaging(HEIGHT, WIDTH)
    export(built, *pair, LABELS, imaging, {"run": "contract"}, tmp_path / "partial")
    publish(tmp_path / "partial", {"accuracy": 50.0}, tmp_path / "model")
    litert, reference = Model(tmp_path / "model"), Model(tmp_path / "model", engine="tensorflow")
    expected = built.predict(images, verbose=0)
    np.testing.assert_allclose(litert.engine(images), expected, atol=1e-5)
    np.testing.assert_allclose(reference.engine(images), expected, atol=1e-5)
    assert litert.prove() == len(samples.KINDS) * 3
    described = read(tmp_path / "model")
    assert described.metrics == {"accuracy": 50.0}
    assert described.vector_size == built.output_shape[-1]
    assert described.twins["float32"]["difference"] <= 1e-4
    assert not (tmp_path / "partial").exists()


@pytest.mark.parametrize("name", plugins.names("problems"))
def test_a_problem_is_completely_described(name):
    problem = plugins.load("problems", name)
    assert problem.question.endswith("?")
    assert problem.backbone in plugins.names("backbones")
    assert problem.generated.layout in plugins.names("corpora")
    described = problem.decision(LABELS).describe()
    assert decision.from_manifest(described).describe() == described


@pytest.mark.parametrize("name", plugins.names("problems"))
def test_what_a_problem_answers_can_be_measured_told_and_tabled(name, rng, tmp_path):
    problem = plugins.load("problems", name)
    decision = problem.decision(LABELS)
    built = model.build(name, problem.backbone, HEIGHT, WIDTH, LABELS, dropout=0.0)
    images = (rng.random((30, HEIGHT, WIDTH, 1)) > 0.9).astype(np.uint8) * 255
    vectors = built.predict(images, verbose=0)
    read = [Sample(Path(), f"{i}", LABELS[i % 3], f"w{i % 5}", "here") for i in range(30)]
    numbers = problem.judge.measure(vectors, [sample.label for sample in read], decision)
    facts = {"problem": name, "question": problem.question, "data": {}, "history": []}
    report.write(tmp_path, problem.judge, Evaluation(read, vectors, [("x.png", "damaged")], numbers), facts, [])
    content = json.loads((tmp_path / "report.json").read_text())
    assert content[problem.judge.key] == numbers
    assert content["refused"] == [{"path": "x.png", "reason": "damaged"}]
    assert problem.judge.table(numbers) in (tmp_path / "report.md").read_text()
    assert len(decision.row(decision.answer(vectors[0]))) == len(decision.columns)


@pytest.mark.parametrize("name", plugins.names("problems"))
@pytest.mark.parametrize("labels", [("a", "b"), LABELS], ids=len)
def test_a_head_serves_two_labels_and_more(name, labels):
    problem = plugins.load("problems", name)
    built = model.build(name, problem.backbone, HEIGHT, WIDTH, labels, dropout=0.0)
    vectors = built.predict(np.zeros((1, HEIGHT, WIDTH, 1), np.uint8), verbose=0)
    answer = problem.decision(labels).answer(vectors[0])
    assert answer["label"] in labels
