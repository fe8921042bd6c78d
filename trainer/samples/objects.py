"""What is neither a signature nor text: stamps, logos, forms, codes, check marks, photographs, doodles, dirt, pages.

Each is ink, ``float32 [h, w]``, 0 none to 1 full. Next: ``page.py``.
"""

from collections.abc import Callable

import cv2
import numpy as np

from trainer.samples import fonts, lexicon
from trainer.samples.fonts import FontStyle
from trainer.samples.ink import Pen, generate_pen, render_ink
from trainer.samples.movement import Motion, compute_trajectories
from trainer.samples.strokes import Strokes, draw_warp, extent, tilt

Draw = Callable[[int, int, np.random.Generator], np.ndarray]


def generate_object(side: float, pen_share: float, rng: np.random.Generator) -> tuple[np.ndarray, Pen]:
    """Generate an object as ink, and the pen that gives its colour; its longest side is about ``side`` pixels."""
    pen = generate_pen(rng, max(1.0, pen_share * side))
    draw = OBJECTS[rng.choice(len(OBJECTS), p=SHARES)]
    if draw is None:
        return draw_doodle(side, pen, rng), pen
    long, short = int(side), int(side * np.exp(rng.uniform(-1.3, 0)))
    height, width = (short, long) if rng.random() < 0.75 else (long, short)
    return draw(max(16, height), max(16, width), rng), pen


def _blank(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width), np.float32)


def _word(height: int, rng: np.random.Generator, style: FontStyle = FontStyle.PRINT) -> np.ndarray:
    """A printed word or name of about ``height`` pixels, ``float32 [h, w]``."""
    faces = fonts.load_catalogue().select("latin", style)
    words = lexicon.load_lexicon("latin").words
    for _ in range(6):
        try:
            face = faces[int(rng.integers(len(faces)))]
            word = fonts.render_text(face, lexicon.pick(words, rng).upper(), max(8, height))
            return word.astype(np.float32) / 255
        except fonts.MissingGlyph:
            continue
    return _blank(height, 2 * height)


def _put(layer: np.ndarray, part: np.ndarray, top: int, left: int) -> None:
    """Put a part onto a layer where both have a place."""
    part = part[max(0, -top) :, max(0, -left) :]
    target = layer[max(0, top) : max(0, top) + part.shape[0], max(0, left) : max(0, left) + part.shape[1]]
    np.maximum(target, part[: target.shape[0], : target.shape[1]], out=target)


