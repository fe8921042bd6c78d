"""Copies of a signature: move the traced lines of a canonical image, and ink them again.

A genuine-like copy deviates as the writer's next signature does: smoothly and a little. A forgery-like copy keeps what
a forger sees, the turning points and the ends of lines, misses them slightly, and connects them anew, slowly. Both and
the original itself are inked alike, so the inking does not tell them apart. After Lai et al. 2020 ("SynSig2Vec", AAAI),
who train on copies of recorded movements; here only the image is known. Works on any handwriting, not on files. Next:
``traced_ink.py`` has the lines; ``trainer/data/copies.py`` makes training data of copies.
"""

import dataclasses

import cv2
import numpy as np

from trainer.imaging.ink import Ink
from trainer.samples import strokes
from trainer.samples.ink import LEVELS, OVERSAMPLE, draw_lines
from trainer.samples.movement import smooth_noise
from trainer.samples.traced_ink import SPACING, TracedInk, fit_curves, trace_ink

GENUINE_COPIES, FORGED_COPIES = 5, 5  # of each original, beside itself

# In units of the size of the writing, see ``traced_ink.py``.
JOIN_LENGTH = 0.2  # of a line that bends so that it still touches the other
DRIFT_REACH = 24  # points over which the drift along a line is correlated
WIDTH_STEP = 0.25  # of the width of lines, as a share of its mean: few steps, few calls of OpenCV
TREMOR_REACH = 4  # points over which tremor is correlated
LIFT_LENGTH, LIFT_STEP = 0.025, 0.012  # length without ink, and how far beside the line the pen is set down again


@dataclasses.dataclass(frozen=True)
class Deviation:
    """How far a copy deviates from its original; standard deviations, at a strength of 1.

    The unit of lengths is the size of the writing. The strength of a copy, a factor of all changes of geometry, is
    drawn between the two bounds.
    """

    strength: tuple[float, float] = (1.0, 1.0)
    proportions: float = 0.0  # of the whole: log of width and of height
    turn: float = 0.0  # of the whole: rotation and slant, in radians
    warp: float = 0.0  # displacement that varies slowly across the whole
    line_change: float = 0.0  # of each line: elements of its affine matrix
    line_shift: float = 0.0  # of each line: displacement
    drift: float = 0.0  # displacement that varies slowly along a line
    turning_points: float | None = None  # displacement of each, after which lines are drawn anew; None keeps lines
    tremor: float = 0.0  # displacement across a line that varies fast
    lifts: float = 0.0  # expected number in lines of length 1
    pen_width: float = 0.0  # log of the width
    evenness: float = 0.0  # share of the changes of width along lines that is lost


REINKED = Deviation()
# Strengths vary, as the distances of duplicates (0 to 0.25) and of forgeries (0.4 to 0.65) do for Lai et al. 2020.
GENUINE = Deviation(
    strength=(0.25, 1.0),
    proportions=0.05,
    turn=0.04,
    warp=0.02,
    line_change=0.02,
    line_shift=0.006,
    drift=0.007,
    pen_width=0.12,
)
FORGED = Deviation(
    strength=(0.8, 1.5),
    proportions=0.06,
    turn=0.04,
    warp=0.02,
    line_change=0.05,
    line_shift=0.01,
    drift=0.012,
    turning_points=0.006,
    tremor=0.0015,
    lifts=0.08,
    pen_width=0.15,
    evenness=0.7,
)


def make_copies(image: np.ndarray, side: int, rng: np.random.Generator) -> list[Ink] | None:
    """Copy a canonical image ``uint8 [H, W, 1]`` as ink, at ``side`` pixels of the longest side (``working_side``).

    The first is the original itself, inked again; ``GENUINE_COPIES`` and ``FORGED_COPIES`` follow. The same state of
    ``rng`` gives the same copies. ``None`` if the ink cannot be traced.
    """
    traced = trace_ink(image)
    if traced is None:
        return None
    deviations = (REINKED, *[GENUINE] * GENUINE_COPIES, *[FORGED] * FORGED_COPIES)
    return [copy_ink(traced, deviation, side, rng) for deviation in deviations]


def copy_ink(traced: TracedInk, deviation: Deviation, side: int, rng: np.random.Generator) -> Ink:
    """Draw traced ink anew with a deviation, at ``side`` pixels of the longest side."""
    points, has_ink = _move(traced, deviation, rng)
    widths = traced.widths + deviation.evenness * (traced.widths.mean() - traced.widths)
    widths = widths * np.exp(rng.normal(0, deviation.pen_width))
    return _draw(points, widths, has_ink, traced.lengths, side)


