"""The place of writing on a page: margins, printed lines and boxes, typed words, stamps, strokes of other writing.

What surrounds the writing is drawn from the same distributions for every kind of image. All layers are ink, ``float32
[h, w]``, 0 none to 1 full. Next: ``capture.py``, which scans the page.
"""

import cv2
import numpy as np

from trainer.samples import fonts, lexicon, paper, security_paper
from trainer.samples.fonts import FontStyle
from trainer.samples.ink import Pen, copy_through_carbon

PROMPTS = (
    "Signature,Sincerely,Signed:,Name,Date,Place and date,X,Unterschrift,Signature du client,Firma,Approved by,"
    "For the company,Director,Witness,Total,Yours faithfully"
).split(",")
Box = tuple[int, int, int, int]  # top, bottom, left, right, in pixels
MIN_MARGIN = 3  # pixels of paper around the writing


def draw_page(ink: np.ndarray, pen: Pen, rng: np.random.Generator, is_grey: bool, clutter: float = 1.0) -> np.ndarray:
    """Draw writing in its surroundings: reflectance ``float32 [h, w, 3]``, or ``[h, w, 1]`` in grey, 0 to 1.

    ``clutter`` is the share of pages that may have surroundings or print all over, 0 to 1.
    """
    sheet, box = _add_margins(ink, rng)
    if rng.random() < 0.04 * clutter:
        sheet, pen = copy_through_carbon(sheet, pen, rng)
    page = paper.draw_paper(sheet.shape, is_grey, rng)
    colour = np.array(pen.colour, np.float32)
    if is_grey:
        colour = paper.to_grey(colour)
    if rng.random() < 0.05 * clutter:
        pattern = security_paper.draw_security_pattern(sheet.shape[0], sheet.shape[1], rng)[..., None]
        page *= 1 - pattern * rng.uniform(0.3, 1.0, page.shape[2:]).astype(np.float32)
    if rng.random() < 0.06 * clutter:  # writing of the other side
        faint = np.float32(rng.uniform(0.03, 0.14))
        page *= 1 - faint * cv2.GaussianBlur(np.roll(sheet[:, ::-1], int(rng.integers(40)), 0), (0, 0), 1.2)[..., None]
    printed = draw_surroundings(sheet.shape, box, rng) if rng.random() < clutter else None
    if printed is not None:
        page *= 1 - printed[..., None] * np.float32(rng.uniform(0.35, 0.95))
    # Less ink stays on the paper where the relief of its fibres is high.
    opacity = pen.darkness * np.clip(sheet * (1 + 0.06 * paper.draw_noise(sheet.shape, rng, "fibres")), 0, 1)
    page *= 1 - opacity[..., None] * (1 - colour)
    return page


def _add_margins(ink: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Box]:
    """Put writing on a sheet with the margins of a manual crop; returns the box of the writing, too."""
    height, width = ink.shape
    reach = rng.choice([0.05, 0.25, 0.8], p=[0.4, 0.45, 0.15])
    margins = [
        int(rng.uniform(0, reach) * (height if side < 2 else min(width, 2 * height))) + MIN_MARGIN for side in range(4)
    ]
    if rng.random() < 0.04:  # a crop that is too tight
        cut = int(rng.integers(4))
        trim = max(1, int(0.06 * (height if cut < 2 else width)))
        ink = ink[(trim if cut == 0 else 0) : height - (trim if cut == 1 else 0),
                  (trim if cut == 2 else 0) : width - (trim if cut == 3 else 0)]  # fmt: skip
        margins[cut] = 0
    top, bottom, left, right = margins
    sheet = np.pad(ink, ((top, bottom), (left, right)))
    return sheet, (top, top + ink.shape[0], left, left + ink.shape[1])