def draw_stamp(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A ring or frame with words in it, with the gaps of a dry pad."""
    layer = _blank(height, width)
    thick = max(1, int(min(height, width) * rng.uniform(0.01, 0.05)))
    if rng.random() < 0.55:
        centre, radius = (width // 2, height // 2), min(height, width) // 2 - thick
        for share in (1.0, 0.72, 0.3)[: int(rng.integers(1, 4))]:
            cv2.circle(layer, centre, max(2, int(radius * share)), 1.0, thick, cv2.LINE_AA)
        for angle in np.linspace(0, 2 * np.pi, int(rng.integers(8, 30)), endpoint=False):  # letters around
            glyph = _word(max(8, int(0.24 * radius)), rng)[:, : max(4, int(0.22 * radius))]
            matrix = cv2.getRotationMatrix2D((glyph.shape[1] / 2, glyph.shape[0] / 2), -np.degrees(angle) - 90, 1)
            glyph = cv2.warpAffine(glyph, matrix, glyph.shape[::-1])
            x, y = centre[0] + 0.86 * radius * np.cos(angle), centre[1] + 0.86 * radius * np.sin(angle)
            _put(layer, glyph, int(y - glyph.shape[0] / 2), int(x - glyph.shape[1] / 2))
    else:
        cv2.rectangle(layer, (thick, thick), (width - 1 - thick, height - 1 - thick), 1.0, thick)
        if rng.random() < 0.4:
            cv2.rectangle(layer, (3 * thick, 3 * thick), (width - 1 - 3 * thick, height - 1 - 3 * thick), 1.0, 1)
    lines = int(rng.integers(1, 4))
    for line in range(lines):
        word = _word(int(0.5 * height / lines), rng)
        word = word[:, : int(0.7 * width)]
        _put(layer, word, int(height * (0.25 + 0.5 * line / lines)), (width - word.shape[1]) // 2)
    gaps = cv2.resize(rng.random((12, 16), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return layer * np.clip(1.6 * gaps + rng.uniform(0.1, 0.8), 0, 1)


def draw_logo(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Filled shapes, with a word beside or below them or without."""
    layer = _blank(height, width)
    size = min(height, width)
    for _ in range(int(rng.integers(1, 5))):
        centre = (int(rng.uniform(0.3, 0.7) * size), int(rng.uniform(0.3, 0.7) * height))
        shape, radius = rng.integers(4), int(size * rng.uniform(0.12, 0.42))
        ink, fill = (0.0 if rng.random() < 0.3 else 1.0), -1 if rng.random() < 0.7 else max(1, radius // 6)
        if shape == 0:
            cv2.circle(layer, centre, radius, ink, fill, cv2.LINE_AA)
        elif shape == 1:
            axes = (radius, max(1, int(radius * rng.uniform(0.3, 1))))
            cv2.ellipse(layer, centre, axes, rng.uniform(0, 180), 0, rng.uniform(120, 360), ink, fill, cv2.LINE_AA)
        else:
            angles = rng.uniform(0, 6.28) + np.arange(shape + 1) * 6.28 / (shape + 1)
            points = np.column_stack([np.cos(angles), np.sin(angles)]) * radius + centre
            cv2.polylines(layer, [points.astype(np.int32)[:, None]], True, ink, max(2, radius // 4), cv2.LINE_AA)
            if fill < 0:
                cv2.fillPoly(layer, [points.astype(np.int32)[:, None]], ink, cv2.LINE_AA)
    if rng.random() < 0.6 and width > 1.5 * height:
        _put(layer, _word(int(0.6 * height), rng), int(0.2 * height), int(size * 0.95))
    return layer


def _draw_form(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Rules, boxes, tables and comb fields, empty."""
    layer = _blank(height, width)
    thick = int(rng.integers(1, 4))
    rows, columns = int(rng.integers(1, 7)), int(rng.integers(1, 9))
    for row in range(rows + 1):
        y = min(height - 1, int(row * (height - 1) / rows))
        cv2.line(layer, (0, y), (width - 1, y), 1.0, thick)
    if rng.random() < 0.75:
        for column in range(columns + 1):
            x = min(width - 1, int(column * (width - 1) / columns))
            cv2.line(layer, (x, 0 if rng.random() < 0.8 else height // 2), (x, height - 1), 1.0, thick)
    return layer


def draw_barcode(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Bars of one to four modules, or a matrix code with its finder squares."""
    if rng.random() < 0.5:
        widths = rng.integers(1, 5, 2 * int(rng.integers(14, 60)))
        bars = np.repeat(np.arange(len(widths)) % 2, widths)[None].astype(np.float32)
        layer = cv2.resize(bars, (width, height), interpolation=cv2.INTER_NEAREST)
        if rng.random() < 0.5:
            digits = _word(max(8, height // 6), rng, FontStyle.MACHINE)
            layer[-digits.shape[0] :] = 0
            _put(layer, digits, height - digits.shape[0], (width - digits.shape[1]) // 2)
        return layer
    side, size = int(rng.choice([21, 25, 29, 33])), min(height, width)
    modules = (rng.random((side, side)) < 0.5).astype(np.float32)
    for top, left in ((0, 0), (0, side - 7), (side - 7, 0)):
        modules[top : top + 7, left : left + 7] = 1
        modules[top + 1 : top + 6, left + 1 : left + 6] = 0
        modules[top + 2 : top + 5, left + 2 : left + 5] = 1
    return cv2.resize(modules, (size, size), interpolation=cv2.INTER_NEAREST)


def draw_photograph(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth patches of light and dark with grain, as of a portrait on an identity card, often rastered."""
    layer = _blank(height, width)
    for octave in (3, 6, 12, 30):
        coarse = rng.standard_normal((octave, octave + 2), np.float32) / octave**0.7
        layer += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    layer = np.clip(0.5 + layer * rng.uniform(0.5, 1.3), 0, 1)
    if rng.random() < 0.4:
        y, x = np.mgrid[:height, :width].astype(np.float32)
        pitch = rng.uniform(2.5, 6)
        layer = np.clip(3 * (layer - 0.5 - 0.35 * np.sin(x / pitch * 6.28) * np.sin(y / pitch * 6.28)) + 0.5, 0, 1)
    return layer.astype(np.float32)


def _draw_dirt(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Specks, hairs, folds and smears on paper that is empty otherwise."""
    layer = _blank(height, width)
    for _ in range(int(rng.integers(2, 40))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(1, 5)), int(rng.integers(1, 3)))
        cv2.ellipse(layer, centre, axes, rng.uniform(0, 180), 0, 360, rng.uniform(0.3, 1), -1, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 4))):
        points = np.cumsum(rng.normal(0, 0.06, (6, 2)), axis=0) * (width, height) + rng.random(2) * (width, height)
        cv2.polylines(layer, [np.round(points).astype(np.int32)[:, None]], False, rng.uniform(0.4, 1), 1, cv2.LINE_AA)
    if rng.random() < 0.4:
        blot = cv2.resize(rng.random((5, 7), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        layer = np.maximum(layer, np.clip(5 * (blot - rng.uniform(0.75, 0.95)), 0, 1))
    return layer


def _draw_text_page(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A whole page of print: headings, paragraphs, columns, a table or a letterhead."""
    height, width = max(height, int(0.7 * width)), max(width, int(0.6 * height))
    layer = _blank(height, width)
    faces = fonts.load_catalogue().select("latin", FontStyle.PRINT, FontStyle.MACHINE)
    words = lexicon.load_lexicon("latin").words
    face, size = faces[int(rng.integers(len(faces)))], int(rng.integers(8, 18))
    y, margin = int(0.04 * height), int(0.06 * width)
    while y < 0.95 * height:
        if rng.random() < 0.12:
            y += 2 * size
            continue
        count = int(rng.integers(3, max(4, int(width / (3.2 * size)))))
        try:
            line = fonts.render_text(face, " ".join(lexicon.pick(words, rng) for _ in range(count)), size)
        except fonts.MissingGlyph:
            y += size
            continue
        _put(layer, line[:, : width - 2 * margin].astype(np.float32) / 255, y, margin)
        y += int(1.3 * size)
    return layer


def draw_doodle(side: float, pen: Pen, rng: np.random.Generator) -> np.ndarray:
    """Check marks, crosses, arrows, brackets, circled places, stars, faces, and shading by a pen."""
    shape = int(rng.integers(8))
    turn = np.linspace(0, 2 * np.pi, 14)
    circle = np.column_stack([np.cos(turn), np.sin(turn)]) * 0.5
    drawn: Strokes
    if shape == 0:
        drawn = [np.array([[0, 0], [0.25, 0.35], [rng.uniform(0.6, 1.1), -rng.uniform(0.5, 1.0)]])]
    elif shape == 1:
        drawn = [np.array([[0, 0], [1, 1]]), np.array([[1, 0], [0, 1]])]
    elif shape == 2:
        tip = np.array([1.5, 0])
        drawn = [np.array([[0, 0], tip]), np.array([tip + (-0.3, -0.25), tip, tip + (-0.3, 0.25)])]
    elif shape == 3:
        drawn = [np.array([[0.25, -1], [0, -0.8], [0.05, -0.2], [-0.2, 0], [0.05, 0.2], [0, 0.8], [0.25, 1]])]
    elif shape == 4:
        points = int(rng.integers(5, 8))
        angles = np.arange(2 * points + 1) * np.pi / points
        radius = np.where(np.arange(2 * points + 1) % 2, 0.4, 1.0)
        drawn = [np.column_stack([np.cos(angles), np.sin(angles)]) * radius[:, None]]
    elif shape == 5:
        drawn = [circle * 2, circle * 0.2 + (-0.35, -0.25), circle * 0.2 + (0.35, -0.25),
                 np.array([[-0.4, 0.35], [0, 0.55], [0.4, 0.35]])]  # fmt: skip
    elif shape == 6:  # shading
        count = int(rng.integers(5, 16))
        drawn = [np.array([[0.12 * i, 0], [0.12 * i + 0.4, -1]]) + rng.normal(0, 0.02, (2, 2)) for i in range(count)]
    else:  # shapes of a sketch
        drawn = [np.array([[0, 0], [0, -1], [1.2, -1], [1.2, 0], [0, 0]])]
        if rng.random() < 0.6:
            drawn += [
                np.array([[0, -1], [0.6, -1.5], [1.2, -1]]),
                np.array([[0.5, 0], [0.5, -0.5], [0.8, -0.5], [0.8, 0]]),
            ]
    if shape < 2 and rng.random() < 0.5:  # in the box of a form
        drawn.append(np.array([[-0.1, -0.9], [1.1, -0.9], [1.1, 1.1], [-0.1, 1.1], [-0.1, -0.9]]))
    copies = int(rng.integers(1, 4)) if rng.random() < 0.25 else 1
    drawn = [stroke + (1.6 * copy, 0) for copy in range(copies) for stroke in drawn]
    warp = draw_warp(drawn, 0.06, rng)
    drawn = tilt([warp(stroke) for stroke in drawn], rng.normal(0, 0.2), rng.normal(0, 0.25))
    left, top, right, bottom = extent(drawn)
    paths = compute_trajectories(drawn, Motion(rng.uniform(0.1, 0.45)), rng)
    return render_ink(paths, pen, side / max(right - left, bottom - top), rng)


OBJECTS: tuple[Draw | None, ...] = (draw_stamp, draw_logo, _draw_form, draw_barcode, draw_photograph, _draw_dirt,
                                    _draw_text_page, None)  # fmt: skip
SHARES = (0.18, 0.12, 0.1, 0.1, 0.08, 0.1, 0.14, 0.18)
