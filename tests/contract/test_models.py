"""Every problem on every backbone keeps the contract of an exported model; a new plug-in is tested without a change."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from trainer import variant
from trainer.artifact import decision
from trainer.artifact.artifact import Artifact
from trainer.artifact.card import CardFacts
from trainer.artifact.manifest import identity, read
from trainer.artifact.similarity import Cosine
from trainer.corpora import LabelledBox, Sample
from trainer.evaluation import report
from trainer.evaluation.measure import Evaluation
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import plugins
from trainer.settings.config import Config, parse_config
from trainer.training import network
from trainer.training.batch_similarity import compute_similarities
from trainer.training.export import GOLDEN, GOLDEN_PAGES, ArtifactSpec, export, publish

LABELS = ("first", "second", "third")
VERIFICATION_LABELS = ("genuine", "forged")
PROBLEMS, BACKBONES = plugins.list_names("problems"), plugins.list_names("backbones")
LARGE = ("resnet34",)  # 21 million parameters of the same code as resnet18: built once, not exported
PAIRS = [
    (problem, backbone)
    for problem in PROBLEMS
    for backbone in BACKBONES
    if backbone in (plugins.load("problems", problem).backbones or BACKBONES)
    if backbone not in LARGE or problem == "same_writer"
]
# Export takes seconds: every problem once with its default backbone, and every backbone once.
EXPORTED = [(problem, plugins.load("problems", problem).backbone) for problem in PROBLEMS]
EXPORTED += [(p, b) for p, b in PAIRS if p == "same_writer" and b not in LARGE and (p, b) not in EXPORTED]
IMAGING = Imaging(32, 64)
PAGE_IMAGING = Imaging(64, 64, framing="page")


def get_imaging(name: str) -> Imaging:
    return PAGE_IMAGING if plugins.load("problems", name).framing == "page" else IMAGING


def make_small_config(name: str, backbone: str) -> Config:
    """Return the settings of a small model."""
    flags = ["--problem", name, "--backbone", backbone, "--dropout", "0.5", "--init-from", "none"]
    imaging = get_imaging(name)
    flags += ["--image-height", str(imaging.height), "--image-width", str(imaging.width)]
    return resolve_settings(parse_config(flags, {}), plugins.load("problems", name))


def get_labels(name: str) -> tuple[str, ...]:
    return plugins.load("problems", name).labels or LABELS


def build(name: str, backbone: str, labels: tuple[str, ...] | None = None) -> keras.Model:
    keras.utils.set_random_seed(3)
    return network.build_model(make_small_config(name, backbone).model, get_imaging(name), labels or get_labels(name))


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def pair(request):
    return request.param


@pytest.fixture(scope="module")
def built(pair):
    return build(*pair)


@pytest.fixture
def images(pair):
    imaging = get_imaging(pair[0])
    rng = np.random.default_rng(0)
    return (rng.random((8, imaging.height, imaging.width, 1)) > 0.9).astype(np.uint8) * 255


@pytest.fixture
def targets(tensorflow):
    """Four writers with two signatures each, of which two are forgeries or another class."""
    label, writer = [0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 1, 1, 2, 2, 3, 3]
    regions = make_regions(8)
    values = {"label": label, "writer": writer, "regions": regions}
    return {name: tensorflow.constant(each) for name, each in values.items()}


def make_regions(count: int) -> np.ndarray:
    """Make targets of pages, of which every second one has a signature: ``float32 [N, 2, 5]``."""
    regions = np.full((count, 2, 5), -1, np.float32)
    regions[::2, 0] = (0, 0.25, 0.5, 0.75, 0.75)
    return regions


def test_a_model_maps_canonical_images_to_float32_vectors(built, images):
    vectors = built(images, training=False).numpy()
    assert built.input_shape == (None, *images.shape[1:])
    assert built.inputs[0].dtype == "uint8"
    assert vectors.dtype == np.float32
    assert vectors.shape == (8, *built.output_shape[1:])


def test_the_vectors_of_a_batch_are_those_of_its_images_one_by_one(built, images):
    batch = built(images, training=False)
    one_by_one = np.concatenate([built(image[None], training=False) for image in images])
    np.testing.assert_allclose(batch, one_by_one, atol=1e-5)


def test_prediction_is_deterministic_and_drops_nothing(built, images):
    np.testing.assert_array_equal(built(images, training=False), built(images, training=False))


def test_training_drops_features(built, images):
    """With frozen normalisation, so that only the dropped features differ."""
    normalised = [layer for layer in built._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalised:
        layer.trainable = False
    first, second = built(images, training=True), built(images, training=True)
    for layer in normalised:
        layer.trainable = True
    assert not np.array_equal(first, second)


def test_every_loss_and_its_gradients_are_finite(tensorflow, pair, built, images, targets):
    problem = plugins.load("problems", pair[0])
    for name in problem.losses:
        loss = plugins.load("losses", name)
        with tensorflow.GradientTape() as tape:
            losses = loss.function(targets, compute_outputs(problem, built, images))
            total = tensorflow.reduce_mean(losses)
        gradients = tape.gradient(total, built.trainable_variables)
        assert losses.shape == (8,), name
        assert np.isfinite(losses).all(), name
        assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients), name
    assert problem.accuracy(targets, compute_outputs(problem, built, images)).shape == (8,)


def compute_outputs(problem, built, images):
    """Return what a loss takes: vectors, or their similarities where they are compared."""
    vectors, similarity = built(images, training=False), problem.similarity(built)
    return vectors if similarity is None else compute_similarities(vectors, similarity, 2)


@pytest.mark.parametrize("pair", EXPORTED, ids="-".join)
def test_all_forms_of_an_exported_model_give_the_same_vectors(pair, images, tmp_path):
    built, labels = build(*pair), get_labels(pair[0])
    if len(built.output_shape) > 2:  # a grid
        built = keras.Model(built.input, keras.layers.Flatten()(built.output))
    fitted, errors = _fit_decision(pair[0], labels)
    spec = ArtifactSpec(*pair, labels, get_imaging(pair[0]), {"run": "contract"})
    export(built, spec, tmp_path / "partial", lambda engine: (fitted, errors))
    publish(tmp_path / "partial", {"accuracy": 50.0}, {}, CardFacts([], "", [], []), tmp_path / "model")
    litert, reference = Artifact(tmp_path / "model"), Artifact(tmp_path / "model", engine="tensorflow")
    expected = built(images, training=False)
    np.testing.assert_allclose(litert.engine_pool(images), expected, atol=1e-5)
    np.testing.assert_allclose(reference.engine_pool(images), expected, atol=1e-5)
    assert litert.replay_golden() == (len(GOLDEN_PAGES) if pair[0] == "signature_on_page" else len(GOLDEN))
    written = read(tmp_path / "model")
    assert written.metrics == {"accuracy": 50.0}
    assert written.vector_size == built.output_shape[-1]
    assert written.variants["float32"]["difference"] <= 1e-4
    assert written.variants["int8"]["usable"], "the error rates are the same here"
    assert litert.decision == fitted
    assert not (tmp_path / "partial").exists()
    stored = sum(path.stat().st_size for path in (tmp_path / "model" / "variables").iterdir())
    assert stored < 4.2 * built.count_params() + 20_000, "every weight is stored once, with 4 bytes"
    variant.write_variant(tmp_path / "model", "int8", tmp_path / "small")
    _check_engines(litert, expected, images, 1e-4)
    _check_engines(reference, expected, images, 1e-4)
    _check_engines(Artifact(tmp_path / "small"), expected, images, written.variants["int8"]["tolerance"])


EXPORT = """
import sys, pathlib, tests.contract.test_models as t
labels = t.get_labels("signature_vs_text")
fitted = t._fit_decision("signature_vs_text", labels)
spec = t.ArtifactSpec("signature_vs_text", "lightweight", labels, t.IMAGING, {})
t.export(t.build("signature_vs_text", "lightweight"), spec, pathlib.Path(sys.argv[1]), lambda engine: fitted)
"""


@pytest.mark.whole
def test_equal_weights_are_exported_to_equal_bytes_by_any_process(tmp_path):
    """Apart from the time, which ``SOURCE_DATE_EPOCH`` sets."""
    for name in ("first", "second"):
        command = [sys.executable, "-c", EXPORT, str(tmp_path / name)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert identity(tmp_path / "first") == identity(tmp_path / "second"), "it covers every file"
    assert read(tmp_path / "first").created_at == "2023-11-14T22:13:20+00:00"


def _check_engines(artifact, expected, images, tolerance):
    """Check the contract of every engine: the same vectors for a batch, one by one, and with more threads."""
    vectors = artifact.engine_pool(images)
    assert (vectors.dtype, vectors.shape) == (np.float32, expected.shape)
    np.testing.assert_allclose(vectors, expected, atol=tolerance)
    one_by_one = np.concatenate([artifact.engine_pool(image[None]) for image in images])
    np.testing.assert_allclose(one_by_one, vectors, atol=1e-5)
    np.testing.assert_allclose(artifact.engine_pool._make_engine(2)(images), vectors, atol=1e-5)
    with pytest.raises(ValueError, match="uint8"):
        artifact.engine_pool(images.astype(np.float32))
    with pytest.raises(ValueError, match="takes uint8"):
        artifact.engine_pool(images[:, :-1])


def _fit_decision(name, labels):
    """Fit a decision to random vectors; return it with its error rates."""
    rng = np.random.default_rng(1)
    if plugins.load("problems", name).region_labels:
        return _fit_locator(plugins.load("problems", name), labels, rng)
    vectors = rng.normal(size=(60, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    targets = {"label": np.arange(60) % 2, "writer": np.arange(60) // 10, "corpus_index": np.zeros(60)}
    problem = plugins.load("problems", name)
    fitted = problem.fit_decision(labels, vectors, targets, Cosine())
    return fitted, problem.error_rates(
        fitted, vectors if fitted.takes_references else vectors[:, : len(labels)], targets
    )


def _fit_locator(problem, labels, rng):
    """Fit the decision of pages to random grids."""
    vectors = rng.random((20, 4, 4, len(problem.region_labels) + 4)).astype(np.float32)
    targets = {"label": np.arange(20) % 2, "regions": make_regions(20)}
    fitted = problem.fit_decision(labels, vectors, targets, None)
    return fitted, problem.error_rates(fitted, vectors, targets)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_complete(name):
    problem = plugins.load("problems", name)
    assert problem.question.endswith("?")
    assert problem.backbone in BACKBONES
    assert problem.generated_dataset.layout in plugins.list_names("corpora")
    values = json.loads(json.dumps(_fit_decision(name, get_labels(name))[0].to_manifest()))
    assert decision.from_manifest(values).to_manifest() == values


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_answers_of_a_problem_can_be_measured_and_reported(name, tmp_path):
    problem, labels = plugins.load("problems", name), get_labels(name)
    fitted, _ = _fit_decision(name, labels)
    rng = np.random.default_rng(2)
    vectors = np.abs(rng.normal(size=(60, 256 if fitted.takes_references else len(labels)))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, ord=2 if fitted.takes_references else 1, axis=1, keepdims=True)
    if problem.region_labels:
        _check_that_pages_can_be_measured(problem, fitted, tmp_path)
        return
    samples = [Sample(Path(), f"{i}", labels[i % len(labels)], f"w{i // 10}", "here") for i in range(60)]
    metrics = problem.report_builder.measure(vectors, samples, fitted)
    facts = {"problem": name, "question": problem.question, "data": {}, "history": []}
    evaluation = Evaluation(samples, vectors, fitted, [("x.png", "damaged")], metrics)
    report.write(tmp_path, problem.report_builder, evaluation, facts, [])
    content = json.loads((tmp_path / "report.json").read_text())
    assert content[problem.report_builder.key] == json.loads(json.dumps(metrics))
    assert content["refused"] == [{"path": "x.png", "reason": "damaged"}]
    assert problem.report_builder.format_table(metrics) in (tmp_path / "report.md").read_text()
    answer = fitted.answer(vectors[0], vectors[1:3] if fitted.takes_references else ())
    assert len(fitted.to_row(answer)) == len(fitted.columns)


def _check_that_pages_can_be_measured(problem, fitted, folder):
    """Measure two pages: one whose signature is found, and one whose signature is not, and which is drawn."""
    file = folder / "page.png"
    Image.new("L", (80, 100), 255).save(file)
    boxes = (LabelledBox("signature", 10, 20, 50, 40),)
    samples = [Sample(folder, file.name, "signed", None, "here", boxes=boxes) for _ in range(2)]
    samples.append(Sample(folder, file.name, "unsigned", None, "here"))
    rows = np.full((3, 3, 6), -1, np.float32)
    rows[:, 0, :3] = (100, 80, 0.9)
    rows[0, 1] = (0, 0.95, 10, 20, 50, 40)
    vectors = rows.reshape(3, -1)
    metrics = problem.report_builder.measure(vectors, samples, fitted)
    assert metrics["labels"]["signature"]["regions"] == 2
    evaluation = Evaluation(samples, vectors, fitted, [], metrics)
    report.write(folder / "report", problem.report_builder, evaluation, {"problem": "", "question": "", "data": {}}, [])
    assert (folder / "report" / "worst_1.png").is_file()


@pytest.mark.parametrize("name", [name for name in PROBLEMS if plugins.load("problems", name).labels is None])
@pytest.mark.parametrize("labels", [("a", "b"), LABELS], ids=len)
def test_a_head_serves_two_labels_and_more(name, labels):
    problem = plugins.load("problems", name)
    built = build(name, problem.backbone, labels)
    vectors = built(np.zeros((1, IMAGING.height, IMAGING.width, 1), np.uint8), training=False).numpy()
    answer = problem.fit_decision(labels, vectors, {}, None).answer(vectors[0])
    assert answer["label"] in labels
