"""HTTP's own layer: how large a request's headers may be, and the form of refusals below any route.

uvicorn's parser takes headers of any size and number; a client could fill the memory before a route is known. Next:
``bodies.py`` bounds what follows the headers.
"""

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from predictor import wire

MAX_HEADER_BYTES, MAX_HEADERS = 32_768, 100  # with the request line; nginx takes 32 kB, gunicorn 100 lines
# Clients may offer to go on with another protocol, as Java's does on plain HTTP. A server may ignore that (RFC 9110,
# 7.8); uvicorn's parser would take what follows for that protocol, and lose the body.
UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
LINGER = 0.5  # seconds for which a refused client may still send: closed at once, it would not see the refusal


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol that answers 431 where headers are too large or too many, and JSON where HTTP is malformed."""

    _unfinished = _bytes = _count = 0
    _in_headers = True
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser. It does not tell of a header or trailer that never ends: bytes are counted here, too."""
        if self._refused:
            return
        if self._in_headers:
            head, end, rest = data.partition(b"\r\n\r\n")
            data = UPGRADE.sub(b"\r\nX-Ignored:", head) + end + rest
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEADER_BYTES and not self._refused:
            self._refuse_headers()

    def on_message_begin(self) -> None:
        """Another request begins."""
        self._bytes = self._count = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        self._admit(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header."""
        self._count += 1
        self._admit(len(name) + len(value) + 4)  # ": " and the end of the line
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A body may follow."""
        self._in_headers, self._unfinished = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, which ``bodies.py`` bounds."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Headers of the next request may follow."""
        self._in_headers, self._unfinished = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The parser gave up: over the limits, or because this is not HTTP."""
        if self._bytes > MAX_HEADER_BYTES or self._count > MAX_HEADERS:
            self._refuse_headers()
        else:
            self._refuse(b"400 Bad Request", wire.error("bad_request", "the request is not HTTP/1.1"))

    def _admit(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MAX_HEADER_BYTES or self._count > MAX_HEADERS:
            raise ValueError("headers over the limit")  # reaches send_400_response through the parser

    def _refuse_headers(self) -> None:
        message = f"the headers have more than {MAX_HEADER_BYTES:,} bytes or more than {MAX_HEADERS} lines"
        self._refuse(b"431 Request Header Fields Too Large", wire.error("headers_too_large", message))

    def _refuse(self, status: bytes, body: bytes) -> None:
        self._refused = True
        if self.cycle and not self.cycle.response_complete and not self.cycle.more_body:
            self.cycle.keep_alive = False  # an earlier request: its answer comes first, and is the last
            return
        if self.cycle and not self.cycle.response_complete:  # this very request, which is waited for
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(b"HTTP/1.1 " + status + b"\r\n" + head + body)
        self.loop.call_later(LINGER, self.transport.close)
