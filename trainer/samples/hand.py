"""People who do not exist: a signature of their own, its natural variation, and forgers who imitate it.

A person is a plan of virtual targets (``letters.py``, bent by habit, plus a flourish) and a way of moving (``pen.py``).
Genuine signatures re-run the plan; a forger sees only the line it left. Knows no paper: ``paper.py`` prints the ink.
"""

import dataclasses

import numpy as np

from trainer.samples import words
from trainer.samples.letters import CURSIVE, PRINT, letter
from trainer.samples.pen import Motion, Pen, move

Strokes = list[np.ndarray]  # virtual targets of each pen-down movement, float [n, 2] in letter heights, y down


@dataclasses.dataclass(frozen=True)
class Habits:
    """How a person shapes letters; drawn once for life."""

    font: str
    slant: float  # horizontal shift for each letter height
    stretch: float  # letter width
    gap: float  # between letters
    capital: float  # size of initials
    haste: float  # 0 spells every letter, 1 leaves a wave
    joined: bool  # letters written without lifting the pen
    climb: float  # of the base line, radians
    quirk: float  # size of the personal deviation from the schoolbook letter
    motion: Motion
    pen_width: float


@dataclasses.dataclass(frozen=True)
class Person:
    """One writer: ``plan`` is what the hand aims at every time."""

    habits: Habits
    plan: tuple[np.ndarray, ...]


def new_person(rng: np.random.Generator) -> Person:
    """Somebody new, wholly determined by the generator's state."""
    habits = _new_habits(rng)
    text, haste = _what_they_write(rng, habits.haste)
    habits = dataclasses.replace(habits, haste=haste)
    plan = spell(text, habits, rng)
    plan = [*plan, *_flourish(plan, haste, rng)]
    return Person(habits, tuple(_tilt(stroke, habits) for stroke in plan))


def genuine(person: Person, rng: np.random.Generator) -> Strokes:
    """The person signs once more; returns trajectories, see ``pen.move``."""
    habits = person.habits
    warp = _smooth_warp(person.plan, 0.035, rng)
    motion = dataclasses.replace(habits.motion, stroke_time=habits.motion.stroke_time * np.exp(rng.normal(0, 0.1)))
    strokes = [_rounded(warp(s) + rng.normal(0, 0.018, s.shape)) for s in person.plan]
    return [move(s, motion, rng) for s in _whole_shape(strokes, 0.05, 0.03, rng)]


def forged(person: Person, rng: np.random.Generator) -> Strokes:
    """A skilled forgery: somebody else, with a genuine signature to look at and time to practise.

    They follow the visible line rather than the movement behind it: proportions are a little off, curves are drawn
    piece by piece, and care makes the hand slow and unsteady; the practised ones are fluent but less exact.
    """
    shown = genuine(person, rng)
    fluent = rng.random() < 0.4
    spacing = 0.30 if fluent else rng.uniform(0.10, 0.16)
    seen = [_follow(path, spacing) for path in shown]
    warp = _smooth_warp(seen, 0.08 if fluent else 0.05, rng)
    strokes = [warp(s) + rng.normal(0, 0.022 if fluent else 0.008, s.shape) for s in seen]
    motion = Motion(
        overlap=rng.uniform(0.6, 0.75) if fluent else rng.uniform(0.45, 0.6),
        stroke_time=person.habits.motion.stroke_time * (1.0 if fluent else rng.uniform(1.5, 2.2)),
        tremor=0.004 if fluent else rng.uniform(0.008, 0.022),
    )
    return [move(s, motion, rng) for s in _whole_shape(strokes, 0.07, 0.05, rng)]


def handwriting(text: str, font: str, rng: np.random.Generator) -> Strokes:
    """A word in somebody's everyday hand: the same pen and motion as signatures, but meant to be read."""
    habits = dataclasses.replace(_new_habits(rng), font=font, haste=rng.uniform(0, 0.2), climb=rng.normal(0, 0.02))
    habits = dataclasses.replace(habits, capital=rng.uniform(0.95, 1.2), gap=abs(habits.gap) + 0.03)
    strokes = [_tilt(s, habits) for s in spell(text, habits, rng)]
    return [move(_rounded(s + rng.normal(0, 0.012, s.shape)), habits.motion, rng) for s in strokes]


