"""Pens, and the ink that they leave along trajectories: ballpoints, felt tips, pencils, quills, brushes, carbon paper.

The width of a line follows speed, direction and pressure. Independent of letters and writers. Next: ``movement.py``
has the trajectories, ``paper.py`` the sheet.
"""

import dataclasses

import cv2
import numpy as np

from trainer.samples.movement import TIME_STEP, smooth_noise
from trainer.samples.paper import draw_noise

OVERSAMPLE = 2  # factor by which ink is drawn larger, before it is resized by area
LEVELS = 4  # of darkness along a line
COARSENESS = 0.12  # steps of the thickness of a line, as a share of it
DOT_TIME, DOT_WIDTH = 0.05, 1.3  # seconds of a movement that is a dot, and its width
SHIFT = 4  # cv2 takes fixed-point coordinates with this many fractional bits
MAX_PEN_WIDTH = 0.2  # in letter heights
MAX_SIDE = 4096  # pixels of an oversampled sheet


@dataclasses.dataclass(frozen=True)
class Pen:
    """Parameters of the line; ``width`` is in pixels."""

    width: float = 3.0
    contrast: float = 0.25  # share of the width that is lost at high speed
    pressure: float = 0.1  # amplitude of slow changes of the width, as a share of it
    nib: float = 0.0  # share of the width that is lost along the edge of a broad nib
    nib_angle: float = 0.7  # of that edge, in radians
    taper: float = 0.5  # share of the width that is lost at both ends of a movement
    skips: float = 0.0  # share of a fast line on which the ink fails
    darkness: float = 0.8  # share of light that full ink absorbs
    unevenness: float = 0.15  # of the ink's flow, as a share of the darkness
    colour: tuple[float, float, float] = (0.1, 0.1, 0.12)  # RGB reflectance of the ink itself, 0 to 1


@dataclasses.dataclass(frozen=True)
class PenKind:
    """What pens of one kind have in common; pairs are the bounds between which a pen is drawn."""

    share: float  # of all pens
    width: float  # relative to a ballpoint
    contrast: tuple[float, float]
    pressure: tuple[float, float]
    nib: tuple[float, float]
    taper: tuple[float, float]
    skips: tuple[float, float]
    darkness: tuple[float, float]
    unevenness: tuple[float, float]


BALLPOINT = PenKind(0.56, 1.0, (0.1, 0.45), (0, 0.2), (0, 0), (0.2, 0.6), (-0.2, 0.15), (0.7, 0.95), (0.05, 0.3))
FELT_TIP = PenKind(0.16, 1.5, (0, 0.2), (0, 0.15), (0, 0.25), (0, 0.2), (0, 0), (0.8, 0.97), (0, 0.1))
QUILL = PenKind(0.1, 1.3, (0.1, 0.4), (0.1, 0.4), (0.3, 0.75), (0.2, 0.4), (0, 0), (0.6, 0.95), (0.1, 0.35))
PENCIL = PenKind(0.08, 1.0, (0.1, 0.3), (0.1, 0.3), (0, 0), (0.2, 0.4), (-0.1, 0.15), (0.4, 0.7), (0.2, 0.45))
BRUSH = PenKind(0.1, 1.9, (0.3, 0.65), (0.2, 0.5), (0, 0.4), (0.4, 0.9), (0, 0), (0.85, 0.97), (0, 0.1))
PEN_KINDS = (BALLPOINT, FELT_TIP, QUILL, PENCIL, BRUSH)
COLOURS = {  # RGB reflectance, and the share of pens
    (0.08, 0.08, 0.1): 0.35,
    (0.1, 0.12, 0.2): 0.2,
    (0.1, 0.16, 0.45): 0.19,
    (0.05, 0.1, 0.3): 0.12,
    (0.3, 0.3, 0.32): 0.08,
    (0.45, 0.1, 0.12): 0.03,
    (0.1, 0.3, 0.18): 0.03,
}


CARBON_COLOURS = ((0.12, 0.1, 0.3), (0.1, 0.13, 0.35), (0.2, 0.2, 0.22), (0.3, 0.15, 0.35))


def generate_pen(rng: np.random.Generator, width: float) -> Pen:
    """Generate a pen; ``width`` in pixels is that of a ballpoint."""
    kind = PEN_KINDS[rng.choice(len(PEN_KINDS), p=[kind.share for kind in PEN_KINDS])]
    return Pen(
        width=kind.width * width,
        contrast=rng.uniform(*kind.contrast),
        pressure=rng.uniform(*kind.pressure),
        nib=rng.uniform(*kind.nib),
        nib_angle=rng.normal(0.75, 0.3),
        taper=rng.uniform(*kind.taper),
        skips=max(0.0, rng.uniform(*kind.skips)),
        darkness=rng.uniform(*kind.darkness),
        unevenness=rng.uniform(*kind.unevenness),
        colour=list(COLOURS)[rng.choice(len(COLOURS), p=list(COLOURS.values()))],
    )


def limit_width(pen: Pen, letter_height: float) -> Pen:
    """Limit the width of a pen to what leaves letters of this height in pixels legible."""
    return dataclasses.replace(pen, width=min(pen.width, MAX_PEN_WIDTH * letter_height))


