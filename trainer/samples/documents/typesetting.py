"""Printed text on a sheet: words, lines, paragraphs and columns of figures, in a typeface and a size.

Next: ``parts.py``.
"""

import dataclasses

import cv2
import numpy as np

from trainer.samples import fonts, lexicon
from trainer.samples.documents.sheet import BLACK, Colour, Sheet
from trainer.samples.fonts import FontFace, FontStyle

RENDERED_SIZE = 36  # pixels: opening a font in another size takes milliseconds
LETTERS_PER_EM = 2.1  # of running text, about
ATTEMPTS = 6  # to find words that a font has
MM_PER_POINT = 0.3528


@dataclasses.dataclass(frozen=True)
class Typeface:
    """A font in a size in mm, in the language of a document."""

    face: FontFace
    size: float
    script: str

    def resize(self, factor: float) -> "Typeface":
        """Return the same font in another size."""
        return dataclasses.replace(self, size=self.size * factor)


def choose_typeface(script: str, size: float, rng: np.random.Generator) -> Typeface:
    """Choose a font of print, or of a typewriter, for a script."""
    styles = (FontStyle.MACHINE,) if rng.random() < 0.25 else (FontStyle.PRINT,)
    catalogue = fonts.load_catalogue()
    faces = catalogue.select(script, *styles) or catalogue.select(script, FontStyle.PRINT, FontStyle.MACHINE)
    faces = faces or catalogue.select(script)
    return Typeface(faces[int(rng.integers(len(faces)))], size, script)


def render(text: str, typeface: Typeface, scale: float) -> np.ndarray | None:
    """Render a line of text at ``scale`` pixels for each mm, ``float32 [h, w]``; ``None`` where the font lacks it."""
    try:
        ink = fonts.render_text(typeface.face, text, RENDERED_SIZE)
    except fonts.MissingGlyph:
        return None
    factor = typeface.size * scale / RENDERED_SIZE
    size = (max(1, round(ink.shape[1] * factor)), max(1, round(ink.shape[0] * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(ink, size, interpolation=method).astype(np.float32) * np.float32(1 / 255)


def print_text(
    sheet: Sheet, text: str, left: float, top: float, typeface: Typeface, align: float = 0.0, colour: Colour = BLACK
) -> tuple[float, float, float, float]:
    """Print a line; ``align`` is the share of it that is left of ``left``. Returns its box in mm."""
    ink = render(text, typeface, sheet.scale)
    if ink is None:
        return left, top, left, top
    return sheet.put(ink, left - align * ink.shape[1] / sheet.scale, top, colour)


def print_words(
    sheet: Sheet, left: float, top: float, width: float, typeface: Typeface, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Print a line of words that is at most ``width`` mm long. Returns its box in mm."""
    for _ in range(ATTEMPTS):
        ink = render(make_words(width, typeface, rng), typeface, sheet.scale)
        if ink is not None:
            return sheet.put(ink[:, : sheet.to_pixels(width)], left, top)
    return left, top, left, top


def make_words(width: float, typeface: Typeface, rng: np.random.Generator) -> str:
    """Make a text of words and figures that is about ``width`` mm long."""
    letters = max(2, int(width / typeface.size * LETTERS_PER_EM))
    words: list[str] = []
    while sum(map(len, words)) + len(words) < letters:
        is_number = rng.random() < 0.06
        words.append(
            lexicon.generate_number(typeface.script, rng)
            if is_number
            else lexicon.pick_running_word(typeface.script, rng)
        )
    return lexicon.join(words, typeface.script)[: letters + 4]


def print_paragraph(
    sheet: Sheet, left: float, top: float, width: float, lines: int, typeface: Typeface, rng: np.random.Generator
) -> float:
    """Print a paragraph, justified or not; the last line is shorter. Returns the y of its end in mm."""
    pitch = typeface.size * rng.uniform(1.15, 1.5)
    is_justified = rng.random() < 0.5
    for number in range(lines):
        share = rng.uniform(0.3, 0.9) if number == lines - 1 else 1.0 if is_justified else rng.uniform(0.88, 1.0)
        print_words(sheet, left, top, width * share, typeface, rng)
        top += pitch
    return top
