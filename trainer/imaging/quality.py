"""Measure the quality of images, and warn where a measure is on the wrong side of its limit.

Measures the ink that ``ink.py`` found; refuses nothing, see ``errors.py``. An artefact's manifest has the limits, and
how the measures were distributed on its validation images (``trainer/artifact/monitoring.py``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from trainer.imaging.decode import Page
    from trainer.imaging.ink import Ink


Measures = Mapping[str, float]  # by name: those of ``measure_writing``
SHARPEST = 2.0  # pixels over which a step extends after central differences


@dataclasses.dataclass(frozen=True)
class QualityLimits:
    """The limits of the quality warnings. They change no canonical image, so they are not part of the fingerprint."""

    blurred: float = 0.015  # at most: width of the edges of strokes, as a share of the longest side of the writing
    low_resolution: float = 40  # at least: pixels of the file along the longest side; below, strokes merge
    low_contrast: float = 48  # at least: difference of ink and paper, in levels of 255
    cut_off: float = 0.002  # at most: share of the outermost pixels of the image that is ink
    blank: float = 0.0005  # at least: share of the page that is ink; below, it may be a speck of dirt
    too_much_ink: float = 0.35  # at most: share of the page that is ink; above, it may be a photograph
    # At most: strokes that a column of the writing crosses, on average. None of 4,070 signatures and words of twelve
    # public data sets has more than 6; 84 % of 210 letters and receipts have more than 7.
    looks_like_a_page: float = 7

    def find_warnings(self, measures: Measures, has_more_pages: bool = False) -> tuple[QualityWarning, ...]:
        """Return the warnings about the measures of an image, most informative first.

        ``has_more_pages``: whether the file has pages that are not read.
        """
        at_least = {"blank": "ink_share", "low_resolution": "writing_length", "low_contrast": "contrast"}
        at_most = {
            "looks_like_a_page": "strokes_across",
            "too_much_ink": "ink_share",
            "blurred": "edge_width",
            "cut_off": "border_share",
        }
        exceeded = self._select(
            {code: measures[name] for code, name in at_least.items() if name in measures},
            {code: measures[name] for code, name in at_most.items() if name in measures},
        )
        if has_more_pages:
            exceeded.append(QualityWarning("first_page", 2.0, 1))  # at least two pages; one is read
        return tuple(exceeded)

    def _select(self, at_least: dict[str, float], at_most: dict[str, float]) -> list[QualityWarning]:
        """Return the measures on the wrong side of their limits."""
        limits = dataclasses.asdict(self)
        exceeded = [(code, value) for code, value in at_least.items() if value < limits[code]]
        exceeded += [(code, value) for code, value in at_most.items() if value > limits[code]]
        return [QualityWarning(code, value, limits[code]) for code, value in exceeded]


@dataclasses.dataclass(frozen=True)
class QualityWarning:
    """A measured ``value`` on the wrong side of its ``limit``; ``code`` names the measure."""

    code: str
    value: float
    limit: float


def measure_writing(ink: Ink, page: Page) -> Measures:
    """Measure a writing: shares from 0 to 1, its length in pixels of the file, its contrast in levels of 255."""
    return {
        "ink_share": ink.page_share,
        "writing_length": ink.longest_side * page.downscale,
        "contrast": ink.core_darkness,
        "edge_width": measure_edge_width(ink),
        "border_share": ink.border_share,
        "strokes_across": count_strokes_across(ink),
    }


def measure_page(ink: Ink) -> Measures:
    """Measure a whole page, on which writing may be small and of many lines; an empty page has no contrast."""
    return {"ink_share": ink.page_share, **({"contrast": ink.core_darkness} if ink.page_share else {})}


def count_strokes_across(ink: Ink) -> float:
    """Count the strokes that a column of the writing crosses, on average: several lines of text have many."""
    starts = np.count_nonzero(ink.mask[1:] > ink.mask[:-1]) + np.count_nonzero(ink.mask[0])
    return float(starts / ink.mask.shape[1])


def measure_edge_width(ink: Ink) -> float:
    """Measure the width of the edges of strokes, as a share of the longest side of the writing.

    The width is that of the steepest tenth of all edges, so that a worn pen or the grain of a pencil is not taken for
    blur. ``SHARPEST`` is subtracted, so that sharp scans have about 0 at any size.
    """
    darkness = cv2.copyMakeBorder(ink.darkness, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    mask = cv2.copyMakeBorder(ink.mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    square = np.ones((3, 3), np.uint8)
    outline = cv2.subtract(cv2.dilate(mask, square), cv2.erode(mask, square)) > 0
    across = cv2.Sobel(darkness, cv2.CV_16S, 1, 0)[outline].astype(np.float32)
    down = cv2.Sobel(darkness, cv2.CV_16S, 0, 1)[outline].astype(np.float32)
    slopes = np.sqrt(across * across + down * down) / 8  # Sobel's weights add up to 8 levels a pixel
    steep = np.partition(slopes, int(0.9 * (slopes.size - 1)))[int(0.9 * (slopes.size - 1))]
    width = ink.core_darkness / max(float(steep), 1e-3)
    return float(max(0.0, width - SHARPEST) / max(ink.mask.shape))


def compute_quality(warnings: tuple[QualityWarning, ...]) -> float:
    """Rate the quality of an image, 0 to 1: 1 without warnings, else the worst ratio of a measure and its limit."""
    rated = [w for w in warnings if w.code != "first_page"]
    return min([1.0, *(min(w.value, w.limit) / max(w.value, w.limit, 1e-9) for w in rated)])
