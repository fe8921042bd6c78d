"""Handwriting: text as the strokes of a pen, in a writer's style, from stroke fonts and from traced fonts.

A style says how a writer shapes letters; it is drawn once for each writer. Lengths are in letter heights, y grows
downwards. Next: ``signature.py`` for signatures, ``movement.py`` for the movement.
"""

import dataclasses
import functools
import unicodedata

import numpy as np

from trainer.samples import fonts, strokes, tracing
from trainer.samples.fonts import FontFace, FontStyle
from trainer.samples.letters import CURSIVE_FONT, CYRILLIC_FONT, GREEK_FONT, PRINT_FONT, load_letter
from trainer.samples.movement import Motion
from trainer.samples.strokes import Strokes

STROKE_FONTS = {"latin": (CURSIVE_FONT, PRINT_FONT), "greek": (GREEK_FONT,), "cyrillic": (CYRILLIC_FONT,)}
TRACED_SIZE = 36  # pixels: font size at which letters are traced, fine enough for dots and loops
CAPITAL_SHARE = 0.66  # height of a capital, in font sizes
MAX_CACHED = 4096  # traced texts that are kept
FEW_HANDS = 8  # fonts of a hand with which traced print has half the weight that it has without any


@dataclasses.dataclass(frozen=True)
class WritingStyle:
    """How a writer shapes letters; ``font`` is a stroke font or a face that is traced."""

    font: str | FontFace
    slant: float  # horizontal shift for each letter height
    letter_width: float
    letter_spacing: float
    capital_size: float  # of initials
    is_joined: bool  # letters are written without lifting the pen
    baseline_angle: float  # radians
    deviation: float  # from the letter of the font
    motion: Motion


def generate_style(script: str, rng: np.random.Generator) -> WritingStyle:
    """Generate a style for a script, with a font that this machine has. Raises ``MissingScript``."""
    font = choose_font(script, rng)
    is_cursive = font == CURSIVE_FONT or rng.random() < 0.4
    return WritingStyle(
        font=font,
        slant=rng.normal(0.12, 0.28),
        letter_width=float(np.exp(rng.normal(0.02, 0.3))),
        letter_spacing=rng.normal(0.0, 0.05) if is_cursive else rng.uniform(0.0, 0.2),
        capital_size=float(np.exp(rng.normal(0.3, 0.3))),
        is_joined=is_cursive,
        baseline_angle=rng.normal(-0.06, 0.09),
        deviation=rng.uniform(0.1, 0.35),
        motion=Motion(rng.uniform(0.4, 0.8), rng.uniform(0.2, 0.36), float(np.exp(rng.normal(-2.3, 0.25)))),
    )


class MissingScript(ValueError):
    """No font of this machine writes the script."""


def choose_font(script: str, rng: np.random.Generator) -> str | FontFace:
    """Choose a stroke font or a handwriting font of a script, or a printed one if it has no other."""
    catalogue = fonts.load_catalogue()
    stroke_fonts = STROKE_FONTS.get(script, ())
    hands = catalogue.select(script, FontStyle.HAND)
    prints = catalogue.select(script, FontStyle.PRINT, FontStyle.BRUSH)
    # Traced print is what careful writers do: the fewer hands a script has, the more of it.
    choices: list[tuple[tuple[str | FontFace, ...], float]] = [
        (stroke_fonts, 1.0),
        (hands, 1.5),
        (prints, FEW_HANDS / (FEW_HANDS + len(hands))),
    ]
    choices = [(group, weight) for group, weight in choices if group]
    if not choices:
        raise MissingScript(f"no font for {script}; {fonts.describe_missing(catalogue)}")
    weights = np.array([weight for _, weight in choices])
    group, _ = choices[int(rng.choice(len(choices), p=weights / weights.sum()))]
    return group[int(rng.integers(len(group)))]


def write(text: str, style: WritingStyle, rng: np.random.Generator) -> Strokes:
    """Write a text in a style, as targets on a level base line; every occurrence of a letter has the same form."""
    if isinstance(style.font, FontFace):
        return _write_traced(text, style.font, style, rng)
    return _write_letters(_spell_in_ascii(text, style.font), style.font, style, rng)