def _move(traced: TracedInk, deviation: Deviation, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Move the points of lines; return them, ``float [n, 2]``, and where they have ink, ``bool [n]``."""
    strength = rng.uniform(*deviation.strength)
    points, count = traced.points, len(traced.points)
    if deviation.turning_points is not None:
        points = _redraw(traced, deviation.turning_points * strength, rng)
    points = _change_lines(points, traced, deviation, strength, rng)
    drift = np.column_stack([smooth_noise(count, DRIFT_REACH, rng) for _ in "xy"])
    points = _rejoin(points + deviation.drift * strength * drift, traced)
    tangent = np.gradient(points, axis=0)
    across = tangent[:, ::-1] * (-1, 1) / np.maximum(1e-6, np.hypot(*tangent.T))[:, None]
    points = points + across * (deviation.tremor * strength * smooth_noise(count, TREMOR_REACH, rng))[:, None]
    points, has_ink = _lift_pen(points, traced, deviation.lifts, rng)
    points = strokes.draw_warp([points], deviation.warp * strength, rng)(points)
    (points,) = strokes.transform([points], deviation.proportions * strength, deviation.turn * strength, rng)
    return points, has_ink


def _redraw(traced: TracedInk, error: float, rng: np.random.Generator) -> np.ndarray:
    """Draw each line anew, as a smooth curve through turning points that are missed by ``error``: ``float [n, 2]``."""
    turning = traced.turning_points
    targets = traced.points[turning] + rng.normal(0, error, (len(turning), 2))
    knots, curves = fit_curves(targets, np.searchsorted(turning, traced.starts))
    return curves(np.interp(np.arange(len(traced.points)), turning, knots))


def _change_lines(
    points: np.ndarray, traced: TracedInk, deviation: Deviation, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Change each line by an affine map of its own, about its centre."""
    numbers, count = traced.line_numbers, len(traced.lengths)
    matrices = rng.normal(0, deviation.line_change * strength, (count, 2, 2))
    shifts = rng.normal(0, deviation.line_shift * strength, (count, 2))
    centres = np.add.reduceat(points, traced.starts) / traced.lengths[:, None]
    return points + np.einsum("ni,nij->nj", points - centres[numbers], matrices[numbers]) + shifts[numbers]


def _rejoin(points: np.ndarray, traced: TracedInk) -> np.ndarray:
    """Bend the lines that touched another line so that they do again."""
    points, starts, numbers = points.copy(), traced.starts, traced.line_numbers
    reach = round(JOIN_LENGTH / SPACING)
    for end, target in traced.joins.tolist():
        start, length = int(starts[numbers[end]]), int(traced.lengths[numbers[end]])
        line = points[start : start + length] if end == start else points[start : start + length][::-1]
        gap = points[target] + traced.points[end] - traced.points[target] - line[0]
        bent = line[: min(length - 1, reach)]
        bent += gap * (1 - np.arange(len(bent)) / max(1, len(bent)))[:, None]
    return points


def _lift_pen(
    points: np.ndarray, traced: TracedInk, lifts: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Leave short gaps in lines, after each of which the line goes on a little beside itself."""
    count, gap, reach = len(points), round(LIFT_LENGTH / SPACING), round(JOIN_LENGTH / SPACING)
    has_ink = np.ones(count, bool)
    steps = np.zeros_like(points)
    numbers = traced.line_numbers
    for position in rng.integers(0, count, rng.poisson(lifts * count * SPACING)).tolist():
        has_ink[position : position + gap] = False
        after = np.flatnonzero(numbers[position : position + reach] == numbers[position]) + position
        steps[after] += rng.normal(0, LIFT_STEP, 2) * np.linspace(1, 0, len(after))[:, None]
    return points + steps, has_ink


def _draw(points: np.ndarray, widths: np.ndarray, has_ink: np.ndarray, lengths: np.ndarray, side: int) -> Ink:
    """Draw lines with a pen, as black ink."""
    corner, extent = points.min(axis=0), np.ptp(points, axis=0)
    margin = float(widths.max())
    unit = side / (float(extent.max()) + 2 * margin)
    width, height = (np.ceil((extent + 2 * margin) * unit).astype(int) + 1).tolist()
    scale = unit * OVERSAMPLE
    sheet = np.zeros((height * OVERSAMPLE, width * OVERSAMPLE), np.uint8)
    step = max(1, round(WIDTH_STEP * float(widths.mean()) * scale))
    # OpenCV draws a smooth line about a pixel wider than its thickness.
    thickness = np.maximum(1, np.rint(widths * scale / step) * step - 1).astype(int)
    draw_lines(sheet, (points - corner + margin) * scale, lengths.tolist(), thickness, has_ink * LEVELS)
    darkness = cv2.resize(sheet, (width, height), interpolation=cv2.INTER_AREA)
    mask = (darkness >= 128).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    window = (slice(top, top + height), slice(left, left + width))
    return Ink(mask[window], darkness[window], 1.0, 255.0, float(mask.mean()), 0.0)
