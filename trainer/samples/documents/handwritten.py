"""What people write and draw on documents by hand beside signatures: notes, dates, ticks, crossings-out, lines.

Each is a region labelled ``handwriting``. Next: ``parts.py``, what is printed, and ``signing.py``.
"""

import dataclasses

import numpy as np

from trainer.samples import fonts, handwriting, lexicon, objects, text
from trainer.samples.documents import typesetting
from trainer.samples.documents.sheet import Sheet, turn
from trainer.samples.documents.typesetting import Typeface
from trainer.samples.ink import Pen, generate_pen, limit_width, render_ink
from trainer.samples.movement import Motion, compute_trajectories
from trainer.samples.strokes import Strokes, extent, round_corners, tilt

PEN_WIDTH = (0.35, 0.9)  # mm
FIGURE_HEIGHT = (2.0, 8.0)  # mm
COPIES = ("cc:", "cc", "Copies to:", "c.c.", "Encl.:")


def choose_pen(sheet: Sheet, rng: np.random.Generator) -> Pen:
    """Choose a pen, with its width in pixels of the sheet."""
    return generate_pen(rng, max(1.0, rng.uniform(*PEN_WIDTH) * sheet.scale))


def write_words(
    sheet: Sheet, words: str, script: str, left: float, top: float, height: float, rng: np.random.Generator, pen: Pen
) -> tuple[float, float, float, float] | None:
    """Write words by hand, letters about ``height`` mm high; returns the box in mm, ``None`` if no font has them."""
    style = handwriting.generate_style(script, rng)
    style = dataclasses.replace(style, baseline_angle=0.4 * style.baseline_angle, deviation=0.6 * style.deviation)
    try:
        written = handwriting.write(words, style, rng)
    except fonts.MissingGlyph:
        return None
    paths = move(tilt(written, style.slant, style.baseline_angle), rng, style.motion)
    letter = min(height * sheet.scale, text.fit_height(paths, 0.9 * sheet.shape[1]))  # not longer than the sheet
    return sheet.put(draw_paths(paths, pen, max(2.5, letter), rng), left, top, pen.colour, "handwriting")


def move(targets: Strokes, rng: np.random.Generator, motion: Motion | None = None) -> Strokes:
    """Move a pen through targets in letter heights: trajectories of ``compute_trajectories``."""
    motion = motion or Motion(rng.uniform(0.2, 0.6))
    return compute_trajectories([round_corners(stroke) for stroke in targets], motion, rng)


def draw_paths(paths: Strokes, pen: Pen, letter_height: float, rng: np.random.Generator) -> np.ndarray:
    """Draw trajectories with letters of a height in pixels, by a pen that leaves them legible: ``float32 [h, w]``."""
    return render_ink(paths, limit_width(pen, letter_height), letter_height, rng)


def write_note(
    sheet: Sheet, script: str, left: float, top: float, width: float, rng: np.random.Generator, lines: int = 1
) -> None:
    """Write a note of some words or lines by hand, at most ``width`` mm wide; it is sometimes aslant or turned."""
    pen = choose_pen(sheet, rng)
    is_written, is_turned = rng.random() < 0.6, lines == 1 and rng.random() < 0.15
    angle = rng.normal(0, 9) if rng.random() < 0.35 else 0.0
    for number in range(lines):
        side = sheet.to_pixels(width * (rng.uniform(0.4, 1.0) if number else 1.0))
        ink = text.write_text(script, side, pen, rng) if is_written else text.render_words(script, side, rng, True)
        if is_turned:
            ink = np.rot90(ink, int(rng.choice([1, 3])))
        elif angle:
            ink = turn(ink, angle)
        box = sheet.put(ink, left + rng.uniform(0, 3), top, pen.colour, "handwriting")
        top = box[3] + rng.uniform(0.0, 2.0)


def write_figures(sheet: Sheet, left: float, top: float, rng: np.random.Generator) -> None:
    """Write some numbers or dates below each other, large and fast: what clerks put on paper that they have dealt with.

    Some end in a slash, a check mark or a line below.
    """
    pen, height = choose_pen(sheet, rng), min(float(np.exp(rng.uniform(*np.log(FIGURE_HEIGHT)))), 0.15 * sheet.height)
    for _ in range(int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))):
        kind = rng.integers(4)
        words = (
            lexicon.generate_number("latin", rng) if kind == 0
            else lexicon.generate_date(rng) if kind == 1
            else str(rng.integers(1, 10 ** int(rng.integers(2, 6)))) if kind == 2
            else f"{rng.integers(1, 32)}/{rng.integers(1, 13)}"
        )  # fmt: skip
        box = write_words(sheet, words, "latin", left, top, height, rng, pen)
        if box is None:
            return
        end = rng.random()
        if end < 0.2:
            x = box[2] + rng.uniform(-0.5, 1.5) * height
            draw_line(sheet, (x, box[1] - height, x + rng.uniform(1, 3) * height, box[3] + 0.5 * height), rng, 1.0)
        elif end < 0.35:
            draw_doodle(sheet, box[2] + 0.5 * height, box[1], rng.uniform(1, 2.5) * height, rng)
        elif end < 0.45:
            y = box[3] + rng.uniform(0, 1)
            draw_line(sheet, (box[0], y, box[2], y + rng.uniform(0.2, 2)), rng, 1.0)
        left, top = left + rng.normal(0, 2), box[3] + rng.uniform(0, 2)


