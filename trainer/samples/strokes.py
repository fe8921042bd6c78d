"""Geometry of strokes: slant, warp, simplify, join and trace them.

Strokes are the virtual targets of pen-down movements: ``float [n, 2]`` each, in letter heights, the base line at y = 0,
y downwards. Independent of writers. Next: ``signature.py`` and ``handwriting.py``, which compose them.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

Strokes = list[np.ndarray]
Warp = Callable[[np.ndarray], np.ndarray]


def extent(strokes: Sequence[np.ndarray]) -> tuple[float, float, float, float]:
    """Return the box of strokes: left, top, right, bottom."""
    points = np.concatenate([stroke[:, :2] for stroke in strokes])
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom


def scale_to_height(strokes: Sequence[np.ndarray], height: float, left: float = 0.0, bottom: float = 0.0) -> Strokes:
    """Scale strokes to a height, and move their box to ``left`` and ``bottom``."""
    box = extent(strokes)
    scale = height / max(1e-3, box[3] - box[1])
    return [(stroke - (box[0], box[3])) * scale + (left, bottom) for stroke in strokes]


def tilt(strokes: Sequence[np.ndarray], slant: float, angle: float) -> Strokes:
    """Slant the letters by a shift for each letter height, then rotate the base line by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[1, 0], [-slant, 1]]) @ np.array([[cos, sin], [-sin, cos]])
    return [stroke @ matrix for stroke in strokes]


def simplify(strokes: Sequence[np.ndarray], coarseness: float, shortest: float = 0.0) -> Strokes:
    """Leave the main turning points (Douglas and Peucker 1973), and drop strokes shorter than ``shortest``."""
    kept = []
    for stroke in strokes:
        points = cv2.approxPolyDP(stroke.astype(np.float32)[:, None], coarseness, False)[:, 0].astype(float)
        if len(points) > 1 and np.hypot(*np.diff(points, axis=0).T).sum() >= shortest:
            kept.append(points)
    return kept or list(strokes[:1])


def flatten(strokes: Sequence[np.ndarray], amount: float, start: float = 0.15) -> Strokes:
    """Lower the writing towards its end, as hurried writers do: ``amount`` 0 leaves it, 1 leaves a line.

    ``start`` is the share of the width that keeps its height.
    """
    left, top, right, bottom = extent(strokes)
    middle, width = (top + bottom) / 2 if top > -0.5 else -0.3, max(1e-3, right - left)
    flattened = []
    for stroke in strokes:
        progress = np.clip(((stroke[:, 0] - left) / width - start) / (1 - start), 0, 1)
        keep = 1 - amount * np.sqrt(progress)
        flattened.append(np.column_stack([stroke[:, 0], middle * (1 - keep) + stroke[:, 1] * keep]))
    return flattened


def join(strokes: Sequence[np.ndarray], reach: float) -> Strokes:
    """Join a stroke to the one before if it starts within ``reach`` of its end: the pen is not lifted."""
    joined: Strokes = []
    for stroke in strokes:
        if joined and len(stroke) > 1 and np.hypot(*(stroke[0] - joined[-1][-1])) < reach:
            joined[-1] = np.concatenate([joined[-1], stroke])
        else:
            joined.append(stroke)
    return joined


def order_left_to_right(strokes: Sequence[np.ndarray]) -> Strokes:
    """Sort strokes by their left end, and let each begin at it."""
    forward = [stroke[::-1] if stroke[0, 0] > stroke[-1, 0] + 0.1 else stroke for stroke in strokes]
    return sorted(forward, key=lambda stroke: float(stroke[0, 0]))


def round_corners(targets: np.ndarray) -> np.ndarray:
    """Round the corners by one iteration of corner cutting (Chaikin 1974); the ends stay."""
    if len(targets) < 3:
        return targets
    early, late = 0.75 * targets[:-1] + 0.25 * targets[1:], 0.25 * targets[:-1] + 0.75 * targets[1:]
    return np.concatenate([targets[:1], np.stack([early, late], axis=1).reshape(-1, 2), targets[-1:]])


def resample(path: np.ndarray, spacing: float) -> np.ndarray:
    """Sample a line at points about ``spacing`` apart, as a forger copies it, ``float [n, 2]``."""
    distance = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path[:, :2], axis=0).T))])
    samples = np.linspace(0, distance[-1], max(2, int(distance[-1] / spacing) + 1))
    return np.column_stack([np.interp(samples, distance, path[:, axis]) for axis in (0, 1)])


def draw_warp(strokes: Sequence[np.ndarray], amplitude: float, rng: np.random.Generator) -> Warp:
    """Draw a displacement that varies slowly across the strokes: a sum of three plane waves, in letter heights."""
    left, _, right, _ = extent(strokes)
    waves = rng.normal(0, 1, (3, 2)) * (2 * np.pi / max(1.0, right - left)) * np.array([[0.5], [1.0], [2.0]])
    phases, sizes = rng.uniform(0, 6.28, (3, 2)), rng.normal(0, amplitude, (3, 2)) * np.array([[1.2], [0.7], [0.25]])

    def warp(stroke: np.ndarray) -> np.ndarray:
        angles = stroke[:, :2] @ waves.T  # [n, 3]
        return stroke[:, :2] + sum(np.sin(angles[:, i, None] + phases[i]) * sizes[i] for i in range(3))

    return warp


def transform(strokes: Sequence[np.ndarray], scale: float, turn: float, rng: np.random.Generator) -> Strokes:
    """Scale, rotate and shear all strokes at random, by standard deviations ``scale`` and ``turn``."""
    size = np.exp(rng.normal(0, scale, 2))
    angle, shear = rng.normal(0, turn, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, sin], [-sin, cos]]) @ np.array([[1, 0], [shear, 1]]) * size
    return [stroke @ matrix for stroke in strokes]
