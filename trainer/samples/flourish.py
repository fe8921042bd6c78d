"""What a signature has beside letters: underlines, loops, crossing lines, and whole paraphs without letters.

All of it is targets of strokes (``strokes.py``). Next: ``signature.py``, which adds them to names.
"""

from collections.abc import Callable

import numpy as np

from trainer.samples.strokes import Strokes, extent

Box = tuple[float, float, float, float]
MIN_TURNS = 7  # targets of a paraph; with fewer, those of two writers would be alike


def generate_flourishes(strokes: Strokes, rng: np.random.Generator, mean: float) -> Strokes:
    """Generate none or several flourishes around the strokes of a name, ``mean`` in the mean."""
    box = extent(strokes)
    end = strokes[-1][-1]
    added: Strokes = []
    names = tuple(FLOURISHES)
    for index in rng.choice(len(names), min(3, int(rng.poisson(mean))), p=_SHARES):
        added += FLOURISHES[names[index]](box, end, rng)
    return added


def generate_paraph(rng: np.random.Generator) -> Strokes:
    """Generate a signature without letters: one to three or more fast movements of loops, zigzags and sweeps."""
    strokes: Strokes = []
    x, y = 0.0, -0.4
    count = int(rng.choice([1, 2, 3], p=[0.5, 0.33, 0.17]))
    while len(strokes) < count or sum(map(len, strokes)) < MIN_TURNS:
        part = PARTS[int(rng.integers(len(PARTS)))](rng)
        part = part * np.exp(rng.normal(0, 0.25, 2))
        strokes.append(part - part[0] + (x, y))
        left, top, right, bottom = extent(strokes)
        x, y = rng.uniform(left - 0.2, right + 0.3), rng.uniform(top, bottom)
    return strokes


def generate_wave(length: float, rng: np.random.Generator, height: float = 0.45) -> np.ndarray:
    """Generate a wave to the right that ends flat, as the rest of an illegible name: ``float [n, 2]``."""
    turns = int(rng.integers(2, 3 + max(1, int(2.5 * length))))
    x = np.linspace(0, length, 2 * turns) + rng.normal(0, 0.05, 2 * turns)
    fall = np.linspace(1, rng.uniform(0.1, 0.9), 2 * turns)
    y = np.where(np.arange(2 * turns) % 2, -height, 0.0) * fall * np.exp(rng.normal(0, 0.3, 2 * turns))
    return np.column_stack([x, y])


def _zigzag(rng: np.random.Generator) -> np.ndarray:
    turns = int(rng.integers(3, 14))
    lean = rng.normal(0.5, 0.5)
    x = np.arange(turns) * rng.uniform(0.03, 0.4)
    y = np.where(np.arange(turns) % 2, -1.0, 0.0) * np.exp(rng.normal(0, 0.35, turns))
    return np.column_stack([x - lean * y, y]) * rng.uniform(0.5, 1.5)


def _loops(rng: np.random.Generator) -> np.ndarray:
    turns = rng.uniform(1, 4.5)
    angle = np.linspace(0, 2 * np.pi * turns, int(7 * turns) + 2) * rng.choice([-1, 1]) + rng.uniform(0, 6.28)
    radius = np.linspace(1, rng.uniform(0.3, 1.4), len(angle)) * np.exp(rng.normal(0, 0.1, len(angle)))
    drift = np.linspace(0, rng.uniform(-0.3, 1.0) * turns, len(angle))
    return np.column_stack([np.cos(angle) * radius * rng.uniform(0.3, 1.3) + drift, np.sin(angle) * radius * 0.6])


def _sweep(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(3, 6))
    direction = rng.normal(-0.15, 0.5)
    along = np.cumsum(rng.uniform(0.4, 1.4, count))
    return np.column_stack([np.cos(direction) * along, np.sin(direction) * along]) + rng.normal(0, 0.2, (count, 2))


def _knot(rng: np.random.Generator) -> np.ndarray:
    """A closed tangle around one place, as of an autograph."""
    count = int(rng.integers(5, 12))
    return rng.normal(0, 1, (count, 2)) * (rng.uniform(0.4, 1.1), rng.uniform(0.25, 0.6))


def _garland(rng: np.random.Generator) -> np.ndarray:
    """Arches or garlands of falling height after a tall first stroke."""
    wave = generate_wave(rng.uniform(0.8, 3), rng, rng.uniform(0.3, 0.8))
    first = np.array([[-rng.uniform(0.1, 0.5), rng.uniform(0, 0.5)], [rng.uniform(-0.1, 0.4), -rng.uniform(0.8, 1.8)]])
    return np.concatenate([first, wave])


PARTS: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (_zigzag, _loops, _sweep, _knot, _garland, _garland)


def _underline(box: Box, end: np.ndarray, rng: np.random.Generator) -> Strokes:
    left, _, right, bottom = box
    width = right - left
    start, stop = left + width * rng.uniform(-0.15, 0.4), right + width * rng.uniform(-0.2, 0.25)
    drop, lift = bottom + rng.uniform(-0.05, 0.35), rng.normal(-0.05, 0.15)
    line = np.array([[start, drop], [(start + stop) / 2, drop + rng.normal(0, 0.08)], [stop, drop + lift]])
    count = rng.choice([1, 2, 3], p=[0.7, 0.24, 0.06])
    shrink = np.array([width * rng.uniform(0, 0.15), rng.uniform(0.12, 0.3)])
    return [line[:: int(rng.choice([1, -1], p=[0.85, 0.15]))] + index * shrink for index in range(count)]


