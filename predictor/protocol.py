"""Limits on the headers of a request, and JSON error responses to what is not HTTP.

uvicorn's parser accepts headers of any size and number, so that a client could fill the memory before a route is
known. Next: ``request_body.py``, which limits the body.
"""

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from predictor.errors import error_body

MAX_HEADER_BYTES, MAX_HEADERS = 32_768, 100  # with the request line; nginx allows 32 kB, gunicorn 100 lines
# Clients may offer an upgrade to another protocol, as Java's does on plain HTTP. A server may ignore it (RFC 9110,
# 7.8); uvicorn's parser would treat the body as data of that protocol, and lose it.
UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
LINGER = 0.5  # seconds until a refused connection is closed: a client that still sends would not see the response


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits on headers (431) and with JSON for malformed HTTP (400)."""

    _pending_bytes = _header_bytes = _header_count = 0
    _is_in_headers = True
    _is_refused = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and count the bytes of a header or trailer that never ends, which it does not report."""
        if self._is_refused:
            return
        if self._is_in_headers:
            head, end, rest = data.partition(b"\r\n\r\n")
            data = UPGRADE.sub(b"\r\nX-Ignored:", head) + end + rest
        self._pending_bytes += len(data)
        super().data_received(data)
        if self._pending_bytes > MAX_HEADER_BYTES and not self._is_refused:
            self._refuse_headers()

    def on_message_begin(self) -> None:
        """Begin to count the headers of a request."""
        self._header_bytes = self._header_count = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count a part of the request line."""
        self._count_bytes(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a whole header."""
        self._header_count += 1
        self._count_bytes(len(name) + len(value) + 4)  # ": " and the end of the line
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop counting; a body may follow."""
        self._is_in_headers, self._pending_bytes = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count nothing: ``request_body.py`` limits the body."""
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Count again: headers of the next request may follow."""
        self._is_in_headers, self._pending_bytes = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser failed on: headers over the limits, or bytes that are not HTTP."""
        if self._header_bytes > MAX_HEADER_BYTES or self._header_count > MAX_HEADERS:
            self._refuse_headers()
        else:
            self._refuse(b"400 Bad Request", error_body("bad_request", "the request is not HTTP/1.1"))

    def _count_bytes(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES or self._header_count > MAX_HEADERS:
            raise ValueError("headers over the limit")  # reaches send_400_response through the parser

    def _refuse_headers(self) -> None:
        message = f"the headers have more than {MAX_HEADER_BYTES:,} bytes or more than {MAX_HEADERS} lines"
        self._refuse(b"431 Request Header Fields Too Large", error_body("headers_too_large", message))

    def _refuse(self, status: bytes, body: bytes) -> None:
        self._is_refused = True
        if self.cycle and not self.cycle.response_complete and not self.cycle.more_body:
            self.cycle.keep_alive = False  # an earlier request: its response comes first and closes the connection
            return
        if self.cycle and not self.cycle.response_complete:  # this request, whose handler waits for the body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(b"HTTP/1.1 " + status + b"\r\n" + head + body)
        self.loop.call_later(LINGER, self.transport.close)
