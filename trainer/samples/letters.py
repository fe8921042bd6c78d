"""Letters as pen movements: virtual targets from the Hershey stroke fonts.

A.V. Hershey, "Calligraphy for Computers", 1967. Units: capital height is 1, the base line is y = 0, y grows downwards.
Independent of writers. Next: ``writer.py``, which shapes these letters in a style.
"""

import functools

import cv2
import numpy as np
from HersheyFonts import HersheyFonts

CURSIVE_FONT = "scripts"
PRINT_FONT = "futural"
GREEK_FONT = "greeks"
CYRILLIC_FONT = "cyrilc_1"

_CAPITAL = 21.0  # Hershey units from the base line to the top of a capital
_BASE_LINE = 9.0


@functools.lru_cache(maxsize=8)
def _font(name: str) -> HersheyFonts:
    font = HersheyFonts()
    font.load_default_font(name)
    return font


@functools.lru_cache(maxsize=2048)
def load_letter(character: str, font: str, coarseness: float = 0.02) -> tuple[tuple[np.ndarray, ...], float]:
    """Load the strokes of one letter and its advance width.

    Each stroke is ``float [n, 2]``, reduced to its turning points (Douglas and Peucker 1973) with a tolerance of
    ``coarseness``.
    """
    strokes: list[np.ndarray] = []
    advance = 0.25
    for glyph in _font(font).glyphs_for_text(character):
        for stroke in glyph.strokes:
            points = np.array(list(stroke), float)
            points[:, 1] -= _BASE_LINE
            points /= _CAPITAL
            turning_points = cv2.approxPolyDP(points.astype(np.float32)[:, None], coarseness, False)[:, 0]
            strokes.append(turning_points.astype(float))
    if strokes:
        left = min(stroke[:, 0].min() for stroke in strokes)
        strokes = [stroke - (left, 0) for stroke in strokes]
        advance = max(stroke[:, 0].max() for stroke in strokes)
    return tuple(strokes), float(advance)