def _return(box: Box, end: np.ndarray, rng: np.random.Generator) -> Strokes:
    """From the last letter back under the name, and often forth again."""
    left, _, right, bottom = box
    drop = bottom + rng.uniform(-0.1, 0.3)
    start = left + (right - left) * rng.uniform(-0.1, 0.6)
    path = [end, end + (0.35, 0.25), [right, drop], [start, drop + rng.normal(0.05, 0.1)]]
    if rng.random() < 0.6:
        path += [[start - 0.25, drop + 0.2], [(start + right) / 2, drop + rng.uniform(0.1, 0.4)]]
        path += [[right + rng.uniform(-0.3, 0.8), drop + rng.normal(0, 0.2)]]
    return [np.array(path, float)]


def _scribble_through(box: Box, _: np.ndarray, rng: np.random.Generator) -> Strokes:
    """Back and forth through the name or under it."""
    left, top, right, bottom = box
    width, turns = right - left, int(rng.integers(3, 9))
    centre = left + width * rng.uniform(0.25, 0.8)
    reach = width * rng.uniform(0.15, 0.65)
    x = centre + np.where(np.arange(turns) % 2, 1, -1) * reach * np.exp(rng.normal(0, 0.2, turns))
    level = bottom + 0.3 + (top - bottom) * rng.uniform(0, 0.6)
    y = level + np.linspace(0, rng.uniform(-0.5, 0.5), turns) + rng.normal(0, 0.08, turns)
    return [np.column_stack([x, y])]


def _line_through(box: Box, _: np.ndarray, rng: np.random.Generator) -> Strokes:
    left, top, right, bottom = box
    level = bottom + (top - bottom) * rng.uniform(0.15, 0.75)
    start, stop = left - rng.uniform(-0.2, 0.6), right + rng.uniform(-0.4, 0.9)
    return [np.array([[start, level + rng.normal(0, 0.15)], [(start + stop) / 2, level], [stop, level - 0.1]])]


def _oval(box: Box, _: np.ndarray, rng: np.random.Generator) -> Strokes:
    """Around the name or a part of it, often more than once."""
    left, top, right, bottom = box
    angle = np.linspace(0, rng.choice([-1, 1]) * 2 * np.pi * rng.uniform(0.75, 1.8), 16) + rng.uniform(0, 6.28)
    share = rng.uniform(0.3, 1.15)
    centre = np.array(
        [left + (right - left) * (0.5 + (1 - min(1.0, share)) * rng.uniform(-0.5, 0.5)), (top + bottom) / 2]
    )
    radius = np.array([(right - left) * 0.5 * share + 0.15, (bottom - top) * rng.uniform(0.45, 0.8)])
    grow = np.linspace(1, rng.uniform(0.8, 1.3), 16)[:, None]
    return [centre + np.column_stack([np.cos(angle), np.sin(angle)]) * radius * grow]


def _tail(_: Box, end: np.ndarray, rng: np.random.Generator) -> Strokes:
    reach = np.array([rng.uniform(0.6, 2.6), rng.normal(-0.2, 0.6)])
    return [np.array([end, end + reach * (0.3, 0.0), end + reach])]


def _drop(_: Box, end: np.ndarray, rng: np.random.Generator) -> Strokes:
    """A long loop downwards from the last letter."""
    depth, width = rng.uniform(0.6, 2.0), rng.uniform(0.15, 0.6)
    return [np.array([end, end + (0.1, depth), end + (-width, depth * 0.9), end + (width + 0.3, -0.1)])]


def _strokes_across(box: Box, _: np.ndarray, rng: np.random.Generator) -> Strokes:
    """Two or three short strokes, upright or level, across a place."""
    left, top, right, bottom = box
    start = np.array([rng.uniform(left, right), rng.uniform(top, bottom)])
    lean, length = rng.normal(0.2, 0.3), rng.uniform(0.3, 1.2)
    vector = np.array([length * lean, -length]) if rng.random() < 0.6 else np.array([length, -0.1 * length])
    gap = np.array([0.18, 0.05]) if abs(vector[1]) > abs(vector[0]) else np.array([0.03, 0.16])
    return [np.stack([start, start + vector]) + gap * index for index in range(int(rng.integers(1, 4)))]


def _dots(box: Box, _: np.ndarray, rng: np.random.Generator) -> Strokes:
    left, top, right, bottom = box
    x, y = rng.uniform(left, right + 0.4), rng.choice([rng.uniform(-0.1, 0.1), bottom + 0.25, top - 0.15])
    return [
        np.array([[x + 0.22 * index, y], [x + 0.22 * index + 0.03, y + 0.02]])
        for index in range(int(rng.integers(1, 4)))
    ]


def _capital_loop(box: Box, _: np.ndarray, rng: np.random.Generator) -> Strokes:
    """A large loop through the first letter."""
    left, top, right, bottom = box
    height = (bottom - top) * rng.uniform(0.8, 1.6)
    centre = np.array([left + rng.uniform(0, 0.25) * (right - left), (top + bottom) / 2 + rng.normal(0, 0.2)])
    angle = np.linspace(0, 2 * np.pi * rng.uniform(0.8, 1.7), 12) * rng.choice([-1, 1]) + rng.uniform(0, 6.28)
    return [centre + np.column_stack([np.cos(angle) * rng.uniform(0.3, 1.3), np.sin(angle)]) * height / 2]


FLOURISHES: dict[str, Callable[[Box, np.ndarray, np.random.Generator], Strokes]] = {
    "underline": _underline, "return": _return, "scribble through": _scribble_through, "line through": _line_through,
    "oval": _oval, "tail": _tail, "drop": _drop, "strokes across": _strokes_across, "dots": _dots,
    "capital loop": _capital_loop,
}  # fmt: skip
_SHARES = np.array([0.26, 0.14, 0.08, 0.09, 0.11, 0.13, 0.05, 0.05, 0.05, 0.04])
