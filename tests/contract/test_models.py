"""Every problem on every backbone keeps the contract of an exported model. New files in the folders are tested here."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from trainer import variant
from trainer.artifact import decision
from trainer.artifact.artifact import Model
from trainer.artifact.manifest import read
from trainer.corpora import Sample
from trainer.evaluation import report
from trainer.evaluation.measure import Evaluation
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.samples import generator
from trainer.settings import config, plugins
from trainer.training import network
from trainer.training.export import export, publish

LABELS = ("first", "second", "third")
HANDS = ("genuine", "forged")
PROBLEMS, BACKBONES = plugins.names("problems"), plugins.names("backbones")
LARGE = ("resnet34",)  # 21 million parameters of the file that resnet18 is made by: built once, not exported
PAIRS = [
    (problem, backbone)
    for problem in PROBLEMS
    for backbone in BACKBONES
    if backbone not in LARGE or problem == "same_writer"
]
# Export takes seconds: every problem once with its own backbone, and every backbone once.
EXPORTED = [(problem, plugins.load("problems", problem).backbone) for problem in PROBLEMS]
EXPORTED += [(p, b) for p, b in PAIRS if p == "same_writer" and b not in LARGE and (p, b) not in EXPORTED]
HEIGHT, WIDTH = 32, 64
IMAGING = Imaging(HEIGHT, WIDTH)


def chosen(name: str, backbone: str) -> config.Config:
    """The settings of a small model."""
    flags = ["--problem", name, "--backbone", backbone, "--dropout", "0.5"]
    flags += ["--image-height", str(HEIGHT), "--image-width", str(WIDTH)]
    return resolve_settings(config.from_command_line(flags, {}), plugins.load("problems", name))


def labels_of(name: str) -> tuple[str, ...]:
    return plugins.load("problems", name).labels or LABELS


def build(name: str, backbone: str, labels: tuple[str, ...] | None = None) -> keras.Model:
    keras.utils.set_random_seed(3)
    return network.build(chosen(name, backbone).model, IMAGING, labels or labels_of(name))


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def pair(request):
    return request.param


@pytest.fixture(scope="module")
def built(pair):
    return build(*pair)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return (rng.random((8, HEIGHT, WIDTH, 1)) > 0.9).astype(np.uint8) * 255


@pytest.fixture
def targets(tensorflow):
    """Four writers with two signatures each, of which two are forgeries or another class."""
    label, writer = [0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 1, 1, 2, 2, 3, 3]
    return {"label": tensorflow.constant(label), "writer": tensorflow.constant(writer)}


def test_a_model_maps_canonical_images_to_float32_vectors(built, images):
    vectors = built(images, training=False).numpy()
    assert built.input_shape == (None, HEIGHT, WIDTH, 1)
    assert built.inputs[0].dtype == "uint8"
    assert vectors.dtype == np.float32
    assert vectors.shape == (8, built.output_shape[-1])


def test_a_batch_is_answered_as_its_images_one_by_one(built, images):
    together = built(images, training=False)
    alone = np.concatenate([built(image[None], training=False) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_predicting_twice_gives_the_same_vectors_so_nothing_is_dropped(built, images):
    np.testing.assert_array_equal(built(images, training=False), built(images, training=False))


def test_training_drops_features(built, images):
    """With normalisation as in use, so that what differs is what was dropped."""
    normalised = [layer for layer in built._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalised:
        layer.trainable = False
    one, other = built(images, training=True), built(images, training=True)
    for layer in normalised:
        layer.trainable = True
    assert not np.array_equal(one, other)


def test_every_loss_is_one_finite_number_an_image_and_can_be_learnt_from(tensorflow, pair, built, images, targets):
    problem = plugins.load("problems", pair[0])
    for name in problem.losses:
        loss = plugins.load("losses", name)
        with tensorflow.GradientTape() as tape:
            losses = loss.function(targets, built(images, training=False))
            total = tensorflow.reduce_mean(losses)
        gradients = tape.gradient(total, built.trainable_variables)
        assert losses.shape == (8,), name
        assert np.isfinite(losses).all(), name
        assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients), name
    assert problem.accuracy(targets, built(images, training=False)).shape == (8,)


@pytest.mark.parametrize("pair", EXPORTED, ids="-".join)
def test_export_answers_alike_in_all_its_forms_and_survives_a_round_trip(pair, images, tmp_path):
    built, labels = build(*pair), labels_of(pair[0])
    made, errors = _decision(pair[0], labels)
    export(built, *pair, labels, IMAGING, {"run": "contract"}, tmp_path / "partial", lambda engine: (made, errors))
    publish(tmp_path / "partial", {"accuracy": 50.0}, tmp_path / "model")
    litert, reference = Model(tmp_path / "model"), Model(tmp_path / "model", engine="tensorflow")
    expected = built(images, training=False)
    np.testing.assert_allclose(litert.engine(images), expected, atol=1e-5)
    np.testing.assert_allclose(reference.engine(images), expected, atol=1e-5)
    assert litert.prove() == len(generator.KINDS) * 3
    described = read(tmp_path / "model")
    assert described.metrics == {"accuracy": 50.0}
    assert described.vector_size == built.output_shape[-1]
    assert described.variants["float32"]["difference"] <= 1e-4
    assert described.variants["int8"]["usable"], "its errors are the same here"
    assert litert.decision == made
    assert not (tmp_path / "partial").exists()
    variant.copy(tmp_path / "model", "int8", tmp_path / "small")
    _keeps_the_engines_contract(litert, expected, images, 1e-4)
    _keeps_the_engines_contract(reference, expected, images, 1e-4)
    _keeps_the_engines_contract(Model(tmp_path / "small"), expected, images, described.variants["int8"]["tolerance"])


def _keeps_the_engines_contract(model, expected, images, tolerance):
    """What every engine promises, whatever computes: the same vectors for a batch, one by one, and on more cores."""
    found = model.engine(images)
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    np.testing.assert_allclose(found, expected, atol=tolerance)
    one_by_one = np.concatenate([model.engine(image[None]) for image in images])
    np.testing.assert_allclose(one_by_one, found, atol=1e-5)
    np.testing.assert_allclose(model.engine._make(2)(images), found, atol=1e-5)
    with pytest.raises(ValueError, match="uint8"):
        model.engine(images.astype(np.float32))
    with pytest.raises(ValueError, match="takes uint8"):
        model.engine(images[:, :-1])


def _decision(name, labels):
    """A decision from vectors without sense, and its errors."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(60, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    targets = {"label": np.arange(60) % 2, "writer": np.arange(60) // 10, "source": np.zeros(60)}
    problem = plugins.load("problems", name)
    decision = problem.decide(labels, vectors, targets)
    return decision, problem.errors(decision, vectors if decision.compares else vectors[:, : len(labels)], targets)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_completely_described(name):
    problem = plugins.load("problems", name)
    assert problem.question.endswith("?")
    assert problem.backbone in BACKBONES
    assert problem.generated.layout in plugins.names("corpora")
    described = json.loads(json.dumps(_decision(name, labels_of(name))[0].describe()))
    assert decision.from_manifest(described).describe() == described


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_a_problem_answers_can_be_measured_told_and_tabled(name, images, tmp_path):
    problem, labels = plugins.load("problems", name), labels_of(name)
    made, _ = _decision(name, labels)
    rng = np.random.default_rng(2)
    vectors = np.abs(rng.normal(size=(60, 256 if made.compares else len(labels)))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, ord=2 if made.compares else 1, axis=1, keepdims=True)
    read = [Sample(Path(), f"{i}", labels[i % len(labels)], f"w{i // 10}", "here") for i in range(60)]
    numbers = problem.judge.measure(vectors, read, made)
    facts = {"problem": name, "question": problem.question, "data": {}, "history": []}
    report.write(tmp_path, problem.judge, Evaluation(read, vectors, made, [("x.png", "damaged")], numbers), facts, [])
    content = json.loads((tmp_path / "report.json").read_text())
    assert content[problem.judge.key] == json.loads(json.dumps(numbers))
    assert content["refused"] == [{"path": "x.png", "reason": "damaged"}]
    assert problem.judge.table(numbers) in (tmp_path / "report.md").read_text()
    answer = made.answer(vectors[0], vectors[1:3] if made.compares else ())
    assert len(made.row(answer)) == len(made.columns)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if plugins.load("problems", name).labels is None])
@pytest.mark.parametrize("labels", [("a", "b"), LABELS], ids=len)
def test_a_head_serves_two_labels_and_more(name, labels):
    problem = plugins.load("problems", name)
    built = build(name, problem.backbone, labels)
    vectors = built(np.zeros((1, HEIGHT, WIDTH, 1), np.uint8), training=False).numpy()
    answer = problem.decide(labels, vectors, {}).answer(vectors[0])
    assert answer["label"] in labels