def a_pen(rng: np.random.Generator, preferred_width: float | None = None) -> Pen:
    """Whatever lies on the desk: ballpoints mostly, in black and blues, sometimes a felt tip or a pencil."""
    colours = [(0.08, 0.08, 0.1), (0.1, 0.12, 0.2), (0.1, 0.16, 0.45), (0.05, 0.1, 0.3), (0.3, 0.3, 0.32)]
    colour = colours[rng.choice(len(colours), p=[0.35, 0.2, 0.2, 0.15, 0.1])]
    width = (preferred_width or rng.uniform(1.8, 4.2)) * np.exp(rng.normal(0, 0.2))
    felt = rng.random() < 0.15
    return Pen(
        width=float(np.clip(width * (1.7 if felt else 1), 1.4, 7)),
        contrast=rng.uniform(0.1, 0.3) if felt else rng.uniform(0.15, 0.5),
        darkness=rng.uniform(0.75, 0.95),
        skipping=0.05 if felt else rng.uniform(0.08, 0.3),
        colour=colour,
    )


def spell(text: str, habits: Habits, rng: np.random.Generator) -> Strokes:
    """Letters side by side as this hand shapes them; the same letter is bent the same way each time."""
    strokes: Strokes = []
    x = 0.0
    bends: dict[str, int] = {}
    for position, character in enumerate(text):
        if character == " ":
            x += 0.45
            continue
        seed = bends.setdefault(character, int(rng.integers(1 << 32)))
        shapes, advance = letter(character, habits.font)
        size = habits.capital if character.isupper() or position == 0 else 1.0
        flat = 1.0 if position == 0 else 1.0 - 0.75 * habits.haste * min(1.0, position / 3)
        personal = np.random.default_rng(seed)
        stretch = habits.stretch * np.exp(personal.normal(0, 0.5 * habits.quirk))
        drawn = [_bend(s, habits.quirk, personal) * (stretch * size, flat * size) + (x, 0) for s in shapes]
        if habits.haste > 0.5 and position > 0:
            drawn = [s[::2] if len(s) > 5 else s for s in drawn[:1]]
        strokes = _append(strokes, drawn, join=habits.joined and position > 0 and character.islower())
        x += advance * stretch * size + habits.gap
    return strokes


def _new_habits(rng):
    cursive = rng.random() < 0.75
    return Habits(
        font=CURSIVE if cursive else PRINT,
        slant=rng.normal(0.12, 0.28),
        stretch=float(np.exp(rng.normal(0.05, 0.28))),
        gap=rng.normal(0.0, 0.05) if cursive else rng.uniform(0.02, 0.2),
        capital=float(np.exp(rng.normal(0.35, 0.3))),
        haste=float(rng.beta(1.3, 1.6)),
        joined=cursive or rng.random() < 0.4,
        climb=rng.normal(-0.06, 0.09),
        quirk=rng.uniform(0.1, 0.3),
        motion=Motion(rng.uniform(0.55, 0.78), rng.uniform(0.22, 0.36), float(np.exp(rng.normal(-2.3, 0.25)))),
        pen_width=rng.uniform(1.8, 4.0),
    )


def _what_they_write(rng, haste):
    given, family = rng.choice(words.GIVEN_NAMES), rng.choice(words.FAMILY_NAMES)
    forms = [
        (f"{given} {family}", haste * 0.5),
        (f"{given[0]}.{family}", haste * 0.7),
        (family, haste),
        (f"{given[0]}{family[0]}{family[1:4]}", min(1.0, haste + 0.3)),
        (f"{given[0]}{family[0]}", 0.1),
        (given, haste),
    ]
    text, haste = forms[rng.choice(len(forms), p=[0.2, 0.28, 0.2, 0.14, 0.06, 0.12])]
    return text, haste


def _append(strokes, drawn, join):
    """Join the first new stroke to the last one written when the hand does not lift the pen."""
    if join and strokes and drawn and len(drawn[0]) > 1:
        strokes = [*strokes[:-1], np.concatenate([strokes[-1], drawn[0]])]
        drawn = drawn[1:]
    return [*strokes, *drawn]


def _bend(stroke, quirk, rng):
    """A personal form of one letter: smooth displacement of its targets."""
    wave = rng.normal(0, quirk * 0.35, (2, 2))
    phase = rng.uniform(0, 6.28, (2, 2))
    x, y = stroke[:, 0], stroke[:, 1]
    dx = wave[0, 0] * np.sin(3 * y + phase[0, 0]) + wave[0, 1] * np.sin(4 * x + phase[0, 1])
    dy = wave[1, 0] * np.sin(4 * x + phase[1, 0]) + wave[1, 1] * np.sin(3 * y + phase[1, 1])
    return stroke + np.column_stack([dx, dy])


