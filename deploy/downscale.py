"""Downscale images that exceed the size of a request: to a smaller grey PNG with the same strokes.

A model sees an image some hundred pixels wide, so a scan of a whole page loses nothing that matters. Images are decoded
as trainer and server decode them, and turned upright. Next: ``prediction_client.py`` puts images into requests.
"""

import cv2
import numpy as np

from trainer.console.errors import UserError
from trainer.imaging import decode

MIN_SIDE = 512  # pixels of the longer side; strokes would be lost below
SCALE_STEP = 0.8  # factor of the size in each iteration


def fit_image(image: bytes, max_bytes: int) -> bytes:
    """Return the file itself if its base64 has at most ``max_bytes``, else a smaller image.

    Raises ``ImageError`` for a file that is no image, ``UserError`` where no size of at least ``MIN_SIDE`` fits.
    """
    if _base64_size(len(image)) <= max_bytes:
        return image
    grey = decode(image).grey
    while max(grey.shape) * SCALE_STEP >= MIN_SIDE:
        size = (max(1, round(grey.shape[1] * SCALE_STEP)), max(1, round(grey.shape[0] * SCALE_STEP)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        png = cv2.imencode(".png", grey)[1].tobytes()
        if _base64_size(len(png)) <= max_bytes:
            return png
    raise UserError(
        f"an image of {len(image):,} bytes cannot be made to fit {max_bytes:,} bytes; crop it to the signature"
    )


def draw_test_image() -> bytes:
    """Return a PNG of a drawn line, no person's signature, for health checks."""
    paper = np.full((96, 256), 255, np.uint8)
    points = np.array([[20, 60], [70, 25], [110, 70], [160, 30], [235, 55]], np.int32)
    return cv2.imencode(".png", cv2.polylines(paper, [points], isClosed=False, color=(20,), thickness=3))[1].tobytes()


def _base64_size(size: int) -> int:
    """Return the length of the base64 text of ``size`` bytes."""
    return -(-size // 3) * 4
