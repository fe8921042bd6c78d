"""The movement of a pen and its ink: compute a trajectory with speed from virtual targets, and render its ink.

The model is the kinematic theory of rapid human movements: every stroke has a lognormal speed profile and overlaps its
neighbours in time, so corners are rounded, and more so in fast movements (Plamondon 1995, "A kinematic theory of rapid
human movements", Biol. Cybernetics 72; for signatures: Ferrer et al. 2020, "iDeLog", IEEE TPAMI 42). Independent of
letters and writers. Next: ``writer.py``, which sets the targets.
"""

import dataclasses

import cv2
import numpy as np
from scipy.special import ndtr

TIME_STEP = 0.004  # seconds between two points of a trajectory
OVERSAMPLE = 3  # factor by which ink is drawn larger, before it is resized by area


@dataclasses.dataclass(frozen=True)
class Motion:
    """Parameters of the movement; ``overlap`` is the share of a stroke's duration in which the next one has begun."""

    overlap: float = 0.55
    sigma: float = 0.28  # of the lognormal: the skewness of the speed profile
    stroke_time: float = 0.11  # seconds for a stroke of unit length
    tremor: float = 0.0  # amplitude of an 8-12 Hz shake, in letter heights


@dataclasses.dataclass(frozen=True)
class Pen:
    """Parameters of the line; ``width`` is in pixels, ``contrast`` the share of it that is lost at high speed."""

    width: float = 3.0
    contrast: float = 0.25
    darkness: float = 0.8  # share of light that full ink absorbs
    unevenness: float = 0.15  # of the ink's flow, as a share of the darkness
    colour: tuple[float, float, float] = (0.1, 0.1, 0.12)  # RGB reflectance of the ink itself, 0 to 1


def compute_trajectory(targets: np.ndarray, motion: Motion, rng: np.random.Generator) -> np.ndarray:
    """Compute the trajectory of one pen-down movement through virtual targets.

    ``float [n, 2] -> float [m, 3]``: x, y in letter heights (y down) and speed in letter heights per second.
    The position is the start plus the sum of all stroke vectors, each times the cumulative distribution of its
    lognormal (Plamondon 1995).
    """
    vectors = np.diff(targets, axis=0)
    lengths = np.hypot(*vectors.T)
    vectors, lengths = vectors[lengths > 1e-4], lengths[lengths > 1e-4]
    if not len(vectors):
        return np.array([[*targets[0], 0.0], [targets[0][0] + 0.03, targets[0][1], 0.0]])
    # Isochrony: the duration of a stroke grows only with the square root of its length.
    times = motion.stroke_time * np.sqrt(lengths + 0.08) * np.exp(rng.normal(0, 0.06, len(lengths)))
    starts = np.concatenate([[0.0], np.cumsum(times[:-1] * (1 - motion.overlap))])
    t = np.arange(0, starts[-1] + 2.2 * times[-1], TIME_STEP)
    # The median of the lognormal lies at half the duration of the stroke.
    elapsed = np.maximum((t[:, None] - starts[None, :]) / times[None, :], 1e-6)  # [t, stroke]
    progress = ndtr((np.log(elapsed) - np.log(0.5)) / motion.sigma)
    path = targets[0] + progress @ vectors
    if motion.tremor:
        path = path + _shake(len(t), motion.tremor, rng)
    speed = np.hypot(*np.gradient(path, TIME_STEP, axis=0).T)
    moving = np.flatnonzero(progress[:, -1] < 0.995)
    end = moving[-1] + 2 if len(moving) else len(t)
    return np.column_stack([path, speed])[:end]


def render_ink(paths: list[np.ndarray], pen: Pen, letter_height: float, rng: np.random.Generator) -> np.ndarray:
    """Render the ink of trajectories on a sheet of their extent.

    ``paths`` are of ``compute_trajectory``, ``letter_height`` is in pixels. Returns ``float32 [h, w]``, 0 no ink to 1
    full ink.
    """
    points = np.concatenate(paths)
    margin = 3 * pen.width / letter_height + 0.1
    corner = points[:, :2].min(axis=0) - margin
    extent = points[:, :2].max(axis=0) + margin - corner
    scale = letter_height * OVERSAMPLE
    height, width = (np.ceil(extent[::-1] * letter_height).astype(int) + 1) * OVERSAMPLE
    sheet = np.zeros((height, width), np.uint8)
    high_speed = max(1e-6, float(np.percentile(points[:, 2], 85)))
    for path in paths:
        _draw_path(sheet, (path[:, :2] - corner) * scale, path[:, 2] / high_speed, pen, rng)
    size = (width // OVERSAMPLE, height // OVERSAMPLE)
    return cv2.resize(sheet, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _draw_path(sheet: np.ndarray, path: np.ndarray, speed: np.ndarray, pen: Pen, rng: np.random.Generator) -> None:
    """Draw one pen-down movement onto the oversampled sheet.

    ``path`` is ``float [n, 2]`` in pixels of the ``uint8`` sheet, ``speed`` ``float [n]`` relative to a high speed.
    """
    speed_factor = 1 - pen.contrast * np.clip(speed, 0, 1.4)
    seconds_to_end = np.minimum(np.arange(len(path)), np.arange(len(path))[::-1]) * TIME_STEP
    taper = np.clip(0.45 + seconds_to_end / 0.03, 0, 1)
    widths = pen.width * OVERSAMPLE * speed_factor * taper
    flow = 1 - pen.unevenness * np.clip(_smooth_noise(len(path), 9, rng), 0, 2) - 0.15 * np.clip(speed, 0, 1)
    levels = np.clip(255 * flow, 40, 255)
    shift = 4  # cv2 takes fixed-point coordinates with this many fractional bits
    fixed = np.round(path * (1 << shift)).astype(int)
    thicknesses = np.maximum(1, np.round(widths)).astype(int)
    for i in range(len(path) - 1):
        cv2.line(sheet, fixed[i], fixed[i + 1], int(levels[i]), int(thicknesses[i]), cv2.LINE_AA, shift)


def _shake(count: int, amplitude: float, rng: np.random.Generator) -> np.ndarray:
    """Generate physiological tremor: a narrow band around 10 Hz of varying strength, ``float [count, 2]``."""
    t = np.arange(count) * TIME_STEP
    rate = rng.uniform(8, 12, 2)
    phase = 2 * np.pi * rate * t[:, None] + 1.5 * np.column_stack([_smooth_noise(count, 20, rng) for _ in "xy"])
    strength = 0.5 + np.clip(_smooth_noise(count, 30, rng), 0, 2)[:, None]
    return amplitude * strength * np.sin(phase + rng.uniform(0, 6.28, 2))


def _smooth_noise(count: int, reach: int, rng: np.random.Generator) -> np.ndarray:
    """Generate Gaussian noise of unit variance, correlated over about ``reach`` points, ``float [count]``."""
    kernel = np.exp(-0.5 * (np.arange(-2 * reach, 2 * reach + 1) / reach) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    return np.convolve(rng.normal(size=count + 4 * reach), kernel, mode="valid")[:count]
