"""Text as ink, printed and handwritten, in every script that the machine has fonts for.

Printed text is rendered with a font; handwriting by the movement of a pen, or with a font of a hand, whose outline is
kept or traced and written again, so that the texture of a line does not tell how it was made. Next: ``lexicon.py`` has
the words, ``handwriting.py`` the pen, ``page.py`` the surroundings.
"""

import dataclasses

import cv2
import numpy as np

from trainer.samples import fonts, lexicon, strokes
from trainer.samples.fonts import FontStyle
from trainer.samples.handwriting import generate_style, write
from trainer.samples.ink import Pen, generate_pen, limit_width, render_ink
from trainer.samples.letters import CURSIVE_FONT
from trainer.samples.movement import compute_trajectories
from trainer.samples.scripts import RARELY_LEGIBLE, choose_script
from trainer.samples.strokes import Strokes

LATIN_SHARE = 0.45
HANDS = (FontStyle.HAND, FontStyle.BRUSH, FontStyle.BLACKLETTER)
PRINTS = (FontStyle.PRINT, FontStyle.MACHINE)
SIZES = (36, 84)  # pixels: few, because a font that is open at another size takes milliseconds and memory
MIN_LETTER_HEIGHT = 7.0  # pixels of a letter such as n: 2.4 mm, which are small letters, at the 75 dpi of a coarse fax
LETTER_SHARE = 0.45  # height of a letter such as n as a share of a font's size, about
TECHNIQUES = (0.38, 0.3, 0.32)  # shares of text: with a pen, in a font of a hand, in print
HAND_KINDS = (0.66, 0.16, 0.03, 0.1, 0.05)  # shares of one word, a number, a few words, a line, several lines
PRINT_KINDS = (0.5, 0.22, 0.14, 0.09, 0.05)
RUNNING_SHARE = 0.7  # of single words: as long as those of running text, which are shorter than those of a lexicon
ELONGATED_SHARE = 0.25  # of Arabic words by hand
ATTEMPTS = 8  # to find a text that a font has


def generate_text(side: float, pen_share: float, rng: np.random.Generator) -> tuple[np.ndarray, Pen]:
    """Generate text as ink ``float32 [h, w]``, 0 none to 1 full, and its pen.

    ``side`` is the longest side of the ink in pixels, ``pen_share`` the width of a pen as a share of it.
    """
    script = choose_script(rng, LATIN_SHARE)
    pen = generate_pen(rng, max(1.0, pen_share * side))
    technique = rng.choice(3, p=TECHNIQUES)
    if technique == 0:
        return write_text(script, side, pen, rng), pen
    return render_words(script, side, rng, is_hand=technique == 1), pen


def has_written_names() -> bool:
    """Return whether this machine has a font of a hand for Latin names; the bundled fonts have none."""
    return bool(fonts.load_catalogue().select("latin", *HANDS))


def generate_written_name(side: float, pen_share: float, rng: np.random.Generator) -> tuple[np.ndarray, Pen]:
    """Render a name with a font of a hand, as the signature of a careful writer; ink ``float32 [h, w]`` and its pen.

    A name in print is text, so that a Latin name takes the place of one in a script without a font of a hand.
    """
    script = choose_script(rng, 0.4)
    is_written = bool(fonts.load_catalogue().select(script, *HANDS)) and script not in RARELY_LEGIBLE
    script = script if is_written else "latin"
    return render_words(script, side, rng, True, is_name=True), generate_pen(rng, max(1.0, pen_share * side))


