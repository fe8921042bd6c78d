"""What a person should be told about an image that was answered all the same: named warnings with a measured value.

Judges what ``ink.py`` found; never refuses (errors do that). The limits are in the artefact's manifest.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from trainer.imaging.decode import Page
    from trainer.imaging.ink import Ink


SHARPEST = 2.0  # pixels over which a central difference sees a step rise


@dataclasses.dataclass(frozen=True)
class Quality:
    """The limits of the warnings. They change no canonical image, so they are not part of its fingerprint."""

    blurred: float = 0.015  # at most: width of strokes' edges, as a share of the writing's longest side
    low_resolution: float = 40  # at least: pixels of the file along the writing's longest side; below, strokes merge
    low_contrast: float = 48  # at least: of 255, ink against paper
    cut_off: float = 0.002  # at most: share of the image's outermost pixels that is ink
    blank: float = 0.0005  # at least: share of the page that is ink; below it may be a dot of dirt
    too_much_ink: float = 0.35  # at most: share of the page that is ink; above it may be a photograph
    # At most: strokes that a column of the writing crosses, on average. Of 4,070 signatures and words of twelve public
    # sets none has more than 6, of 210 letters and receipts 84 % have more than 7.
    looks_like_a_page: float = 7

    def warnings(self, ink: Ink, page: Page) -> tuple[Warning_, ...]:
        """Everything doubtful about the writing that was found on a page, most telling first."""
        at_least = {"blank": ink.share, "low_resolution": ink.longest * page.shrink, "low_contrast": ink.typical}
        at_most = {
            "looks_like_a_page": strokes_across(ink),
            "too_much_ink": ink.share,
            "blurred": edge_width(ink),
            "cut_off": ink.at_border,
        }
        limits = dataclasses.asdict(self)
        missed = [(code, value) for code, value in at_least.items() if value < limits[code]]
        missed += [(code, value) for code, value in at_most.items() if value > limits[code]]
        if page.more:
            missed.append(("first_page", 2.0))  # at least two pages, of which one is read
        return tuple(Warning_(code, value, limits.get(code, 1)) for code, value in missed)


@dataclasses.dataclass(frozen=True)
class Warning_:
    """``code`` for machines, ``value`` measured, ``limit`` it missed."""

    code: str
    value: float
    limit: float


def strokes_across(ink: Ink) -> float:
    """How many separate strokes a column of the writing crosses, on average; lines of text add up, also askew."""
    begins = np.count_nonzero(ink.mask[1:] > ink.mask[:-1]) + np.count_nonzero(ink.mask[0])
    return float(begins / ink.mask.shape[1])


def edge_width(ink: Ink) -> float:
    """How far the darkness of strokes takes to rise, as a share of the writing's longest side.

    The steepest tenth of all edges counts, so a worn pen or a pencil's grain is not blur. The two pixels that the
    sharpest edge takes are not counted, so the canvas does not matter: sharp scans have about 0, at whatever size.
    """
    darkness = cv2.copyMakeBorder(ink.darkness, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    mask = cv2.copyMakeBorder(ink.mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    square = np.ones((3, 3), np.uint8)
    outline = cv2.subtract(cv2.dilate(mask, square), cv2.erode(mask, square)) > 0
    across = cv2.Sobel(darkness, cv2.CV_16S, 1, 0)[outline].astype(np.float32)
    down = cv2.Sobel(darkness, cv2.CV_16S, 0, 1)[outline].astype(np.float32)
    slopes = np.sqrt(across * across + down * down) / 8  # Sobel's weights add up to 8 levels a pixel
    steep = np.partition(slopes, int(0.9 * (slopes.size - 1)))[int(0.9 * (slopes.size - 1))]
    width = ink.typical / max(float(steep), 1e-3)
    return float(max(0.0, width - SHARPEST) / max(ink.mask.shape))


def score(warnings: tuple[Warning_, ...]) -> float:
    """One number for how good an image is: 1 without warnings, else the worst measure as a share of its limit."""
    judged = [w for w in warnings if w.code != "first_page"]
    return min([1.0, *(min(w.value, w.limit) / max(w.value, w.limit, 1e-9) for w in judged)])
