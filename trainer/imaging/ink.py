"""Grey levels to canonical ink: background out, binarise, clean, crop, fit.

Soft-binary: ink is decided black or white at full resolution and only then area-resized, so the greys of a canonical
image come from geometry alone. Grey levels of scans name the scanner, and with it the label, in the popular datasets.
Knows no file formats. Next: ``quality.py`` judges what is measured here.
"""

import dataclasses

import cv2
import numpy as np

from trainer.imaging.errors import NoInk

WORK_SIDE = 1024  # longest side, in pixels, at which ink is decided; larger scans are area-resized first
PAPER_SIDE = 96  # longest side of the paper estimate: light and shadow are smooth, writing is not
MIN_DARKNESS = 24  # of 255: ink that differs less from its paper cannot be told from the paper's own grain
MIN_INK = 24  # pixels of ink at working resolution below which a page is blank
MAX_SHARE = 0.6  # of the page dark: a black page or a photograph, not writing


@dataclasses.dataclass(frozen=True)
class Ink:
    """Writing found on a page: the mask at working resolution, and what was measured on the way.

    ``mask`` is ``bool [h, w]`` cropped to the ink; ``scale`` is working pixels per pixel of the file.
    """

    mask: np.ndarray
    scale: float
    darkness: float  # typical ink against its paper, 0 to 255
    at_border: float  # share of the image's outermost pixels that is ink


def find_ink(grey: np.ndarray, canvas_side: int) -> Ink:
    """Separate writing from paper on ``uint8 [height, width]`` grey levels.

    Raises ``NoInk`` for a blank page and for a page that is all ink.
    """
    grey, scale = _working_size(grey, canvas_side)
    darkness = relative_darkness(_dark_on_light(grey))
    typical = _typical_darkness(darkness)
    if typical < MIN_DARKNESS:
        raise NoInk(
            f"no ink found: the darkest marks are {typical:.0f} of 255 below the paper, ink needs {MIN_DARKNESS}"
        )
    mask = _strokes(darkness, typical)
    count = int(np.count_nonzero(mask))
    if count < MIN_INK:
        raise NoInk(f"no ink found: {count} dark pixels are left after cleaning, writing needs {MIN_INK}")
    if count > MAX_SHARE * mask.size:
        raise NoInk(
            f"no writing found: {count / mask.size:.0%} of the page is dark, writing covers at most {MAX_SHARE:.0%}"
        )
    at_border = _on_border(mask) / (2 * sum(mask.shape))
    top, bottom, left, right = _box(mask)
    mask = mask[top:bottom, left:right]
    return Ink(mask, scale, typical, at_border)


def fit(mask: np.ndarray, height: int, width: int, margin: float) -> np.ndarray:
    """Scale a cropped ink mask into the middle of the canvas, aspect kept.

    ``bool [h, w] -> uint8 [height, width, 1]``, 255 ink, 0 paper (so that padding is paper).
    """
    border = margin * min(height, width)
    scale = min((height - 2 * border) / mask.shape[0], (width - 2 * border) / mask.shape[1])
    inner_h = max(1, min(height, round(mask.shape[0] * scale)))
    inner_w = max(1, min(width, round(mask.shape[1] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    inner = cv2.resize(mask.astype(np.uint8) * 255, (inner_w, inner_h), interpolation=method)
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
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    paper = cv2.GaussianBlur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, reach), (0, 0), 4)
    paper = cv2.resize(paper, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR)
    return cv2.divide(cv2.subtract(paper, grey), np.maximum(paper, 1), scale=255)


def _working_size(grey: np.ndarray, canvas_side: int) -> tuple[np.ndarray, float]:
    """Bring the longest side between twice the canvas and ``WORK_SIDE``; small crops get smooth edges that way."""
    longest = max(grey.shape)
    scale = min(1.0, max(WORK_SIDE, 2 * canvas_side) / longest)
    if longest < 2 * canvas_side:
        scale = 2 * canvas_side / longest
    if scale == 1.0:
        return grey, scale
    return _resized(grey, scale, cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), scale


def _resized(grey: np.ndarray, scale: float, method: int) -> np.ndarray:
    """Scaled, at least one pixel either way: strips are images too."""
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return cv2.resize(grey, size, interpolation=method)


def _dark_on_light(grey: np.ndarray) -> np.ndarray:
    """Invert chalk on a board: a dark page whose outliers are brighter, not darker, than most of it."""
    histogram = _histogram(grey)
    middle = int(np.searchsorted(np.cumsum(histogram), grey.size / 2))
    if middle >= 128:
        return grey
    darker, brighter = histogram[: max(0, middle - 40)].sum(), histogram[middle + 40 :].sum()
    return cv2.bitwise_not(grey) if brighter > darker else grey


def _typical_darkness(darkness: np.ndarray) -> float:
    """The level of the ink's core: the 90th percentile of everything clearly darker than paper."""
    histogram = _histogram(darkness)
    histogram[:MIN_DARKNESS] = 0
    total = histogram.sum()
    if total < MIN_INK:
        return 0.0
    return float(np.searchsorted(np.cumsum(histogram), 0.9 * total))


def _strokes(darkness: np.ndarray, typical: float) -> np.ndarray:
    """Binarise with hysteresis and drop dirt: ``uint8 [h, w] -> bool [h, w]``.

    A stroke's edge is where darkness falls to about half of the ink's own (so blur does not change its width); fainter
    parts count when they hang on a dark one. Dirt is what is smaller than half the pen's own dot.
    """
    strong = max(MIN_DARKNESS, 0.5 * typical)
    weak = max(MIN_DARKNESS * 0.75, 0.35 * typical)
    candidate = (darkness >= weak).astype(np.uint8)
    pieces, labels, stats, _ = cv2.connectedComponentsWithStats(candidate, connectivity=8, ltype=cv2.CV_32S)
    if pieces == 1:
        return np.zeros(darkness.shape, bool)
    core = np.bincount(labels[darkness >= strong], minlength=pieces)
    area = stats[:, cv2.CC_STAT_AREA]
    keep = (core > 0) & (area >= max(3.0, 0.5 * _pen_width(candidate) ** 2))
    keep[0] = False
    return keep[labels]


def _pen_width(candidate: np.ndarray) -> float:
    """Mean stroke width in pixels: twice the area over the length of the outline."""
    area = int(np.count_nonzero(candidate))
    outline = area - int(np.count_nonzero(cv2.erode(candidate, np.ones((3, 3), np.uint8))))
    return 2.0 * area / max(1, outline)


def _on_border(mask: np.ndarray) -> int:
    return int(mask[0].sum() + mask[-1].sum() + mask[1:-1, 0].sum() + mask[1:-1, -1].sum())


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def _histogram(grey: np.ndarray) -> np.ndarray:
    return np.bincount(np.asarray(grey, np.uint8).ravel(), minlength=256)
