"""HTTP's own layer: how large a request's headers may be, and the form of refusals below any route.

uvicorn's parser takes headers of any size and number; a client could fill the memory before a route is known. Next:
``bodies.py`` bounds what follows the headers.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from predictor import wire

MAX_HEADER_BYTES, MAX_HEADERS = 32_768, 100  # with the request line; nginx takes 32 kB, gunicorn 100 lines
LINGER = 0.5  # seconds for which a refused client may still send: closed at once, it would not see the refusal


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol that answers 431 where headers are too large or too many, and JSON where HTTP is malformed."""

    _received = _bytes = _count = 0
    _in_headers = True
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser. A header that never ends is not seen by it: bytes are counted here, too."""
        if self._refused:
            return
        self._received += len(data)
        super().data_received(data)
        if self._in_headers and self._received > MAX_HEADER_BYTES and not self._refused:
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
        self._in_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Headers of the next request may follow."""
        self._in_headers, self._received = True, 0
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
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(b"HTTP/1.1 " + status + b"\r\n" + head + body)
        self.loop.call_later(LINGER, self.transport.close)