def _flourish(plan, haste, rng):
    """What many people add: a line below, a loop back, a zigzag, a stroke through it, an oval around it, or nothing."""
    points = np.concatenate(plan)
    left, right = points[:, 0].min(), points[:, 0].max()
    end, width = plan[-1][-1], right - left
    drop = rng.uniform(0.3, 0.6)
    # Whoever spells the name out adds something that makes it a signature; a scribble stands for itself.
    plain = 0.05 + 0.4 * haste
    rest = (1 - plain) * np.array([0.2, 0.24, 0.14, 0.14, 0.1, 0.18])
    kind = rng.choice(["none", "underline", "return", "zigzag", "through", "oval", "tail"], p=[plain, *rest])
    start, stop = left + width * rng.uniform(-0.1, 0.3), right + width * rng.uniform(-0.1, 0.2)
    lift = rng.uniform(-0.3, 0.15)
    if kind == "underline":
        return [np.array([[start, drop], [(start + stop) / 2, drop + rng.normal(0, 0.1)], [stop, drop + lift]])]
    if kind == "return":
        back = np.array([end, end + (0.35, 0.25), [right, drop], [start, drop + 0.05], [start - 0.2, drop + 0.2]])
        return [np.concatenate([back, [[(start + stop) / 2, drop + 0.35], [stop, drop + lift]]])]
    if kind == "zigzag":
        turns = rng.integers(4, 7)
        xs = np.where(np.arange(turns) % 2, stop, start) + rng.normal(0, 0.08 * width, turns)
        return [np.column_stack([xs, np.linspace(drop * 0.6, drop + 0.5, turns)])]
    if kind == "through":
        level = rng.uniform(-0.45, -0.1)
        return [np.array([[left - 0.2, level + 0.1], [(left + right) / 2, level], [right + 0.4, level + lift]])]
    if kind == "oval":
        turn = np.linspace(0.3, 2 * np.pi + rng.uniform(0, 1), 12)
        centre = np.array([(left + right) / 2, -0.3])
        return [centre + np.column_stack([np.cos(turn) * (width / 2 + 0.3), np.sin(turn) * rng.uniform(0.8, 1.1)])]
    if kind == "tail":
        return [np.array([end, end + (0.4, -0.1), end + (rng.uniform(0.8, 2), rng.uniform(-0.6, 0.3))])]
    return []


def _tilt(stroke, habits):
    """Slant the letters, then turn the whole line of writing."""
    sheared = np.column_stack([stroke[:, 0] - habits.slant * stroke[:, 1], stroke[:, 1]])
    cos, sin = np.cos(habits.climb), np.sin(habits.climb)
    return sheared @ np.array([[cos, sin], [-sin, cos]])


def _rounded(targets):
    """Hands turn, they do not bounce: one round of corner cutting (Chaikin 1974), ends kept."""
    if len(targets) < 3:
        return targets
    early, late = 0.75 * targets[:-1] + 0.25 * targets[1:], 0.25 * targets[:-1] + 0.75 * targets[1:]
    return np.concatenate([targets[:1], np.stack([early, late], axis=1).reshape(-1, 2), targets[-1:]])


def _follow(path, spacing):
    """Points of a visible line about ``spacing`` letter heights apart: what a copying eye fixes on."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path[:, :2], axis=0).T))])
    stops = np.linspace(0, along[-1], max(2, int(along[-1] / spacing) + 1))
    return np.column_stack([np.interp(stops, along, path[:, i]) for i in (0, 1)])


def _smooth_warp(strokes, amplitude, rng):
    """Proportions that drift slowly across the signature: a sum of three plane waves, in letter heights."""
    points = np.concatenate([s[:, :2] for s in strokes])
    extent = max(1.0, float(np.ptp(points[:, 0])))
    waves = rng.normal(0, 1, (3, 2)) * (2 * np.pi / extent) * np.array([[0.5], [1.0], [2.0]])
    phases, sizes = rng.uniform(0, 6.28, (3, 2)), rng.normal(0, amplitude, (3, 2)) * np.array([[1.2], [0.7], [0.25]])

    def warp(stroke):
        angles = stroke[:, :2] @ waves.T  # (n, 3)
        return stroke[:, :2] + sum(np.sin(angles[:, i, None] + phases[i]) * sizes[i] for i in range(3))

    return warp


def _whole_shape(strokes, scale, turn, rng):
    """Slightly larger, wider, more turned or more slanted than last time."""
    size = np.exp(rng.normal(0, scale, 2))
    angle, shear = rng.normal(0, turn, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, sin], [-sin, cos]]) @ np.array([[1, 0], [shear, 1]]) * size
    return [s @ matrix for s in strokes]
