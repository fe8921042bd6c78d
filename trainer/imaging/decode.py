"""Bytes of an image file to grey levels: admit by the header first, then decode.

Knows files and colour, not ink. Whatever the bytes are, the outcome is an array or an ``ImageError``.
Next: ``ink.py``, which finds the writing in the grey levels.
"""

import dataclasses
import io
import math
import warnings
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image

from trainer.imaging import headers
from trainer.imaging.errors import ImageTooLarge, UnreadableImage

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
JPEGS = ("JPEG", "MPO")  # MPO is what some phones write into a .jpg; Pillow opens it as JPEG and says so afterwards

ROOMY = 12_000_000  # pixels; larger images are box-reduced before colour is converted, which costs several copies
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I", "F")  # of more than 8 bits a pixel and channel
DEPTHS = (1, 255, 1023, 4095, 16383, 65535)  # full scales of deep grey: float, then 8 to 16 bits
BAND = 2**20  # pixels of a large page that are converted together
MAX_SIDE = 65_535  # pixels; a strip is no page
TILE_WIDTH, TILE_HEIGHT = 322, 323  # TIFF 6.0 tags
ORIENTATION = 274  # of TIFF 6.0 and EXIF: how the camera was held
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda grey: grey[::-1, ::-1],
    4: np.flipud,
    5: np.transpose,
    6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: grey[::-1, ::-1].T,
    8: np.rot90,
}

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
    headers.check(data)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:  # noqa: BLE001 - plug-ins raise whatever the bytes make them; the cause may quote the bytes
        known = ", ".join(FORMATS)
        raise UnreadableImage(f"the {len(data):,} bytes are not an image in a known format ({known})") from None
    width, height = image.size
    most = limits.max_pixels // 2 if image.format == "WEBP" else limits.max_pixels  # whose decoder takes twice as much
    if width * height > most or max(width, height) > MAX_SIDE:
        raise ImageTooLarge(
            f"the image has {width} x {height} = {width * height:,} pixels; at most {most:,} are accepted"
            f"{' in a WebP' * (image.format == 'WEBP')}, and {MAX_SIDE:,} along a side"
        )
    if image.format == "BMP" and image.info.get("compression", 0) in (1, 2):
        raise UnreadableImage("the BMP is run-length encoded, which is not read; save it uncompressed or as PNG")
    if image.format == "TIFF" and (tile := _tile(image)) > limits.max_pixels:
        raise ImageTooLarge(f"the TIFF has tiles of {tile:,} pixels; at most {limits.max_pixels:,} are accepted")
    return image


def _tile(image: Image.Image) -> int:
    """Pixels of one tile of a TIFF, which may be far larger than the picture. Raises ``UnreadableImage``."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    try:
        return int(tags.get(TILE_WIDTH, 1)) * int(tags.get(TILE_HEIGHT, 1))
    except (ValueError, TypeError, ArithmeticError):
        raise UnreadableImage("the TIFF's tiles have a size that is no number") from None


@dataclasses.dataclass(frozen=True)
class Page:
    """A decoded image: ``grey`` is ``uint8 [height, width]``, 0 black to 255 white, upright, on white paper.

    ``shrink`` is how many pixels of the file one of ``grey`` stands for, in either direction; ``more`` says that the
    file holds further pages or frames, which are not read. ``kind`` is the file's format and mode, such as ``PNG RGB``.
    """

    grey: np.ndarray
    shrink: float = 1.0
    more: bool = False
    kind: str = ""


def decode(data: bytes, limits: Limits = Limits(), side: int | None = None) -> Page:
    """Decode the first page of an image file.

    A JPEG may come smaller, as long as its longest side keeps ``side`` pixels: its decoder scales at no cost. Raises
    ``ImageTooLarge`` or ``UnreadableImage``.
    """
    image = admit(data, limits)
    longest, kind = max(image.size), f"{image.format} {image.mode}"
    try:
        more = bool(getattr(image, "is_animated", False))
        if side and image.format in JPEGS:
            share = min(1.0, side / longest)
            image.draft("L", (math.ceil(image.width * share), math.ceil(image.height * share)))
        image.load()
        turned = _orientation(image)
        grey = _deep_grey(image) if image.mode in DEEP_MODES else _grey(_roomy(image))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - see admit(): any decoder error is a damaged file
        reason = type(error).__name__
        raise UnreadableImage(f"the {image.format} image of {len(data):,} bytes is damaged ({reason})") from None
    if not grey.size:
        raise UnreadableImage(f"the {image.format} image has no pixels")
    upright = np.ascontiguousarray(UPRIGHT.get(turned, lambda g: g)(grey))
    return Page(upright, longest / max(grey.shape), more, kind)


def _orientation(image: Image.Image) -> int:
    """How the camera was held, by EXIF; upright where that is broken, which harms no picture."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - see admit()
        return 1


def _roomy(image: Image.Image) -> Image.Image:
    """A large image made smaller by a whole factor; what it costs in memory is bounded by the limit on pixels."""
    factor = math.ceil(math.sqrt(image.width * image.height / ROOMY))
    if factor == 1:
        return image
    if image.mode == "PA" or "transparency" in image.info:
        mode = "RGBA"  # a mean of colours is never the transparent colour
    elif image.mode in ("P", "1"):
        mode = "RGB" if image.mode == "P" else "L"
    elif image.mode in ("L", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I", "F"):
        mode = image.mode
    else:
        return image
    smaller = Image.new(mode, (math.ceil(image.width / factor), math.ceil(image.height / factor)))
    for top, band in _bands(image, factor):
        smaller.paste(band.convert(mode).reduce(factor), (0, top // factor))
    return smaller


def _bands(image: Image.Image, step: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """(first row, rows) of all of an image, a multiple of ``step`` rows at a time: a copy of it all costs memory."""
    rows = max(1, BAND // (image.width * step)) * step
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _grey(image: Image.Image) -> np.ndarray:
    """Any Pillow mode but ``DEEP_MODES`` to ``uint8 [height, width]``."""
    if image.mode == "LAB":
        return np.asarray(image.getchannel("L"))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layers)
    return np.asarray(image.convert("L"))


def _deep_grey(image: Image.Image) -> np.ndarray:
    """Deep grey (16-bit PNG, 32-bit and float TIFF) to ``uint8 [height, width]``.

    The brightest pixel of the whole page tells the scale: scanners of 10 to 14 bits save their levels in 16.
    """
    top = _brightest(image)
    full_scale = next((depth for depth in DEPTHS if top <= depth), DEPTHS[-1])
    levels = np.asarray(_roomy(image))
    if levels.size > ROOMY:  # 16 bits, which Pillow does not reduce, or a side that the factor does not divide
        factor = math.sqrt(ROOMY / levels.size)
        levels = levels.astype(np.uint16 if levels.dtype.kind == "u" else np.float32)  # what OpenCV resizes
        levels = cv2.resize(levels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    levels = levels.astype(np.float32)
    levels = np.clip(np.where(np.isfinite(levels), levels, top), 0, full_scale)  # what is no number is paper
    return (levels * (255.0 / full_scale) + 0.5).astype(np.uint8)


def _brightest(image: Image.Image) -> float:
    """The highest level that is a number, at least 0."""
    bands = (np.asarray(band) for _, band in _bands(image))
    return max(float(np.max(band, initial=0, where=np.isfinite(band))) for band in bands)
