"""Find the pages of a TIFF, by its directories alone. Next: ``trainer/imaging/headers.py``, which reads directories."""

import itertools
import struct
from collections.abc import Iterator

from trainer.imaging.headers import MAX_FRAMES, TIFF_STARTS, TiffDirectory, iterate_directories

NEW_SUBFILE_TYPE = 254  # tag of TIFF 6.0, the first of a directory, because tags are sorted
REDUCED, MASK = 1, 4  # bits of its value: a smaller copy of another frame, and the transparency of another frame
LONG = 4  # type


def is_tiff(data: bytes) -> bool:
    """Return whether a file begins as a TIFF."""
    return data.startswith(TIFF_STARTS)


def iterate_frames(data: bytes) -> Iterator[int]:
    """Yield the frames of a TIFF that are pages: all but previews and masks, and always the first.

    Stops after the first frame that ``trainer.imaging.decode`` does not accept because there are too many before it.
    The frame that a damaged directory would describe counts as a page, so that the loss of a page is an error when it
    is decoded and does not pass unnoticed.
    """
    frame = 0
    try:
        for frame, directory in enumerate(itertools.islice(iterate_directories(data), MAX_FRAMES + 1)):
            if not frame or not _is_copy(directory):
                yield frame
            frame += 1
    except (struct.error, LookupError, OverflowError):
        yield frame


def _is_copy(directory: TiffDirectory) -> bool:
    """Return whether a directory describes a preview or a mask of another frame."""
    entry = next(directory.iterate_entries(), None)
    if not entry or entry[:3] != (NEW_SUBFILE_TYPE, LONG, 1):
        return False
    return bool(struct.unpack_from(directory.order + "I", directory.data, entry[3])[0] & (REDUCED | MASK))
