"""A verifier through the commands: train, continue, start from other weights, evaluate."""

import json
import shutil

import cv2
import numpy as np
import pytest

from tests.conftest import VERIFIER_FLAGS
from trainer import evaluate, task
from trainer.artifact import manifest
from trainer.artifact.artifact import Artifact
from trainer.data import records
from trainer.settings import plugins
from trainer.settings.config import parse_config
from trainer.training import loop, warm_start


def train(capsys, *arguments) -> tuple[int, str]:
    status = task.main([*VERIFIER_FLAGS, *map(str, arguments)])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


def build_model(*flags):
    """A network with random weights, as the command with these flags trains it; and its settings."""
    from trainer.imaging import Imaging
    from trainer.pipeline.problem_defaults import resolve_settings
    from trainer.training import network

    problem = plugins.load("problems", "same_writer")
    config = resolve_settings(parse_config([*VERIFIER_FLAGS, *map(str, flags)], {}), problem)
    return network.build_model(config.model, Imaging(32, 64), ("genuine", "forged")), config


@pytest.fixture
def waves(tmp_path):
    """Six waves of each of 60 "writers", and three forgeries of another frequency; easy, and without any font."""
    rng, x = np.random.default_rng(0), np.linspace(0, 1, 200)
    for writer in range(60):
        own_frequency, slant, phase = rng.uniform(2, 7), rng.uniform(-1.2, 1.2), rng.random()
        for name, count, factor in ((f"{writer:03d}", 6, 1.0), (f"{writer:03d}_forg", 3, 1.35)):
            (tmp_path / "waves" / name).mkdir(parents=True)
            for number in range(count):
                frequency = own_frequency * factor * rng.uniform(0.97, 1.03)
                amplitude = 1 + 0.2 * np.sin(6 * x + rng.uniform(0, 6))
                wave = amplitude * np.sin(2 * np.pi * (frequency * x + phase + rng.normal(0, 0.02)))
                points = np.stack([20 + 200 * x + 22 * slant * wave, 64 + 25 * wave], axis=1).round().astype(np.int32)
                page = cv2.polylines(np.full((128, 256), 255, np.uint8), [points], False, (20,), 3, cv2.LINE_AA)
                cv2.imwrite(str(tmp_path / "waves" / name / f"{number}.png"), page)
    return tmp_path / "waves"


@pytest.mark.slow
def test_a_run_ends_with_a_calibrated_decision_and_a_report_with_the_documented_metrics(capsys, waves, tmp_path):
    flags = ("--train-dir", waves, "--job-dir", tmp_path / "job", "--epochs", "20", "--learning-rate", "0.003")
    status, printed = train(capsys, *flags, "--no-augment")
    assert status == 0, printed
    verifier_run_dir = tmp_path / "job"
    written = manifest.read(verifier_run_dir / "model")
    assert written.decision["kind"] == "verify"
    assert written.decision["similarity"]["kind"] == "cohort", "relative to people who do not exist"
    assert {"eer", "0.1", "0.05"} < set(written.decision["thresholds"])
    assert {*written.decision["far_intervals"], "eer"} == set(written.decision["thresholds"])
    assert "by_writer" not in written.metrics, "an artefact names no writer"
    content = json.loads((verifier_run_dir / "report" / "report.json").read_text())
    five = content["verification"]["references"]["5"]
    assert five["eer_skilled"] <= 40, "chance is 50"
    assert five["eer_random"] <= 15, "chance is 50, and other writers are easier to distinguish than forgers"
    assert content["history"][0]["val_eer"] == content["history"][0]["val_eer_skilled"]
    plots = {path.name for path in (verifier_run_dir / "report").glob("*.png")}
    assert {"roc.png", "det.png", "scores.png", "thresholds.png", "training.png"} <= plots


def test_embeddings_have_length_1_and_an_image_is_nearest_to_itself(verifier_artifact, verification_data):
    verifier = Artifact(verifier_artifact)
    files = sorted(verification_data.rglob("*.*"))[:6]
    vectors = np.stack([verifier.encode(path.read_bytes()).vector for path in files])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    similarities = verifier.decision.measure.compare_all(vectors)
    np.testing.assert_allclose(np.diag(similarities), 1, atol=1e-5)
    assert (similarities - np.eye(6) < 1 - 1e-4).all()


def test_the_manifest_says_how_many_copies_were_trained_on_and_of_which_other_folders(verifier_artifact):
    facts = manifest.read(verifier_artifact).training
    assert facts["copies"] > facts["train_images"]["genuine"], "several of each genuine image"
    assert facts["copies_dir"] == []


@pytest.mark.whole
def test_the_contrastive_loss_trains_only_the_head_of_a_frozen_artefact(
    capsys, verifier_artifact, verification_data, tmp_path
):
    data = ("--train-dir", verification_data, "--job-dir", tmp_path / "job", "--no-augment")
    settings = ("--loss", "contrastive", "--epochs", "1", "--frozen-epochs", "1", "--dtype-policy", "mixed_bfloat16")
    status, printed = train(capsys, *data, *settings, "--init-from", verifier_artifact)
    assert status == 0, printed
    assert "starting from" in printed
    trained, initial = manifest.read(tmp_path / "job" / "model"), manifest.read(verifier_artifact)
    assert trained.training["settings"]["training"]["loss"] == "contrastive"
    assert trained.vector_size == initial.vector_size
    trained_kernels = read_backbone_weights(tmp_path / "job" / "model")
    assert len(trained_kernels) > 10
    for kernel, expected in zip(trained_kernels, read_backbone_weights(verifier_artifact), strict=True):
        np.testing.assert_allclose(kernel, expected, atol=1e-6)


