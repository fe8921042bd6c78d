"""Decode the bytes of an image file to grey levels, after a check of its header against limits.

Works on files and colour, not ink. Any bytes give an array or an ``ImageError``. Next: ``ink.py`` finds the writing in
the grey levels.
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
JPEGS = (
    "JPEG",
    "MPO",
)  # some phones write MPO, several JPEGs in a .jpg file; the allowed format is JPEG also for these

# Pixels; larger images are reduced before colours are converted, because the conversion needs several copies.
MAX_UNREDUCED_PIXELS = 12_000_000
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I", "F")  # Pillow's modes of grey with more than 8 bits
DEPTHS = (1, 255, 1023, 4095, 16383, 65535)  # full scales of deep grey: float, then 8 to 16 bits
PIXELS_PER_BAND = 2**20  # of a large page, converted together
MAX_SIDE = 65_535  # pixels
TILE_WIDTH, TILE_HEIGHT = 322, 323  # TIFF 6.0 tags
ORIENTATION = 274  # tag of TIFF 6.0 and EXIF: how to turn the image upright
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda grey: grey[::-1, ::-1],
    4: np.flipud,
    5: np.transpose,
    6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: grey[::-1, ::-1].T,
    8: np.rot90,
}

# Pillow warns about unusual metadata of files that it reads correctly.
warnings.filterwarnings("ignore", module="PIL")
Image.MAX_IMAGE_PIXELS = None  # open_within_limits() has a limit, with a message that states it


@dataclasses.dataclass(frozen=True)
class Limits:
    """The largest accepted image file in bytes, and its largest size in pixels. They do not change the result."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000


def open_within_limits(data: bytes, limits: Limits, frame: int = 0) -> Image.Image:
    """Check size and format by the header alone; the returned image is not decoded yet.

    ``frame`` is a page of a TIFF, from 0; the limits hold for this page.

    Raises ``ImageTooLarge`` or ``UnreadableImage``.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the image has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted")
    if not data:
        raise UnreadableImage("the image is empty (0 bytes)")
    headers.check(data, frame)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:  # noqa: BLE001 - decoders raise any type of error; its message may quote the bytes
        known = ", ".join(FORMATS)
        raise UnreadableImage(f"the {len(data):,} bytes are not an image in a known format ({known})") from None
    if frame:
        _seek(image, frame)
    width, height = image.size
    # The decoder of WebP needs twice the memory for a pixel.
    max_pixels = limits.max_pixels // 2 if image.format == "WEBP" else limits.max_pixels
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise ImageTooLarge(
            f"the image has {width} x {height} = {width * height:,} pixels; at most {max_pixels:,} are accepted"
            f"{' in a WebP' * (image.format == 'WEBP')}, and {MAX_SIDE:,} along a side"
        )
    if image.format == "BMP" and image.info.get("compression", 0) in (1, 2):
        raise UnreadableImage("the BMP is run-length encoded, which is not read; save it uncompressed or as PNG")
    if image.format == "TIFF" and (tile_pixels := _read_tile_pixels(image)) > limits.max_pixels:
        raise ImageTooLarge(f"the TIFF has tiles of {tile_pixels:,} pixels; at most {limits.max_pixels:,} are accepted")
    return image


def _seek(image: Image.Image, frame: int) -> None:
    """Go to a page of a TIFF. Raises ``UnreadableImage`` if there is no such page, as in every other format."""
    if image.format != "TIFF":
        raise UnreadableImage(f"the {image.format} image has no page {frame + 1}; only a TIFF has several pages")
    try:
        image.seek(frame)
    except Exception:  # noqa: BLE001 - as in open_within_limits(); EOFError if there are fewer pages
        raise UnreadableImage(f"the TIFF has no page {frame + 1}, or that page is damaged") from None


def _read_tile_pixels(image: Image.Image) -> int:
    """Return the pixels of a tile of a TIFF, which may be far larger than the image. Raises ``UnreadableImage``."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    try:
        return int(tags.get(TILE_WIDTH, 1)) * int(tags.get(TILE_HEIGHT, 1))
    except (ValueError, TypeError, ArithmeticError):
        raise UnreadableImage("the TIFF's tiles have a size that is no number") from None


