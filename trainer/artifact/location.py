"""Decide what is where on a page, from the grid of numbers that a network computes: ``locate``.

NumPy and OpenCV only, independent of files and HTTP. Next: ``trainer/imaging/whole_page.py`` makes the canonical page,
``trainer/losses/region_loss.py`` trains the grid, ``trainer/evaluation/detection.py`` measures regions.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import cv2
import numpy as np

from trainer.artifact.manifest import BadArtifact

EDGES = 4  # numbers of a cell beside its probabilities: distances to left, top, right and bottom
SIGNATURE = "signature"
CANDIDATES = 200  # boxes of a label with the highest scores that are compared with each other
VOTING_SCORE = 0.02  # that the box of a cell counts from in the mean of boxes of the same region
VOTING_OVERLAP = 0.5  # of boxes of the same region
LEAST_PROBABILITY = 1e-4  # of a signature check: it may be wrong
REACH = 0.1  # of a box's height and width, by which it may grow to the ink that it cuts
MIN_INSIDE = 0.6  # share of a stroke's ink that is in a box, so that all of the stroke is


class LabelledRegion(Protocol):
    """What has a label, and left, top, right and bottom."""

    @property
    def label(self) -> str: ...

    @property
    def box(self) -> tuple[float, float, float, float]: ...


Region = TypeVar("Region", bound=LabelledRegion)


@dataclasses.dataclass(frozen=True)
class Located:
    """A region of a canonical page: left, top, right and bottom in its pixels, and the probability of the label."""

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Locator:
    """Find regions in a ``grid`` of (rows, columns) of cells, each ``stride`` pixels of the canonical page.

    A vector ``float32 [rows * columns * (L + 4)]`` has, cell by cell, the probabilities that the cell lies in the
    middle of a region of each of the L ``labels``, and the distances from the centre of the cell to the edges of that
    region, as shares of the longer side of the canvas. A region counts from the score in ``thresholds``, by label. Of
    two of a label that overlap by more than ``overlap`` (intersection over union) the one with the higher score counts,
    with the mean of the boxes that say the same (box voting: Gidaris and Komodakis 2015), and what overlaps a signature
    is the signature. A page is signed if there is one. Where a signature check judges what was found, its probability
    counts with the exponent ``check_weight``.
    """

    kind: ClassVar[str] = "locate"
    task: ClassVar[str] = "find"
    summary_columns: ClassVar[int] = 3  # of ``columns``, that say the answer
    takes_references: ClassVar[bool] = False
    labels: tuple[str, ...]
    grid: tuple[int, int]
    stride: int
    thresholds: Mapping[str, float]
    overlap: float = 0.4
    check_weight: float = 0.1

    def __post_init__(self):
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "grid", tuple(self.grid))
        is_complete = set(self.thresholds) == set(self.labels) and SIGNATURE in self.labels
        if not is_complete or len(self.grid) != 2 or min(*self.grid, self.stride) < 1 or not 0 < self.overlap <= 1:
            raise BadArtifact(
                f"locate needs a grid, an overlap of 0 to 1, labels with {SIGNATURE!r} and a threshold for each: {self}"
            )

    @property
    def vector_size(self) -> int:
        """Number of numbers of a vector."""
        return math.prod(self.grid) * (len(self.labels) + EDGES)

    def locate(self, vector: np.ndarray, least_score: float | None = None) -> list[Located]:
        """Find the regions of each label in a vector ``float32 [D]``, the highest score first.

        With ``least_score``, for measurements, that is the threshold of every label.
        """
        grid = vector.reshape(-1, len(self.labels) + EDGES)
        located = [
            region
            for label in self.labels
            for region in self._locate_label(grid, label, least_score or self.thresholds[label])
        ]
        return sorted(located, key=lambda region: -region.score)

    def _locate_label(self, grid: np.ndarray, label: str, limit: float) -> list[Located]:
        """Find the regions of a label in a grid ``float32 [cells, L + 4]``, the highest score first."""
        column = grid[:, self.labels.index(label)]
        cells = np.flatnonzero(column >= min(limit, VOTING_SCORE))
        cells = cells[np.argsort(-column[cells], kind="stable")[:CANDIDATES]]
        scores, boxes = column[cells], self._read_boxes(grid, cells)
        count = int((scores >= limit).sum())
        if not count:
            return []
        overlaps = compute_overlaps(boxes[:count], boxes)
        weights = np.where(overlaps >= VOTING_OVERLAP, overlaps * scores, 0)
        np.fill_diagonal(weights, scores)  # a box without an area overlaps nothing
        means = weights @ boxes / weights.sum(axis=1, keepdims=True)
        return [
            Located(label, float(scores[index]), tuple(means[index].tolist()))
            for index in suppress(boxes[:count], self.overlap)
        ]

    def find_regions(
        self, vector: np.ndarray, page: np.ndarray, size: tuple[int, int], least_score: float | None = None
    ) -> list[Located]:
        """Find the regions of a page, fitted to its ink, the highest score first; boxes are in pixels of the file.

        ``page`` is the canonical page ``uint8 [H, W, 1]`` of the vector, ``size`` the height and width of the file.
        """
        located = self.locate(vector, least_score)
        components = find_components(page[:, :, 0]) if located else None
        height, width = size
        scale = min(page.shape[0] / height, page.shape[1] / width)
        regions = []
        for region in located:
            fitted = snap_to_ink(region.box, page[:, :, 0], components)
            left, top, right, bottom = (
                min(edge / scale, limit) for edge, limit in zip(fitted, (width, height) * 2, strict=True)
            )
            if right - left >= 1 and bottom - top >= 1:  # else it lies beside the page, on the rest of the canvas
                regions.append(dataclasses.replace(region, box=(left, top, right, bottom)))
        return regions

    def answer(
        self, vector: np.ndarray, references: Sequence[np.ndarray] = (), parameters: Any = None
    ) -> dict[str, Any]:
        """Answer a vector ``float32 [D]`` alone: boxes are in pixels of the canonical page, not fitted to its ink.

        References and parameters are for verifiers. ``finder.py`` answers files.
        """
        located = self.prefer_signatures(self.locate(vector))
        regions = [{"box": list(each.box), "score": each.score, "label": each.label} for each in located]
        return {"signed": has_signature(located), "score": self.measure_signed(vector), "regions": regions}

    @property
    def columns(self) -> list[str]:
        """Return the names of the cells of ``to_row``, most informative first."""
        return ["signed", "signatures", "decision", "score"]

    def to_row(self, answer: dict[str, Any]) -> list[str]:
        """Return an answer as the cells of a table."""
        count = sum(region["label"] == SIGNATURE for region in answer["regions"])
        signed = "yes" if answer["signed"] else "no"
        return [signed, str(count), answer.get("decision", ""), f"{answer['score']:.6f}"]

    def get_metadata(self) -> dict[str, Any]:
        """Return the metadata that a server publishes."""
        return {"thresholds": dict(self.thresholds)}

    def _read_boxes(self, grid: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Return the boxes of cells, ``float32 [k, 4]``, within the canvas."""
        height, width = (count * self.stride for count in self.grid)
        y, x = np.divmod(cells, self.grid[1])
        centres = (np.stack([x, y, x, y], axis=1) + 0.5) * self.stride
        distances = grid[cells, len(self.labels) :] * max(height, width) * (-1, -1, 1, 1)
        return np.clip(centres + distances, 0, (width, height, width, height)).astype(np.float32)

    def prefer_signatures(self, regions: list[Region]) -> list[Region]:
        """Leave out what overlaps a signature as much as if it were the same, by another label."""
        signatures = [region.box for region in regions if region.label == SIGNATURE]
        if not signatures:
            return regions
        overlaps = compute_overlaps(np.array([region.box for region in regions]), np.array(signatures)).max(axis=1)
        return [
            region
            for region, overlap in zip(regions, overlaps, strict=True)
            if region.label == SIGNATURE or overlap <= self.overlap
        ]

    def weigh(self, score: float, probability: float) -> float:
        """Return the score of a region that is a signature with a probability, says a signature check."""
        return score * max(probability, LEAST_PROBABILITY) ** self.check_weight

    def measure_signed(self, vector: np.ndarray) -> float:
        """Return the score of a page ``float32 [D]`` to be signed: that of the most probable signature, 0 to 1."""
        grid = vector.reshape(-1, len(self.labels) + EDGES)
        return float(grid[:, self.labels.index(SIGNATURE)].max())

    def to_manifest(self) -> dict[str, Any]:
        """Return the JSON form that the manifest keeps."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        return {"kind": self.kind, **values, "thresholds": dict(self.thresholds)}


def has_signature(regions: Iterable[LabelledRegion]) -> bool:
    """Say whether one of some regions is a signature."""
    return any(region.label == SIGNATURE for region in regions)


def suppress(boxes: np.ndarray, overlap: float) -> list[int]:
    """Return which of boxes ``float [k, 4]``, best first, overlap no better one by more than ``overlap``."""
    if not len(boxes):
        return []
    overlaps = compute_overlaps(boxes, boxes)
    kept: list[int] = []
    for index in range(len(boxes)):
        if not kept or overlaps[index, kept].max() <= overlap:
            kept.append(index)
    return kept


def compute_overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of boxes ``float [n, 4]`` and ``float [m, 4]``: ``float [n, m]``."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    opposite = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.maximum(0, opposite - corner), axis=2)
    areas = [np.prod(np.maximum(0, boxes[:, 2:] - boxes[:, :2]), axis=1) for boxes in (first, second)]
    return common / np.maximum(areas[0][:, None] + areas[1][None, :] - common, 1e-9)


def snap_to_ink(
    box: Sequence[float], page: np.ndarray, components: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[float, float, float, float]:
    """Fit a box to the strokes of a canonical page ``uint8 [H, W]`` that lie in it for the most part.

    Strokes may reach beyond the box by ``REACH``. A box without ink stays as it is.
    """
    labels, statistics = components or find_components(page)
    left, top, right, bottom = (round(edge) for edge in box)
    inside = labels[max(0, top) : bottom, max(0, left) : right]
    counts = np.bincount(inside.ravel(), minlength=len(statistics))
    counts[0] = 0
    chosen = np.flatnonzero(counts > MIN_INSIDE * statistics[:, cv2.CC_STAT_AREA])
    if not len(chosen):
        return tuple(map(float, box))  # type: ignore[return-value]
    x, y, width, height = (
        statistics[chosen, column]
        for column in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT)
    )
    across, down = REACH * (right - left), REACH * (bottom - top)
    return (
        float(max(x.min(), left - across)),
        float(max(y.min(), top - down)),
        float(min((x + width).max(), right + across)),
        float(min((y + height).max(), bottom + down)),
    )


def find_components(page: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the connected strokes of a canonical page ``uint8 [H, W]``: labels of pixels, and statistics of OpenCV."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats((page > 64).astype(np.uint8), connectivity=8)
    return labels, statistics
