"""Images that fit into a request: sent as they are where they do, else as a smaller grey PNG with the same strokes.

What a model sees of an image is some hundred pixels wide, so a scan of a whole page loses nothing that counts. Decoded
by the one decoder of trainer and server, turned upright by it. Knows images, not the cloud.
"""

import cv2
import numpy as np

from trainer.console.errors import UserError
from trainer.imaging import decode

LEAST = 512  # pixels of the longer side below which strokes would be lost
STEP = 0.8  # of the size, each time it is still too large


def fitting(image: bytes, largest: int) -> bytes:
    """The file itself if its base64 is at most ``largest`` bytes, else a smaller image of the same.

    Raises ``ImageError`` for what is no image, ``UserError`` when no size would do.
    """
    if _encoded(len(image)) <= largest:
        return image
    grey = decode(image).grey
    while max(grey.shape) * STEP >= LEAST:
        size = (max(1, round(grey.shape[1] * STEP)), max(1, round(grey.shape[0] * STEP)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        packed = cv2.imencode(".png", grey)[1].tobytes()
        if _encoded(len(packed)) <= largest:
            return packed
    raise UserError(
        f"an image of {len(image):,} bytes cannot be made to fit {largest:,} bytes; crop it to the signature"
    )


def line() -> bytes:
    """An image of a drawn line, of nobody's hand, to ask whether anybody answers."""
    paper = np.full((96, 256), 255, np.uint8)
    bends = np.array([[20, 60], [70, 25], [110, 70], [160, 30], [235, 55]], np.int32)
    return cv2.imencode(".png", cv2.polylines(paper, [bends], isClosed=False, color=(20,), thickness=3))[1].tobytes()


def _encoded(size: int) -> int:
    """Bytes of base64."""
    return -(-size // 3) * 4
