"""A floor under learning: trained for seconds, a model of each kind knows much more of unseen writers than chance.

What breaks learning (gradients that are not applied, a rate of nothing, shuffled labels, weights that are not averaged)
leaves the numbers where an untrained model has them, far from the floors here. The verifier learns without
augmentation, which ``test_variation.py`` holds.
"""

import dataclasses

import cv2
import numpy as np
import pytest

from trainer import corpora
from trainer.data import image_index, records, sampling, splits
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import config, plugins
from trainer.training import loop, network

CANVAS = Imaging(32, 64)
pytestmark = pytest.mark.slow


def learn(name, data, folder, *flags):
    """The rows of training on a dataset, a third of whose writers are for validation."""

    problem = plugins.load("problems", name)
    size = ("--image-height", str(CANVAS.height), "--image-width", str(CANVAS.width))
    wanted = resolve_settings(config.from_command_line(["--problem", name, *size, *flags], {}), problem)
    found = [dataclasses.replace(s, label=problem.label_of(s.label)) for s in corpora.read(data).samples]
    labels = problem.labels or tuple(sorted({sample.label for sample in found}))
    by_writer = plugins.load("losses", wanted.training.loss).sampling in sampling.WAYS
    prepared = records.write(
        image_index.survey(found, CANVAS, folder / "survey"), splits.split(found, 0.34, 0.0, 1), labels,
        folder / "records", "source", {}, by_writer, splits.people(found, [], labels[0]) if by_writer else {},
    )  # fmt: skip

    def build():
        return network.build(wanted.model, CANVAS, labels)

    return loop.fit(problem, build, prepared, wanted.training, folder / "checkpoints", folder / "rows.csv").history


@pytest.fixture
def waves(tmp_path):
    """Four "signatures" of each of 100 writers: a wave whose frequency and slant are the writer's alone."""
    rng, across = np.random.default_rng(0), np.linspace(0, 1, 200)
    for writer in range(100):
        frequency, slant = rng.uniform(2, 7), rng.uniform(-1.2, 1.2)
        folder = tmp_path / "waves" / f"{writer:03d}"
        folder.mkdir(parents=True)
        for number in range(4):
            swell = 1 + 0.35 * np.sin(2 * np.pi * (rng.uniform(0.5, 1.5) * across + rng.random()))
            wave = swell * np.sin(2 * np.pi * (frequency * rng.uniform(0.97, 1.03) * across + rng.random()))
            points = np.stack([20 + 200 * across + 22 * slant * wave, 64 + 25 * wave], axis=1).round().astype(np.int32)
            page = np.full((128, 256), 255, np.uint8)
            cv2.imwrite(str(folder / f"{number}.png"), cv2.polylines(page, [points], False, (20,), 3, cv2.LINE_AA))
    return tmp_path / "waves"


def test_a_classifier_learns_to_tell_signatures_of_unseen_writers_from_words(tensorflow, scans, tmp_path):
    flags = ("--epochs", "15", "--batch-size", "16", "--learning-rate", "0.003")
    best = min(learn("signature_vs_text", scans, tmp_path, *flags), key=lambda row: row["val_loss"])
    assert best["val_loss"] < 0.4, "0.69 is chance"
    assert best["val_accuracy"] > 0.8, "0.5 is chance"


def test_a_verifier_learns_to_tell_unseen_writers_apart(tensorflow, waves, tmp_path):
    flags = ("--epochs", "20", "--batch-size", "64", "--learning-rate", "0.003", "--no-augment")
    rows = learn("same_writer", waves, tmp_path, *flags)
    assert min(row["val_eer"] for row in rows) < 22, "50 is chance, and an untrained network has about 40"
