"""Grey levels to ink: background out, binarise, clean, crop, fit.

Soft-binary: ink is decided black or white at working resolution and only then area-resized, so the greys of a canonical
image come from geometry alone. Grey levels of scans name the scanner, and with it the label, in the popular datasets.
Knows no file formats. Next: ``lines.py`` takes out what forms draw, ``quality.py`` judges what is measured here.
"""

import dataclasses

import cv2
import numpy as np

from trainer.imaging.errors import Blank, TooMuchInk
from trainer.imaging.lines import without_lines

INKS = ("soft-binary", "grey")  # ink decided black or white, or with the grey levels of the file
WORKING = 2.5  # times the canvas' longest side: the resolution, in pixels, at which ink is decided
CLOSE_ENOUGH = 1.1  # times the working resolution, either way: not resized again
PAPER_SIDE = 160  # longest side, in pixels, of the paper estimate: fine enough to follow the edge of a shadow
PAPER_REACH = 21  # its pixels that the estimate jumps over: wider than any stroke
PAPER_BLUR = 1.5  # its pixels by which the estimate is smoothed, so that paper grain stays in the ink's own contrast
MIN_DARKNESS = 24  # of 255: ink that differs less from its paper cannot be told from the paper's own grain
MIN_INK = 16  # pixels of ink at working resolution below which a page is blank
MAX_SHARE = 0.45  # of the page dark: a photograph or noise, not writing; the densest word has 0.38
SPECK = 6  # dots of the pen: a smaller piece is no stroke, but may be a dot or an accent
APART = 0.08  # of the strokes' longest side: a speck further away belongs to the paper
WHITE = 176  # of 255: a page whose median is above is never a board
ALL_DARK = 80  # of 255: a page without contrast is black below this level, and blank above
CLOSE_UP = 0.5  # writing smaller than this share of the working resolution is looked at again from nearer


@dataclasses.dataclass(frozen=True)
class Ink:
    """Writing found on a page, cropped to it, and what was measured on the way.

    ``mask`` is ``uint8 [h, w]``, 1 ink; ``darkness`` is ``uint8 [h, w]``, how much darker than paper, 0 to 255;
    ``scale`` is their pixels per pixel of the page.
    """

    mask: np.ndarray
    darkness: np.ndarray
    scale: float
    typical: float  # darkness of the ink's core, 0 to 255
    share: float  # of the page that is ink
    at_border: float  # share of the page's outermost pixels that is ink

    @property
    def longest(self) -> float:
        """The writing's longest side, in pixels of the page."""
        return max(self.mask.shape) / self.scale

    def greys(self) -> np.ndarray:
        """The ink with its own grey levels on a background of 0: ``uint8 [h, w]``."""
        near = cv2.dilate(self.mask, np.ones((3, 3), np.uint8))
        return self.darkness * near

    def binary(self) -> np.ndarray:
        """The ink as 255 on 0: ``uint8 [h, w]``."""
        return self.mask * np.uint8(255)


def working_side(height: int, width: int) -> int:
    """Pixels along the longest side at which ink for this canvas is decided."""
    return round(WORKING * max(height, width))


def find_ink(grey: np.ndarray, side: int) -> Ink:
    """Separate writing from paper on ``uint8 [height, width]`` grey levels; ``side`` see ``working_side``.

    Raises ``Blank`` or ``TooMuchInk``.
    """
    ink, box = _look(grey, side)
    if max(ink.mask.shape) >= CLOSE_UP * side or ink.scale >= 1:
        return ink
    # A small signature on a large page: cut it out with some paper around it and decide again at its own scale.
    top, bottom, left, right = (round(edge / ink.scale) for edge in box)
    around = max(bottom - top, right - left) // 4
    page = grey[max(0, top - around) : bottom + around, max(0, left - around) : right + around]
    try:
        nearer, _ = _look(page, side)
    except (Blank, TooMuchInk):
        return ink
    return dataclasses.replace(nearer, share=ink.share, at_border=ink.at_border)


