"""The canonical image of a whole page: its ink in the upper left corner of the canvas, and the way back to the file.

A page is not cropped to its ink, because places on it are what is asked for. A page without ink, or a dark one whose
ink cannot be told from the rest, is an empty one with a warning: it may be one of many in a document. Next:
``ink.py``, ``trainer/artifact/location.py``.
"""

import cv2
import numpy as np

from trainer.imaging.errors import Blank, TooMuchInk
from trainer.imaging.ink import Ink, find_all_ink

WORKING = 2.0  # working resolution: pixels of the longest side, times the longest side of the canvas


def find_page_ink(grey: np.ndarray, side: int) -> Ink:
    """Find the ink of a page ``uint8 [h, w]`` at ``side`` pixels of the longest side."""
    try:
        return find_all_ink(grey, side)
    except (Blank, TooMuchInk) as error:
        scale = min(1.0, side / max(grey.shape))
        empty = np.zeros([max(1, round(length * scale)) for length in grey.shape], np.uint8)
        is_dark = isinstance(error, TooMuchInk)
        return Ink(empty, empty, scale, 255.0 * is_dark, page_share=float(is_dark), border_share=0.0)


def compute_page_scale(size: tuple[int, int], canvas: tuple[int, int]) -> float:
    """Return the pixels of the canvas for one pixel of a page; both are (height, width)."""
    return min(canvas[0] / size[0], canvas[1] / size[1])


def fit_page(levels: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """Scale the levels of a page, ``uint8 [h, w]``, into the upper left corner of a canvas ``uint8 [H, W, 1]``."""
    scale = compute_page_scale(levels.shape[:2], canvas)
    size = [max(1, min(limit, round(length * scale))) for length, limit in zip(levels.shape, canvas, strict=True)]
    image = np.zeros((*canvas, 1), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image[: size[0], : size[1], 0] = cv2.resize(levels, size[::-1], interpolation=method)
    return image