def write_text(script: str, side: float, pen: Pen, rng: np.random.Generator) -> np.ndarray:
    """Write handwritten text with a pen: ``float32 [h, w]``."""
    style = generate_style(script, rng)
    style = dataclasses.replace(
        style,
        deviation=0.5 * style.deviation,
        slant=0.6 * style.slant - 0.02,
        baseline_angle=0.4 * style.baseline_angle,
        letter_spacing=abs(style.letter_spacing) + 0.02,
        capital_size=1 + 0.4 * (style.capital_size - 1),
    )
    lines = [_write_line(line, script, style, rng) for line in generate_lines(script, rng, True)]
    written: Strokes = []
    for number, line in enumerate(lines):
        pitch = rng.uniform(1.5, 2.2)
        written += [stroke + (rng.normal(0, 0.2), number * pitch) for stroke in line]
    if rng.random() < 0.04:  # underlined or crossed out
        left, top, right, bottom = strokes.extent(written)
        level = bottom + 0.15 if rng.random() < 0.5 else (top + bottom) / 2
        written.append(np.array([[left, level], [right, level + rng.normal(0, 0.05)]]))
    written = strokes.tilt(written, style.slant, style.baseline_angle)
    paths = compute_trajectories([strokes.round_corners(stroke) for stroke in written], style.motion, rng)
    height = fit_height(paths, side)
    return render_ink(paths, limit_width(pen, height), height, rng)


def fit_height(paths: list[np.ndarray], side: float) -> float:
    """Return the letter height in pixels with which the longest side of the writing is ``side`` pixels, or more.

    Letters are never smaller than devices show them.
    """
    left, top, right, bottom = strokes.extent(paths)
    return max(MIN_LETTER_HEIGHT, side / max(right - left, bottom - top, 0.3))


def render_words(
    script: str, side: float, rng: np.random.Generator, is_hand: bool, is_name: bool = False
) -> np.ndarray:
    """Render text with a font, of a hand or of print: ``float32 [h, w]``."""
    catalogue = fonts.load_catalogue()
    faces = catalogue.select(script, *(HANDS if is_hand else PRINTS)) or catalogue.select(script)
    for _ in range(ATTEMPTS):
        face = faces[int(rng.integers(len(faces)))]
        lines = [lexicon.spell_name(script, rng)] if is_name else generate_lines(script, rng, is_hand)
        size_that_fits = min(1.6 * side / max(2, max(len(line) for line in lines)), 0.9 * side)
        size = SIZES[0] if size_that_fits < 1.3 * SIZES[0] else SIZES[1]
        try:
            rendered = [fonts.render_text(face, line, size) for line in lines]
        except fonts.MissingGlyph:
            continue
        ink = _stack(rendered, rng)
        least_scale = MIN_LETTER_HEIGHT / (LETTER_SHARE * size)
        return _deform(ink, max(side, least_scale * max(ink.shape)), rng, is_hand)
    # The fonts of this script lack its words and numbers: a Latin word, without accents in the last resort.
    if script != "latin":
        return render_words("latin", side, rng, is_hand, is_name)
    return _deform(fonts.render_text(faces[0], "minimum", SIZES[1]), side, rng, is_hand)


def generate_lines(script: str, rng: np.random.Generator, is_hand: bool) -> list[str]:
    """Generate the lines of a text: mostly a word or a number, sometimes words, a line or a small paragraph.

    Two or three words by hand, cut out together, are more often a name, which is a signature.
    """
    kind = rng.choice(5, p=HAND_KINDS if is_hand else PRINT_KINDS)
    if kind == 1:
        return [lexicon.generate_number(script, rng)]
    if kind == 0:
        return [_change_case(_generate_word(script, rng, is_hand), rng, is_hand)]
    words = lexicon.load_lexicon(script).words
    if kind == 2:
        count = int(rng.integers(2, 4)) if not is_hand or script in lexicon.CASED else 3
        return [_change_case(lexicon.join((lexicon.pick(words, rng) for _ in range(count)), script), rng, is_hand)]
    lines = 1 if kind == 3 else int(rng.integers(2, 5))
    longest = int(rng.integers(3, 8))
    return [
        _change_case(lexicon.join((lexicon.pick(words, rng) for _ in range(longest)), script), rng, is_hand)
        for _ in range(lines)
    ]


