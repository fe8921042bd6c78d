"""A pen moving over paper: virtual targets to a trajectory with speed, and a trajectory to wet ink.

The movement is the kinematic theory of rapid human movements: every stroke has a lognormal speed profile and overlaps
its neighbours in time, so corners round off by themselves and fast hands cut them more (Plamondon 1995, "A kinematic
theory of rapid human movements", Biol. Cybernetics 72; for signatures: Ferrer et al. 2020, "iDeLog", IEEE TPAMI 42).
Knows no letters and no people. Next: ``hand.py``, who decides where the targets are.
"""

import dataclasses

import cv2
import numpy as np
from scipy.special import ndtr

STEP = 0.004  # seconds between two points of a trajectory
OVERSAMPLE = 3  # ink is drawn this many times larger, then area-resized


@dataclasses.dataclass(frozen=True)
class Motion:
    """How a hand moves. ``overlap`` is the share of a stroke's time that the next one has already begun."""

    overlap: float = 0.55
    sigma: float = 0.28  # of the lognormal: the skewness of the speed profile
    stroke_time: float = 0.11  # seconds for a stroke of unit length
    tremor: float = 0.0  # amplitude of an 8-12 Hz shake, in letter heights


@dataclasses.dataclass(frozen=True)
class Pen:
    """What it leaves on paper. ``width`` is in pixels; ``contrast`` is how much speed thins the line."""

    width: float = 3.0
    contrast: float = 0.25
    darkness: float = 0.8  # 1 swallows all light
    skipping: float = 0.15  # a ballpoint's uneven flow, share of the darkness
    colour: tuple[float, float, float] = (0.1, 0.1, 0.12)  # RGB reflectance of the ink itself, 0 to 1


def move(targets: np.ndarray, motion: Motion, rng: np.random.Generator) -> np.ndarray:
    """The path of one pen-down movement through virtual targets.

    ``float [n, 2] -> float [m, 3]``: x, y in letter heights (y down) and speed in letter heights per second.
    Position is the start plus the sum of each stroke's vector times its lognormal's cumulative distribution.
    """
    vectors = np.diff(targets, axis=0)
    lengths = np.hypot(*vectors.T)
    vectors, lengths = vectors[lengths > 1e-4], lengths[lengths > 1e-4]
    if not len(vectors):
        return np.array([[*targets[0], 0.0], [targets[0][0] + 0.03, targets[0][1], 0.0]])
    # Isochrony: a long stroke takes barely longer than a short one (time grows with the square root of length).
    times = motion.stroke_time * np.sqrt(lengths + 0.08) * np.exp(rng.normal(0, 0.06, len(lengths)))
    starts = np.concatenate([[0.0], np.cumsum(times[:-1] * (1 - motion.overlap))])
    t = np.arange(0, starts[-1] + 2.2 * times[-1], STEP)
    # The lognormal's median lies at half the stroke's time.
    since = np.maximum((t[:, None] - starts[None, :]) / times[None, :], 1e-6)
    progress = ndtr((np.log(since) - np.log(0.5)) / motion.sigma)
    path = targets[0] + progress @ vectors
    if motion.tremor:
        path = path + _shake(len(t), motion.tremor, rng)
    speed = np.hypot(*np.gradient(path, STEP, axis=0).T)
    moving = np.flatnonzero(progress[:, -1] < 0.995)
    end = moving[-1] + 2 if len(moving) else len(t)
    return np.column_stack([path, speed])[:end]


def draw(paths: list[np.ndarray], pen: Pen, letter_height: float, rng: np.random.Generator) -> np.ndarray:
    """Ink on an empty sheet that just holds the paths.

    ``letter_height`` in pixels. Returns ``float32 [h, w]``, 0 no ink to 1 the pen at its darkest.
    """
    points = np.concatenate(paths)
    margin = 3 * pen.width / letter_height + 0.1
    corner = points[:, :2].min(axis=0) - margin
    extent = points[:, :2].max(axis=0) + margin - corner
    scale = letter_height * OVERSAMPLE
    height, width = (np.ceil(extent[::-1] * letter_height).astype(int) + 1) * OVERSAMPLE
    sheet = np.zeros((height, width), np.uint8)
    fast = max(1e-6, float(np.percentile(points[:, 2], 85)))
    for path in paths:
        _draw_one(sheet, path, pen, corner, scale, fast, rng)
    size = (width // OVERSAMPLE, height // OVERSAMPLE)
    return cv2.resize(sheet, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _draw_one(sheet, path, pen, corner, scale, fast, rng):
    """One pen-down movement onto the oversampled ``uint8`` sheet."""
    at = (path[:, :2] - corner) * scale
    thin = 1 - pen.contrast * np.clip(path[:, 2] / fast, 0, 1.4)
    ends = np.minimum(np.arange(len(path)), np.arange(len(path))[::-1]) * STEP
    taper = np.clip(0.45 + ends / 0.03, 0, 1)
    widths = pen.width * OVERSAMPLE * thin * taper
    flow = 1 - pen.skipping * np.clip(_smooth_noise(len(path), 9, rng), 0, 2) - 0.15 * np.clip(path[:, 2] / fast, 0, 1)
    levels = np.clip(255 * flow, 40, 255)
    shift = 4  # cv2 takes fixed-point coordinates with this many fractional bits
    fixed = np.round(at * (1 << shift)).astype(int)
    thicknesses = np.maximum(1, np.round(widths)).astype(int)
    for i in range(len(path) - 1):
        cv2.line(sheet, fixed[i], fixed[i + 1], int(levels[i]), int(thicknesses[i]), cv2.LINE_AA, shift)


def _shake(count, amplitude, rng):
    """Physiological tremor: a narrow band around 10 Hz that comes and goes, ``float [count, 2]``."""
    t = np.arange(count) * STEP
    rate = rng.uniform(8, 12, 2)
    phase = 2 * np.pi * rate * t[:, None] + 1.5 * np.column_stack([_smooth_noise(count, 20, rng) for _ in "xy"])
    strength = 0.5 + np.clip(_smooth_noise(count, 30, rng), 0, 2)[:, None]
    return amplitude * strength * np.sin(phase + rng.uniform(0, 6.28, 2))


def _smooth_noise(count, reach, rng):
    """Gaussian noise of unit variance that keeps its value for about ``reach`` points, ``float [count]``."""
    kernel = np.exp(-0.5 * (np.arange(-2 * reach, 2 * reach + 1) / reach) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    return np.convolve(rng.normal(size=count + 4 * reach), kernel, mode="valid")[:count]
