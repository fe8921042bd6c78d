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
from trainer.training import network, warm_start
from trainer.training.export import ArtifactSpec, export

READY = "ready:signature_vs_text"
CANVAS = Imaging(32, 96)
LABELS = ("signature", "text", "other")
NETWORK_FLAGS = ("--backbone", "lightweight", "--image-height", "32", "--image-width", "96")


def resolve(*flags):
    """Return the complete settings of a command with these flags."""
    return resolve_settings(parse_config([*flags], {}), plugins.load("problems", "signature_vs_text"))


def build(labels, *flags):
    """Build the network of these flags and labels with random weights."""
    config = resolve(*flags)
    return network.build_model(config.model, Imaging(config.model.image_height, config.model.image_width), labels)


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


def test_an_artefact_that_is_not_there_is_an_error_before_any_data_is_prepared(tensorflow, tmp_path, capsys):
    arguments = ["--init-from", str(tmp_path / "nowhere"), "--job-dir", str(tmp_path / "job")]
    assert task.main(arguments) == 1
    assert "no artefact at" in capsys.readouterr().err
    assert not (tmp_path / "job").exists()


@pytest.mark.slow
def test_other_labels_keep_a_random_head_and_the_message_names_it(ready_foreign):
    model = build(("signature", "text"), "--init-from", READY)
    head = [weight.numpy() for weight in model.get_layer("probability").weights]
    message = warm_start.load_weights(model, READY, ("signature", "text"))
    assert message.startswith(f"starting from {READY}: 30 of 32 weights; initialised at random")
    assert message.endswith("(its labels are signature, text, other): probability")
    expected = warm_start._read_artifact(ready_foreign).weights
    for weight in network.get_backbone(model).weights:
        np.testing.assert_array_equal(weight.numpy(), expected[weight.path])
    for weight, value in zip(model.get_layer("probability").weights, head, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


@pytest.mark.slow
def test_a_head_is_loaded_only_for_the_same_labels_in_the_same_order(ready_foreign):
    model = build(LABELS, "--init-from", READY)
    assert "32 of 32 weights" in warm_start.load_weights(model, READY, LABELS)
    message = warm_start.load_weights(model, READY, ("text", "signature", "other"))
    assert message.endswith(": probabilities"), "of equal shape, but of another order"


@pytest.mark.slow
def test_layers_of_another_backbone_that_fit_by_chance_do_not_hide_those_that_do_not(ready_foreign):
    model = build(("signature", "text"), "--init-from", READY, "--backbone", "compact")
    message = warm_start.load_weights(model, READY, ("signature", "text"))
    assert ": 1 of 10 weights; initialised at random" in message
    assert message.endswith(": conv1, conv2, conv3, dense, probability")


@pytest.mark.slow
def test_a_run_of_two_labels_starts_from_the_backbone_of_a_ready_artefact_of_three(
    ready_foreign, scans, tmp_path, capsys
):
    flags = ["--train-dir", str(scans), "--job-dir", str(tmp_path / "job"), "--init-from", READY]
    assert task.main([*flags, "--epochs", "1", "--frozen-epochs", "1", "--batch-size", "16"]) == 0
    log = (tmp_path / "job" / "log.txt").read_text()
    assert f"network: lightweight, 32 x 96 pixels; what no flag sets is that of {READY}" in log
    assert "initialised at random, because it has no such layer of that shape" in log
    trained = manifest.read(tmp_path / "job" / "model")
    assert (trained.backbone, trained.labels) == ("lightweight", ["signature", "text"])
    assert (trained.imaging["height"], trained.imaging["width"]) == (32, 96)
    weights, expected = (
        warm_start._read_artifact(path).weights for path in (tmp_path / "job" / "model", ready_foreign)
    )
    for name in ("conv1/kernel", "conv6/kernel", "norm6/gamma"):
        np.testing.assert_allclose(weights[name], expected[name], atol=1e-6, err_msg="the backbone was frozen")
