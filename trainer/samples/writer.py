"""Synthetic writers: the signature of each, its natural variation, and skilled forgeries of it.

A writer is a sequence of virtual targets (``letters.py`` in a style, plus a flourish) and a motion (``pen.py``).
Genuine signatures repeat the movement through these targets; forgeries follow the visible line. Lengths are in letter
heights, y grows downwards. Next: ``pen.py``, and ``paper.py`` for the scan.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from trainer.samples import words
from trainer.samples.letters import CURSIVE_FONT, PRINT_FONT, load_letter
from trainer.samples.pen import Motion, Pen, compute_trajectory

Strokes = list[np.ndarray]  # virtual targets of each pen-down movement, float [n, 2]
Warp = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class WritingStyle:
    """How a writer shapes letters; generated once for each writer."""

    font: str
    slant: float  # horizontal shift for each letter height
    letter_width: float
    letter_spacing: float
    capital_size: float  # of initials
    simplification: float  # 0 writes every letter in full, 1 leaves a wave
    is_joined: bool  # letters are written without lifting the pen
    baseline_angle: float  # radians
    deviation: float  # from the letter of the font
    motion: Motion
    pen_width: float


@dataclasses.dataclass(frozen=True)
class Writer:
    """One writer; ``targets`` are the virtual targets of every signature, ``float [n, 2]`` for each stroke."""

    style: WritingStyle
    targets: tuple[np.ndarray, ...]


def generate_writer(rng: np.random.Generator) -> Writer:
    """Generate a writer, determined by the state of ``rng`` alone."""
    style = _generate_style(rng)
    text, simplification = _choose_name(rng, style.simplification)
    style = dataclasses.replace(style, simplification=simplification)
    targets = spell(text, style, rng)
    targets = [*targets, *_flourish(targets, simplification, rng)]
    return Writer(style, tuple(_tilt(stroke, style) for stroke in targets))


def generate_genuine(writer: Writer, rng: np.random.Generator) -> Strokes:
    """Generate a genuine signature with its natural variation; returns trajectories of ``pen.compute_trajectory``."""
    style = writer.style
    warp = _smooth_warp(writer.targets, 0.035, rng)
    motion = dataclasses.replace(style.motion, stroke_time=style.motion.stroke_time * np.exp(rng.normal(0, 0.1)))
    strokes = [_round_corners(warp(stroke) + rng.normal(0, 0.018, stroke.shape)) for stroke in writer.targets]
    return [compute_trajectory(stroke, motion, rng) for stroke in _transform(strokes, 0.05, 0.03, rng)]


def generate_forgery(writer: Writer, rng: np.random.Generator) -> Strokes:
    """Generate a skilled forgery, an imitation of one genuine signature; returns trajectories.

    Forgers follow the visible line and do not know the movement: proportions are inexact and curves consist of short
    pieces. Careful forgeries are slow and have tremor; fluent ones are faster but less exact.
    """
    original = generate_genuine(writer, rng)
    is_fluent = rng.random() < 0.4
    spacing = 0.30 if is_fluent else rng.uniform(0.10, 0.16)
    traced = [_trace(path, spacing) for path in original]
    warp = _smooth_warp(traced, 0.08 if is_fluent else 0.05, rng)
    strokes = [warp(stroke) + rng.normal(0, 0.022 if is_fluent else 0.008, stroke.shape) for stroke in traced]
    motion = Motion(
        overlap=rng.uniform(0.6, 0.75) if is_fluent else rng.uniform(0.45, 0.6),
        stroke_time=writer.style.motion.stroke_time * (1.0 if is_fluent else rng.uniform(1.5, 2.2)),
        tremor=0.004 if is_fluent else rng.uniform(0.008, 0.022),
    )
    return [compute_trajectory(stroke, motion, rng) for stroke in _transform(strokes, 0.07, 0.05, rng)]


def generate_handwriting(text: str, font: str, rng: np.random.Generator) -> Strokes:
    """Generate a handwritten word by the motion of signatures, but legible; returns trajectories."""
    style = dataclasses.replace(
        _generate_style(rng), font=font, simplification=rng.uniform(0, 0.2), baseline_angle=rng.normal(0, 0.02)
    )
    style = dataclasses.replace(
        style, capital_size=rng.uniform(0.95, 1.2), letter_spacing=abs(style.letter_spacing) + 0.03
    )
    strokes = [_tilt(stroke, style) for stroke in spell(text, style, rng)]
    return [
        compute_trajectory(_round_corners(stroke + rng.normal(0, 0.012, stroke.shape)), style.motion, rng)
        for stroke in strokes
    ]


def generate_pen(rng: np.random.Generator, preferred_width: float | None = None) -> Pen:
    """Generate a pen: mostly ballpoints in black and blue, sometimes a felt tip or a pencil.

    ``preferred_width`` in pixels is the mean width; ``None`` for any.
    """
    colours = [(0.08, 0.08, 0.1), (0.1, 0.12, 0.2), (0.1, 0.16, 0.45), (0.05, 0.1, 0.3), (0.3, 0.3, 0.32)]
    colour = colours[rng.choice(len(colours), p=[0.35, 0.2, 0.2, 0.15, 0.1])]
    width = (preferred_width or rng.uniform(1.8, 4.2)) * np.exp(rng.normal(0, 0.2))
    is_felt = rng.random() < 0.15
    return Pen(
        width=float(np.clip(width * (1.7 if is_felt else 1), 1.4, 7)),
        contrast=rng.uniform(0.1, 0.3) if is_felt else rng.uniform(0.15, 0.5),
        darkness=rng.uniform(0.75, 0.95),
        unevenness=0.05 if is_felt else rng.uniform(0.08, 0.3),
        colour=colour,
    )


def spell(text: str, style: WritingStyle, rng: np.random.Generator) -> Strokes:
    """Place letters side by side in a style; every occurrence of a letter has the same deviation."""
    strokes: Strokes = []
    x = 0.0
    seeds: dict[str, int] = {}  # of the deviation, by letter
    for position, character in enumerate(text):
        if character == " ":
            x += 0.45
            continue
        seed = seeds.setdefault(character, int(rng.integers(1 << 32)))
        shapes, advance = load_letter(character, style.font)
        size = style.capital_size if character.isupper() or position == 0 else 1.0
        height = 1.0 if position == 0 else 1.0 - 0.75 * style.simplification * min(1.0, position / 3)
        letter_rng = np.random.default_rng(seed)
        width = style.letter_width * np.exp(letter_rng.normal(0, 0.5 * style.deviation))
        letter = [
            _bend(shape, style.deviation, letter_rng) * (width * size, height * size) + (x, 0) for shape in shapes
        ]
        if style.simplification > 0.5 and position > 0:
            letter = [stroke[::2] if len(stroke) > 5 else stroke for stroke in letter[:1]]
        strokes = _append(strokes, letter, join=style.is_joined and position > 0 and character.islower())
        x += advance * width * size + style.letter_spacing
    return strokes


def _generate_style(rng: np.random.Generator) -> WritingStyle:
    is_cursive = rng.random() < 0.75
    return WritingStyle(
        font=CURSIVE_FONT if is_cursive else PRINT_FONT,
        slant=rng.normal(0.12, 0.28),
        letter_width=float(np.exp(rng.normal(0.05, 0.28))),
        letter_spacing=rng.normal(0.0, 0.05) if is_cursive else rng.uniform(0.02, 0.2),
        capital_size=float(np.exp(rng.normal(0.35, 0.3))),
        simplification=float(rng.beta(1.3, 1.6)),
        is_joined=is_cursive or rng.random() < 0.4,
        baseline_angle=rng.normal(-0.06, 0.09),
        deviation=rng.uniform(0.1, 0.3),
        motion=Motion(rng.uniform(0.55, 0.78), rng.uniform(0.22, 0.36), float(np.exp(rng.normal(-2.3, 0.25)))),
        pen_width=rng.uniform(1.8, 4.0),
    )


def _choose_name(rng: np.random.Generator, simplification: float) -> tuple[str, float]:
    """Choose a name and its written form, such as initials; returns the text and the simplification of its letters."""
    first, family = rng.choice(words.GIVEN_NAMES), rng.choice(words.FAMILY_NAMES)
    forms = [
        (f"{first} {family}", simplification * 0.5),
        (f"{first[0]}.{family}", simplification * 0.7),
        (family, simplification),
        (f"{first[0]}{family[0]}{family[1:4]}", min(1.0, simplification + 0.3)),
        (f"{first[0]}{family[0]}", 0.1),
        (first, simplification),
    ]
    text, simplification = forms[rng.choice(len(forms), p=[0.2, 0.28, 0.2, 0.14, 0.06, 0.12])]
    return text, simplification


def _append(strokes: Strokes, letter: Strokes, join: bool) -> Strokes:
    """Append the strokes of a letter; ``join`` connects the first of them to the last stroke before."""
    if join and strokes and letter and len(letter[0]) > 1:
        strokes = [*strokes[:-1], np.concatenate([strokes[-1], letter[0]])]
        letter = letter[1:]
    return [*strokes, *letter]


def _bend(stroke: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Displace the targets of a letter smoothly, to the form of one writer."""
    amplitude = rng.normal(0, deviation * 0.35, (2, 2))
    phase = rng.uniform(0, 6.28, (2, 2))
    x, y = stroke[:, 0], stroke[:, 1]
    dx = amplitude[0, 0] * np.sin(3 * y + phase[0, 0]) + amplitude[0, 1] * np.sin(4 * x + phase[0, 1])
    dy = amplitude[1, 0] * np.sin(4 * x + phase[1, 0]) + amplitude[1, 1] * np.sin(3 * y + phase[1, 1])
    return stroke + np.column_stack([dx, dy])


