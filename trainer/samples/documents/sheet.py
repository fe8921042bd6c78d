"""A sheet of paper: parts are put on it in layers of one colour each, and what is to be found keeps its outline.

Lengths are in millimetres from the upper left corner of the sheet, y downwards, until ``recording.py`` makes pixels of
them. Next: ``kinds.py`` lays documents out on it.
"""

import dataclasses

import cv2
import numpy as np

BLACK = (0.0, 0.0, 0.0)
LABELS = ("signature", "initials", "stamp", "handwriting")  # of regions
MIN_SHOWN = 0.3  # of full ink, that counts for the outline of a part
Colour = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class LabelledPart:
    """What is on a page: its label, and an outline of its ink in pixels, ``float [n, 2]`` (x, y)."""

    label: str
    outline: np.ndarray

    def get_box(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the outline."""
        left, top = self.outline.min(axis=0)
        right, bottom = self.outline.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


class Sheet:
    """A sheet of ``width`` x ``height`` mm at ``scale`` pixels for each mm.

    ``layers`` are ink by colour, ``float32 [h, w]``, 0 none to 1 full; ``regions`` what is to be found.
    """

    def __init__(self, width: float, height: float, scale: float):
        self.width, self.height, self.scale = width, height, scale
        self.shape = (max(16, round(height * scale)), max(16, round(width * scale)))
        self.layers: dict[Colour, np.ndarray] = {}
        self.regions: list[LabelledPart] = []

    def to_pixels(self, length: float) -> int:
        """Return a length in pixels, at least 1."""
        return max(1, round(length * self.scale))

    def get_layer(self, colour: Colour = BLACK) -> np.ndarray:
        """Return the layer of a colour, new or not, ``float32 [h, w]``."""
        if colour not in self.layers:
            self.layers[colour] = np.zeros(self.shape, np.float32)
        return self.layers[colour]

    def put(
        self, ink: np.ndarray, left: float, top: float, colour: Colour = BLACK, label: str | None = None
    ) -> tuple[float, float, float, float]:
        """Put ink ``float32 [h, w]`` on the sheet, as far as it is on it; with a label it is a region.

        Returns left, top, right and bottom of the ink in mm.
        """
        x, y = round(left * self.scale), round(top * self.scale)
        box = (left, top, left + ink.shape[1] / self.scale, top + ink.shape[0] / self.scale)
        part = ink[max(0, -y) : max(0, self.shape[0] - y), max(0, -x) : max(0, self.shape[1] - x)]
        if not part.size:
            return box
        x, y = max(0, x), max(0, y)
        target = self.get_layer(colour)[y : y + part.shape[0], x : x + part.shape[1]]
        np.maximum(target, part, out=target)
        if label:
            self._add_region(label, part, x, y)
        return box

    def _add_region(self, label: str, part: np.ndarray, x: int, y: int) -> None:
        points = cv2.findNonZero((part > MIN_SHOWN * part.max()).astype(np.uint8))
        if points is not None:
            outline = cv2.convexHull(points)[:, 0].astype(float) + (x, y)
            self.regions.append(LabelledPart(label, np.concatenate([outline, outline + 1])))  # a pixel has four corners

    def rule(
        self, left: float, top: float, right: float, bottom: float, thickness: float = 0.3, colour: Colour = BLACK
    ) -> None:
        """Draw a straight line."""
        start, end = ((round(x * self.scale), round(y * self.scale)) for x, y in ((left, top), (right, bottom)))
        cv2.line(self.get_layer(colour), start, end, 1.0, self.to_pixels(thickness), cv2.LINE_AA)

    def frame(self, left: float, top: float, right: float, bottom: float, thickness: float = 0.3) -> None:
        """Draw a rectangle."""
        for edge in ((left, top, right, top), (left, bottom, right, bottom), (left, top, left, bottom),
                     (right, top, right, bottom)):  # fmt: skip
            self.rule(*edge, thickness)


def turn(ink: np.ndarray, degrees: float) -> np.ndarray:
    """Turn ink ``float32 [h, w]`` around its centre, on a sheet that holds all of it."""
    height, width = ink.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(width * cos + height * sin) + 2, int(height * cos + width * sin) + 2)
    matrix[:, 2] += (size[0] / 2 - width / 2, size[1] / 2 - height / 2)
    return cv2.warpAffine(ink, matrix, size, flags=cv2.INTER_LINEAR)