@dataclasses.dataclass(frozen=True)
class Page:
    """A decoded image: ``grey`` is ``uint8 [height, width]``, 0 black to 255 white, upright, on white paper.

    ``downscale`` is the number of pixels of the file for one pixel of ``grey``, along a side. ``has_more_pages`` means
    that pages or frames follow in the file, which are not read. ``format_and_mode`` is, for example, ``PNG RGB``.
    """

    grey: np.ndarray
    downscale: float = 1.0
    has_more_pages: bool = False
    format_and_mode: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the file in pixels."""
        height, width = (round(length * self.downscale) for length in self.grey.shape)
        return height, width


def decode(data: bytes, limits: Limits = Limits(), side: int | None = None, frame: int = 0) -> Page:
    """Decode the first page of an image file, or the page ``frame`` of a TIFF, counted from 0.

    With ``side``, the decoder of a JPEG may scale it down, at no cost, to no less than ``side`` pixels along the
    longest side. Raises ``ImageTooLarge`` or ``UnreadableImage``.
    """
    image = open_within_limits(data, limits, frame)
    longest, format_and_mode = max(image.size), f"{image.format} {image.mode}"
    try:
        has_more_pages = _has_more_pages(image, frame)
        if side and image.format in JPEGS:
            share = min(1.0, side / longest)
            image.draft("L", (math.ceil(image.width * share), math.ceil(image.height * share)))
        image.load()
        orientation = _read_orientation(image)
        grey = _deep_to_grey(image) if image.mode in DEEP_MODES else _to_grey(_reduce(image))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - as in open_within_limits(); any error of a decoder is a damaged file
        reason = type(error).__name__
        raise UnreadableImage(f"the {image.format} image of {len(data):,} bytes is damaged ({reason})") from None
    if not grey.size:
        raise UnreadableImage(f"the {image.format} image has no pixels")
    upright = np.ascontiguousarray(UPRIGHT.get(orientation, lambda g: g)(grey))
    return Page(upright, longest / max(grey.shape), has_more_pages, format_and_mode)


def _has_more_pages(image: Image.Image, frame: int) -> bool:
    if frame:  # of a TIFF; the number of its frames is not read, because that takes as long as there are frames
        return bool(image.tag_v2.next)  # type: ignore[attr-defined]
    return bool(getattr(image, "is_animated", False))


def _read_orientation(image: Image.Image) -> int:
    """Return the orientation of TIFF or EXIF, 1 to 8; 1, upright, if that cannot be read."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - as in open_within_limits(); the pixels may still be intact
        return 1


def _reduce(image: Image.Image) -> Image.Image:
    """Reduce an image by a whole factor, band by band, to at most about ``MAX_UNREDUCED_PIXELS``."""
    factor = math.ceil(math.sqrt(image.width * image.height / MAX_UNREDUCED_PIXELS))
    if factor == 1:
        return image
    if image.mode == "PA" or "transparency" in image.info:
        mode = "RGBA"  # transparency as alpha, because the mean of several colours is not the transparent colour
    elif image.mode in ("P", "1"):
        mode = "RGB" if image.mode == "P" else "L"
    elif image.mode in ("L", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I", "F"):
        mode = image.mode
    else:
        return image
    reduced = Image.new(mode, (math.ceil(image.width / factor), math.ceil(image.height / factor)))
    for top, band in _split_into_bands(image, factor):
        reduced.paste(band.convert(mode).reduce(factor), (0, top // factor))
    return reduced


def _split_into_bands(image: Image.Image, step: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Yield an image as (first row, band), in multiples of ``step`` rows, to avoid a copy of the whole image."""
    rows = max(1, PIXELS_PER_BAND // (image.width * step)) * step
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _to_grey(image: Image.Image) -> np.ndarray:
    """Convert an image of any mode but ``DEEP_MODES`` to ``uint8 [height, width]``, on white paper."""
    if image.mode == "LAB":
        return np.asarray(image.getchannel("L"))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(image.convert("L"))


def _deep_to_grey(image: Image.Image) -> np.ndarray:
    """Convert deep grey (16-bit PNG, 32-bit and float TIFF) to ``uint8 [height, width]``.

    The brightest pixel of the page determines the full scale, because scanners of 10 to 14 bits save levels in 16 bits.
    """
    brightest = _find_brightest(image)
    full_scale = next((depth for depth in DEPTHS if brightest <= depth), DEPTHS[-1])
    levels = np.asarray(_reduce(image))
    # Pillow does not reduce 16 bits, and sides that the factor does not divide are rounded up.
    if levels.size > MAX_UNREDUCED_PIXELS:
        factor = math.sqrt(MAX_UNREDUCED_PIXELS / levels.size)
        levels = levels.astype(np.uint16 if levels.dtype.kind == "u" else np.float32)  # types that OpenCV resizes
        levels = cv2.resize(levels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    levels = levels.astype(np.float32)
    levels = np.clip(np.where(np.isfinite(levels), levels, brightest), 0, full_scale)  # NaN and infinity become paper
    return (levels * (255.0 / full_scale) + 0.5).astype(np.uint8)


def _find_brightest(image: Image.Image) -> float:
    """Return the highest finite level, at least 0."""
    bands = (np.asarray(band) for _, band in _split_into_bands(image))
    return max(float(np.max(band, initial=0, where=np.isfinite(band))) for band in bands)
