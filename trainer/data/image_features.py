"""Trivial features of an image, without any shape: the input of the leak probe of an audit.

Next: ``image_index.py`` computes them for every image, ``audit/leak_probe.py`` is the probe.
"""

import cv2
import numpy as np

FEATURE_NAMES = ("paper level", "paper spread", "ink level", "ink spread", "edge softness", "stroke width", "ink share")
FILE_FEATURE_NAMES = ("image height", "image width")
RAW_FEATURE_NAMES = (*FEATURE_NAMES, *FILE_FEATURE_NAMES)
QUANTILES = (0.1, 0.5, 0.9)


def compute_features(grey: np.ndarray) -> np.ndarray:
    """Compute the ``FEATURE_NAMES`` of dark ink on light paper, ``uint8 [h, w] -> float32 [7]``.

    A canonical image has to be inverted. Levels are medians on either side of Otsu's threshold, spreads the 10th to the
    90th percentile; the stroke width (pixels) and the share of ink are logarithms.
    """
    threshold, mask = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    histogram = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    first_paper = int(threshold) + 1  # the darkest level of paper
    ink_counts, paper_counts = np.cumsum(histogram[:first_paper]), np.cumsum(histogram[first_paper:])
    area = max(1, int(ink_counts[-1]))
    ink = [int(np.searchsorted(ink_counts, quantile * ink_counts[-1])) for quantile in QUANTILES]
    paper = ink
    if first_paper < 256:
        paper = [first_paper + int(np.searchsorted(paper_counts, q * paper_counts[-1])) for q in QUANTILES]
    step = (paper[1] - ink[1]) / 5
    edge_area = histogram[int(ink[1] + step) + 1 : int(np.ceil(paper[1] - step))].sum()
    outline = area - cv2.countNonZero(cv2.erode(mask, np.ones((3, 3), np.uint8)))
    sizes = (np.log(2 * area / max(1, outline)), np.log(area / grey.size))
    levels = (paper[1], paper[2] - paper[0], ink[1], ink[2] - ink[0])
    return np.array([*levels, edge_area / area, *sizes], np.float32)
