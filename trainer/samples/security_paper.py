"""The printed background of cheques, forms and identity cards: fine lines, rosettes, screens and tints.

Independent of paper, pen and colour: a pattern is the share of light that its print takes, which a caller multiplies
with the reflectance of the paper. Next: ``paper.py``, the sheet that a pattern is printed on.
"""

from collections.abc import Callable

import cv2
import numpy as np

FAINTEST, DARKEST = 0.06, 0.45  # share of light that the print takes; a pen takes 0.7 or more
FINEST, COARSEST = 3.0, 20.0  # pixels from line to line
TINTED = 0.5  # share of the patterns that lie on a tint


def draw_security_pattern(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a random pattern over a whole page or a band of it.

    Returns ``float32 [height, width]``, 0 none to 1 darkest: the share of light that the pattern takes.
    """
    draw = list(FAMILIES.values())[rng.integers(len(FAMILIES))]
    contrast = np.float32(rng.uniform(FAINTEST, DARKEST))
    pattern = contrast * draw(height, width, rng)
    if rng.random() < TINTED:
        pattern = 1 - (1 - pattern) * (1 - np.float32(rng.uniform(0, 0.12)) * draw_tint(height, width, rng))
    if rng.random() < 0.25:
        pattern *= _draw_band(height, width, rng)
    return pattern


def draw_waves(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw parallel waves whose distance varies: ``float32 [height, width]``, 0 none to 1 darkest."""
    pitch = _draw_pitch(rng)
    return _draw_lines(_bend(*_turn(height, width, rng.uniform(0, np.pi)), rng) / pitch, pitch, rng)


def draw_crossing_waves(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw two sets of waves that cross: a net, or moire if their directions are close."""
    return np.maximum(draw_waves(height, width, rng), np.float32(rng.uniform(0.5, 1)) * draw_waves(height, width, rng))


def draw_rosettes(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rosettes: hypotrochoids, each repeated at several angles or sizes, on a lattice."""
    radius = float(rng.uniform(0.25, 0.7) * min(height, width)) + 8
    lobes, turns = int(rng.integers(5, 17)), int(rng.integers(1, 4))
    t = np.linspace(0, 2 * np.pi, 60 * lobes, dtype=np.float32)
    depth = rng.uniform(0.15, 0.5)
    curves = []
    for copy in range(int(rng.integers(3, 9))):
        angle = t * turns + copy * 2 * np.pi / (lobes * 7) * rng.uniform(0.8, 1.2)
        reach = radius * (1 - 0.09 * copy) * (1 - depth + depth * np.cos(lobes * t))
        curves.append(np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1))
    drawn = np.zeros((height, width), np.uint8)
    thickness = int(rng.integers(1, 3))
    step = radius * rng.uniform(1.1, 2.2)
    first_y, first_x = rng.uniform(-0.5, 0.5, 2) * step
    for y in np.arange(first_y, height + radius, step):
        for x in np.arange(first_x, width + radius, step):
            points = [np.rint((curve + (x, y)) * 16).astype(np.int32) for curve in curves]
            cv2.polylines(drawn, points, True, 255, thickness, cv2.LINE_AA, 4)
    return drawn.astype(np.float32) / 255


def draw_rings(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw concentric rings, their radius modulated by the angle."""
    y, x = _turn(height, width, 0)
    y, x = y - np.float32(rng.uniform(-0.2, 1.2) * height), x - np.float32(rng.uniform(-0.2, 1.2) * width)
    pitch, radius = _draw_pitch(rng), cv2.magnitude(x, y)
    lobes = np.float32(rng.integers(3, 13))
    petals = np.sin(lobes * np.arctan2(y, x) + radius * np.float32(rng.uniform(-0.03, 0.03)))
    return _draw_lines((radius + np.float32(rng.uniform(0, 1.5) * pitch) * petals) / pitch, pitch, rng)


def draw_screen(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a fine screen of straight lines or of dots."""
    pitch, angle = float(rng.uniform(FINEST, 9)), rng.uniform(0, np.pi)
    along, across = _turn(height, width, angle)
    lines = _draw_lines(across / np.float32(pitch), pitch, rng)
    if rng.random() < 0.5:
        return lines
    return lines * _draw_lines(along / np.float32(pitch), pitch, rng)


def draw_microtext(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows of small marks, repeated like the letters of microtext, on slightly wavy lines."""
    size = int(rng.integers(3, 7))  # pixels of the height of a letter
    row, word = size + int(rng.integers(2, 10)), int(rng.integers(6, 14)) * size
    tile = np.zeros((row, word), np.float32)
    letters = cv2.resize(rng.random((3, word * 2 // size), np.float32), (word, size), interpolation=cv2.INTER_LINEAR)
    tile[:size] = np.clip(4 * (letters - 0.55), 0, 1)
    tile[:, -size:] = 0  # the space after a word
    along, across = _turn(height, width, rng.normal(0, 0.3))
    across = across + np.float32(rng.uniform(0, 6)) * np.sin(along * np.float32(rng.uniform(0.005, 0.04)))
    shift = np.floor(across / row) * np.float32(rng.uniform(0, word))
    return cv2.remap(tile, np.mod(along + shift, word - 1), np.mod(across, row - 1), cv2.INTER_LINEAR)


def draw_tint(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth tint, a gradient or clouds."""
    coarse = rng.random((2, 3) if rng.random() < 0.5 else (4, 6), np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


FAMILIES: dict[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
    "waves": draw_waves,
    "crossing waves": draw_crossing_waves,
    "rosettes": draw_rosettes,
    "rings": draw_rings,
    "screen": draw_screen,
    "microtext": draw_microtext,
    "tint": draw_tint,
}


def _draw_pitch(rng: np.random.Generator) -> float:
    """Draw a distance between lines in pixels; small ones are as frequent as large ones on a scale of ratios."""
    return float(np.exp(rng.uniform(np.log(FINEST), np.log(COARSEST))))


def _turn(height: int, width: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of pixels along and across a direction, both ``float32 [height, width]``."""
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cosine + y * sine, y * cosine - x * sine


def _bend(along: np.ndarray, across: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bend straight lines to waves: one wave, whose amplitude is itself modulated along the lines."""
    length = np.float32(2 * np.pi / rng.uniform(40, 250))
    amplitude = np.float32(rng.uniform(2, 14))
    drift = np.float32(rng.uniform(-0.01, 0.01)) * across  # the phase shifts from line to line
    modulation = 1 + np.float32(rng.uniform(0, 0.9)) * np.sin(along * (length * np.float32(0.31)) + 3 * drift)
    return across + amplitude * modulation * np.sin(along * length + drift)


def _draw_lines(phase: np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a line wherever the phase is a whole number: ``float32 [h, w]``, 0 none to 1 darkest.

    The lines are 0.7 pixels to half the pitch wide, with soft edges of a pixel.
    """
    half = rng.uniform(0.7, max(0.9, min(4, pitch / 2))) / 2
    distance = np.abs(phase - np.rint(phase)) * np.float32(pitch)
    return np.clip(np.float32(half + 0.5) - distance, 0, min(1, 2 * half))


def _draw_band(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a band across the page with soft edges: ``float32 [height, 1]`` or ``[1, width]``, 0 outside to 1 inside."""
    is_flat = rng.random() < 0.7
    side = height if is_flat else width
    first, last = np.sort(rng.uniform(-0.2, 1.2, 2)) * side
    position = np.arange(side, dtype=np.float32)
    band = np.clip(np.minimum(position - first, max(last, first + 0.4 * side) - position) / 4, 0, 1).astype(np.float32)
    return band[:, None] if is_flat else band[None, :]