def write_date(sheet: Sheet, left: float, bottom: float, rng: np.random.Generator, pen: Pen | None = None) -> None:
    """Write a date by hand that ends at ``bottom`` mm."""
    height = rng.uniform(2.0, 3.5)
    words = lexicon.generate_date(rng)
    write_words(sheet, words, "latin", left, bottom - 1.4 * height, height, rng, pen or choose_pen(sheet, rng))


def draw_doodle(sheet: Sheet, left: float, top: float, size: float, rng: np.random.Generator) -> None:
    """Draw a check mark, a cross, an arrow, a bracket or the like by hand."""
    pen = choose_pen(sheet, rng)
    sheet.put(objects.draw_doodle(sheet.to_pixels(size), pen, rng), left, top, pen.colour, "handwriting")


def draw_line(
    sheet: Sheet, box: tuple[float, float, float, float], rng: np.random.Generator, straight_share: float = 0.6
) -> None:
    """Draw by hand across a box in mm: a line from one corner to another, or a ring around what is in it."""
    left, top, right, bottom = box
    if rng.random() < straight_share:
        start, end = (bottom, top) if rng.random() < 0.5 else (top, bottom)
        stroke = np.column_stack([np.linspace(left, right, 6), np.linspace(start, end, 6)])
        stroke += rng.normal(0, 0.01, (6, 2)) * (right - left, bottom - top)
    else:
        angles = np.linspace(0, 2 * np.pi * rng.uniform(0.95, 1.1), 24) + rng.uniform(0, 6)
        stroke = np.column_stack([np.cos(angles), np.sin(angles)]) * (0.5, 0.5) + 0.5
        stroke = stroke * (right - left, bottom - top) + (left, top)
    _draw_strokes(sheet, [stroke], max(4.0, bottom - top), rng)


def cross_out(sheet: Sheet, box: tuple[float, float, float, float], rng: np.random.Generator) -> None:
    """Cross print out by hand: a line, a zigzag or a cross over a box in mm."""
    left, top, right, bottom = box
    middle = (top + bottom) / 2
    kind = rng.integers(3)
    if kind == 0:
        strokes = [np.array([[left, middle], [right, middle + rng.normal(0, 0.6)]])]
    elif kind == 1:
        x = np.linspace(left, right, int(rng.integers(5, 14)))
        strokes = [np.column_stack([x, np.where(np.arange(len(x)) % 2, top, bottom)])]
    else:
        strokes = [np.array([[left, top], [right, bottom]]), np.array([[left, bottom], [right, top]])]
    _draw_strokes(sheet, strokes, max(4.0, bottom - top), rng)


def _draw_strokes(sheet: Sheet, strokes: Strokes, size: float, rng: np.random.Generator) -> None:
    """Draw strokes in mm with a pen; ``size`` mm is the height of a letter for its movement."""
    pen = choose_pen(sheet, rng)
    paths = move([stroke / size for stroke in strokes], rng)
    ink = render_ink(paths, pen, size * sheet.scale, rng)
    x0, y0, _, _ = extent(paths)
    sheet.put(ink, x0 * size, y0 * size, pen.colour, "handwriting")


def tick_boxes(sheet: Sheet, left: float, top: float, typeface: Typeface, rng: np.random.Generator) -> float:
    """Print some boxes to tick with words beside, of which some are ticked; returns the y of their end in mm."""
    size = rng.uniform(2.5, 4.5)
    for _ in range(int(rng.integers(2, 6))):
        sheet.frame(left, top, left + size, top + size)
        typesetting.print_words(sheet, left + size + 2, top, rng.uniform(15, 60), typeface, rng)
        if rng.random() < 0.35:
            draw_doodle(sheet, left - 0.3 * size, top - 0.3 * size, 1.5 * size, rng)
        top += size * rng.uniform(1.4, 2.2)
    return top


def tick_names(
    sheet: Sheet, left: float, top: float, script: str, typeface: Typeface, rng: np.random.Generator
) -> None:
    """Print the names of those who get a copy of a letter, of which some are ticked."""
    pitch, ticked_share = typeface.size * rng.uniform(1.0, 1.4), rng.choice([0.0, 0.3])
    start = typesetting.print_text(sheet, COPIES[int(rng.integers(len(COPIES)))], left, top, typeface)[2] + 2
    for _ in range(int(rng.integers(1, 7))):
        box = typesetting.print_text(sheet, lexicon.spell_name(script, rng), start, top, typeface)
        if rng.random() < ticked_share:
            size = rng.uniform(0.8, 2.5) * typeface.size
            x = (start - 0.7 * size, box[2] - 0.3 * size)[int(rng.integers(2))]
            draw_doodle(sheet, x, box[1] - 0.4 * size, size, rng)
        top += pitch
