"""Refuse files whose structure costs more time than their pixels, before a decoder opens them.

Small files can cause much work by their metadata: millions of empty blocks, profiles that unpack to a thousand times
their size, tags with millions of values. Works on file structures, not images. Next: ``decode.py``.
"""

import dataclasses
import struct
from collections.abc import Iterator

from trainer.imaging.errors import ImageTooLarge

MAX_CHUNKS = 20_000  # of a PNG; encoders write data in chunks of 8 kB or more
MAX_PROFILES = 1  # of a PNG
MAX_MARKERS = 2_000  # of a JPEG before its first scan, fill bytes included
MAX_SCANS = 100  # of a progressive JPEG; encoders write about ten
MAX_BLOCKS = 200_000  # of a GIF, 255 bytes each
MAX_ENTRIES = 4_000  # of the directory of a TIFF
MAX_FRAMES = 1_000  # of a TIFF, each with a directory; a decoder reads all of them up to the frame
MAX_ALL_ENTRIES = 20_000  # of those directories; scanners write about 20 for a page
MAX_VALUES = 50_000  # of one TIFF tag, strips and tiles included
# Bytes of a value by its type: TIFF 6.0, sec. 2, and BigTIFF.
TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
TIFF_BLOBS = (34675, 37724, 700, 33723, 34377, 34665)  # tags of profiles and private data, which decoders read as bytes
STRIP_SIZES, TILE_SIZES = 279, 325  # tags
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")  # those that Pillow opens


def check(data: bytes, frame: int = 0) -> None:
    """Check the structure of an image file, of a TIFF up to this frame.

    Raises ``ImageTooLarge``; damage is left to the decoder.
    """
    try:
        if data.startswith(TIFF_STARTS):
            _check_tiff(data, frame)
        for start, check_format in _CHECKS:
            if data.startswith(start):
                check_format(data)
    except (struct.error, LookupError, OverflowError):
        return  # truncated, or an offset beyond the end: the decoder raises its own error


