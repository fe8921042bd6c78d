"""Synthetic writers: the signature of each, its natural variation, and skilled forgeries of it.

A writer is a sequence of virtual targets (``signature.py``), a motion and a pen. Genuine signatures repeat the movement
through these targets; forgeries follow the visible line. Lengths are in letter heights, y grows downwards. Next:
``movement.py`` for the movement, ``sample.py`` for the image.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from trainer.samples import strokes
from trainer.samples.ink import Pen, generate_pen, limit_width, render_ink
from trainer.samples.movement import Motion, compute_trajectories
from trainer.samples.signature import generate_signature
from trainer.samples.strokes import Strokes
from trainer.samples.text import fit_height

REFERENCE_SIDE = 400.0  # pixels of the longest side of a signature for which the width of a pen is given


# Variation of a writer, as standard deviations; measured on recordings of real writers (tests/bench/handwriting.py).
WARP, POINT_NOISE, SCALE, TURN, TIME = (
    0.085,
    0.028,
    0.07,
    0.045,
    0.06,
)  # letter heights, letter heights, log, radians, log
# A forger writes somewhat slower and keeps proportions half as well; few trace in small pieces and tremble.
FORGERY_ERROR, FORGERY_TIME = 1.45, (1.2, 0.25)  # factor of the variation; factor of time, and its spread (log)
TRACED_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class Writer:
    """One writer; ``targets`` are the virtual targets of every signature, ``float [n, 2]`` for each stroke."""

    motion: Motion
    targets: tuple[np.ndarray, ...]
    pen: Pen  # for a signature of ``REFERENCE_SIDE``
    spread: float  # how much the signatures vary, relative to those of other writers

    def take_pen(self, side: float, rng: np.random.Generator) -> Pen:
        """Return the pen of one signature of ``side`` pixels: the usual one, pressed a little more or less."""
        width = self.pen.width * side / REFERENCE_SIDE * np.exp(rng.normal(0, 0.08))
        return dataclasses.replace(self.pen, width=max(1.0, float(width)))


def generate_writer(rng: np.random.Generator, pen_share: float = 0.01) -> Writer:
    """Generate a writer, determined by the state of ``rng`` alone; ``pen_share`` is that of ``draw_size``."""
    style, targets = generate_signature(rng)
    pen = generate_pen(rng, pen_share * REFERENCE_SIDE)
    return Writer(style.motion, tuple(targets), pen, float(np.exp(rng.normal(0, 0.35))))


def generate_genuine(writer: Writer, rng: np.random.Generator) -> Strokes:
    """Generate a genuine signature with its natural variation: trajectories of ``compute_trajectories``."""
    targets, motion = _vary(writer.targets, writer.spread, rng), writer.motion
    motion = dataclasses.replace(motion, stroke_time=motion.stroke_time * np.exp(rng.normal(0, TIME)))
    return compute_trajectories([strokes.round_corners(stroke) for stroke in targets], motion, rng)


def generate_forgery(writer: Writer, rng: np.random.Generator) -> Strokes:
    """Generate a skilled forgery, an imitation of one genuine signature: trajectories of ``compute_trajectories``.

    Forgers see the line and do not know the movement: most write it fluently with inexact proportions, some trace it
    slowly in short pieces, with tremor.
    """
    slowness = FORGERY_TIME[0] * np.exp(rng.normal(0, FORGERY_TIME[1]))
    motion = dataclasses.replace(writer.motion, stroke_time=writer.motion.stroke_time * slowness)
    error = max(FORGERY_ERROR * writer.spread, 0.8)
    if rng.random() > TRACED_SHARE:
        targets = _vary(_vary(writer.targets, writer.spread, rng), error, rng)
        return compute_trajectories([strokes.round_corners(stroke) for stroke in targets], motion, rng)
    spacing = rng.uniform(0.1, 0.3)
    traced = [strokes.resample(path, spacing) for path in generate_genuine(writer, rng)]
    motion = Motion(
        rng.uniform(0.45, 0.65), 0.28, writer.motion.stroke_time * rng.uniform(1.0, 2.0), rng.uniform(0, 0.02)
    )
    return compute_trajectories(_vary(traced, 0.6 * error, rng), motion, rng)


def _vary(targets: Sequence[np.ndarray], spread: float, rng: np.random.Generator) -> Strokes:
    """Write the targets once more, with the given multiple of the usual variation."""
    warp = strokes.draw_warp(targets, WARP * spread, rng)
    moved = [warp(stroke) + rng.normal(0, POINT_NOISE * spread, stroke.shape) for stroke in targets]
    return strokes.transform(moved, SCALE * spread, TURN * spread, rng)


def render_signature(
    writer: Writer, side: float, is_forged: bool, rng: np.random.Generator, pen: Pen | None = None
) -> tuple[np.ndarray, Pen]:
    """Render a signature of a writer, or a forgery of one, as ink ``float32 [h, w]``; returns its pen, too.

    Without ``pen`` it is the writer's.
    """
    paths = (generate_forgery if is_forged else generate_genuine)(writer, rng)
    height = fit_height(paths, side)
    pen = limit_width(pen or writer.take_pen(side, rng), height)
    return render_ink(paths, pen, height, rng), pen
