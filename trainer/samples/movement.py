"""The movement of a pen: trajectories with speed through the targets of strokes.

The model is the kinematic theory of rapid human movements: every stroke has a lognormal speed profile and overlaps its
neighbours in time, so corners are rounded, and more so in fast movements (Plamondon 1995, "A kinematic theory of rapid
human movements", Biol. Cybernetics 72; for signatures: Ferrer et al. 2020, "iDeLog", IEEE TPAMI 42). Independent of
letters and writers. Next: ``pen.py``, which draws the ink of a trajectory.
"""

import dataclasses

import numpy as np
from scipy.special import ndtr

TIME_STEP = 0.006  # seconds between two points of a trajectory
DURATIONS = 2.2  # durations of a stroke after which its movement is over


@dataclasses.dataclass(frozen=True)
class Motion:
    """Parameters of the movement; ``overlap`` is the share of a stroke's duration in which the next one has begun."""

    overlap: float = 0.55
    sigma: float = 0.28  # of the lognormal: the skewness of the speed profile
    stroke_time: float = 0.11  # seconds for a stroke of unit length
    tremor: float = 0.0  # amplitude of an 8-12 Hz shake, in letter heights


def compute_trajectories(strokes: list[np.ndarray], motion: Motion, rng: np.random.Generator) -> list[np.ndarray]:
    """Compute the trajectory of each pen-down movement through its virtual targets.

    ``float [n, 2]`` each to ``float [m, 3]`` each: x, y in letter heights (y down) and speed in letter heights per
    second. The position is the first target plus the sum of all stroke vectors, each times the cumulative distribution
    of its lognormal (Plamondon 1995). All movements are computed at once, one after the other on one time axis.
    """
    targets = np.concatenate(strokes)
    is_first = np.zeros(len(targets), bool)
    ends = np.cumsum([len(stroke) for stroke in strokes])
    is_first[0] = True
    is_first[ends[:-1]] = True
    vectors = np.diff(targets, axis=0, append=targets[-1:])
    vectors[ends - 1] = 0.0  # the pen is lifted
    lengths = np.hypot(*vectors.T)
    # Isochrony: the duration of a stroke grows only with the square root of its length.
    times = motion.stroke_time * np.sqrt(lengths + 0.08) * np.exp(rng.normal(0, 0.06, len(lengths)))
    times[ends - 1] = motion.stroke_time * 0.3  # a movement is over before the next one begins
    onset = times * (1 - motion.overlap)
    onset[ends - 2] = times[ends - 2] * DURATIONS
    single = np.diff(ends, prepend=0) < 2
    onset[ends[single] - 1] = times[ends[single] - 1]
    starts = np.concatenate([[0.0], np.cumsum(onset)[:-1]])
    samples = int(np.ceil(DURATIONS * times.max() / TIME_STEP)) + 1
    first = np.ceil(starts / TIME_STEP).astype(int)
    elapsed = (first[:, None] + np.arange(samples)) * TIME_STEP - starts[:, None]  # [stroke, sample]
    # The median of the lognormal lies at half the duration of the stroke.
    progress = ndtr((np.log(np.maximum(elapsed / times[:, None], 1e-6)) + np.log(2.0)) / motion.sigma)
    gain = np.diff(progress, axis=1, prepend=0.0)
    count = int(first[-1]) + samples + 1
    index = (first[:, None] + np.arange(samples)).ravel()
    path = np.column_stack(
        [np.cumsum(np.bincount(index, (gain * vectors[:, axis : axis + 1]).ravel(), count)) for axis in (0, 1)]
    )
    if motion.tremor:
        path += _shake(count, motion.tremor, rng)
    speed = np.hypot(*np.diff(path, axis=0, prepend=path[:1]).T) / TIME_STEP
    begin = first[is_first]
    stop = np.append(begin[1:], first[-1] + 1)
    pieces = []
    for start, end, target in zip(begin.tolist(), stop.tolist(), targets[is_first], strict=True):
        piece = path[start : max(end, start + 2)]
        position = piece - piece[0] + target
        pieces.append(np.column_stack([position, speed[start : start + len(position)]]))
    return pieces


def smooth_noise(count: int, reach: int, rng: np.random.Generator) -> np.ndarray:
    """Generate Gaussian noise of unit variance, correlated over about ``reach`` points, ``float [count]``."""
    knots = rng.normal(size=count // reach + 3)
    return np.interp(np.arange(count) / reach + rng.random(), np.arange(len(knots)), knots) * 1.2


def _shake(count: int, amplitude: float, rng: np.random.Generator) -> np.ndarray:
    """Generate physiological tremor: a narrow band around 10 Hz of varying strength, ``float [count, 2]``."""
    t = np.arange(count) * TIME_STEP
    rate = rng.uniform(8, 12, 2)
    phase = 2 * np.pi * rate * t[:, None] + 1.5 * np.column_stack([smooth_noise(count, 20, rng) for _ in "xy"])
    strength = 0.5 + np.clip(smooth_noise(count, 30, rng), 0, 2)[:, None]
    return amplitude * strength * np.sin(phase + rng.uniform(0, 6.28, 2))