@dataclasses.dataclass(frozen=True)
class TiffDirectory:
    """A directory of a TIFF, which describes one frame: ``num_entries`` tags from ``position`` on.

    ``order`` is the order of bytes for ``struct``; ``is_big`` is true for a BigTIFF, with offsets of 8 bytes.
    """

    data: bytes = dataclasses.field(repr=False)
    order: str
    is_big: bool
    position: int
    num_entries: int

    def iterate_entries(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield tag, type, number of values and the position of the values or of their offset."""
        entry_format, entry_bytes, header = ("HHQ", 20, 12) if self.is_big else ("HHI", 12, 8)
        for start in range(self.position, self.position + self.num_entries * entry_bytes, entry_bytes):
            yield *struct.unpack_from(self.order + entry_format, self.data, start), start + header


def iterate_directories(data: bytes) -> Iterator[TiffDirectory]:
    """Yield the directories of a TIFF as Pillow reads them, until the last or the first that repeats.

    Raises ``struct.error`` where one lies beyond the end of the file.
    """
    order = "<" if data.startswith(b"II") else ">"
    is_big = data[2] == 43  # Pillow's test, which takes a BigTIFF of big-endian order for a TIFF
    offset_format, count_format, count_bytes, entry_bytes = ("Q", "Q", 8, 20) if is_big else ("I", "H", 2, 12)
    offset = struct.unpack_from(order + offset_format, data, 8 if is_big else 4)[0]
    offsets: set[int] = set()
    while offset and offset not in offsets:
        offsets.add(offset)
        num_entries = struct.unpack_from(order + count_format, data, offset)[0]
        position = offset + count_bytes
        yield TiffDirectory(data, order, is_big, position, num_entries)
        offset = struct.unpack_from(order + offset_format, data, position + num_entries * entry_bytes)[0]


def _check_png(data: bytes) -> None:
    position, chunks, profiles = 8, 0, 0
    while position + 8 <= len(data):
        length, chunk_type = struct.unpack_from(">I4s", data, position)
        if chunk_type == b"IEND":
            return
        chunks, profiles = chunks + 1, profiles + (chunk_type == b"iCCP")
        _refuse(chunks > MAX_CHUNKS, f"the PNG has more than {MAX_CHUNKS:,} chunks")
        _refuse(profiles > MAX_PROFILES, "the PNG has several colour profiles")
        position += 12 + length


def _check_jpeg(data: bytes) -> None:
    position, markers = 2, 0
    while position + 4 <= len(data):
        markers += 1
        _refuse(markers > MAX_MARKERS, f"the JPEG has more than {MAX_MARKERS:,} markers before its picture")
        if data[position] != 0xFF:
            position += 1  # no marker: decoders skip bytes until the next
        elif data[position + 1] == 0xDA:
            break
        elif data[position + 1] in (0xFF, 0x00, 0x01) or 0xD0 <= data[position + 1] <= 0xD9:
            position += 1 if data[position + 1] == 0xFF else 2
        else:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    end = data.find(b"\xff\xd9", position)  # phones append videos after it
    scans = data.count(b"\xff\xda", position, end if end >= 0 else len(data))
    _refuse(scans > MAX_SCANS, f"the JPEG has more than {MAX_SCANS} scans")


def _check_gif(data: bytes) -> None:
    flags, blocks, frames = data[10], 0, 0
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while frames < 2 and data[position] != 0x3B:
        if data[position] == 0x2C:  # image descriptor
            frames += 1
            flags = data[position + 9]
            position += 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0) + 1
        elif data[position] == 0x21:  # extension
            position += 2
        else:
            return
        while data[position]:
            blocks += 1
            _refuse(blocks > MAX_BLOCKS, f"the GIF has more than {MAX_BLOCKS:,} blocks")
            position += 1 + data[position]
        position += 1


def _check_tiff(data: bytes, frame: int) -> None:
    """Check the directories up to a frame, all of which a decoder reads, and the strips of that frame."""
    all_entries = 0
    for index, directory in enumerate(iterate_directories(data)):
        _refuse(index >= MAX_FRAMES, f"the TIFF has more than {MAX_FRAMES:,} pages")
        _refuse(directory.num_entries > MAX_ENTRIES, f"the TIFF's directory has {directory.num_entries:,} entries")
        all_entries += directory.num_entries
        _refuse(all_entries > MAX_ALL_ENTRIES, f"the TIFF's directories have more than {MAX_ALL_ENTRIES:,} entries")
        for tag, value_type, count, position in directory.iterate_entries():
            is_blob = tag in TIFF_BLOBS and value_type in (1, 7)
            _refuse(count > MAX_VALUES and not is_blob, f"the TIFF's tag {tag} has {count:,} values")
            if tag in (STRIP_SIZES, TILE_SIZES) and index == frame:
                _check_strips(directory, value_type, count, position)
        if index == frame:
            return


def _check_strips(directory: TiffDirectory, value_type: int, count: int, position: int) -> None:
    """Check the sizes of strips or tiles, at ``position``: if they overlap, the same bytes are decoded repeatedly."""
    data, order, is_big = directory.data, directory.order, directory.is_big
    value_format = {3: "H", 4: "I", 16: "Q"}.get(value_type)
    if not value_format:
        return  # decoders ignore the tag, and may take one that follows
    if count * TIFF_SIZES[value_type] > (8 if is_big else 4):
        position = struct.unpack_from(order + ("Q" if is_big else "I"), data, position)[0]
    total = sum(struct.unpack_from(f"{order}{count}{value_format}", data, position))
    _refuse(total > 2 * len(data) + 2**20, f"the TIFF's {count:,} strips or tiles claim {total:,} bytes")


def _refuse(condition: bool, message: str) -> None:
    if condition:
        raise ImageTooLarge(message)


_CHECKS = (
    (b"\x89PNG\r\n\x1a\n", _check_png),
    (b"\xff\xd8", _check_jpeg),
    (b"GIF8", _check_gif),
)
