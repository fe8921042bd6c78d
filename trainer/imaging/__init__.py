"""Bytes of an image file in, canonical ink out: the one preprocessing of training and serving.

NumPy, Pillow and OpenCV only; never TensorFlow (the server imports this). ``decode.py`` turns bytes
into grey levels, ``ink.py`` grey levels into the canonical image, ``quality.py`` says what is doubtful.
"""

import dataclasses
import hashlib
import json

import cv2
import numpy as np

from trainer.imaging.decode import FILE_SUFFIXES, Limits, decode
from trainer.imaging.errors import ImageError, ImageTooLarge, NoInk, UnreadableImage
from trainer.imaging.ink import find_ink, fit
from trainer.imaging.quality import Warning_, warnings_of

__all__ = [
    "FILE_SUFFIXES",
    "Canonical",
    "ImageError",
    "ImageTooLarge",
    "Imaging",
    "Limits",
    "NoInk",
    "UnreadableImage",
    "Warning_",
    "canonicalise",
]

# Raise this whenever the same bytes and parameters give another canonical image: it enters the fingerprint,
# so records made before are refused instead of silently mixed with new ones. tests/golden holds the proof.
ALGORITHM = 1

# One image is one thread's work, in training (a pool over files) as in serving (a lane per vCPU);
# OpenCV's own pool would only fight those threads.
cv2.setNumThreads(1)


@dataclasses.dataclass(frozen=True)
class Imaging:
    """What a run may choose about its canonical images; stored in the artefact's manifest.

    ``height`` and ``width`` are the canvas in pixels; ``margin`` is the empty border around the ink as a share of the
    canvas' shorter side.
    """

    height: int = 64
    width: int = 128
    margin: float = 0.04

    def __post_init__(self):
        if not (16 <= self.height <= 1024 and 16 <= self.width <= 1024):
            raise ValueError(f"a canvas of {self.height} x {self.width} pixels; height and width must be 16 to 1024")

    def fingerprint(self) -> str:
        """Sixteen hex digits that change whenever the canonical images of the same files would."""
        text = json.dumps({"algorithm": ALGORITHM, **dataclasses.asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Canonical:
    """``image`` is ``uint8 [height, width, 1]``, 255 ink and 0 paper; ``warnings`` say what is doubtful about it."""

    image: np.ndarray
    warnings: tuple[Warning_, ...]


def canonicalise(data: bytes, imaging: Imaging, limits: Limits = Limits()) -> Canonical:
    """One image file to the one form every model sees.

    Pure and deterministic: the same bytes and parameters give the same pixels. Raises ``ImageError``.
    """
    ink = find_ink(decode(data, limits), max(imaging.height, imaging.width))
    return Canonical(fit(ink.mask, imaging.height, imaging.width, imaging.margin), warnings_of(ink))
