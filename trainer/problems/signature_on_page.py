"""Where on this page is a signature?

A page is a signed one or not; beside signatures, the network learns what is confused with them: initials, stamps and
other handwriting. It learns from pages with boxes, in any layout that has them, and by default from generated pages.
Next: ``trainer/backbones/page_grid.py``, ``trainer/losses/region_loss.py`` and ``trainer/artifact/location.py``.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from trainer.artifact.location import EDGES, Locator
from trainer.backbones.page_grid import STRIDE, convolve_once
from trainer.console.errors import UserError
from trainer.corpora import Sample
from trainer.corpora._boxes import PAGE_LABELS
from trainer.evaluation import detection
from trainer.evaluation.detection_metrics import Matches, PageResult, match
from trainer.problems import EncodeBatches, Problem
from trainer.samples.amount import DatasetSpec

REGION_LABELS = ("signature", "initials", "stamp", "handwriting")
PRIOR = 0.01  # probability of a label in a cell before training
SCALE = 0.05  # of a distance before training, as a share of the canvas
CELLS = "cells"
BETA = 1.5  # of the F-score of thresholds: a signature that is missed costs more than a box to look at


class NoBoxes(UserError):
    """An image has a label but no boxes; the message names it and the layouts that have them."""


def predict_cells(features: KerasTensor, num_labels: int, embedding_dim: int) -> KerasTensor:
    """Map features ``float32 [N, h, w, F]`` to probabilities and distances of cells, ``float32 [N, h, w, L + 4]``."""
    bias = keras.initializers.Constant(-math.log(1 / PRIOR - 1))
    what, where = (
        convolve_once(features, features.shape[-1], 3, f"{name}_features") for name in ("scores", "edges")
    )  # each looks at what is around its cell for itself
    scores = layers.Conv2D(len(REGION_LABELS), 1, bias_initializer=bias, name="scores", dtype="float32")(what)
    edges = layers.Conv2D(EDGES, 1, name="edges", dtype="float32")(where)
    cells = ops.concatenate([ops.sigmoid(scores), SCALE * ops.exp(ops.clip(edges, -4.0, 3.0))], axis=3)
    return layers.Identity(name=CELLS, dtype="float32")(cells)


def flatten(model: keras.Model, _: EncodeBatches) -> keras.Model:
    """Make one vector of the cells of a page."""
    return keras.Model(model.input, layers.Flatten(name="vectors")(model.output), name=model.name)


def read_pages(vectors: np.ndarray, targets: Any, decision: Locator) -> list[PageResult]:
    """Read what a decision finds in grids, beside the regions of the targets, as shares of the canvas."""
    side = decision.grid[1] * decision.stride
    results = []
    for vector, regions in zip(vectors.reshape(len(vectors), -1), np.asarray(targets["regions"]), strict=True):
        located = decision.locate(vector, detection.LEAST_SCORE)
        true = regions[regions[:, 0] >= 0]
        boxes = np.array([region.box for region in located], np.float32).reshape(-1, 4)
        results.append(
            PageResult(
                boxes / side,
                np.array([region.score for region in located], np.float32),
                [region.label for region in located],
                true[:, 1:],
                [REGION_LABELS[int(number)] for number in true[:, 0]],
                decision.measure_signed(vector),
            )
        )
    return results


def make_locator(vectors: np.ndarray, threshold: float = 0.5) -> Locator:
    """Make the decision of grids, ``float32 [N, rows, columns, L + 4]`` or flattened; the canvas is square."""
    cells = int(np.prod(vectors.shape[1:])) // (len(REGION_LABELS) + EDGES)
    side = math.isqrt(cells)
    return Locator(REGION_LABELS, (side, side), STRIDE, dict.fromkeys(REGION_LABELS, threshold))


def compute_validation_metrics(vectors: np.ndarray, targets: Any, _: None = None) -> dict[str, float]:
    """Return what is missed of signatures, 100 - AP50 in percent, and the AP50 of all labels, for each epoch."""
    results = read_pages(vectors, targets, make_locator(vectors))
    precisions = {label: match(results, label, 0.5).compute_average_precision() for label in REGION_LABELS}
    values = {f"val_ap50_{label}": value for label, value in precisions.items() if math.isfinite(value)}
    return {"val_missed": 100 - precisions["signature"], **values}


def fit_locator(labels: Sequence[str], vectors: np.ndarray, targets: Any, _: None) -> Locator:
    """Fit the threshold of each label to validation pages: that of the highest F-score with ``BETA``."""
    decision = make_locator(vectors)
    results = read_pages(vectors, targets, decision)
    thresholds = {label: _find_best_score(match(results, label, 0.5)) for label in REGION_LABELS}
    return dataclasses.replace(decision, thresholds=thresholds)


def _find_best_score(matches: Matches) -> float:
    right = np.cumsum(matches.is_right)
    if not len(right) or not right[-1]:
        return 0.5
    f_scores = (1 + BETA**2) * right / (np.arange(1, len(right) + 1) + BETA**2 * matches.true_count)
    return float(matches.scores[int(np.argmax(f_scores))])


def compute_error_rates(decision: Locator, vectors: np.ndarray, targets: Any) -> dict[str, float]:
    """Return what is missed of signatures, 100 - AP50, in percent."""
    matches = match(read_pages(vectors, targets, decision), "signature", 0.5)
    return {"missed": 100 - matches.compute_average_precision()}


def check_labels(samples: list[Sample]) -> list[Sample]:
    """Accept samples of layouts with boxes. Raises ``NoBoxes``."""
    for sample in samples:
        if sample.label not in PAGE_LABELS:
            raise NoBoxes(
                f"{str(sample.path)!r} is labelled {sample.label!r}; this problem needs pages with boxes, in one of "
                "the layouts boxes_csv, coco, yolo and pascal_voc"
            )
    return samples


def count_found(targets: Any, cells: Any) -> Any:
    """Return 1 for pages on which the cell with the highest score of a signature is right about there being one."""
    signed = ops.any(ops.equal(targets["regions"][..., 0], 0.0), axis=1)
    return ops.cast(ops.equal(ops.max(cells[..., 0], axis=(1, 2)) > 0.3, signed), "float32")


PROBLEM = Problem(
    question="where on this page is a signature?",
    canvas=(768, 768),
    backbone="page_grid",
    backbones=("page_grid",),
    generated_dataset=DatasetSpec("coco", pages=3000, generator="pages"),
    is_writer_independent=True,
    head=predict_cells,
    losses=("region_loss",),
    accuracy=count_found,
    validation_metrics=compute_validation_metrics,
    monitor="val_missed",
    fit_decision=fit_locator,
    error_rates=compute_error_rates,
    build_export_model=flatten,
    report_builder=detection.DETECTION_REPORT,
    labels=PAGE_LABELS,
    framing="page",
    region_labels=REGION_LABELS,
    relabel=check_labels,
    defaults={
        "epochs": 12,
        "patience": 6,
        "batch_size": 8,
        "learning_rate": 0.002,
        "warmup": 0.05,
        "weight_decay": 0.001,
        "clip_norm": 5.0,
        "ema_decay": 0.995,
        "dropout": 0.0,
        "copies_share": 0.0,
    },
)
