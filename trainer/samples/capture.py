"""Scanners, phones, fax machines and file formats: record a page as the picture in a file.

Drawn from the same distributions for every kind of image. Next: ``generator.py``.
"""

import dataclasses
import io

import cv2
import numpy as np
from PIL import Image

from trainer.samples import paper

DEVICE_SHARES = (0.58, 0.2, 0.22)  # scanners, phones, bilevel devices


@dataclasses.dataclass(frozen=True)
class Capture:
    """One device and one file; amounts are relative to a reflectance of 1."""

    is_grey: bool
    is_bilevel: bool  # black or white, as of a fax
    shadow: float  # depth of the uneven light
    blur: float  # standard deviation in pixels
    noise: float  # standard deviation
    contrast: float  # factor of all levels around white
    rotation: float  # of the sheet, in degrees
    perspective: float  # share of a side by which a corner moves
    format: str  # of the file: PNG, JPEG or TIFF
    quality: int  # of JPEG


@dataclasses.dataclass(frozen=True)
class Scan:
    """The pixels of a file, ``uint8 [h, w]`` or ``[h, w, 3]`` (RGB), and how the file is encoded.

    ``matrix``, ``float [3, 3]``, maps points of the page to those of the picture, (x, y, 1) in pixels.
    """

    pixels: np.ndarray
    capture: Capture
    matrix: np.ndarray = dataclasses.field(default_factory=lambda: np.eye(3))


def generate_capture(rng: np.random.Generator, shares: tuple[float, float, float] = DEVICE_SHARES) -> Capture:
    """Generate a capture: mostly a flat-bed scanner, sometimes a phone, a fax or a copy of a copy.

    ``shares`` are those of scanners, phones and devices that know black and white alone.
    """
    device = rng.choice(["scanner", "phone", "bilevel"], p=shares)
    is_phone, is_bilevel = device == "phone", device == "bilevel"
    return Capture(
        is_grey=bool(is_bilevel or rng.random() < 0.55),
        is_bilevel=bool(is_bilevel),
        shadow=rng.uniform(0.05, 0.45) if is_phone else rng.uniform(0, 0.05),
        blur=rng.uniform(0.5, 1.5) if is_phone else rng.uniform(0.0, 0.8),
        noise=rng.uniform(0.01, 0.04) if is_phone else rng.uniform(0.002, 0.012),
        contrast=rng.uniform(0.5, 1.0) if rng.random() < 0.25 else 1.0,
        rotation=rng.normal(0, 2.5 if is_phone else 1.2),
        perspective=rng.uniform(0.01, 0.05) if is_phone else 0.0,
        format="PNG" if is_bilevel or rng.random() < 0.5 else "JPEG",
        quality=int(rng.integers(20, 96)),
    )


def scan(page: np.ndarray, capture: Capture, rng: np.random.Generator) -> Scan:
    """Record a page ``float32 [h, w, c]`` (reflectance, 0 to 1; c is 3 or 1) as a picture."""
    matrix = np.eye(3)
    if capture.rotation or capture.perspective:
        matrix = _draw_movement(page.shape[:2], capture, rng)
        size = page.shape[1::-1]
        page = cv2.warpPerspective(page, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    page = page.reshape(page.shape[0], page.shape[1], -1)
    if capture.shadow > 0.02:
        page = page * paper.draw_light(page.shape[:2], capture.shadow, rng)[..., None]
    if capture.blur > 0.2:
        side = 2 * round(2 * capture.blur) + 1
        page = cv2.GaussianBlur(page, (side, side), capture.blur).reshape(page.shape)
    noise = paper.draw_noise(page.shape[:2], rng)[..., None] * np.float32(capture.noise)
    page = page + noise
    if capture.contrast < 1:
        page = 1 - (1 - page) * np.float32(capture.contrast)
    if capture.is_bilevel:
        return Scan(_binarise(page[..., 0], rng), capture, matrix)
    levels = cv2.convertScaleAbs(np.clip(page, 0, 1), alpha=255)
    return Scan(levels.reshape(page.shape[:2]) if page.shape[2] == 1 else levels, capture, matrix)


def encode_file(picture: Scan) -> tuple[bytes, str]:
    """Encode a picture; returns the bytes of the file and its suffix."""
    buffer = io.BytesIO()
    is_jpeg = picture.capture.format == "JPEG"
    options: dict[str, int] = {"quality": picture.capture.quality} if is_jpeg else {"compress_level": 1}
    Image.fromarray(picture.pixels).save(buffer, picture.capture.format, **options)
    return buffer.getvalue(), ".jpg" if is_jpeg else ".png"


def _draw_movement(shape: tuple[int, int], capture: Capture, rng: np.random.Generator) -> np.ndarray:
    """Rotate the sheet, and tilt it before a camera; what was outside continues the paper of the edge."""
    height, width = shape
    angle = np.deg2rad(capture.rotation)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    centre = np.array([width / 2, height / 2])
    moved = (corners - centre) @ rotation + centre
    moved += rng.uniform(-1, 1, (4, 2)) * capture.perspective * (width, height)
    return cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))


def _binarise(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Binarise by one threshold, by one for each place, or by ordered dither: ``uint8 [h, w]``, 0 or 255."""
    method = rng.choice(3, p=[0.78, 0.18, 0.04])
    white, black = np.quantile(grey[::5, ::5], (0.9, 0.01))
    if method == 1:
        local = cv2.blur(grey, (31, 31))
        return np.where(grey < local * rng.uniform(0.8, 0.93), 0, 255).astype(np.uint8)
    share = rng.uniform(0.25, 0.6)  # with more, thin lines break into dust that shows no writing
    threshold = white - (white - black) * share
    if method == 2:
        bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) / 16 - 0.5
        tiled = np.tile(bayer, (grey.shape[0] // 4 + 1, grey.shape[1] // 4 + 1))[: grey.shape[0], : grey.shape[1]]
        threshold = threshold + tiled * 0.35 * (white - black)
    return np.where(grey < threshold, 0, 255).astype(np.uint8)
