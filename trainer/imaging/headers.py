"""Refuse files whose structure costs more time than their pixels, before a decoder opens them.

Small files can cause much work by their metadata: millions of empty blocks, profiles that unpack to a thousand times
their size, tags with millions of values. Works on file structures, not images. Next: ``decode.py``.
"""

import struct

from trainer.imaging.errors import ImageTooLarge

MAX_CHUNKS = 20_000  # of a PNG; encoders write data in chunks of 8 kB or more
MAX_PROFILES = 1  # of a PNG
MAX_MARKERS = 2_000  # of a JPEG before its first scan, fill bytes included
MAX_SCANS = 100  # of a progressive JPEG; encoders write about ten
MAX_BLOCKS = 200_000  # of a GIF, 255 bytes each
MAX_ENTRIES = 4_000  # of the directory of a TIFF
MAX_VALUES = 50_000  # of one TIFF tag, strips and tiles included
# Bytes of a value by its type: TIFF 6.0, sec. 2, and BigTIFF.
TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
TIFF_BLOBS = (34675, 37724, 700, 33723, 34377, 34665)  # tags of profiles and private data, which decoders read as bytes
STRIP_SIZES, TILE_SIZES = 279, 325  # tags


def check(data: bytes) -> None:
    """Check the structure of an image file. Raises ``ImageTooLarge``; damage is left to the decoder."""
    check_format = next((check_format for start, check_format in _CHECKS if data.startswith(start)), None)
    if check_format:
        try:
            check_format(data)
        except (struct.error, LookupError, OverflowError):
            return  # truncated, or an offset beyond the end: the decoder raises its own error


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


def _check_tiff(data: bytes) -> None:
    order = "<" if data.startswith(b"II") else ">"
    is_big = struct.unpack_from(order + "H", data, 2)[0] == 43  # BigTIFF, with offsets of 8 bytes
    offset = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)[0]
    entries = struct.unpack_from(order + ("Q" if is_big else "H"), data, offset)[0]
    _refuse(entries > MAX_ENTRIES, f"the TIFF's directory has {entries:,} entries")
    entry_format, entry_bytes = (order + "HHQ", 20) if is_big else (order + "HHI", 12)
    offset += 8 if is_big else 2
    for index in range(entries):
        tag, value_type, count = struct.unpack_from(entry_format, data, offset + index * entry_bytes)
        is_blob = tag in TIFF_BLOBS and value_type in (1, 7)
        _refuse(count > MAX_VALUES and not is_blob, f"the TIFF's tag {tag} has {count:,} values")
        if tag in (STRIP_SIZES, TILE_SIZES):
            position = offset + index * entry_bytes + (12 if is_big else 8)
            _check_strips(data, order, value_type, count, position, is_big)


def _check_strips(data: bytes, order: str, value_type: int, count: int, position: int, is_big: bool) -> None:
    """Check the sizes of strips or tiles, at ``position``: if they overlap, the same bytes are decoded repeatedly."""
    if count * TIFF_SIZES[value_type] > (8 if is_big else 4):
        position = struct.unpack_from(order + ("Q" if is_big else "I"), data, position)[0]
    value_format = {3: "H", 4: "I", 16: "Q"}.get(value_type)
    if value_format:
        total = sum(struct.unpack_from(f"{order}{count}{value_format}", data, position))
        _refuse(total > 2 * len(data) + 2**20, f"the TIFF's {count:,} strips or tiles claim {total:,} bytes")


def _refuse(condition: bool, message: str) -> None:
    if condition:
        raise ImageTooLarge(message)


_CHECKS = (
    (b"\x89PNG\r\n\x1a\n", _check_png),
    (b"\xff\xd8", _check_jpeg),
    (b"GIF8", _check_gif),
    (b"II*\0", _check_tiff),
    (b"MM\0*", _check_tiff),
    (b"II+\0", _check_tiff),
    (b"MM\0+", _check_tiff),
)
