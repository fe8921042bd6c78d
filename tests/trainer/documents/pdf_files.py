"""Write small PDF files with valid cross references, for tests; also those that no program would write."""

import hashlib
import struct
import zlib

LETTERS = b"BT /F 24 Tf 20 40 Td (Countersign) Tj ET"
PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")  # PDF 1.7, 7.6.3.3


def write(objects: list[str | bytes], trailer: str = "") -> bytes:
    """Return a PDF of these objects, numbered from 1; the first is the catalogue."""
    data, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        content = content.encode() if isinstance(content, str) else content
        data += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    start, count = len(data), len(objects) + 1
    data += b"xref\n0 %d\n0000000000 65535 f \n" % count
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return data + f"trailer\n<< /Size {count} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()


def write_compressed(objects: list[str]) -> bytes:
    """Return a PDF of these objects in an object stream, with a cross-reference stream: PDF 1.7, 7.5.7 and 7.5.8."""
    packed, index, count = b"", [], len(objects)
    for number, content in enumerate(objects, 1):
        index.append(f"{number} {len(packed)}")
        packed += content.encode() + b"\n"
    head = " ".join(index).encode() + b" "
    container = stream(
        zlib.compress(head + packed), f"/Type /ObjStm /N {count} /First {len(head)} /Filter /FlateDecode"
    )
    data = b"%%PDF-1.7\n%d 0 obj\n%b\nendobj\n" % (count + 1, container)
    rows = [(0, 0, 0), *((2, count + 1, place) for place in range(count)), (1, 9, 0), (1, len(data), 0)]
    table = zlib.compress(b"".join(struct.pack(">BIB", *row) for row in rows))
    entries = f"/Type /XRef /Size {len(rows)} /W [1 4 1] /Root 1 0 R /Filter /FlateDecode"
    return data + b"%d 0 obj\n%b\nendobj\nstartxref\n%d\n%%%%EOF\n" % (count + 2, stream(table, entries), len(data))


def stream(content: bytes, entries: str = "") -> bytes:
    """Return a stream object."""
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(content), entries.encode(), content)


def one_page(
    content: bytes | str = LETTERS, box: str = "0 0 200 100", page: str = "", catalogue: str = "", objects=()
) -> bytes:
    """Return a PDF of a page with this content stream; ``objects`` are numbered from 6."""
    content = content if isinstance(content, bytes) else content.encode()
    return write(
        [
            f"<< /Type /Catalog /Pages 2 0 R {catalogue} >>",
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents 4 0 R "
            f"/Resources << /Font << /F 5 0 R >> /XObject << {_name_objects(objects)} >> >> {page} >>",
            content if content.startswith(b"<<") else stream(content),
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            *objects,
        ]
    )


def _name_objects(objects) -> str:
    return " ".join(f"/X{number} {number} 0 R" for number in range(6, 6 + len(objects)))


def pages(*boxes: str, content: str = "") -> bytes:
    """Return a PDF of empty pages, each with its media box."""
    kids = " ".join(f"{number} 0 R" for number in range(4, 4 + len(boxes)))
    return write(
        [
            "<< /Type /Catalog /Pages 2 0 R >>",
            f"<< /Type /Pages /Kids [{kids}] /Count {len(boxes)} >>",
            stream(content.encode()),
            *(f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents 3 0 R >>" for box in boxes),
        ]
    )


def zeros(num_bytes: int) -> bytes:
    """Return zeros as zlib data, a thousandth of their size, in a time that does not depend on it."""
    megabyte, compressor = b"\0" * 2**20, zlib.compressobj(9)
    start = compressor.compress(megabyte) + compressor.flush(zlib.Z_FULL_FLUSH)
    compressor = zlib.compressobj(9, wbits=-15)
    block = compressor.compress(megabyte) + compressor.flush(zlib.Z_FULL_FLUSH)
    return start + block * (num_bytes // 2**20 - 1) + b"\3\0" + b"\0" * 4  # a last block, and a checksum


def encrypted(user_password: bytes, content: bytes = LETTERS) -> bytes:
    """Return a PDF of a page, encrypted by RC4 with a key of 40 bits: PDF 1.7, 7.6.3, revision 2."""
    padded, file_id, permissions = (user_password + PADDING)[:32], b"0123456789abcdef", struct.pack("<i", -4)
    owner_entry = rc4(hashlib.md5((b"owner" + PADDING)[:32]).digest()[:5], padded)
    key = hashlib.md5(padded + owner_entry + permissions + file_id).digest()[:5]
    page_key = hashlib.md5(key + (4).to_bytes(3, "little") + b"\0\0").digest()[:10]
    return write(
        [
            "<< /Type /Catalog /Pages 2 0 R >>",
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Contents 4 0 R "
            "/Resources << /Font << /F 5 0 R >> >> >>",
            stream(rc4(page_key, content)),
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            f"<< /Filter /Standard /V 1 /R 2 /P -4 /O <{owner_entry.hex()}> /U <{rc4(key, PADDING).hex()}> >>",
        ],
        trailer=f"/Encrypt 6 0 R /ID [<{file_id.hex()}> <{file_id.hex()}>]",
    )


def rc4(key: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt by RC4."""
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    output, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        output.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(output)


def nested_forms(depth: int, width: int) -> bytes:
    """Return a PDF of a page that draws ``width ** depth`` rectangles by drawings that contain drawings."""
    objects = [
        stream(
            f"/X{number + 1} Do ".encode() * width,
            f"/Type /XObject /Subtype /Form /BBox [0 0 200 100] /Resources << /XObject << /X{number + 1} "
            f"{number + 1} 0 R >> >>",
        )
        for number in range(6, 6 + depth)
    ]
    rectangle = stream(b"0 0 50 50 re f", "/Type /XObject /Subtype /Form /BBox [0 0 200 100]")
    return one_page("/X6 Do", objects=[*objects, rectangle])
