"""``--init-from`` an artefact of another network, canvas and labels: what is adopted, what is loaded, what is said."""

import numpy as np
import pytest

from trainer import task
from trainer.artifact import manifest
from trainer.artifact.decision import Classifier
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import plugins
from trainer.settings.config import parse_config
from trainer.settings.flags import BadSetting
from trainer.training import network, warm_start
from trainer.training.export import ArtifactSpec, export

READY = "ready:signature_vs_text"
CANVAS = Imaging(32, 96)
LABELS = ("signature", "text", "other")
NETWORK_FLAGS = ("--backbone", "lightweight", "--image-height", "32", "--image-width", "96")


def resolve(*flags):
    """Return the complete settings of a command with these flags."""
    return resolve_settings(parse_config([*flags], {}), plugins.load("problems", "signature_vs_text"))


def build_problem(name, labels, *flags):
    """Return the complete settings of a problem and its network with random weights."""
    config = resolve_settings(parse_config(["--problem", name, *flags], {}), plugins.load("problems", name))
    canvas = Imaging(config.model.image_height, config.model.image_width)
    return config, network.build_model(config.model, canvas, labels)


def build(labels, *flags):
    """Build the network of these flags and labels with random weights."""
    config = resolve(*flags)
    return network.build_model(config.model, Imaging(config.model.image_height, config.model.image_width), labels)


def make_random_images():
    """Return eight canonical images ``uint8 [8, 32, 96, 1]`` of random grey, each with more ink than the one before."""
    grey = np.random.default_rng(3).random((8, CANVAS.height, CANVAS.width, 1)) * 255
    return (grey * np.linspace(0.05, 1, 8)[:, None, None, None]).astype(np.uint8)


@pytest.fixture(scope="module")
def foreign_artifact(tensorflow, make_once):
    """An artefact with three labels, a backbone and a canvas that are no defaults, and random weights."""

    def make(folder):
        tensorflow.keras.utils.set_random_seed(11)
        spec = ArtifactSpec("signature_vs_text", "lightweight", LABELS, CANVAS, {"run": "foreign"})
        decision = Classifier.with_equal_thresholds(LABELS)
        export(build(LABELS, *NETWORK_FLAGS), spec, folder, lambda engine: (decision, {"error": 1.0}))

    return make_once("foreign", make)


@pytest.fixture
def ready_foreign(foreign_artifact, tmp_path, monkeypatch):
    """``foreign_artifact`` as the ready one."""
    (tmp_path / "ready").mkdir()
    (tmp_path / "ready" / "signature_vs_text").symlink_to(foreign_artifact)
    monkeypatch.setenv("COUNTERSIGN_READY", str(tmp_path / "ready"))
    return foreign_artifact


@pytest.mark.parametrize(
    ("flags", "backbone", "canvas"),
    [
        ((), "lightweight", (32, 96)),
        (("--backbone", "strokes"), "strokes", (32, 96)),
        (("--image-height", "64"), "lightweight", (64, 96)),
        (("--backbone", "compact", "--image-height", "96", "--image-width", "192"), "compact", (96, 192)),
    ],
)
def test_backbone_and_canvas_are_those_of_the_artefact_unless_a_flag_sets_them(ready_foreign, flags, backbone, canvas):
    model = resolve("--init-from", READY, *flags).model
    assert (model.backbone, (model.image_height, model.image_width)) == (backbone, canvas)


def test_an_artefact_of_an_earlier_network_of_this_name_is_an_error_and_loads_nothing(
    tensorflow, monkeypatch, tmp_path
):
    model = build(LABELS, *NETWORK_FLAGS)
    before = [weight.numpy() for weight in model.weights]
    weights = {weight.path: weight.numpy() + 1 for weight in model.weights}
    weights["conv6/kernel"] = weights["conv6/kernel"][..., :1]  # which that release had with fewer channels
    source = warm_start.InitialWeights(weights, LABELS, "lightweight", (32, 96))
    monkeypatch.setattr(warm_start, "_read_artifact", lambda folder: source)
    monkeypatch.setattr(warm_start, "fetch_artifact", lambda path, progress: tmp_path)
    with pytest.raises(
        warm_start.NoMatchingWeights, match="old': its network lightweight is that of an earlier release"
    ):
        warm_start.load_weights(model, "old", LABELS, "lightweight")
    assert all(map(np.array_equal, before, [weight.numpy() for weight in model.weights]))
    assert "of 32 weights" in warm_start.load_weights(model, "old", LABELS, "another")


@pytest.mark.slow
def test_backbone_and_canvas_of_the_weights_are_those_of_the_manifest(foreign_artifact):
    source = warm_start._read_artifact(foreign_artifact)
    assert (source.labels, source.backbone, source.canvas) == (LABELS, "lightweight", (32, 96))