def _flourish(strokes: Strokes, simplification: float, rng: np.random.Generator) -> Strokes:
    """Generate the flourish of a signature: a line, a loop, a zigzag, an oval or a tail, or nothing."""
    points = np.concatenate(strokes)
    left, right = points[:, 0].min(), points[:, 0].max()
    end, width = strokes[-1][-1], right - left
    drop = rng.uniform(0.3, 0.6)
    # A legible name gets a flourish more often than a simplified one.
    p_none = 0.05 + 0.4 * simplification
    p_shapes = (1 - p_none) * np.array([0.2, 0.24, 0.14, 0.14, 0.1, 0.18])
    shapes = ["none", "underline", "return", "zigzag", "through", "oval", "tail"]
    shape = rng.choice(shapes, p=[p_none, *p_shapes])
    start, stop = left + width * rng.uniform(-0.1, 0.3), right + width * rng.uniform(-0.1, 0.2)
    lift = rng.uniform(-0.3, 0.15)
    if shape == "underline":
        return [np.array([[start, drop], [(start + stop) / 2, drop + rng.normal(0, 0.1)], [stop, drop + lift]])]
    if shape == "return":
        back = np.array([end, end + (0.35, 0.25), [right, drop], [start, drop + 0.05], [start - 0.2, drop + 0.2]])
        return [np.concatenate([back, [[(start + stop) / 2, drop + 0.35], [stop, drop + lift]]])]
    if shape == "zigzag":
        turns = rng.integers(4, 7)
        xs = np.where(np.arange(turns) % 2, stop, start) + rng.normal(0, 0.08 * width, turns)
        return [np.column_stack([xs, np.linspace(drop * 0.6, drop + 0.5, turns)])]
    if shape == "through":
        level = rng.uniform(-0.45, -0.1)
        return [np.array([[left - 0.2, level + 0.1], [(left + right) / 2, level], [right + 0.4, level + lift]])]
    if shape == "oval":
        angle = np.linspace(0.3, 2 * np.pi + rng.uniform(0, 1), 12)
        centre = np.array([(left + right) / 2, -0.3])
        return [centre + np.column_stack([np.cos(angle) * (width / 2 + 0.3), np.sin(angle) * rng.uniform(0.8, 1.1)])]
    if shape == "tail":
        return [np.array([end, end + (0.4, -0.1), end + (rng.uniform(0.8, 2), rng.uniform(-0.6, 0.3))])]
    return []


