"""Letters as pen movements: virtual targets from the Hershey stroke fonts.

A.V. Hershey, "Calligraphy for Computers", 1967. Units: capital height is 1, the base line is y = 0, y grows downwards.
Knows nobody's hand. Next: ``hand.py`` bends these letters into a person's.
"""

import functools

import cv2
import numpy as np
from HersheyFonts import HersheyFonts

CURSIVE = "scripts"
PRINT = "futural"
GREEK = "greeks"
CYRILLIC = "cyrilc_1"

_CAPITAL = 21.0  # Hershey units from the base line to the top of a capital
_BASE_LINE = 9.0


@functools.lru_cache(maxsize=8)
def _font(name: str) -> HersheyFonts:
    font = HersheyFonts()
    font.load_default_font(name)
    return font


@functools.lru_cache(maxsize=2048)
def letter(character: str, font: str, coarseness: float = 0.02) -> tuple[tuple[np.ndarray, ...], float]:
    """One letter's strokes and its advance width.

    Each stroke is ``float [n, 2]``, thinned to the turning points a hand aims at (Douglas-Peucker).
    """
    strokes, right = [], 0.25
    for glyph in _font(font).glyphs_for_text(character):
        for stroke in glyph.strokes:
            points = np.array(list(stroke), float)
            points[:, 1] -= _BASE_LINE
            points /= _CAPITAL
            thin = cv2.approxPolyDP(points.astype(np.float32)[:, None], coarseness, False)[:, 0].astype(float)
            strokes.append(thin)
    if strokes:
        left = min(s[:, 0].min() for s in strokes)
        strokes = [s - (left, 0) for s in strokes]
        right = max(s[:, 0].max() for s in strokes)
    return tuple(strokes), float(right)
