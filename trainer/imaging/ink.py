"""Find the ink in grey levels: remove the background, binarise, clean, crop, fit to a canvas.

Soft-binary ink is black or white at working resolution and resized by area afterwards, so the greys of a canonical
image depend on geometry alone. The grey levels of scans identify the scanner, which in the popular datasets implies the
label. Independent of file formats. Next: ``background.py`` finds printed paper, ``lines.py`` removes lines of forms.
"""

import dataclasses

import cv2
import numpy as np

from trainer.imaging import background
from trainer.imaging.errors import Blank, TooMuchInk
from trainer.imaging.lines import remove_lines

INKS = ("soft-binary", "grey")  # ink is black or white, or has the grey levels of the file
WORKING = 2.5  # working resolution: pixels of the longest side, times the longest side of the canvas
CLOSE_ENOUGH = 1.1  # factor to the working resolution, either way, within which a page is not resized
PAPER_SIDE = 160  # longest side of the estimate of the paper, in pixels: fine enough to follow the edge of a shadow
PAPER_REACH = 21  # pixels of the estimate that its closing bridges: more than the width of any stroke
PAPER_BLUR = 1.5  # standard deviation of its smoothing, in pixels, which keeps paper grain out of the estimate
MIN_DARKNESS = 24  # of 255: ink that is less dark cannot be distinguished from paper grain
MIN_INK = 16  # pixels of ink at working resolution; a page with less is blank
MAX_SHARE = 0.45  # of the page that is ink; above, it is a photograph or noise; the densest word has 0.38
SPECK = 6  # areas of a dot of the pen; a smaller piece is no stroke, but may be a dot or an accent
APART = 0.08  # share of the longest side of all strokes; a speck at a larger distance is dirt
WHITE = 176  # of 255: a page with a larger median is not a dark board
ALL_DARK = 80  # of 255: a page without contrast is black below this median, and blank above
CLOSE_UP = 0.5  # share of the working resolution; smaller writing is found again at a higher resolution


@dataclasses.dataclass(frozen=True)
class Ink:
    """The writing on a page, cropped, with its measurements.

    ``mask`` is ``uint8 [h, w]``, 1 ink and 0 paper. ``darkness`` is ``uint8 [h, w]``, 0 paper to 255 black. ``scale``
    is the number of their pixels for one pixel of the page, along a side.
    """

    mask: np.ndarray
    darkness: np.ndarray
    scale: float
    core_darkness: float  # darkness of the inside of strokes, 0 to 255
    page_share: float  # share of the page that is ink
    border_share: float  # share of the outermost pixels of the page that is ink

    @property
    def longest_side(self) -> float:
        """Return the longest side of the writing, in pixels of the page."""
        return max(self.mask.shape) / self.scale

    def to_grey(self) -> np.ndarray:
        """Return the ink with its grey levels on a background of 0: ``uint8 [h, w]``."""
        widened = cv2.dilate(self.mask, np.ones((3, 3), np.uint8))
        return self.darkness * widened

    def to_binary(self) -> np.ndarray:
        """Return the ink as 255 on a background of 0: ``uint8 [h, w]``."""
        return self.mask * np.uint8(255)


def working_side(height: int, width: int) -> int:
    """Return the working resolution for a canvas, in pixels of the longest side."""
    return round(WORKING * max(height, width))