def _spell_in_ascii(text: str, font: str) -> str:
    """Spell a text with the characters of a stroke font: without accents, Greek and Cyrillic in the places of Latin.

    Those fonts have another order than the alphabet, so the letters are not those of the text, but of its script.
    """
    if font in STROKE_FONTS["latin"]:
        return unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()
    return "".join(
        chr((65 if character.isupper() else 97) + ord(character) % 26) if character.isalpha() else character
        for character in text
        if character.isalpha() or character.isascii()
    )


def trace_text(face: FontFace, text: str) -> Strokes:
    """Return the strokes of a text in a face. Raises ``fonts.MissingGlyph``."""
    return [stroke.copy() for stroke in _trace(face, text)]


@functools.lru_cache(maxsize=MAX_CACHED)
def _trace(face: FontFace, text: str) -> tuple[np.ndarray, ...]:
    ink = fonts.render_text(face, text, TRACED_SIZE)
    traced = tracing.trace((ink > 100).astype(np.uint8))
    if not traced:
        raise fonts.MissingGlyph(f"{face.family} draws no line for a text of {len(text)} characters")
    unit = CAPITAL_SHARE * TRACED_SIZE
    return tuple((stroke - (0, ink.shape[0] - 2)) / unit for stroke in traced)


def _write_traced(text: str, face: FontFace, style: WritingStyle, rng: np.random.Generator) -> Strokes:
    written = trace_text(face, text)
    written = [stroke * (style.letter_width, 1) for stroke in written]
    if style.is_joined:
        written = strokes.join(written, rng.uniform(0.1, 0.45))
    warp = strokes.draw_warp(written, 0.25 * style.deviation, rng)
    written = [warp(stroke) for stroke in written]
    ripple = rng.uniform(0, 6.28, 4)
    amplitude = style.deviation * rng.uniform(0.1, 0.3)
    for stroke in written:  # letters of one font differ from place to place
        x, y = stroke[:, 0].copy(), stroke[:, 1].copy()
        stroke[:, 0] += amplitude * (np.sin(3.1 * y + ripple[0]) + 0.5 * np.sin(4.3 * x + ripple[1]))
        stroke[:, 1] += amplitude * (np.sin(2.3 * x + ripple[2]) + 0.5 * np.sin(3.7 * y + ripple[3]))
    return written


def _write_letters(text: str, font: str, style: WritingStyle, rng: np.random.Generator) -> Strokes:
    written: Strokes = []
    x = 0.0
    seeds: dict[str, int] = {}  # of the deviation, by letter
    for position, character in enumerate(text):
        if character == " ":
            x += 0.45
            continue
        seed = seeds.setdefault(character, int(rng.integers(1 << 32)))
        shapes, advance = load_letter(character, font)
        size = style.capital_size if character.isupper() or position == 0 else 1.0
        letter_rng = np.random.default_rng(seed)
        width = style.letter_width * np.exp(letter_rng.normal(0, 0.5 * style.deviation))
        letter = [_bend(shape, style.deviation, letter_rng) * (width * size, size) + (x, 0) for shape in shapes]
        if style.is_joined and position > 0 and character.islower() and written and letter and len(letter[0]) > 1:
            written[-1] = np.concatenate([written[-1], letter[0]])
            letter = letter[1:]
        written += letter
        x += advance * width * size + style.letter_spacing
    if not written:
        raise fonts.MissingGlyph(f"the stroke font {font} has no letter of a text of {len(text)} characters")
    return written


def _bend(stroke: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Displace the targets of a letter smoothly, to the form of one writer."""
    amplitude = rng.normal(0, deviation * 0.35, (2, 2))
    phase = rng.uniform(0, 6.28, (2, 2))
    x, y = stroke[:, 0], stroke[:, 1]
    dx = amplitude[0, 0] * np.sin(3 * y + phase[0, 0]) + amplitude[0, 1] * np.sin(4 * x + phase[0, 1])
    dy = amplitude[1, 0] * np.sin(4 * x + phase[1, 0]) + amplitude[1, 1] * np.sin(3 * y + phase[1, 1])
    return stroke + np.column_stack([dx, dy])
