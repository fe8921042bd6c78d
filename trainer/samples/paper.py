"""Ink on paper, and the paper under a scanner or a phone: what turns a clean drawing into a file people would send.

Every choice here is made alike for signatures, forgeries and words, so that nothing but the writing tells them apart.
"""

import dataclasses
import io

import cv2
import numpy as np
from PIL import Image

from trainer.samples.pen import Pen


@dataclasses.dataclass(frozen=True)
class Capture:
    """One sheet and one device: colours as RGB reflectance 0 to 1, sizes in pixels."""

    paper: tuple[float, float, float]
    grain: float
    shadow: float
    blur: float
    noise: float
    grey: bool
    turn: float  # degrees the sheet lay askew
    format: str  # of the file: PNG or JPEG
    quality: int


def a_capture(rng: np.random.Generator) -> Capture:
    """Office paper on a flat-bed scanner mostly; tinted or recycled paper and phone cameras as well."""
    brightness = rng.uniform(0.86, 0.99)
    tint = [(1, 1, 1), (1, 0.985, 0.94), (0.96, 0.98, 1), (0.95, 0.94, 0.91)][rng.choice(4, p=[0.55, 0.2, 0.15, 0.1])]
    phone = rng.random() < 0.25
    return Capture(
        paper=tuple(brightness * np.array(tint)),
        grain=rng.uniform(0.004, 0.018),
        shadow=rng.uniform(0.05, 0.35) if phone else rng.uniform(0, 0.05),
        blur=rng.uniform(0.5, 1.5) if phone else rng.uniform(0.3, 0.8),
        noise=rng.uniform(0.01, 0.03) if phone else rng.uniform(0.002, 0.01),
        grey=bool(rng.random() < 0.4),
        turn=rng.normal(0, 1.5),
        format="JPEG" if rng.random() < 0.5 else "PNG",
        quality=int(rng.integers(60, 96)),
    )


def scan(ink: np.ndarray, pen: Pen, capture: Capture, rng: np.random.Generator) -> np.ndarray:
    """Put ink on the capture's paper and photograph it.

    ``float32 [h, w]`` ink (0 none, 1 darkest) to ``uint8 [h', w', 3]`` RGB, or ``uint8 [h', w']`` for grey devices.
    """
    ink = _on_a_sheet(ink, capture.turn, rng)
    texture = _texture(ink.shape, capture.grain, rng)
    # Ink sits in the paper's fibres: it is thinner where the grain is high.
    opacity = (pen.darkness * np.clip(ink * (1 - 3 * np.abs(texture - 1)), 0, 1))[..., None]
    light = texture * _light(ink.shape, capture.shadow, rng)
    picture = light[..., None] * np.array(capture.paper, np.float32)
    picture *= 1 - opacity * (1 - np.array(pen.colour, np.float32))
    picture = cv2.GaussianBlur(picture, (0, 0), capture.blur)
    picture += capture.noise * rng.standard_normal(picture.shape, np.float32)
    levels = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    return cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY) if capture.grey else levels


def encode(picture: np.ndarray, capture: Capture) -> tuple[bytes, str]:
    """The file's bytes and its suffix."""
    buffer = io.BytesIO()
    options = {"quality": capture.quality} if capture.format == "JPEG" else {"compress_level": 4}
    Image.fromarray(picture).save(buffer, capture.format, **options)
    return buffer.getvalue(), ".jpg" if capture.format == "JPEG" else ".png"


def _on_a_sheet(ink, turn, rng):
    """White space around the writing as a person would crop it, a little askew."""
    top, bottom, left, right = (int(rng.uniform(0.04, 0.3) * len(ink)) + 4 for _ in range(4))
    ink = cv2.copyMakeBorder(ink, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)
    centre = (ink.shape[1] / 2, ink.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(centre, turn, 1)
    return cv2.warpAffine(ink, matrix, ink.shape[::-1], flags=cv2.INTER_LINEAR)


def _texture(shape, grain, rng):
    """Paper's own relief: fine fibres and soft clouds around 1, ``float32 [h, w]``."""
    fibres = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), 0.8)
    clouds = cv2.resize(rng.standard_normal((6, 8), np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return 1 + np.float32(grain) * (1.5 * fibres + 0.4 * clouds)


def _light(shape, shadow, rng):
    """Uneven light: a ramp across the sheet and one soft shadow, ``float32 [h, w]``."""
    y = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(0, 1, shape[1], dtype=np.float32)[None, :]
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.float32(np.cos(angle) * 0.5) * x + np.float32(np.sin(angle) * 0.5) * y + np.float32(0.5)
    across, down = rng.random(2, np.float32)
    spot = np.exp(-3 * (x - across) ** 2) * np.exp(-3 * (y - down) ** 2)
    return 1 - np.float32(shadow) * (0.6 * np.clip(ramp, 0, 1) + 0.4 * spot)
