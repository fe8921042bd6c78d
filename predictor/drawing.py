"""Draw what was found on a page: boxes in the colour of their label, with its score.

Next: ``trainer/artifact/finder.py``, which finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from trainer.artifact.page_finder import FoundPage

COLOURS = {"signature": (40, 40, 214), "initials": (40, 140, 40), "stamp": (214, 110, 40)}  # blue, green, red
OTHER = (120, 120, 120)


def draw_page(page: FoundPage) -> bytes:
    """Draw the regions on the picture of a page, which it has to have; returns a PNG file."""
    picture: Any = cv2.imdecode(np.frombuffer(page.picture or b"", np.uint8), cv2.IMREAD_COLOR)
    height, width = picture.shape[:2]
    factors = width / page.size[1], height / page.size[0]
    for region in page.regions:
        colour = COLOURS.get(region.label, OTHER)
        left, top, right, bottom = (round(edge * factors[index % 2]) for index, edge in enumerate(region.box))
        cv2.rectangle(picture, (left, top), (right, bottom), colour, 2, cv2.LINE_AA)
        text = f"{region.label} {region.score:.2f}"
        cv2.putText(picture, text, (left, max(12, top - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return cv2.imencode(".png", picture)[1].tobytes()