def find_ink(grey: np.ndarray, side: int) -> Ink:
    """Find the ink in grey levels ``uint8 [height, width]``, at ``side`` pixels of the longest side (``working_side``).

    Raises ``Blank`` or ``TooMuchInk``.
    """
    ink, box = _find_ink(grey, side)
    if max(ink.mask.shape) >= CLOSE_UP * side or ink.scale >= 1:
        return ink
    # Small writing on a large page: crop the page to it, with some paper, and find it again at a higher resolution.
    top, bottom, left, right = (round(edge / ink.scale) for edge in box)
    margin = max(bottom - top, right - left) // 4
    crop = grey[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
    try:
        finer, _ = _find_ink(crop, side)
    except (Blank, TooMuchInk):
        return ink
    return dataclasses.replace(finer, page_share=ink.page_share, border_share=ink.border_share)


def fit_to_canvas(ink: np.ndarray, height: int, width: int, margin: float) -> np.ndarray:
    """Scale cropped ink to the canvas and centre it, with its aspect ratio.

    ``uint8 [h, w] -> uint8 [height, width, 1]``, 255 ink and 0 paper, so that padding is paper. ``margin`` is a share
    of the shorter side of the canvas.
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
    """Compute how much darker each pixel is than the paper around it, as a share of the brightness of that paper.

    ``uint8 [h, w] -> uint8 [h, w]``, 0 paper to 255 black. The estimate of the paper is a grey closing (a maximum, then
    a minimum) of a small copy, wider than any stroke. The division by it corrects uneven light.
    """
    small = _resize(grey, min(1.0, PAPER_SIDE / max(grey.shape)), cv2.INTER_AREA)
    reach = np.ones((PAPER_REACH, PAPER_REACH), np.uint8)
    paper = cv2.GaussianBlur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, reach), (0, 0), PAPER_BLUR)
    paper = cv2.resize(paper, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR)
    return cv2.divide(cv2.subtract(paper, grey), cv2.max(paper, 1), scale=255)  # type: ignore[call-overload]


def _find_ink(page: np.ndarray, side: int) -> tuple[Ink, tuple[int, int, int, int]]:
    """Find the ink of a page ``uint8 [h, w]``, and its box at working resolution: top, bottom, left, right."""
    ink = find_all_ink(page, side)
    left, top, width, height = cv2.boundingRect(ink.mask)
    window = (slice(top, top + height), slice(left, left + width))
    cropped = dataclasses.replace(ink, mask=ink.mask[window], darkness=ink.darkness[window])
    return cropped, (top, top + height, left, left + width)


def find_all_ink(page: np.ndarray, side: int) -> Ink:
    """Find the ink of a page ``uint8 [h, w]`` at ``side`` pixels of the longest side; the result has the whole page.

    Raises ``Blank`` or ``TooMuchInk``.
    """
    grey, scale = _resize_to_working_size(page, side)
    darkness = relative_darkness(_to_dark_on_light(grey))
    core_darkness = _measure_core_darkness(darkness)
    if core_darkness < MIN_DARKNESS and np.median(grey) < ALL_DARK:
        raise TooMuchInk(f"no writing found: the page is dark all over, {np.median(grey):.0f} of 255")
    if core_darkness < MIN_DARKNESS:
        raise Blank(
            f"no ink found: the darkest marks are {core_darkness:.0f} of 255 below the paper, ink needs {MIN_DARKNESS}"
        )
    mask, core_darkness = _find_writing(darkness, core_darkness)
    count = cv2.countNonZero(mask)
    if count < MIN_INK:
        raise Blank(f"no ink found: {count} dark pixels are left after cleaning, writing needs {MIN_INK}")
    if count > MAX_SHARE * mask.size:
        raise TooMuchInk(
            f"no writing found: {count / mask.size:.0%} of the page is dark, writing covers at most {MAX_SHARE:.0%}"
        )
    border_share = _count_border_pixels(mask) / (2 * sum(mask.shape))
    return Ink(mask, darkness, scale, core_darkness, count / mask.size, border_share)


def _resize_to_working_size(grey: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Resize the longest side to about ``side`` pixels; return the result and its scale.

    Small crops are enlarged, which gives their strokes smooth edges.
    """
    factor = int(max(grey.shape) / side * CLOSE_ENOUGH)
    if factor > 1:  # a whole factor first, which is fifty times faster
        height, width = (length // factor for length in grey.shape)
        divisible = grey[: height * factor, : width * factor] if height and width else grey
        grey = cv2.resize(divisible, (max(1, width), max(1, height)), interpolation=cv2.INTER_AREA)
    scale = side / max(grey.shape)
    if not 1 / CLOSE_ENOUGH <= scale <= CLOSE_ENOUGH:
        grey = _resize(grey, scale, cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    else:
        scale = 1.0
    return grey, scale / max(1, factor)


def _resize(grey: np.ndarray, scale: float, method: int) -> np.ndarray:
    """Resize by a factor, to at least one pixel a side."""
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return cv2.resize(grey, size, interpolation=method)


def _to_dark_on_light(grey: np.ndarray) -> np.ndarray:
    """Invert bright writing on a dark page: a page that is not white, on which two of three tests find bright writing.

    The tests fail in different cases: that of thin structures for broad strokes, that of the covered area for dense
    letters, that of the tails of the histogram for a page half in shadow.
    """
    if cv2.countNonZero(cv2.threshold(grey, WHITE - 1, 1, cv2.THRESH_BINARY_INV)[1]) < grey.size / 2:
        return grey  # the median is at least WHITE
    histogram = _count_levels(grey)
    median = int(np.searchsorted(np.cumsum(histogram), grey.size / 2))
    inverted = cv2.bitwise_not(grey)
    small = _resize(grey, min(1.0, 192 / max(grey.shape)), cv2.INTER_AREA)
    kernel = np.ones((5, 5), np.uint8)  # wider than a stroke, narrower than the paper between two strokes
    sums = (cv2.morphologyEx(small, hat, kernel).sum() for hat in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT))
    thin_bright, thin_dark = (float(total) for total in sums)
    is_bright = (
        thin_bright > thin_dark,
        _measure_covered_share(inverted)
        < _measure_covered_share(grey),  # with the wrong polarity, paper is taken for ink
        histogram[median + 40 :].sum() > histogram[: max(0, median - 40)].sum(),
    )
    return inverted if sum(is_bright) > 1 else grey


def _measure_covered_share(grey: np.ndarray) -> float:
    """Return the share of a page that is dark enough for ink; 1 if there is no contrast."""
    darkness = relative_darkness(grey)
    core_darkness = _measure_core_darkness(darkness)
    if core_darkness < MIN_DARKNESS:
        return 1.0
    return cv2.countNonZero(cv2.threshold(darkness, 0.5 * core_darkness, 1, cv2.THRESH_BINARY)[1]) / darkness.size


def _measure_core_darkness(darkness: np.ndarray) -> float:
    """Return the darkness of the inside of strokes: the 90th percentile of all pixels of at least ``MIN_DARKNESS``."""
    dark = darkness[darkness >= MIN_DARKNESS]  # counting these few pixels is five times faster than counting all
    if dark.size < MIN_INK:
        return 0.0
    return float(np.searchsorted(np.cumsum(np.bincount(dark, minlength=256)), 0.9 * dark.size))


def _find_writing(darkness: np.ndarray, core_darkness: float) -> tuple[np.ndarray, float]:
    """Find the strokes on plain or printed paper: ``uint8 [h, w]``, 1 ink; return them and their core darkness.

    On printed paper, the core darkness that was measured on the page is that of the print.
    """
    strong, weak = max(MIN_DARKNESS, 0.5 * core_darkness), max(MIN_DARKNESS * 0.75, 0.35 * core_darkness)
    pen = background.find_pen_levels(darkness, weak)
    if pen:
        mask = background.grow_to_edge(_find_strokes(darkness, pen.strong, pen.weak), darkness, pen.edge)
        if cv2.countNonZero(mask) >= background.LEAST_WRITING * mask.size:
            return mask, pen.core
    return _find_strokes(darkness, strong, weak), core_darkness


def _find_strokes(darkness: np.ndarray, strong: float, weak: float) -> np.ndarray:
    """Binarise with hysteresis, then remove lines and dirt: ``uint8 [h, w] -> uint8 [h, w]``, 1 ink.

    The edge of a stroke is at about half the darkness of its inside, so blur does not change its width. Fainter pixels
    are ink if they are connected to a dark one. A piece smaller than half a dot of the pen is dirt.
    """
    _, candidate = cv2.threshold(darkness, weak - 0.5, 1, cv2.THRESH_BINARY)
    candidate = remove_lines(candidate)
    pieces, numbers = cv2.connectedComponents(candidate, connectivity=8, ltype=cv2.CV_32S)
    labels = np.asarray(numbers, np.int32)
    if pieces == 1:
        return candidate
    # Counting the labels of ink pixels alone is ten times faster than OpenCV's statistics of the whole page.
    ink_pixels = np.flatnonzero(candidate > 0)
    piece_of, dark = labels.ravel()[ink_pixels], darkness.ravel()[ink_pixels] >= strong
    area, core = np.bincount(piece_of, minlength=pieces), np.bincount(piece_of[dark], minlength=pieces)
    dot = _measure_pen_width(candidate) ** 2
    keep = (core > 0) & (area >= max(3.0, 0.5 * dot))
    mask = np.zeros_like(candidate)
    mask.ravel()[ink_pixels] = keep[piece_of]
    is_stroke = keep & (area >= SPECK * dot)
    if not is_stroke.any():
        return mask
    strokes = np.zeros_like(candidate)
    strokes.ravel()[ink_pixels] = is_stroke[piece_of]
    return _drop_far_specks(mask, strokes)


def _drop_far_specks(mask: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """Remove specks at a distance from all strokes, which would widen the crop; dots and accents are closer."""
    left, top, width, height = cv2.boundingRect(strokes)
    margin = round(APART * max(width, height))
    near = np.zeros_like(mask)
    window = (slice(max(0, top - margin), top + height + margin), slice(max(0, left - margin), left + width + margin))
    near[window] = mask[window]
    return near


def _measure_pen_width(candidate: np.ndarray) -> float:
    """Estimate the mean stroke width in pixels: twice the area, divided by the pixels of the outline."""
    area = cv2.countNonZero(candidate)
    outline = area - cv2.countNonZero(cv2.erode(candidate, np.ones((3, 3), np.uint8)))
    return 2.0 * area / max(1, outline)


def _count_border_pixels(mask: np.ndarray) -> int:
    return int(mask[0].sum() + mask[-1].sum() + mask[1:-1, 0].sum() + mask[1:-1, -1].sum())


def _count_levels(grey: np.ndarray) -> np.ndarray:
    return cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