def fit(ink: np.ndarray, height: int, width: int, margin: float) -> np.ndarray:
    """Scale cropped ink into the middle of the canvas, aspect kept.

    ``uint8 [h, w] -> uint8 [height, width, 1]``, 255 ink, 0 paper (so that padding is paper).
    """
    border = margin * min(height, width)
    scale = min((height - 2 * border) / ink.shape[0], (width - 2 * border) / ink.shape[1])
    inner_h = max(1, min(height, round(ink.shape[0] * scale)))
    inner_w = max(1, min(width, round(ink.shape[1] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    inner = cv2.resize(ink, (inner_w, inner_h), interpolation=method)
    canvas = np.zeros((height, width, 1), np.uint8)
    top, left = (height - inner_h) // 2, (width - inner_w) // 2
    canvas[top : top + inner_h, left : left + inner_w, 0] = inner
    return canvas


def relative_darkness(grey: np.ndarray) -> np.ndarray:
    """How much darker each pixel is than the paper around it, as a share of that paper's own brightness.

    ``uint8 [h, w] -> uint8 [h, w]``, 0 paper to 255 black. The paper is a grey closing (a maximum, then a minimum) of
    a small copy, wide enough to jump over any stroke; dividing by it undoes uneven light.
    """
    small = _resized(grey, min(1.0, PAPER_SIDE / max(grey.shape)), cv2.INTER_AREA)
    reach = np.ones((PAPER_REACH, PAPER_REACH), np.uint8)
    paper = cv2.GaussianBlur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, reach), (0, 0), PAPER_BLUR)
    paper = cv2.resize(paper, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR)
    return cv2.divide(cv2.subtract(paper, grey), cv2.max(paper, 1), scale=255)  # type: ignore[call-overload]


def _look(page: np.ndarray, side: int) -> tuple[Ink, tuple[int, int, int, int]]:
    """The writing on a page at working resolution, and its box there: top, bottom, left, right."""
    grey, scale = _working_size(page, side)
    darkness = relative_darkness(_dark_on_light(grey))
    typical = _typical_darkness(darkness)
    if typical < MIN_DARKNESS and np.median(grey) < ALL_DARK:
        raise TooMuchInk(f"no writing found: the page is dark all over, {np.median(grey):.0f} of 255")
    if typical < MIN_DARKNESS:
        raise Blank(
            f"no ink found: the darkest marks are {typical:.0f} of 255 below the paper, ink needs {MIN_DARKNESS}"
        )
    mask = _strokes(darkness, typical)
    count = cv2.countNonZero(mask)
    if count < MIN_INK:
        raise Blank(f"no ink found: {count} dark pixels are left after cleaning, writing needs {MIN_INK}")
    if count > MAX_SHARE * mask.size:
        raise TooMuchInk(
            f"no writing found: {count / mask.size:.0%} of the page is dark, writing covers at most {MAX_SHARE:.0%}"
        )
    at_border = _on_border(mask) / (2 * sum(mask.shape))
    left, top, width, height = cv2.boundingRect(mask)
    window = (slice(top, top + height), slice(left, left + width))
    ink = Ink(mask[window], darkness[window], scale, typical, count / mask.size, at_border)
    return ink, (top, top + height, left, left + width)


def _working_size(grey: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Bring the longest side to about ``side``; small crops get smooth edges that way."""
    factor = int(max(grey.shape) / side * CLOSE_ENOUGH)
    if factor > 1:  # by a whole factor first, which is fifty times faster
        height, width = (edge // factor for edge in grey.shape)
        whole = grey[: height * factor, : width * factor] if height and width else grey
        grey = cv2.resize(whole, (max(1, width), max(1, height)), interpolation=cv2.INTER_AREA)
    scale = side / max(grey.shape)
    if not 1 / CLOSE_ENOUGH <= scale <= CLOSE_ENOUGH:
        grey = _resized(grey, scale, cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    else:
        scale = 1.0
    return grey, scale / max(1, factor)


def _resized(grey: np.ndarray, scale: float, method: int) -> np.ndarray:
    """Scaled, at least one pixel either way: strips are images too."""
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return cv2.resize(grey, size, interpolation=method)


def _dark_on_light(grey: np.ndarray) -> np.ndarray:
    """Invert chalk on a board: a page that is not white, on which two of three witnesses say that writing is bright.

    Each is wrong in a way of its own: thin things where strokes are broad, covered area where letters are dense, the
    outliers of the histogram in half a shadow.
    """
    if cv2.countNonZero(cv2.threshold(grey, WHITE - 1, 1, cv2.THRESH_BINARY_INV)[1]) < grey.size / 2:
        return grey  # the median is as bright
    histogram = _histogram(grey)
    middle = int(np.searchsorted(np.cumsum(histogram), grey.size / 2))
    inverted = cv2.bitwise_not(grey)
    small = _resized(grey, min(1.0, 192 / max(grey.shape)), cv2.INTER_AREA)
    reach = np.ones((5, 5), np.uint8)  # wider than a stroke, narrower than the paper between two
    hats = (cv2.morphologyEx(small, hat, reach).sum() for hat in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT))
    bright_things, dark_things = (float(hat) for hat in hats)
    witnesses = (
        bright_things > dark_things,
        _covered(inverted) < _covered(grey),  # the wrong way round, the paper between strokes is taken for ink
        histogram[middle + 40 :].sum() > histogram[: max(0, middle - 40)].sum(),
    )
    return inverted if sum(witnesses) > 1 else grey


def _covered(grey: np.ndarray) -> float:
    """The share of a page that would be taken for ink; all of it when nothing would."""
    darkness = relative_darkness(grey)
    typical = _typical_darkness(darkness)
    if typical < MIN_DARKNESS:
        return 1.0
    return cv2.countNonZero(cv2.threshold(darkness, 0.5 * typical, 1, cv2.THRESH_BINARY)[1]) / darkness.size


def _typical_darkness(darkness: np.ndarray) -> float:
    """The level of the ink's core: the 90th percentile of everything clearly darker than paper."""
    dark = darkness[darkness >= MIN_DARKNESS]  # few: counting them alone is five times faster than all levels
    if dark.size < MIN_INK:
        return 0.0
    return float(np.searchsorted(np.cumsum(np.bincount(dark, minlength=256)), 0.9 * dark.size))


def _strokes(darkness: np.ndarray, typical: float) -> np.ndarray:
    """Binarise with hysteresis, drop lines and dirt: ``uint8 [h, w] -> uint8 [h, w]``, 1 ink.

    A stroke's edge is where darkness falls to about half of the ink's own (so blur does not change its width); fainter
    parts count when they hang on a dark one. Dirt is what is smaller than half the pen's own dot.
    """
    strong = max(MIN_DARKNESS, 0.5 * typical)
    weak = max(MIN_DARKNESS * 0.75, 0.35 * typical)
    _, candidate = cv2.threshold(darkness, weak - 0.5, 1, cv2.THRESH_BINARY)
    candidate = without_lines(candidate)
    pieces, found = cv2.connectedComponents(candidate, connectivity=8, ltype=cv2.CV_32S)
    labels = np.asarray(found, np.int32)
    if pieces == 1:
        return candidate
    # Counting the labels of ink pixels alone is ten times faster than OpenCV's statistics of the whole page.
    inked = np.flatnonzero(candidate > 0)
    piece_of, dark = labels.ravel()[inked], darkness.ravel()[inked] >= strong
    area, core = np.bincount(piece_of, minlength=pieces), np.bincount(piece_of[dark], minlength=pieces)
    dot = _pen_width(candidate) ** 2
    keep = (core > 0) & (area >= max(3.0, 0.5 * dot))
    mask = np.zeros_like(candidate)
    mask.ravel()[inked] = keep[piece_of]
    strokes = keep & (area >= SPECK * dot)
    if not strokes.any():
        return mask
    only = np.zeros_like(candidate)
    only.ravel()[inked] = strokes[piece_of]
    return _near(mask, only)


def _near(mask: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """Drop what lies apart from all strokes: specks must not widen the crop. Dots and accents are near."""
    left, top, width, height = cv2.boundingRect(strokes)
    around = round(APART * max(width, height))
    kept = np.zeros_like(mask)
    window = (slice(max(0, top - around), top + height + around), slice(max(0, left - around), left + width + around))
    kept[window] = mask[window]
    return kept


def _pen_width(candidate: np.ndarray) -> float:
    """Mean stroke width in pixels: twice the area over the length of the outline."""
    area = cv2.countNonZero(candidate)
    outline = area - cv2.countNonZero(cv2.erode(candidate, np.ones((3, 3), np.uint8)))
    return 2.0 * area / max(1, outline)


def _on_border(mask: np.ndarray) -> int:
    return int(mask[0].sum() + mask[-1].sum() + mask[1:-1, 0].sum() + mask[1:-1, -1].sum())


def _histogram(grey: np.ndarray) -> np.ndarray:
    return cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
