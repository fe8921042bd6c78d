"""Measure recorded and generated pen movement: time, speed, pen lifts, tremor, and how a writer varies.

Heights are those of the whole signature, between the 2nd and 98th percentile. ``handwriting.py`` compares the
distributions. Next: ``trainer/samples/movement.py``, the model of the movement.
"""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
from scipy import ndimage, signal

from trainer.samples import movement
from trainer.samples.writer import generate_forgery, generate_genuine, generate_writer

RATE = 100  # points a second, after resampling
SMOOTHING = 1.0  # standard deviation in points; speed is measured after it
TREMOR_BAND = (8.0, 16.0)  # Hz
DTW_POINTS = 160
LOCAL = 6.0  # standard deviation in points of the alignment: faster changes of a displacement are local


@dataclasses.dataclass(frozen=True)
class Recording:
    """Pen-down movements ``float [n, 2]`` at ``RATE``, y down, with seconds; ``total`` is NaN without pen lifts."""

    strokes: list[np.ndarray]
    total: float
    millimetre: float = np.nan  # in units of the recording

    @property
    def points(self) -> np.ndarray:
        """Return the points of all strokes, ``float [n, 2]``."""
        return np.concatenate(self.strokes)

    @property
    def size(self) -> np.ndarray:
        """Return width and height."""
        return np.subtract(*np.percentile(self.points, [98, 2], axis=0))

    @property
    def seconds(self) -> float:
        """Return the time with the pen down."""
        return sum(len(stroke) - 1 for stroke in self.strokes) / RATE


def _read_svc2004(path: Path) -> Recording:
    """Read a recording of SVC2004: 100 Hz, 100 units to the millimetre, y up."""
    rows = np.loadtxt(path, skiprows=1)
    return _split(rows[:, :2] * (1, -1), rows[:, 3] > 0, (rows[-1, 2] - rows[0, 2]) / 1000)


def _read_nfi(path: Path) -> Recording:
    """Read a recording of SigComp2009 (NFI): 200 Hz, 100 units to the millimetre, y up."""
    rows = np.loadtxt(path, skiprows=1)[::2]
    inked = np.flatnonzero(rows[:, 2] > 0)
    rows = rows[inked[0] : inked[-1] + 1]
    return _split(rows[:, :2] * (1, -1), rows[:, 2] > 0, len(rows) / RATE)


def make_recording(paths: list[np.ndarray]) -> Recording:
    """Make a recording of generated trajectories ``float [n, 3]``."""
    strokes = []
    for path in paths:
        seconds = np.arange(len(path)) * movement.TIME_STEP
        at = np.arange(0, seconds[-1] + 1e-9, 1 / RATE)
        strokes.append(np.column_stack([np.interp(at, seconds, path[:, axis]) for axis in (0, 1)]))
    return Recording([stroke for stroke in strokes if len(stroke) > 1], np.nan)


def _split(points: np.ndarray, is_down: np.ndarray, total: float) -> Recording:
    runs = np.split(np.arange(len(points)), np.flatnonzero(np.diff(is_down.astype(int))) + 1)
    return Recording([points[run] for run in runs if is_down[run[0]] and len(run) > 2], total, 100.0)


Repetitions = tuple[list[Recording], list[Recording]]  # genuine and forged recordings of one writer


