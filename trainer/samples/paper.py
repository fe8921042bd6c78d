"""Paper, light, sensor noise and file format: render ink as a file from a scanner or a phone.

All of it is drawn from the same distributions for signatures, forgeries and words, so that a model cannot distinguish
them by anything but the writing. Next: ``generator.py``.
"""

import dataclasses
import io

import cv2
import numpy as np
from PIL import Image

from trainer.samples.pen import Pen


@dataclasses.dataclass(frozen=True)
class Capture:
    """One sheet of paper and one device; all but rotation, format and quality are relative to a reflectance of 1."""

    paper: tuple[float, float, float]  # RGB reflectance, 0 to 1
    grain: float  # amplitude of the texture
    shadow: float  # depth of the uneven light
    blur: float  # standard deviation in pixels
    noise: float  # standard deviation
    is_grey: bool
    rotation: float  # of the sheet, in degrees
    format: str  # of the file: PNG or JPEG
    quality: int  # of JPEG


def generate_capture(rng: np.random.Generator) -> Capture:
    """Generate a capture: mostly office paper on a flat-bed scanner, sometimes tinted or recycled paper, or a phone."""
    brightness = rng.uniform(0.86, 0.99)
    tint = [(1, 1, 1), (1, 0.985, 0.94), (0.96, 0.98, 1), (0.95, 0.94, 0.91)][rng.choice(4, p=[0.55, 0.2, 0.15, 0.1])]
    is_phone = rng.random() < 0.25
    return Capture(
        paper=tuple(brightness * np.array(tint)),
        grain=rng.uniform(0.004, 0.018),
        shadow=rng.uniform(0.05, 0.35) if is_phone else rng.uniform(0, 0.05),
        blur=rng.uniform(0.5, 1.5) if is_phone else rng.uniform(0.3, 0.8),
        noise=rng.uniform(0.01, 0.03) if is_phone else rng.uniform(0.002, 0.01),
        is_grey=bool(rng.random() < 0.4),
        rotation=rng.normal(0, 1.5),
        format="JPEG" if rng.random() < 0.5 else "PNG",
        quality=int(rng.integers(60, 96)),
    )


def render_scan(ink: np.ndarray, pen: Pen, capture: Capture, rng: np.random.Generator) -> np.ndarray:
    """Render ink on the paper of a capture as a scanner or a camera records it.

    ``float32 [h, w]`` ink (0 none, 1 darkest) to ``uint8 [h', w', 3]`` RGB, or ``uint8 [h', w']`` for grey devices.
    """
    ink = _place_on_sheet(ink, capture.rotation, rng)
    texture = _texture(ink.shape, capture.grain, rng)
    # Less ink stays on the paper where the relief of its fibres is high.
    opacity = (pen.darkness * np.clip(ink * (1 - 3 * np.abs(texture - 1)), 0, 1))[..., None]
    light = texture * _light(ink.shape, capture.shadow, rng)
    picture = light[..., None] * np.array(capture.paper, np.float32)
    picture *= 1 - opacity * (1 - np.array(pen.colour, np.float32))
    picture = cv2.GaussianBlur(picture, (0, 0), capture.blur)
    picture += capture.noise * rng.standard_normal(picture.shape, np.float32)
    levels = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    return cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY) if capture.is_grey else levels


def encode_file(picture: np.ndarray, capture: Capture) -> tuple[bytes, str]:
    """Encode a picture; returns the bytes of the file and its suffix."""
    buffer = io.BytesIO()
    options: dict[str, int] = {"quality": capture.quality} if capture.format == "JPEG" else {"compress_level": 4}
    Image.fromarray(picture).save(buffer, capture.format, **options)
    return buffer.getvalue(), ".jpg" if capture.format == "JPEG" else ".png"


def _place_on_sheet(ink: np.ndarray, rotation: float, rng: np.random.Generator) -> np.ndarray:
    """Add the margins of a manual crop and rotate by ``rotation`` degrees."""
    top, bottom, left, right = (int(rng.uniform(0.04, 0.3) * len(ink)) + 4 for _ in range(4))
    ink = cv2.copyMakeBorder(ink, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)
    centre = (ink.shape[1] / 2, ink.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(centre, rotation, 1)
    return cv2.warpAffine(ink, matrix, ink.shape[::-1], flags=cv2.INTER_LINEAR)


def _texture(shape: tuple[int, ...], grain: float, rng: np.random.Generator) -> np.ndarray:
    """Generate the relief of the paper around 1: fine fibres and coarse clouds, ``float32 [h, w]``."""
    fibres = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), 0.8)
    clouds = cv2.resize(rng.standard_normal((6, 8), np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return 1 + np.float32(grain) * (1.5 * fibres + 0.4 * clouds)


def _light(shape: tuple[int, ...], shadow: float, rng: np.random.Generator) -> np.ndarray:
    """Generate uneven light: a ramp across the sheet and one soft shadow, ``float32 [h, w]``, at most 1."""
    y = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(0, 1, shape[1], dtype=np.float32)[None, :]
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.float32(np.cos(angle) * 0.5) * x + np.float32(np.sin(angle) * 0.5) * y + np.float32(0.5)
    centre_x, centre_y = rng.random(2, np.float32)
    spot = np.exp(-3 * (x - centre_x) ** 2) * np.exp(-3 * (y - centre_y) ** 2)
    return 1 - np.float32(shadow) * (0.6 * np.clip(ramp, 0, 1) + 0.4 * spot)
