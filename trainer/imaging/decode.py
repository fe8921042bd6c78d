"""Bytes of an image file to grey levels: admit by the header first, then decode.

Knows files and colour, not ink. Whatever the bytes are, the outcome is an array or an ``ImageError``.
Next: ``ink.py``, which finds the writing in the grey levels.
"""

import dataclasses
import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from trainer.imaging.errors import ImageTooLarge, UnreadableImage

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
FILE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})  # what folders are searched for

MAX_SCANS = 100  # of a progressive JPEG; encoders write about ten
MAX_PIECES = 50_000  # strips or tiles of a TIFF
TILE_WIDTH, TILE_HEIGHT, STRIP_OFFSETS, TILE_OFFSETS = 322, 323, 273, 324  # TIFF 6.0 tags

# Pillow warns about odd metadata of files it then reads well; a library user's log is not the place for it.
warnings.filterwarnings("ignore", module="PIL")
Image.MAX_IMAGE_PIXELS = None  # admit() has the limit, and says it in its message


@dataclasses.dataclass(frozen=True)
class Limits:
    """How large an image may be. They decide whether an answer comes, never which one."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000


def admit(data: bytes, limits: Limits) -> Image.Image:
    """Check size and format from the header alone; the returned image is not decoded yet.

    Raises ``ImageTooLarge`` or ``UnreadableImage``.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the image has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted")
    if not data:
        raise UnreadableImage("the image is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:  # noqa: BLE001 - plug-ins raise whatever the bytes make them; the cause may quote the bytes
        known = ", ".join(FORMATS)
        raise UnreadableImage(f"the {len(data):,} bytes are not an image in a known format ({known})") from None
    _refuse_bombs(image, data, limits)
    width, height = image.size
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"the image has {width} x {height} = {width * height:,} pixels; at most {limits.max_pixels:,} are accepted"
        )
    return image


def _refuse_bombs(image: Image.Image, data: bytes, limits: Limits) -> None:
    """Small files that cost far more than their pixels say. Raises ``ImageTooLarge`` or ``UnreadableImage``."""
    if image.format == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise ImageTooLarge(f"the JPEG has more than {MAX_SCANS} scans")
    if image.format == "BMP" and image.info.get("compression", 0) in (1, 2):
        raise UnreadableImage("the BMP is run-length encoded, which is not read; save it uncompressed or as PNG")
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        tile = int(tags.get(TILE_WIDTH, 1)) * int(tags.get(TILE_HEIGHT, 1))
        pieces = max(len(tags.get(tag, ())) for tag in (STRIP_OFFSETS, TILE_OFFSETS))
        if tile > limits.max_pixels or pieces > MAX_PIECES:
            raise ImageTooLarge(f"the TIFF has tiles of {tile:,} pixels in {pieces:,} pieces")


def decode(data: bytes, limits: Limits = Limits()) -> np.ndarray:
    """Decode one image file to grey levels, upright, transparency over white paper.

    Returns ``uint8 [height, width]``, 0 black to 255 white. Raises ``ImageTooLarge`` or ``UnreadableImage``.
    """
    image = admit(data, limits)
    try:
        image.load()
        grey = _grey(ImageOps.exif_transpose(image))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - see admit(): any decoder error is a damaged file
        kind = type(error).__name__
        raise UnreadableImage(f"the {image.format} image of {len(data):,} bytes is damaged ({kind})") from None
    if not grey.size:
        raise UnreadableImage(f"the {image.format} image has no pixels")
    return grey


def _grey(image: Image.Image) -> np.ndarray:
    """Any Pillow mode to ``uint8 [height, width]``."""
    if image.mode in ("I;16", "I;16L", "I;16B", "I", "F"):
        return _deep_grey(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layers)
    return np.asarray(image.convert("L"))


def _deep_grey(levels: np.ndarray) -> np.ndarray:
    """Deep grey (16-bit PNG, 32-bit and float TIFF) to ``uint8``; the brightest pixel tells its scale."""
    levels = np.nan_to_num(levels.astype(np.float32), nan=0.0, posinf=65535.0, neginf=0.0)
    top = float(levels.max(initial=0.0))
    full_scale = 1.0 if top <= 1.0 else 255.0 if top <= 255.0 else 65535.0
    return np.clip(levels * (255.0 / full_scale) + 0.5, 0, 255).astype(np.uint8)
