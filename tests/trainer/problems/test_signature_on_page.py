"""Signatures on pages: thresholds are fitted to validation pages, and a run trains on pages with boxes."""

import json

import numpy as np
import pytest

from trainer.artifact.artifact import Artifact
from trainer.artifact.location import EDGES, Locator
from trainer.corpora import Sample
from trainer.problems import signature_on_page
from trainer.problems.signature_on_page import PROBLEM, REGION_LABELS, NoBoxes, fit_locator
from trainer.task import main

SIDE = 8  # cells


def make_grid(*cells: tuple[int, int, str, float]) -> np.ndarray:
    """Make a grid of a page on which cells have a score, and boxes of half the canvas around them."""
    grid = np.zeros((SIDE, SIDE, len(REGION_LABELS) + EDGES), np.float32)
    for row, column, label, score in cells:
        grid[row, column, REGION_LABELS.index(label)] = score
        grid[row, column, len(REGION_LABELS) :] = 0.25
    return grid


def make_region(row: int, column: int) -> list[float]:
    """Return the region that a cell of ``make_grid`` is right about, as numbers of a target."""
    x, y = (column + 0.5) / SIDE, (row + 0.5) / SIDE
    return [0, x - 0.25, y - 0.25, x + 0.25, y + 0.25]


@pytest.fixture
def pages():
    """Three signed pages that are found with scores of 0.6 and more, and two unsigned ones of 0.4 and less."""
    grids = [make_grid((4, 4, "signature", score)) for score in (0.9, 0.7, 0.6, 0.4, 0.2)]
    regions = np.full((5, 3, 5), -1, np.float32)
    regions[:3, 0] = make_region(4, 4)
    return np.stack(grids), {"regions": regions}


def test_thresholds_lie_between_what_is_there_and_what_is_not(pages):
    decision = fit_locator((), *pages, None)
    assert decision.thresholds["signature"] == pytest.approx(0.6)
    assert decision.thresholds["stamp"] == 0.5, "without stamps nothing is known"
    assert decision.vector_size == pages[0][0].size
    assert signature_on_page.compute_error_rates(decision, *pages) == {"missed": 0.0}


def test_what_is_missed_falls_with_every_signature_that_is_found(pages):
    vectors, targets = pages
    assert signature_on_page.compute_validation_metrics(vectors, targets)["val_missed"] == 0
    worse = vectors.copy()
    worse[0] = 0
    assert signature_on_page.compute_validation_metrics(worse, targets)["val_missed"] > 25


def test_images_without_boxes_are_refused_by_name(tmp_path):
    with pytest.raises(NoBoxes, match=r"001\.png' is labelled 'genuine'.*boxes_csv, coco, yolo and pascal_voc"):
        PROBLEM.relabel([Sample(tmp_path, "001.png", "genuine", "001", "scans")])


@pytest.mark.slow
def test_a_run_on_pages_with_boxes_ends_with_a_finder_and_a_report(finder_run_dir):
    artifact = Artifact(finder_run_dir / "model")
    assert isinstance(artifact.decision, Locator)
    assert artifact.replay_golden() > 0
    report = json.loads((finder_run_dir / "report" / "report.json").read_text())
    assert report["detection"]["pages"] >= 4
    assert set(report["detection"]["signed"]) == {"auc", "recall", "false"}
    assert artifact.manifest.variants["int8"]["errors"].keys() == {"missed"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--backbone", "strokes"], "signature_on_page needs page_grid"),
        (["--image-height", "64", "--image-width", "128"], "a square whose sides are a multiple of 16"),
        (["--writers", "20"], "--pages is their number"),
        (["--problem", "signature_vs_text", "--pages", "50"], "--writers is their number"),
    ],
)
def test_settings_that_do_not_fit_pages_are_refused(tensorflow, flags, message, tmp_path, capsys):
    assert main(["--problem", "signature_on_page", "--job-dir", str(tmp_path / "run"), *flags]) == 1
    assert message in capsys.readouterr().err
