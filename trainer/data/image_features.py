"""Trivial features of an image, without any shape: what the leak probe of an audit tries to tell labels apart by.

Next: ``image_index.py`` computes them for every image, ``audit/leak.py`` judges them.
"""

import cv2
import numpy as np

NAMES = ("paper level", "paper spread", "ink level", "ink spread", "edge softness", "stroke width", "ink share")
FILE_NAMES = ("image height", "image width")
RAW_NAMES = (*NAMES, *FILE_NAMES)


def features(grey: np.ndarray) -> np.ndarray:
    """``NAMES`` of dark ink on light paper, ``uint8 [h, w] -> float32 [7]``; for a canonical image give 255 minus it.

    Levels are medians on either side of Otsu's threshold, spreads the 10th to the 90th percentile, widths and shares
    logarithms.
    """
    threshold, mask = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    cut = int(threshold) + 1
    below, above = np.cumsum(counts[:cut]), np.cumsum(counts[cut:])
    area = max(1, int(below[-1]))
    ink = [int(np.searchsorted(below, share * below[-1])) for share in (0.1, 0.5, 0.9)]
    paper = [cut + int(np.searchsorted(above, share * above[-1])) for share in (0.1, 0.5, 0.9)] if cut < 256 else ink
    step = (paper[1] - ink[1]) / 5
    edge = counts[int(ink[1] + step) + 1 : int(np.ceil(paper[1] - step))].sum()
    outline = area - cv2.countNonZero(cv2.erode(mask, np.ones((3, 3), np.uint8)))
    widths = (np.log(2 * area / max(1, outline)), np.log(area / grey.size))
    levels = (paper[1], paper[2] - paper[0], ink[1], ink[2] - ink[0])
    return np.array([*levels, edge / area, *widths], np.float32)
