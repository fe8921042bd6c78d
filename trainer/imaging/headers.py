"""Files whose structure costs more than their pixels: found by walking over it before any decoder does.

Metadata is where small files hide much work: millions of empty blocks, profiles that unpack a thousandfold, tags with
millions of values. Knows file structures, not images. Next: ``decode.py``.
"""

import struct

from trainer.imaging.errors import ImageTooLarge

MOST_CHUNKS = 20_000  # of a PNG; encoders write data in pieces of 8 kB or more
MOST_PROFILES = 1
MOST_MARKERS = 2_000  # of a JPEG before its first scan, fill bytes included
MOST_SCANS = 100  # of a progressive JPEG; encoders write about ten
MOST_BLOCKS = 200_000  # of a GIF, 255 bytes each
MOST_ENTRIES = 4_000  # of a TIFF's directory
MOST_VALUES = 50_000  # of one TIFF tag, strips and tiles included
TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
TIFF_BULK = (34675, 37724, 700, 33723, 34377, 34665)  # profiles and other programs' blobs: read as bytes, at no cost
STRIP_SIZES, TILE_SIZES = 279, 325


def check(data: bytes) -> None:
    """Refuse what would cost too much to open. Raises ``ImageTooLarge``; what is merely broken the decoder will say."""
    walk = next((walk for start, walk in _WALKS if data.startswith(start)), None)
    if walk:
        try:
            walk(data)
        except (struct.error, LookupError, OverflowError):
            return  # cut short, or pointing nowhere: the decoder's to refuse


def _png(data: bytes) -> None:
    at, chunks, profiles = 8, 0, 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return
        chunks, profiles = chunks + 1, profiles + (kind == b"iCCP")
        _refuse(chunks > MOST_CHUNKS, f"the PNG has more than {MOST_CHUNKS:,} chunks")
        _refuse(profiles > MOST_PROFILES, "the PNG has several colour profiles")
        at += 12 + length


def _jpeg(data: bytes) -> None:
    at, markers = 2, 0
    while at + 4 <= len(data):
        markers += 1
        _refuse(markers > MOST_MARKERS, f"the JPEG has more than {MOST_MARKERS:,} markers before its picture")
        if data[at] != 0xFF:
            at += 1  # stray bytes: decoders look on for the next marker
        elif data[at + 1] == 0xDA:
            break
        elif data[at + 1] in (0xFF, 0x00, 0x01) or 0xD0 <= data[at + 1] <= 0xD9:
            at += 1 if data[at + 1] == 0xFF else 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    end = data.find(b"\xff\xd9", at)  # phones append films after it
    scans = data.count(b"\xff\xda", at, end if end >= 0 else len(data))
    _refuse(scans > MOST_SCANS, f"the JPEG has more than {MOST_SCANS} scans")


def _gif(data: bytes) -> None:
    flags, blocks, pictures = data[10], 0, 0
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while pictures < 2 and data[at] != 0x3B:
        if data[at] == 0x2C:  # a picture
            pictures += 1
            flags = data[at + 9]
            at += 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0) + 1
        elif data[at] == 0x21:  # an extension
            at += 2
        else:
            return
        while data[at]:
            blocks += 1
            _refuse(blocks > MOST_BLOCKS, f"the GIF has more than {MOST_BLOCKS:,} blocks")
            at += 1 + data[at]
        at += 1


def _tiff(data: bytes) -> None:
    order = "<" if data.startswith(b"II") else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    entries = struct.unpack_from(order + ("Q" if big else "H"), data, offset)[0]
    _refuse(entries > MOST_ENTRIES, f"the TIFF's directory has {entries:,} entries")
    form, size = (order + "HHQ", 20) if big else (order + "HHI", 12)
    offset += 8 if big else 2
    for number in range(entries):
        tag, kind, count = struct.unpack_from(form, data, offset + number * size)
        bulk = tag in TIFF_BULK and kind in (1, 7)
        _refuse(count > MOST_VALUES and not bulk, f"the TIFF's tag {tag} has {count:,} values")
        if tag in (STRIP_SIZES, TILE_SIZES):
            _check_pieces(data, order, kind, count, offset + number * size + (12 if big else 8), big)


def _check_pieces(data: bytes, order: str, kind: int, count: int, at: int, big: bool) -> None:
    """Strips and tiles that overlap are decoded again and again."""
    if count * TIFF_SIZES[kind] > (8 if big else 4):
        at = struct.unpack_from(order + ("Q" if big else "I"), data, at)[0]
    letter = {3: "H", 4: "I", 16: "Q"}.get(kind)
    if letter:
        together = sum(struct.unpack_from(f"{order}{count}{letter}", data, at))
        _refuse(together > 2 * len(data) + 2**20, f"the TIFF's {count:,} pieces are said to hold {together:,} bytes")


def _refuse(condition: bool, message: str) -> None:
    if condition:
        raise ImageTooLarge(message)


_WALKS = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8", _jpeg),
    (b"GIF8", _gif),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"II+\0", _tiff),
    (b"MM\0+", _tiff),
)
