"""Bytes of an image file in, canonical ink out: the one preprocessing of training and serving.

NumPy, Pillow and OpenCV only; never TensorFlow (the server imports this). ``decode.py`` turns bytes into grey levels,
``ink.py`` grey levels into ink, ``lines.py`` takes out what forms draw, ``quality.py`` says what is doubtful.
``python -m trainer.preprocess IN OUT`` shows what models see.
"""

import dataclasses
import hashlib
import json

import cv2
import numpy as np

from trainer.imaging.decode import Limits, Page, decode
from trainer.imaging.errors import Blank, ImageError, ImageTooLarge, NoInk, TooMuchInk, UnreadableImage
from trainer.imaging.ink import CLOSE_UP, INKS, Ink, find_ink, fit, working_side
from trainer.imaging.quality import Quality, Warning_, score

__all__ = [
    "INKS",
    "Blank",
    "Canonical",
    "ImageError",
    "ImageTooLarge",
    "Imaging",
    "Ink",
    "Limits",
    "NoInk",
    "Page",
    "Quality",
    "TooMuchInk",
    "UnreadableImage",
    "Warning_",
    "as_png",
    "canonicalise",
    "decode",
    "draw",
    "read_ink",
    "score",
]

# Raise this whenever the same bytes and parameters give another canonical image: it enters the fingerprint,
# so records made before are refused instead of silently mixed with new ones. tests/golden holds the proof.
# The correction of a file that was decoded wrongly (too dark, or black) does not count: it would refuse every artefact.
ALGORITHM = 2

# One image is one thread's work, in training (a pool over files) as in serving (a lane per vCPU);
# OpenCV's own pool would only fight those threads.
cv2.setNumThreads(1)


@dataclasses.dataclass(frozen=True)
class Imaging:
    """What a run may choose about its canonical images; stored in the artefact's manifest.

    ``height`` and ``width`` are the canvas in pixels; ``margin`` is the empty border around the ink as a share of the
    canvas' shorter side; ``ink`` is ``soft-binary``, or ``grey`` to keep the ink's own levels (which name the scanner).
    """

    height: int = 64
    width: int = 128
    margin: float = 0.04
    ink: str = "soft-binary"

    def __post_init__(self):
        if not (16 <= self.height <= 1024 and 16 <= self.width <= 1024):
            raise ValueError(f"a canvas of {self.height} x {self.width} pixels; height and width must be 16 to 1024")
        if self.ink not in INKS:
            raise ValueError(f"ink {self.ink!r}; it has to be {' or '.join(INKS)}")

    @property
    def side(self) -> int:
        """Pixels along the longest side at which ink is decided; canvases of one side share the ink."""
        return working_side(self.height, self.width)

    def fingerprint(self) -> str:
        """Sixteen hex digits that change whenever the canonical images of the same files would."""
        text = json.dumps({"algorithm": ALGORITHM, **dataclasses.asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Canonical:
    """``image`` is ``uint8 [height, width, 1]``, 255 ink and 0 paper; ``warnings`` say what is doubtful about it.

    ``page`` is the decoded file that it was found on.
    """

    image: np.ndarray
    warnings: tuple[Warning_, ...]
    page: Page


def canonicalise(data: bytes, imaging: Imaging, limits: Limits = Limits(), quality: Quality = Quality()) -> Canonical:
    """One image file to the one form every model sees.

    Pure and deterministic: the same bytes and parameters give the same pixels. Raises ``ImageError``.
    """
    page, ink = read_ink(data, imaging, limits)
    return Canonical(draw(ink, imaging), quality.warnings(ink, page), page)


def read_ink(data: bytes, imaging: Imaging, limits: Limits = Limits()) -> tuple[Page, Ink]:
    """One image file to its page and the writing on it, at the resolution that this canvas needs.

    ``draw`` brings the ink onto any canvas. Raises ``ImageError``.
    """
    side = imaging.side
    page = decode(data, limits, side)
    ink = find_ink(page.grey, side)
    if page.shrink > 1 and max(ink.mask.shape) < CLOSE_UP * side:  # small writing on a large photograph: all its pixels
        page = decode(data, limits)
        ink = find_ink(page.grey, side)
    return page, ink


def draw(ink: Ink, imaging: Imaging) -> np.ndarray:
    """Ink on the canvas: ``uint8 [height, width, 1]``."""
    levels = ink.greys() if imaging.ink == "grey" else ink.binary()
    return fit(levels, imaging.height, imaging.width, imaging.margin)


def as_png(canonical: np.ndarray) -> bytes:
    """A canonical image as people look at it, black ink on white: a PNG file."""
    return cv2.imencode(".png", 255 - canonical[:, :, 0])[1].tobytes()