def _tilt(stroke: np.ndarray, style: WritingStyle) -> np.ndarray:
    """Slant the letters, then rotate the base line."""
    sheared = np.column_stack([stroke[:, 0] - style.slant * stroke[:, 1], stroke[:, 1]])
    cos, sin = np.cos(style.baseline_angle), np.sin(style.baseline_angle)
    return sheared @ np.array([[cos, sin], [-sin, cos]])


def _round_corners(targets: np.ndarray) -> np.ndarray:
    """Round the corners by one iteration of corner cutting (Chaikin 1974); the ends stay."""
    if len(targets) < 3:
        return targets
    early, late = 0.75 * targets[:-1] + 0.25 * targets[1:], 0.25 * targets[:-1] + 0.75 * targets[1:]
    return np.concatenate([targets[:1], np.stack([early, late], axis=1).reshape(-1, 2), targets[-1:]])


def _trace(path: np.ndarray, spacing: float) -> np.ndarray:
    """Sample a line at points about ``spacing`` letter heights apart, as a forger copies it, ``float [n, 2]``."""
    distance = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path[:, :2], axis=0).T))])
    samples = np.linspace(0, distance[-1], max(2, int(distance[-1] / spacing) + 1))
    return np.column_stack([np.interp(samples, distance, path[:, axis]) for axis in (0, 1)])


def _smooth_warp(strokes: Sequence[np.ndarray], amplitude: float, rng: np.random.Generator) -> Warp:
    """Make a displacement that varies slowly across the signature: a sum of three plane waves, in letter heights."""
    points = np.concatenate([stroke[:, :2] for stroke in strokes])
    extent = max(1.0, float(np.ptp(points[:, 0])))
    waves = rng.normal(0, 1, (3, 2)) * (2 * np.pi / extent) * np.array([[0.5], [1.0], [2.0]])
    phases, sizes = rng.uniform(0, 6.28, (3, 2)), rng.normal(0, amplitude, (3, 2)) * np.array([[1.2], [0.7], [0.25]])

    def warp(stroke: np.ndarray) -> np.ndarray:
        angles = stroke[:, :2] @ waves.T  # [n, 3]
        return stroke[:, :2] + sum(np.sin(angles[:, i, None] + phases[i]) * sizes[i] for i in range(3))

    return warp


def _transform(strokes: Strokes, scale: float, turn: float, rng: np.random.Generator) -> Strokes:
    """Scale, rotate and shear the whole signature at random, by standard deviations ``scale`` and ``turn``."""
    size = np.exp(rng.normal(0, scale, 2))
    angle, shear = rng.normal(0, turn, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, sin], [-sin, cos]]) @ np.array([[1, 0], [shear, 1]]) * size
    return [stroke @ matrix for stroke in strokes]
