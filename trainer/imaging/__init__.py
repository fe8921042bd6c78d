"""Make the canonical image of an image file: the preprocessing of both training and serving.

``decode.py`` turns bytes into grey levels, ``ink.py`` grey levels into ink, ``background.py`` finds printed paper,
``lines.py`` removes the lines of forms, ``quality.py`` makes warnings. NumPy, Pillow and OpenCV only, because the
server imports this. Next: ``decode.py``;
``python -m trainer.preprocess IN OUT`` writes canonical images.
"""

import dataclasses
import hashlib
import json

import cv2
import numpy as np

from trainer.imaging.decode import Limits, Page, decode
from trainer.imaging.errors import Blank, ImageError, ImageTooLarge, NoInk, TooMuchInk, UnreadableImage
from trainer.imaging.ink import CLOSE_UP, INKS, Ink, find_ink, fit_to_canvas, relative_darkness, working_side
from trainer.imaging.quality import (
    Measures,
    QualityLimits,
    QualityWarning,
    compute_quality,
    measure_page,
    measure_writing,
)
from trainer.imaging.whole_page import WORKING as PAGE_WORKING
from trainer.imaging.whole_page import find_page_ink, fit_page

__all__ = [
    "INKS",
    "Blank",
    "CanonicalImage",
    "ImageError",
    "ImageTooLarge",
    "Imaging",
    "Ink",
    "Limits",
    "Measures",
    "NoInk",
    "Page",
    "QualityLimits",
    "QualityWarning",
    "TooMuchInk",
    "UnreadableImage",
    "canonicalise",
    "compute_quality",
    "decode",
    "draw_ink",
    "encode_png",
    "find_warnings",
    "measure_quality",
    "read_ink",
    "relative_darkness",
]

# Increase this if the same bytes and parameters give another canonical image. It is part of the fingerprint, so older
# records are refused and not mixed with new ones; tests/golden detects a change. Do not increase it to correct the
# decoding of a kind of file that was read wrongly (too dark, or black), or the ink of a kind of page that was found
# wrongly (the print of security paper), while other images are equal: that would refuse every artefact.
ALGORITHM = 2

# Training has a pool of threads over files, serving a thread for each vCPU; OpenCV's own pool would compete with them.
cv2.setNumThreads(1)


FRAMINGS = ("ink", "page")


@dataclasses.dataclass(frozen=True)
class Imaging:
    """The parameters of canonical images, which the manifest of an artefact keeps.

    ``height`` and ``width`` are the canvas in pixels. ``margin`` is the empty border around the ink, as a share of the
    shorter side of the canvas. ``ink`` is ``soft-binary``, or ``grey`` to keep grey levels, which identify the scanner.
    ``framing`` is ``ink``, which is cropped and centred, or ``page``: the whole page, in the upper left corner.
    """

    height: int = 64
    width: int = 128
    margin: float = 0.04
    ink: str = "soft-binary"
    framing: str = FRAMINGS[0]

    def __post_init__(self):
        if not (16 <= self.height <= 1024 and 16 <= self.width <= 1024):
            raise ValueError(f"a canvas of {self.height} x {self.width} pixels; height and width must be 16 to 1024")
        if self.ink not in INKS:
            raise ValueError(f"ink {self.ink!r}; it has to be {' or '.join(INKS)}")
        if self.framing not in FRAMINGS:
            raise ValueError(f"framing {self.framing!r}; it has to be {' or '.join(FRAMINGS)}")

    @property
    def working_side(self) -> int:
        """Length in pixels of the longest side at which ink is decided; canvases of one length share the ink."""
        if self.framing == "page":
            return round(PAGE_WORKING * max(self.height, self.width))
        return working_side(self.height, self.width)

    def fingerprint(self) -> str:
        """Return 16 hex digits that differ for parameters or versions that make other canonical images."""
        parameters = dataclasses.asdict(self)
        if self.framing == FRAMINGS[0]:  # fingerprints of before have no framing
            del parameters["framing"]
        text = json.dumps({"algorithm": ALGORITHM, **parameters}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class CanonicalImage:
    """``image`` is ``uint8 [height, width, 1]``, 255 ink and 0 paper, with its quality ``warnings``.

    ``page`` is the decoded file, ``size`` its height and width in pixels, ``measures`` those of its quality.
    """

    image: np.ndarray
    warnings: tuple[QualityWarning, ...]
    page: Page
    size: tuple[int, int] = (0, 0)
    measures: Measures = dataclasses.field(default_factory=dict)


def canonicalise(
    data: bytes,
    imaging: Imaging,
    limits: Limits = Limits(),
    quality: QualityLimits = QualityLimits(),
    frame: int = 0,
) -> CanonicalImage:
    """Make the canonical image of an image file, or of the page ``frame`` of a TIFF, counted from 0.

    Deterministic: the same bytes and parameters give the same pixels. ``limits`` and ``quality`` do not change them.
    Raises ``ImageError``.
    """
    page, ink = read_ink(data, imaging, limits, frame)
    measures = measure_quality(ink, page, imaging)
    warnings = find_warnings(measures, page, imaging, quality)
    return CanonicalImage(draw_ink(ink, imaging), warnings, page, page.size, measures)


def read_ink(data: bytes, imaging: Imaging, limits: Limits = Limits(), frame: int = 0) -> tuple[Page, Ink]:
    """Decode an image file and find its ink at the working resolution of these parameters.

    ``frame`` is the page of a TIFF, counted from 0. ``draw_ink`` draws the ink on a canvas. Raises ``ImageError``.
    """
    side = imaging.working_side
    page = decode(data, limits, side, frame)
    if imaging.framing == "page":
        return page, find_page_ink(page.grey, side)
    ink = find_ink(page.grey, side)
    if page.downscale > 1 and max(ink.mask.shape) < CLOSE_UP * side:
        page = decode(data, limits, frame=frame)  # small writing on a large photograph needs the full resolution
        ink = find_ink(page.grey, side)
    return page, ink


def measure_quality(ink: Ink, page: Page, imaging: Imaging) -> Measures:
    """Measure the quality of ink that is one writing, or of a whole page, by the framing."""
    return measure_page(ink) if imaging.framing == "page" else measure_writing(ink, page)


def find_warnings(
    measures: Measures, page: Page, imaging: Imaging, quality: QualityLimits
) -> tuple[QualityWarning, ...]:
    """Return the quality warnings about measured ink; a page of a document has no further pages."""
    return quality.find_warnings(measures, page.has_more_pages and imaging.framing != "page")


def draw_ink(ink: Ink, imaging: Imaging) -> np.ndarray:
    """Draw ink on the canvas: ``uint8 [height, width, 1]``."""
    levels = ink.to_grey() if imaging.ink == "grey" else ink.to_binary()
    if imaging.framing == "page":
        return fit_page(levels, (imaging.height, imaging.width))
    return fit_to_canvas(levels, imaging.height, imaging.width, imaging.margin)


def encode_png(canonical: np.ndarray) -> bytes:
    """Encode a canonical image as a PNG file, black ink on white."""
    return cv2.imencode(".png", 255 - canonical[:, :, 0])[1].tobytes()
