"""The lines of a canonical image with the width of the pen, traced from its ink.

Beside the strokes of ``tracing.py`` it has what a copy of them needs: smooth curves, the points that a forger copies,
and which lines touch each other. Works on any handwriting, not on files. Next: ``copying.py``, which draws it anew.
"""

import dataclasses

import cv2
import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from trainer.samples import strokes, tracing

TRACED_SIDE = 600  # pixels of the longer side of the canvas at which lines are traced
WIDTH_SMOOTHING = 3.0  # points, standard deviation, by which the width of a line is smoothed
MAX_WIDTH = 1.5  # times the median width: where lines cross, the ink is wider than the pen
WIDTH_CORRECTION = (0.6, 1.6)  # bounds of the factor that makes the lines cover as much as the ink
MIN_SIDE = 0.1  # share of the longer side of the writing that the shorter one counts at least
# The unit of lengths is the size of the writing, the geometric mean of its sides: long names have small letters.
SPACING = 1 / 120  # of points along a line
TURNING = 0.01  # by which a line may deviate from the chords of its turning points
JOIN_REACH = 0.03  # from the end of a line to another line that it touches
# Ink that is no handwriting, or cannot be traced.
MIN_LENGTH = 0.7  # of all lines together
MAX_LINES = 200
MAX_PEN_WIDTH = 0.15  # the median width of lines; above, it is a blot
MAX_INK_SHARE = 0.4  # of the canvas


@dataclasses.dataclass(frozen=True)
class TracedInk:
    """The lines of an image, one after the other; the unit of lengths is the size of the writing.

    ``points`` are x and y (down), ``float [n, 2]``, ``SPACING`` apart along each line. ``widths`` are those of the pen,
    ``float [n]``. ``lengths`` are the numbers of points of the lines, ``int [l]``. ``turning_points``, ``int [k]``, are
    positions in ``points`` and include both ends of every line. ``joins``, ``int [j, 2]``, are positions of an end and
    of a point on another line that it touches.
    """

    points: np.ndarray
    widths: np.ndarray
    lengths: np.ndarray
    turning_points: np.ndarray
    joins: np.ndarray

    @property
    def line_numbers(self) -> np.ndarray:
        """The number of the line of each point, ``int [n]``."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def starts(self) -> np.ndarray:
        """The position of the first point of each line, ``int [l]``."""
        return np.cumsum(self.lengths) - self.lengths


def trace_ink(image: np.ndarray) -> TracedInk | None:
    """Trace the lines of a canonical image ``uint8 [H, W, 1]``; ``None`` for too little or too much ink."""
    height, width = image.shape[:2]
    scale = TRACED_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    levels = cv2.resize(image[:, :, 0], size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    mask = cv2.copyMakeBorder((levels >= 128).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    if not 0 < cv2.countNonZero(mask) <= MAX_INK_SHARE * mask.size:
        return None
    unit = _measure_size(*cv2.boundingRect(mask)[2:])
    lines = [_interpolate(line, SPACING * unit) for line in tracing.trace(mask)]
    if not 0 < len(lines) <= MAX_LINES or sum(map(len, lines)) * SPACING < MIN_LENGTH:
        return None
    points, lengths = np.concatenate(lines), np.array([len(line) for line in lines])
    widths = _measure_widths(mask, points)
    area = float(levels.sum()) / 255  # also of lines that are thinner than a pixel
    widths *= np.clip(area / (widths.sum() * SPACING * unit), *WIDTH_CORRECTION)
    if np.median(widths) > MAX_PEN_WIDTH * unit:
        return None
    points = points / unit
    return TracedInk(
        points, widths / unit, lengths, _find_turning_points(points, lengths), _find_joins(points, lengths)
    )


def _measure_size(width: int, height: int) -> float:
    """The size of writing of this box: the geometric mean of its sides."""
    return float(np.sqrt(max(width, MIN_SIDE * height) * max(height, MIN_SIDE * width)))


def fit_curves(points: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, CubicHermiteSpline]:
    """Fit smooth curves through points ``float [k, 2]`` of lines that begin at positions ``starts``, ``int [l]``.

    Returns the parameter of each point, ``float [k]``, and the function from parameters to points of the curves. These
    are Catmull-Rom splines with the square roots of chords as distances, which makes them free of loops and cusps
    (Yuksel, Schaefer and Keyser 2011, Computer-Aided Design 43:7). A line has two points at least.
    """
    steps = np.diff(points, axis=0)
    distances = np.sqrt(np.maximum(1e-6, np.hypot(*steps.T)))[:, None]
    slopes = steps / distances
    before, after = np.concatenate([slopes[:1], slopes]), np.concatenate([slopes, slopes[-1:]])
    ends = np.append(starts[1:], len(points)) - 1
    before[starts], after[ends] = after[starts], before[ends]  # of its own line
    left, right = np.concatenate([distances[:1], distances]), np.concatenate([distances, distances[-1:]])
    knots = np.concatenate([[0.0], np.cumsum(distances)])
    return knots, CubicHermiteSpline(knots, points, (left * after + right * before) / (left + right))


def _interpolate(line: np.ndarray, spacing: float) -> np.ndarray:
    """Draw a smooth curve through points ``float [k, 2]``; return points about ``spacing`` apart, two at least."""
    if len(line) < 2:  # a dot
        return np.repeat(line, 2, axis=0)
    knots, curve = fit_curves(line, np.zeros(1, int))
    return strokes.resample(curve(np.linspace(0, knots[-1], 8 * len(line))), spacing)


def _measure_widths(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Measure the width of the ink at points, in pixels: ``float [n]``."""
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    x, y = np.clip(np.rint(points).astype(int).T, 0, np.array(mask.shape[::-1])[:, None] - 1)
    widths = np.maximum(1.0, 2.0 * distance[y, x] - 1.0)
    return gaussian_filter1d(np.minimum(widths, MAX_WIDTH * np.median(widths)), WIDTH_SMOOTHING, mode="nearest")


def _find_turning_points(points: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Find the points that a forger copies, ``int [k]``: the extrema of curvature and the ends of lines.

    These are the points that lie farthest from the chords between them (Douglas and Peucker 1973).
    """
    turning, start = [], 0
    for line in np.split(points.astype(np.float32), np.cumsum(lengths)[:-1]):
        kept = map(tuple, cv2.approxPolyDP(line[:, None], TURNING, False)[:, 0].tolist())
        candidates = enumerate(map(tuple, line.tolist()), start)
        positions = [next(position for position, point in candidates if point == kept_point) for kept_point in kept]
        turning += [start, *positions[1:-1], start + len(line) - 1]
        start += len(line)
    return np.unique(turning)


def _find_joins(points: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Find the ends of lines that touch another line, each with the nearest point of that: ``int [j, 2]``."""
    starts = np.cumsum(lengths) - lengths
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.concatenate([starts, starts + lengths - 1])
    _, nearest = cKDTree(points).query(points[ends], k=min(len(points), 24), distance_upper_bound=JOIN_REACH)
    nearest = nearest.reshape(len(ends), -1)
    is_other = (nearest < len(points)) & (np.append(numbers, -1)[nearest] != numbers[ends, None])
    joined = np.flatnonzero(is_other.any(axis=1))
    return np.column_stack([ends[joined], nearest[joined, is_other[joined].argmax(axis=1)]])
