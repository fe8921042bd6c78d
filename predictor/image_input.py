"""Every form that an image has in a Python program, turned into the bytes of an image file.

Imaging then decodes them like any other file. A PIL image and an array become a PNG file in memory, without loss.
Independent of artefacts. Next: ``recognizer.py``.
"""

import io
import os
from typing import Any

import numpy as np
import PIL.Image

from trainer import storage
from trainer.console.errors import UserError
from trainer.imaging import ImageError, ImageTooLarge, Limits, UnreadableImage
from trainer.imaging.decode import ORIENTATION

MAX_PATH = 1000  # characters; a longer text is an encoded image, which a message must not quote
PIL_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # what a PNG file holds without loss
# The PNG file of an array is as large as its pixels, so the limit on bytes follows from the one on pixels.
LIMITS = Limits(max_bytes=4 * Limits().max_pixels + 2**20)

ImageInput = str | os.PathLike[str] | bytes | PIL.Image.Image | np.ndarray
"""A path (``gs://`` too), the bytes of an image file, a PIL image, or an array ``uint8 [H, W]`` or ``[H, W, 3]``."""


class RecognizerError(UserError):
    """A call that cannot be answered; the message says what was received and what would be right."""


class UnreadableFile(ImageError):
    """There is no image file at a path, or it may not be read."""

    code = "unreadable_file"


class NotASignature(ImageError):
    """An image that a verifier rejects before it compares anything."""

    code = "not_a_signature"


def read_image(image: Any) -> bytes:
    """Return an image as the bytes of a file.

    Raises ``RecognizerError`` for a type, a dtype or a shape that is no image, and ``ImageError`` for an image that
    cannot be read.
    """
    match image:
        case bytes():
            return image
        case str() | os.PathLike():
            return _read_file(os.fspath(image))
        case PIL.Image.Image():
            return _encode_png(image)
        case np.ndarray():
            return _encode_png(_from_array(image))
    raise RecognizerError(
        f"the image is of type {type(image).__name__}; it has to be a path, bytes, a PIL image or a NumPy array"
    )


def describe_array(array: np.ndarray) -> str:
    """Describe dtype and shape, as ``uint8 [64, 128]``."""
    return f"{array.dtype} {list(array.shape)}"


def _read_file(path: str) -> bytes:
    if len(path) > MAX_PATH:
        raise RecognizerError(f"the image is a text of {len(path):,} characters, not a path; decode base64 to bytes")
    try:  # of a gs:// prefix nothing is copied: only an object is an image
        return storage.fetch(path, is_selected=lambda name: False).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in a path
        reason = getattr(error, "strerror", None) or error
        raise UnreadableFile(f"the image file {path!r} cannot be read: {reason}") from None


def _from_array(array: np.ndarray) -> PIL.Image.Image:
    has_image_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype == np.uint8 and has_image_shape and array.size:
        return PIL.Image.fromarray(array)
    hint = ""
    if array.dtype.kind == "f":
        hint = "; levels of 0 to 1 become uint8 by (array * 255).round().astype(np.uint8)"
    elif array.ndim == 3 and array.shape[2] == 4:
        hint = "; give RGBA as PIL.Image.fromarray(array): what is transparent is read as white paper"
    raise RecognizerError(
        f"the image is an array {describe_array(array)}; it has to be uint8 [height, width] (grey) or "
        f"uint8 [height, width, 3] (RGB), without an empty side{hint}"
    )


def _encode_png(image: PIL.Image.Image) -> bytes:
    """Write a PIL image as a PNG file, with its orientation. The file is not compressed, because it is read at once."""
    pixels = image.width * image.height
    if image.mode not in PIL_MODES or not pixels:
        raise RecognizerError(
            f"the PIL image has mode {image.mode!r} and {image.width} x {image.height} pixels; the mode has to be "
            f"{', '.join(PIL_MODES)}, as image.convert('RGB') makes it, and no side may be empty"
        )
    if pixels > LIMITS.max_pixels:  # checked here, because PIL decodes a file not before its pixels are needed
        raise ImageTooLarge(
            f"the image has {image.width} x {image.height} = {pixels:,} pixels; at most {LIMITS.max_pixels:,} are "
            "accepted"
        )
    file, exif = io.BytesIO(), PIL.Image.Exif()
    try:
        image.load()
        exif[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
        image.save(file, "PNG", compress_level=0, exif=exif, icc_profile=None)
    except Exception as error:  # noqa: BLE001 - PIL decodes here, and decoders raise whatever the bytes make them
        raise UnreadableImage(f"the PIL image is damaged ({type(error).__name__})") from None
    return file.getvalue()