def render_ink(paths: list[np.ndarray], pen: Pen, letter_height: float, rng: np.random.Generator) -> np.ndarray:
    """Render the ink of trajectories on a sheet of their extent.

    ``paths`` are of ``movement.compute_trajectories``, ``letter_height`` is in pixels. Returns ``float32 [h, w]``, 0 no
    ink to 1 full ink.
    """
    points = np.concatenate(paths)
    margin = 1.5 * pen.width / letter_height + 0.05
    corner = points[:, :2].min(axis=0) - margin
    height, width = (
        np.ceil((points[:, :2].max(axis=0) + margin - corner)[::-1] * letter_height).astype(int) + 1
    ).tolist()
    scale = letter_height * OVERSAMPLE
    if max(height, width) * OVERSAMPLE > MAX_SIDE:
        raise ValueError(f"ink of {width} x {height} pixels; at most {MAX_SIDE // OVERSAMPLE} a side")
    sheet = np.zeros((height * OVERSAMPLE, width * OVERSAMPLE), np.uint8)
    high_speed = max(1e-6, float(np.percentile(points[:, 2], 85)))
    thickness, level = _measure_line(paths, points, high_speed, pen, rng)
    draw_lines(sheet, (points[:, :2] - corner) * scale, [len(path) for path in paths], thickness, level)
    return cv2.resize(sheet, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) * np.float32(1 / 255)


def draw_lines(
    sheet: np.ndarray, points: np.ndarray, lengths: list[int], thickness: np.ndarray, level: np.ndarray
) -> None:
    """Draw lines of varying thickness into a sheet ``uint8 [h, w]``, with round ends.

    ``points`` are x and y in pixels, ``float [n, 2]``, of all lines one after the other; a line has as many of them as
    ``lengths`` says. ``thickness`` in pixels and ``level`` of darkness, 0 none to ``LEVELS`` full, are ``int [n]``.
    Changes of either cost a call of OpenCV each.
    """
    fixed = np.round(points * (1 << SHIFT)).astype(np.int32)
    code = thickness * (LEVELS + 1) + level
    starts = np.cumsum([0, *lengths])
    changes = np.flatnonzero(np.diff(code)) + 1
    bounds = np.unique(np.concatenate([starts, changes]))
    is_start = np.isin(bounds, starts)
    for begin, end, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), is_start[1:].tolist(), strict=True):
        if level[begin]:
            run = fixed[begin : end if last else end + 1]
            ink = 255 * int(level[begin]) // LEVELS
            cv2.polylines(sheet, [run[:, None]], False, ink, int(thickness[begin]), cv2.LINE_AA, SHIFT)


def copy_through_carbon(ink: np.ndarray, pen: Pen, rng: np.random.Generator) -> tuple[np.ndarray, Pen]:
    """Return the carbon copy of ink ``float32 [h, w]`` and its pen: soft, grainy, faint, with smudges around it."""
    softness = float(np.clip(0.3 * pen.width, 0.5, 1.8))
    copy = cv2.GaussianBlur(ink, (0, 0), softness)
    copy *= np.clip(1.15 - rng.uniform(0.1, 0.4) * np.abs(draw_noise(ink.shape, rng, "fibres")), 0, 1)  # grain of paper
    smudges = cv2.resize(rng.random((5, 9), np.float32), ink.shape[::-1], interpolation=cv2.INTER_CUBIC)
    copy = np.maximum(copy, np.float32(rng.uniform(0, 0.16)) * np.clip(smudges - 0.5, 0, 1))
    colour = CARBON_COLOURS[rng.integers(len(CARBON_COLOURS))]
    return copy, dataclasses.replace(pen, darkness=rng.uniform(0.4, 0.75), colour=colour)


def _measure_line(
    paths: list[np.ndarray], points: np.ndarray, high_speed: float, pen: Pen, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return thickness in oversampled pixels, and level of darkness, of every point, ``int [n]`` each."""
    count = len(points)
    speed = np.minimum(points[:, 2] / high_speed, 1.4)
    factor = 1 - pen.contrast * speed
    if pen.pressure:
        factor *= 1 + pen.pressure * np.clip(smooth_noise(count, 14, rng), -2, 2)
    if pen.nib:
        direction = np.arctan2(np.gradient(points[:, 1]), np.gradient(points[:, 0]))
        factor *= 1 - pen.nib * np.abs(np.cos(direction - pen.nib_angle))
    position = np.concatenate([np.arange(len(path)) for path in paths])
    from_end = np.concatenate([np.arange(len(path))[::-1] for path in paths])
    seconds = np.minimum(position, from_end) * TIME_STEP
    is_dot = (position + from_end) * TIME_STEP < DOT_TIME  # a dot is pressed, not drawn
    factor *= np.where(is_dot, DOT_WIDTH, 1 - pen.taper * np.clip(1 - seconds / 0.03, 0, 1))
    step = max(1, round(COARSENESS * pen.width * OVERSAMPLE))  # few changes: every one is a call of OpenCV
    thickness = np.maximum(1, np.rint(pen.width * OVERSAMPLE * factor / step) * step).astype(int)
    flow = 1 - pen.unevenness * np.clip(smooth_noise(count, 12, rng), 0, 2) - 0.15 * np.minimum(speed, 1)
    level = np.clip(np.rint(LEVELS * flow), 2, LEVELS).astype(int)
    if pen.skips:
        level[(smooth_noise(count, 6, rng) > 2.2 - 4 * pen.skips) & (speed > 0.6)] = 0
    return thickness, level