def read_backbone_weights(artifact_dir) -> list[np.ndarray]:
    weights = warm_start._read_artifact(artifact_dir).weights
    return [value for name, value in weights.items() if name.startswith(("conv", "norm"))]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 saving with NumPy 2
def test_all_weights_of_an_artefact_are_loaded_and_none_into_another_network(verifier_artifact, tensorflow):
    backbone = manifest.read(verifier_artifact).backbone
    model, _ = build_model("--backbone", backbone)
    message = warm_start.load_weights(model, str(verifier_artifact))
    assert f"{len(model.weights)} of {len(model.weights)} weights" in message
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 64, 1), np.uint8)
    expected = model(images, training=False).numpy()
    np.testing.assert_allclose(Artifact(verifier_artifact).engine_pool(images), expected, atol=1e-5)
    model.save(verifier_artifact.parent / "same.keras")
    from_file, _ = build_model("--backbone", backbone)
    warm_start.load_weights(from_file, str(verifier_artifact.parent / "same.keras"))
    np.testing.assert_allclose(from_file(images, training=False).numpy(), expected, atol=1e-6)
    with pytest.raises(warm_start.NoMatchingWeights, match="--backbone"):
        warm_start.load_weights(build_model("--backbone", "resnet18")[0], str(verifier_artifact))


@pytest.mark.whole
def test_an_interrupted_run_continues_to_the_same_metrics(capsys, verifier_run_dir, verification_data, tmp_path):
    from keras.callbacks import Callback

    class Killed(BaseException):
        pass

    class KillInTheThirdEpoch(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Killed

    job_dir = tmp_path / "job"
    job_dir.mkdir()
    for name in ("config.toml", "records", "audit.json"):
        copy(verifier_run_dir / name, job_dir / name)
    arguments = ("--train-dir", verification_data, "--job-dir", job_dir)
    _, config = build_model(*arguments)
    problem = plugins.load("problems", "same_writer")
    prepared, copied = (records.read(job_dir / name) for name in ("records", "records/copies"))
    spec = loop.TrainingSpec(problem, lambda: build_model(*arguments)[0], prepared, config.training, copies=copied)
    with pytest.raises(Killed):
        loop.fit(spec, job_dir / "checkpoints", job_dir / "training.csv", [KillInTheThirdEpoch()])
    status, printed = train(capsys, *arguments)
    assert status == 0, printed
    assert "continuing after epoch 2" in printed
    continued, uninterrupted = (
        json.loads((run_dir / "report" / "report.json").read_text()) for run_dir in (job_dir, verifier_run_dir)
    )
    assert continued["verification"] == uninterrupted["verification"]
    assert continued["history"] == uninterrupted["history"]


def copy(source, target):
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)


def test_genuine_signatures_alone_are_learnt_from_until_nothing_improves(capsys, verification_data, tmp_path):
    for folder in verification_data.iterdir():
        if not folder.name.endswith("_forg"):
            shutil.copytree(folder, tmp_path / "genuine" / folder.name)
    arguments = ("--train-dir", tmp_path / "genuine", "--job-dir", tmp_path / "job", "--loss", "triplet")
    no_progress = ("--epochs", "9", "--patience", "1", "--learning-rate", "1e-8", "--no-augment")
    status, printed = train(capsys, *arguments, *no_progress)
    assert status == 0, printed
    assert ", 1 epochs after epoch " in printed
    assert manifest.read(tmp_path / "job" / "model").decision["calibrated_on"] == "random"


def test_words_are_refused_as_training_data(capsys, scans, tmp_path):
    status, printed = train(capsys, "--train-dir", scans, "--job-dir", tmp_path / "job")
    assert status == 1
    assert "needs genuine and forged signatures" in printed


def test_the_error_about_an_unknown_loss_names_the_nearest_loss(capsys, verification_data, tmp_path):
    status, printed = train(capsys, "--train-dir", verification_data, "--job-dir", tmp_path, "--loss", "tripet")
    assert status == 1
    assert "did you mean 'triplet'" in printed


def test_any_artefact_is_evaluated_on_any_labelled_data(
    verifier_artifact, verification_data, artifact, scans, tmp_path, capsys
):
    verification, classification, refused = (tmp_path / name for name in ("verification", "classification", "refused"))
    assert evaluate.main([str(verifier_artifact), "--data", str(verification_data), "--out", str(verification)]) == 0
    content = json.loads((verification / "report.json").read_text())
    assert content["verification"]["writers"] == 16
    assert content["audit"]["leak"] is not None
    assert (verification / "det.png").stat().st_size > 1000
    assert evaluate.main([str(artifact), "--data", str(scans), "--out", str(classification)]) == 0
    assert "classification" in json.loads((classification / "report.json").read_text())
    assert evaluate.main([str(artifact), "--data", f"word={scans / 'text'}", "--out", str(refused)]) == 1
    assert "the label 'word'; the model's labels are signature, text" in capsys.readouterr().err