def read_recordings(folder: Path, count: int) -> dict[str, list[Repetitions]]:
    """Read the genuine and forged recordings of each writer, about twice ``count`` of either kind in each set."""
    sets = {}
    for name, pattern, read, writer_of in (
        ("svc2004", "U*.txt", _read_svc2004, lambda stem: stem.partition("S")[0]),
        ("sigcomp2009_nfi", "*.hwr", _read_nfi, lambda stem: stem[-3:]),
    ):
        by_writer: dict[str, tuple[list[Path], list[Path]]] = {}
        for path in sorted((folder / name).glob(pattern)):
            is_forged = name == "svc2004" and int(path.stem.partition("S")[2]) > 20
            by_writer.setdefault(writer_of(path.stem), ([], []))[is_forged].append(path)
        share = max(3, 2 * count // max(1, len(by_writer)))
        if by_writer:
            sets[name] = [([read(p) for p in a[:share]], [read(p) for p in b[:share]]) for a, b in by_writer.values()]
    return sets


def generate_recordings(writers: int, seed: int) -> list[Repetitions]:
    """Generate recordings of writers: ten genuine and ten forged of each."""
    sets = []
    for number in range(writers):
        writer = generate_writer(np.random.default_rng([seed, number]))
        rng = np.random.default_rng([seed, number, 1])
        genuine, forged = (
            [make_recording(sign(writer, rng)) for _ in range(10)] for sign in (generate_genuine, generate_forgery)
        )
        sets.append((genuine, forged))
    return sets


def compute_features(recording: Recording) -> dict[str, float]:
    """Compute the features of one recording, by name."""
    width, height = recording.size
    smooth = [ndimage.gaussian_filter1d(stroke, SMOOTHING, axis=0, mode="nearest") for stroke in recording.strokes]
    velocities = [np.gradient(stroke, 1 / RATE, axis=0) / height for stroke in smooth if len(stroke) > 4]
    speeds = [np.hypot(*velocity.T) for velocity in velocities]
    speed = np.concatenate(speeds)
    line = float(speed.sum()) / RATE
    peaks, ratios = _find_peaks(speeds, float(np.median(speed)))
    seconds = recording.seconds
    curvature = _measure_curvature(velocities)
    moving = speed > 0.1 * np.median(speed)
    fast = curvature[moving] > 0
    power = np.polyfit(np.log(curvature[moving][fast]), np.log(speed[moving][fast]), 1)[0]
    lifts = recording.total - seconds
    return {
        "seconds with the pen down": seconds,
        "seconds in total": recording.total,
        "share of time with the pen up": lifts / recording.total,
        "seconds of a pen lift": lifts / (len(recording.strokes) - 1) if len(recording.strokes) > 1 else np.nan,
        "pen-down movements": float(len(recording.strokes)),
        "seconds of a pen-down movement": seconds / len(recording.strokes),
        "width / height": width / height,
        "height in millimetres": height / recording.millimetre,
        "line length / height": line,
        "up-down stroke / height: median": _measure_up_down(smooth) / height,
        "speed, heights a second": line / seconds,
        "speed, millimetres a second": line * height / recording.millimetre / seconds,
        "speed variation": float(speed.std() / speed.mean()),
        "speed: 90 % / median": float(np.percentile(speed, 90) / np.median(speed)),
        "speed: 10 % / median": float(np.percentile(speed, 10) / np.median(speed)),
        "speed at the start of a movement / mean": float(np.median([s[0] for s in speeds]) / speed.mean()),
        "speed at the end of a movement / mean": float(np.median([s[-1] for s in speeds]) / speed.mean()),
        "speed peaks a second": peaks / seconds,
        "speed peaks for each height of line": peaks / line,
        "valley / peak": ratios,
        "up-down changes a second": sum(np.count_nonzero(np.diff(np.sign(v[:, 1]))) for v in velocities) / seconds,
        "curvature x height: median": float(np.median(curvature[moving])),
        "curvature x height: 90 %": float(np.percentile(curvature[moving], 90)),
        "exponent of speed by curvature": float(power),
        "shake of 8-16 Hz / height, 1/1000": 1000 * _measure_tremor(recording.strokes) / height,
        "jerk / speed³ x height²": _measure_jerk(speeds, float(speed.mean())),
    }


def _find_peaks(speeds: list[np.ndarray], median: float) -> tuple[int, float]:
    """Count peaks of the speed; returns their number and the median ratio of a valley to the lower of its peaks."""
    count, ratios = 0, [np.nan]
    for speed in speeds:
        peaks = signal.find_peaks(np.pad(speed, 1), prominence=0.1 * median)[0] - 1
        count += len(peaks)
        for first, second in itertools.pairwise(peaks):
            ratios.append(float(speed[first:second].min() / min(speed[first], speed[second])))
    return count, float(np.nanmedian(ratios)) if len(ratios) > 1 else np.nan


def _measure_curvature(velocities: list[np.ndarray]) -> np.ndarray:
    """Measure the change of direction for each height of line, in radians: ``float [n]``."""
    parts = []
    for velocity in velocities:
        acceleration = np.gradient(velocity, 1 / RATE, axis=0)
        cross = velocity[:, 0] * acceleration[:, 1] - velocity[:, 1] * acceleration[:, 0]
        parts.append(np.abs(cross) / np.maximum(1e-6, np.hypot(*velocity.T) ** 3))
    return np.concatenate(parts)


def _measure_up_down(strokes: list[np.ndarray]) -> float:
    """Measure the median vertical distance between turning points, without those of a hundredth of the largest."""
    heights: list[float] = []
    for stroke in strokes:
        y = stroke[:, 1]
        turns = np.concatenate([[0], np.flatnonzero(np.diff(np.sign(np.diff(y)))) + 1, [len(y) - 1]])
        heights += np.abs(np.diff(y[turns])).tolist()
    lengths = np.array(heights)
    return float(np.median(lengths[lengths > 0.02 * lengths.max()]))


def _measure_tremor(strokes: list[np.ndarray]) -> float:
    """Measure the root mean square of the movement across the line in ``TREMOR_BAND``."""
    band = signal.butter(2, TREMOR_BAND, "bandpass", fs=RATE, output="sos")
    total, count = 0.0, 0
    for stroke in strokes:
        if len(stroke) < 30:
            continue
        shake = signal.sosfiltfilt(band, stroke, axis=0)
        way = np.gradient(ndimage.gaussian_filter1d(stroke, 4, axis=0), axis=0)
        across = (shake[:, 0] * way[:, 1] - shake[:, 1] * way[:, 0]) / np.maximum(1e-9, np.hypot(*way.T))
        total, count = total + float(across @ across), count + len(stroke)
    return float(np.sqrt(total / count)) if count else np.nan


def _measure_jerk(speeds: list[np.ndarray], mean: float) -> float:
    """Measure the root mean square of the jerk along the line, free of units; both speeds in heights a second."""
    jerks = [np.gradient(np.gradient(speed, 1 / RATE), 1 / RATE) for speed in speeds]
    return float(np.sqrt((np.concatenate(jerks) ** 2).mean()) / mean**3)


def compare(first: Recording, second: Recording) -> dict[str, float]:
    """Compare two recordings of one text: size, time, form and displacement after alignment, by name.

    Points are paired by dynamic time warping; an affine map of the second to the first is fitted twice. What it leaves
    is the displacement, in heights, of which the part that varies slowly along the line is "smooth".
    """
    a, b = (_resample(recording) for recording in (first, second))
    moved, i, j = b, np.arange(0), np.arange(0)
    for _ in range(3):
        i, j = _align(a, moved)
        design = np.column_stack([b[j], np.ones(len(j))])
        affine = np.linalg.lstsq(design, a[i], rcond=None)[0]
        moved = np.column_stack([b, np.ones(len(b))]) @ affine
    residual = a[i] - moved[j]
    smooth = ndimage.gaussian_filter1d(residual, LOCAL, axis=0, mode="nearest")
    x_axis, y_axis = affine[0], affine[1]
    turn = np.arctan2(x_axis[1], x_axis[0])
    scale_x, scale_y = np.hypot(*x_axis), np.linalg.det(affine[:2]) / np.hypot(*x_axis)
    shear = (x_axis @ y_axis) / np.hypot(*x_axis) / max(1e-6, abs(scale_y))
    size_a, size_b = first.size, second.size
    return {
        "log height ratio": float(np.log(size_a[1] / size_b[1])),
        "log width ratio": float(np.log(size_a[0] / size_b[0])),
        "log aspect ratio": float(np.log(size_a[0] / size_a[1] / (size_b[0] / size_b[1]))),
        "log ratio of seconds": float(np.log(first.seconds / second.seconds)),
        "log ratio of movements": float(np.log(len(first.strokes) / len(second.strokes))),
        "rotation, degrees": float(np.degrees(turn)),
        "log scale of x, fitted": float(np.log(max(1e-3, scale_x))),
        "log scale of y, fitted": float(np.log(max(1e-3, abs(scale_y)))),
        "shear, fitted": float(shear),
        "displacement / height": float(np.sqrt((residual**2).sum(axis=1).mean())),
        "displacement: smooth": float(np.sqrt((smooth**2).sum(axis=1).mean())),
        "displacement: local": float(np.sqrt(((residual - smooth) ** 2).sum(axis=1).mean())),
    }


def _resample(recording: Recording) -> np.ndarray:
    """Resample the line at equal distances: ``float [DTW_POINTS, 2]``, in heights around the centre.

    A pen lift is not part of the line.
    """
    points = recording.points
    is_step = np.ones(len(points) - 1, bool)
    is_step[np.cumsum([len(stroke) for stroke in recording.strokes])[:-1] - 1] = False
    steps = np.hypot(*np.diff(points, axis=0).T) * is_step + 1e-9
    distance = np.concatenate([[0], np.cumsum(steps)])
    at = np.linspace(0, distance[-1], DTW_POINTS)
    line = np.column_stack([np.interp(at, distance, points[:, axis]) for axis in (0, 1)])
    return (line - line.mean(axis=0)) / recording.size[1]


def _align(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair the points of two lines by dynamic time warping over position and direction; returns their indices."""
    ways = [np.gradient(line, axis=0) for line in (a, b)]
    ways = [way / np.maximum(1e-9, np.hypot(*way.T))[:, None] for way in ways]
    cost = ((a[:, None] - b[None]) ** 2).sum(axis=2) + 0.02 * ((ways[0][:, None] - ways[1][None]) ** 2).sum(axis=2)
    n = len(a)
    total = np.full((n + 1, n + 1), np.inf)
    total[0, 0] = 0
    for diagonal in range(2, 2 * n + 1):  # all cells of a diagonal at once
        i = np.arange(max(1, diagonal - n), min(n, diagonal - 1) + 1)
        j = diagonal - i
        before = np.minimum(np.minimum(total[i - 1, j], total[i, j - 1]), total[i - 1, j - 1])
        total[i, j] = cost[i - 1, j - 1] + before
    cell, pairs = (n, n), []
    while min(cell):
        row, column = cell[0] - 1, cell[1] - 1
        pairs.append((row, column))
        cell = min(((row, column), (row, column + 1), (row + 1, column)), key=lambda before: total[before])
    rows, columns = np.array(pairs[::-1]).T
    return rows, columns