def test_a_dimension_of_an_embedding_that_the_problem_does_not_have_is_an_error(tensorflow):
    with pytest.raises(BadSetting, match="--embedding-dim 64: signature_vs_text has no embedding"):
        resolve("--embedding-dim", "64")


def test_an_artefact_that_is_not_there_is_an_error_before_any_data_is_prepared(tensorflow, tmp_path, capsys):
    arguments = ["--init-from", str(tmp_path / "nowhere"), "--job-dir", str(tmp_path / "job")]
    assert task.main(arguments) == 1
    assert "no artefact at" in capsys.readouterr().err
    assert not (tmp_path / "job").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels", [("signature", "text"), ("text", "signature"), ("text", "other", "signature"), ("other", "text")]
)
def test_a_start_with_other_labels_tells_apart_the_classes_that_both_have_as_the_artefact_does(ready_foreign, labels):
    model = build(labels, "--init-from", READY)
    message = warm_start.load_weights(model, READY, labels)
    assert message == f"starting from {READY}: 32 of 32 weights; its labels are signature, text, other"
    images = make_random_images()
    expected = build(LABELS, "--init-from", READY)
    warm_start.load_weights(expected, READY, LABELS)
    probabilities = expected(images).numpy()[:, [LABELS.index(label) for label in labels]]
    relative = probabilities / probabilities.sum(axis=1, keepdims=True)
    assert np.ptp(relative) > 0.001, "not the same answer to every image"
    np.testing.assert_allclose(model(images), relative, atol=1e-6)


@pytest.mark.slow
def test_a_class_that_is_new_leaves_the_odds_of_those_that_were_there(ready_foreign):
    labels = ("drawing", "text", "signature", "stamp")
    model = build(labels, "--init-from", READY)
    message = warm_start.load_weights(model, READY, labels)
    assert message.endswith("its labels are signature, text, other, new, and random, are drawing, stamp")
    images = make_random_images()
    expected = build(LABELS, "--init-from", READY)
    warm_start.load_weights(expected, READY, LABELS)
    odds = model(images).numpy()[:, 2] / model(images).numpy()[:, 1]
    np.testing.assert_allclose(odds, expected(images).numpy()[:, 0] / expected(images).numpy()[:, 1], rtol=1e-4)


@pytest.mark.slow
def test_a_head_of_other_classes_stays_random_and_the_message_names_it(ready_foreign):
    labels = ("signature", "drawing")
    model = build(labels, "--init-from", READY)
    head = [weight.numpy() for weight in model.get_layer("probability").weights]
    message = warm_start.load_weights(model, READY, labels)
    assert message.startswith(f"starting from {READY}: 30 of 32 weights; its labels are signature, text, other")
    assert message.endswith("initialised at random, because it has no layer that fits: probability")
    expected = warm_start._read_artifact(ready_foreign).weights
    for weight in network.get_backbone(model).weights:
        np.testing.assert_array_equal(weight.numpy(), expected[weight.path])
    for weight, value in zip(model.get_layer("probability").weights, head, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


@pytest.mark.slow
def test_layers_of_another_backbone_that_fit_by_chance_do_not_hide_those_that_do_not(ready_foreign):
    model = build(("signature", "text"), "--init-from", READY, "--backbone", "compact")
    message = warm_start.load_weights(model, READY, ("signature", "text"))
    assert ": 1 of 10 weights; its labels are" in message
    assert message.endswith(": conv1, conv2, conv3, dense, probability")


@pytest.mark.slow
def test_a_run_of_two_labels_starts_from_the_backbone_of_a_ready_artefact_of_three(
    ready_foreign, scans, tmp_path, capsys
):
    flags = ["--train-dir", str(scans), "--job-dir", str(tmp_path / "job"), "--init-from", READY]
    assert task.main([*flags, "--epochs", "1", "--frozen-epochs", "1", "--batch-size", "16"]) == 0
    log = (tmp_path / "job" / "log.txt").read_text()
    assert f"network: lightweight, 32 x 96 pixels; what no flag sets is that of {READY}" in log
    assert "32 of 32 weights; its labels are signature, text, other" in log
    trained = manifest.read(tmp_path / "job" / "model")
    assert (trained.backbone, trained.labels) == ("lightweight", ["signature", "text"])
    assert (trained.imaging["height"], trained.imaging["width"]) == (32, 96)
    weights, expected = (
        warm_start._read_artifact(path).weights for path in (tmp_path / "job" / "model", ready_foreign)
    )
    for name in ("conv1/kernel", "conv6/kernel", "norm6/gamma"):
        np.testing.assert_allclose(weights[name], expected[name], atol=1e-6, err_msg="the backbone was frozen")
