"""Decode the text of a request as common tools write it: base64 in its variants, and JSON that is not plain UTF-8.

Next: ``schema.py``, which parses the text.
"""

import re

import pybase64

from predictor.errors import BadRequest

BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}  # mark: encoding, empty for UTF-8
DATA_URL = re.compile(rb"data:[^,]*;base64,", re.IGNORECASE)
MAX_DATA_URL_HEAD = 200  # bytes: the part of a data URL before its base64 ends within them
URL_SAFE_TO_STANDARD, WHITE_SPACE = bytes.maketrans(b"-_", b"+/"), b" \t\r\n"


def decode_base64(text: str) -> bytes:
    """Decode base64 as common tools write it: wrapped lines, the URL-safe alphabet, no padding, a ``data:`` URL.

    RFC 4648, sections 3.1, 3.2 and 5; RFC 2397. Raises ``ValueError``.
    """
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        encoded = text.encode("ascii")
        if match := DATA_URL.match(encoded[:MAX_DATA_URL_HEAD]):
            encoded = encoded[match.end() :]
        encoded = encoded.translate(URL_SAFE_TO_STANDARD, WHITE_SPACE)
        return pybase64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)


def to_utf8(body: bytes | bytearray) -> bytes:
    """Remove the byte order mark that some editors and shells write; return UTF-8. Raises ``BadRequest``."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if body.startswith(mark):
            try:
                return body.decode(encoding).encode() if encoding else bytes(body[len(mark) :])
            except UnicodeError:
                raise BadRequest("the body is neither UTF-8 nor UTF-16; it has to be JSON in UTF-8") from None
    return bytes(body)  # a copy: ``Raw`` values that refer to a bytearray would keep it from being cleared