def _generate_word(script: str, rng: np.random.Generator, is_hand: bool) -> str:
    """Generate one word; few are like signatures, such as two letters without case or the characters of a name."""
    words = lexicon.load_lexicon(script).words
    text = lexicon.pick(words, rng)
    is_told_from_names = script in lexicon.CASED or script in RARELY_LEGIBLE
    if is_told_from_names and rng.random() < RUNNING_SHARE:
        text = lexicon.pick_running_word(script, rng, 3 if is_hand and script in RARELY_LEGIBLE else 2)
    elif is_hand and not is_told_from_names:  # two letters without case may be initials
        text = max((lexicon.pick(words, rng) for _ in range(2)), key=len)
    if is_hand and script in lexicon.IDEOGRAPHIC:  # two to four characters by hand are mostly a name
        text = text[:1] if rng.random() < 0.4 else (text + lexicon.pick(words, rng) + lexicon.pick(words, rng))[:7]
    if script == "arabic" and is_hand and rng.random() < ELONGATED_SHARE:
        text = lexicon.elongate(text, rng)
    if rng.random() < 0.18:
        text += [":", ",", ".", ";", "-"][rng.integers(5)]
    return text


def _change_case(text: str, rng: np.random.Generator, is_hand: bool) -> str:
    shares = (0.89, 0.06, 0.05) if is_hand else (0.45, 0.3, 0.25)
    return [text.lower, text.capitalize, text.upper][rng.choice(3, p=shares)]()


def _write_line(line: str, script: str, style, rng: np.random.Generator) -> Strokes:
    for _ in range(ATTEMPTS):
        try:
            return write(line, style, rng)
        except fonts.MissingGlyph:
            line = lexicon.pick(lexicon.load_lexicon(script).words, rng)
    return write("minimum", dataclasses.replace(style, font=CURSIVE_FONT), rng)


def _stack(lines: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Set lines below each other, left, centred or right."""
    if len(lines) == 1:
        return lines[0]
    width = max(line.shape[1] for line in lines)
    align, gap = rng.choice([0.0, 0.0, 0.5, 1.0]), int(max(2, lines[0].shape[0] * rng.uniform(0.05, 0.6)))
    rows = []
    for line in lines:
        left = int((width - line.shape[1]) * align)
        rows.append(np.pad(line, ((0, gap), (left, width - line.shape[1] - left))))
    return np.concatenate(rows)


def _deform(ink: np.ndarray, side: float, rng: np.random.Generator, is_hand: bool) -> np.ndarray:
    """Slant, stretch, bend and scale rendered text, by hand more than in print: ``uint8`` to ``float32 [h, w]``."""
    stretch = np.exp(rng.normal(0, 0.22 if is_hand else 0.14))
    scale = side / max(ink.shape[1] * stretch, ink.shape[0])
    slant = rng.normal(0, 0.2) if is_hand else (rng.normal(0, 0.12) if rng.random() < 0.3 else 0.0)
    height, width = ink.shape
    matrix = np.array([[scale * stretch, slant * scale, 0], [0, scale, 0]])
    out_w, out_h = width * scale * stretch + abs(slant) * height * scale, height * scale
    matrix[0, 2] = -min(0.0, slant * scale * height)
    size = (max(4, round(out_w)) + 4, max(4, round(out_h)) + 4)
    matrix[:, 2] += 2
    if scale < 0.6:  # warpAffine does not average
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        ink = cv2.resize(ink, small, interpolation=cv2.INTER_AREA)
        matrix[:, :2] /= (small[0] / width, small[1] / height)
    if not is_hand or rng.random() < 0.3:
        return cv2.warpAffine(ink, matrix, size, flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    # Letters of a hand vary from place to place.
    knots = rng.normal(0, 1, (2, 3, 3 + size[0] // max(1, size[1]))).astype(np.float32)
    amplitude = rng.uniform(0.01, 0.06) * min(size)
    inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    x += amplitude * cv2.resize(knots[0], size, interpolation=cv2.INTER_CUBIC)
    y += amplitude * cv2.resize(knots[1], size, interpolation=cv2.INTER_CUBIC)
    map_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    map_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    return cv2.remap(ink, map_x, map_y, cv2.INTER_LINEAR).astype(np.float32) / 255
