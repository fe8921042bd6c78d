"""A lower limit of learning: trained for seconds, each kind of model is much better than chance on unseen writers.

An error that prevents learning (gradients that are not applied, a learning rate of 0, shuffled labels, weights that are
not averaged) leaves the metrics at those of an untrained model, far from the limits here. The verifier learns without
augmentation, which ``test_augmentation.py`` tests.
"""

import cv2
import numpy as np
import pytest

from trainer import corpora
from trainer.data import image_index, records, sampling, splits
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import plugins
from trainer.settings.config import parse_config
from trainer.training import loop, network

CANVAS = Imaging(32, 64)
pytestmark = pytest.mark.slow


def learn(name, data, folder, *flags):
    """Train on a dataset with a third of the writers in the validation split; return the history."""
    problem = plugins.load("problems", name)
    size = ("--image-height", str(CANVAS.height), "--image-width", str(CANVAS.width))
    config = resolve_settings(parse_config(["--problem", name, *size, *flags], {}), problem)
    samples = problem.relabel(corpora.read(data).samples)
    labels = problem.labels or tuple(sorted({sample.label for sample in samples}))
    by_writer = plugins.load("losses", config.training.loss).sampling in sampling.SAMPLERS
    merged_writers = splits.merge_writers(samples, [], labels[0]) if by_writer else {}
    records_spec = records.RecordsSpec(labels, "digest", writer_in_one_shard=by_writer, merged_writers=merged_writers)
    index = image_index.build_image_index(samples, CANVAS, folder / "index")
    prepared = records.write(index, splits.split_samples(samples, 0.34, 0.0, 1), folder / "records", records_spec)

    def build():
        return network.build_model(config.model, CANVAS, labels)

    spec = loop.TrainingSpec(problem, build, prepared, config.training)
    return loop.fit(spec, folder / "checkpoints", folder / "history.csv").history


@pytest.fixture
def waves(tmp_path):
    """Four "signatures" of each of 100 writers: waves whose frequency and slant differ between writers."""
    rng, x = np.random.default_rng(0), np.linspace(0, 1, 200)
    for writer in range(100):
        frequency, slant = rng.uniform(2, 7), rng.uniform(-1.2, 1.2)
        folder = tmp_path / "waves" / f"{writer:03d}"
        folder.mkdir(parents=True)
        for number in range(4):
            amplitude = 1 + 0.35 * np.sin(2 * np.pi * (rng.uniform(0.5, 1.5) * x + rng.random()))
            wave = amplitude * np.sin(2 * np.pi * (frequency * rng.uniform(0.97, 1.03) * x + rng.random()))
            points = np.stack([20 + 200 * x + 22 * slant * wave, 64 + 25 * wave], axis=1).round().astype(np.int32)
            page = np.full((128, 256), 255, np.uint8)
            cv2.imwrite(str(folder / f"{number}.png"), cv2.polylines(page, [points], False, (20,), 3, cv2.LINE_AA))
    return tmp_path / "waves"


@pytest.fixture
def waves_and_bars(tmp_path):
    """A "signature" and a "text" of each of 60 writers: a wave, and a row of bars."""
    rng, x = np.random.default_rng(0), np.linspace(0, 1, 200)
    for label in ("signature", "text"):
        (tmp_path / "data" / label).mkdir(parents=True)
    for writer in range(60):
        wave = np.stack([20 + 200 * x, 64 + rng.uniform(15, 40) * np.sin(rng.uniform(9, 40) * x + rng.random())], 1)
        page = cv2.polylines(np.full((128, 256), 255, np.uint8), [wave.astype(np.int32)], False, (20,), 3)
        cv2.imwrite(str(tmp_path / "data" / "signature" / f"{writer:03d}_0.png"), page)
        page, pitch, height = np.full((128, 256), 255, np.uint8), int(rng.integers(16, 40)), int(rng.integers(15, 50))
        for left in range(20, 220, pitch):
            cv2.rectangle(page, (left, 64 - height), (left + pitch // 2, 64 + height // 2), (20,), 3)
        cv2.imwrite(str(tmp_path / "data" / "text" / f"{writer:03d}_0.png"), page)
    return tmp_path / "data"


def test_a_classifier_learns_to_distinguish_two_labels(tensorflow, waves_and_bars, tmp_path):
    flags = ("--epochs", "8", "--batch-size", "16", "--learning-rate", "0.003")
    best = min(learn("signature_vs_text", waves_and_bars, tmp_path, *flags), key=lambda row: row["val_loss"])
    assert best["val_loss"] < 0.4, "0.69 is chance"
    assert best["val_accuracy"] > 0.8, "0.5 is chance"


def test_a_verifier_learns_to_distinguish_unseen_writers(tensorflow, waves, tmp_path):
    flags = ("--epochs", "20", "--batch-size", "64", "--learning-rate", "0.003", "--no-augment")
    history = learn("same_writer", waves, tmp_path, *flags)
    assert min(row["val_eer"] for row in history) < 22, "50 is chance, and an untrained network has about 40"