def draw_surroundings(shape: tuple[int, int], box: Box, rng: np.random.Generator) -> np.ndarray | None:
    """Draw what is printed around the writing, and strokes of neighbours that the crop cuts; ``None`` for nothing."""
    draws = rng.random(7)
    if draws.min() > 0.09:
        return None
    layer = np.zeros(shape, np.float32)
    height, width = shape
    top, bottom, left, right = box
    if draws[0] < 0.09:  # the line to write on
        level = int(np.clip(bottom - rng.uniform(-0.1, 0.45) * (bottom - top), 1, height - 2))
        thickness, sag = int(rng.integers(1, 3)), int(rng.normal(0, 0.006) * width)
        start, end = (0, width) if rng.random() < 0.6 else (max(0, left - 10), min(width, right + 20))
        if rng.random() < 0.25:  # dotted
            for x in range(start, end, int(rng.integers(4, 9))):
                cv2.line(layer, (x, level), (x + int(rng.integers(0, 3)), level), 1.0, thickness)
        else:
            cv2.line(layer, (start, level), (end, level + sag), 1.0, thickness, cv2.LINE_AA)
    if draws[1] < 0.03:  # ruled or squared paper
        pitch, strength = int(rng.integers(14, 60)), rng.uniform(0.2, 0.7)
        layer[int(rng.integers(pitch)) :: pitch] = strength
        if rng.random() < 0.4:
            layer[:, int(rng.integers(pitch)) :: pitch] = strength
    if draws[2] < 0.03:  # a box of a form
        corners = rng.integers(0, max(2, MIN_MARGIN), 4)
        opposite = (width - 1 - int(corners[2]), height - 1 - int(corners[3]))
        cv2.rectangle(layer, (int(corners[0]), int(corners[1])), opposite, 1.0, int(rng.integers(1, 3)))
    if draws[3] < 0.07:  # a typed name or a prompt
        _print_beside(layer, box, rng)
    if draws[4] < 0.03:
        _stamp(layer, rng)
    if draws[5] < 0.07:  # strokes of other writing that the crop cuts
        _cut_neighbours(layer, rng)
    if draws[6] < 0.06:  # dirt
        for _ in range(int(rng.integers(1, 12))):
            centre = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.circle(layer, centre, int(rng.integers(1, 3)), rng.uniform(0.3, 1.0), -1, cv2.LINE_AA)
    return layer


def _print_beside(layer: np.ndarray, box: Box, rng: np.random.Generator) -> None:
    """Print small words above, below, or left of the writing, as far as there is paper; they may touch it."""
    faces = fonts.load_catalogue().select("latin", FontStyle.PRINT)
    size = int(np.clip((box[1] - box[0]) * rng.uniform(0.12, 0.3), 9, 28))
    text = PROMPTS[rng.integers(len(PROMPTS))] if rng.random() < 0.5 else " ".join(lexicon.generate_name("latin", rng))
    try:
        word = fonts.render_text(faces[int(rng.integers(len(faces)))], text, size).astype(np.float32) / 255
    except fonts.MissingGlyph:
        return
    height, width = layer.shape
    word = word[: height // 2, : width - 2]
    top = int(rng.choice([0, max(0, height - word.shape[0] - 1)]))
    left = int(rng.integers(max(1, width - word.shape[1])))
    part = layer[top : top + word.shape[0], left : left + word.shape[1]]
    np.maximum(part, word[: part.shape[0], : part.shape[1]], out=part)


def _stamp(layer: np.ndarray, rng: np.random.Generator) -> None:
    """Stamp a faint ring or frame over the writing."""
    height, width = layer.shape
    strength, radius = rng.uniform(0.2, 0.6), int(height * rng.uniform(0.3, 0.7))
    centre = (int(rng.integers(width)), int(rng.integers(height)))
    for shrink in (0, int(0.15 * radius))[: int(rng.integers(1, 3))]:
        if rng.random() < 0.7:
            cv2.circle(layer, centre, max(3, radius - shrink), strength, 2, cv2.LINE_AA)
        else:
            corner = (centre[0] + radius - shrink, centre[1] + radius // 2 - shrink)
            cv2.rectangle(layer, (centre[0] - radius + shrink, centre[1] - radius // 2 + shrink), corner, strength, 2)


def _cut_neighbours(layer: np.ndarray, rng: np.random.Generator) -> None:
    """Draw strokes that enter over an edge of the crop."""
    height, width = layer.shape
    for _ in range(int(rng.integers(1, 5))):
        start = np.array([rng.uniform(0, width), 0.0 if rng.random() < 0.5 else height - 1.0])
        inwards = 1 if start[1] == 0 else -1
        reach = rng.uniform(0.04, 0.16) * height
        points = start + np.array([[0, 0], [rng.normal(0, 6), inwards * reach], [rng.normal(10, 8), 0]])
        cv2.polylines(layer, [np.round(points * 16).astype(np.int32)[:, None]], False, 1.0, int(rng.integers(1, 4)),
                      cv2.LINE_AA, 4)  # fmt: skip
