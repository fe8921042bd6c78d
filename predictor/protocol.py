"""Limits on the headers of a request, JSON error responses to what is not HTTP, and early refusals.

uvicorn's parser accepts headers of any size and number, so that a client could fill the memory before a route is
known. Next: ``request_body.py``, which limits the body.
"""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from predictor.admission import PAUSE, Admission
from predictor.errors import error_body

MAX_HEADER_BYTES, MAX_HEADERS = 32_768, 100  # with the request line; nginx allows 32 kB, gunicorn 100 lines
# Clients may offer an upgrade to another protocol, as Java's does on plain HTTP. A server may ignore it (RFC 9110,
# 7.8); uvicorn's parser would treat the body as data of that protocol, and lose it.
UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
DROP_TIMEOUT = 10.0  # seconds in which the body of a refused request has to arrive
LINGER = 0.5  # seconds until a refused connection is closed: a client that still sends would not see the response


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits on headers (431), JSON for malformed HTTP (400), and refusals by ``admission``."""

    _pending_bytes = _header_bytes = _header_count = 0
    _is_in_headers = True
    _is_refused = False
    _is_dropping = False  # the body of a request that was refused when its headers were read
    _drop_timer: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, admission: Admission | None = None, **options: Any):
        """Make the protocol of one connection; without ``admission`` every request is passed on."""
        super().__init__(*arguments, **options)
        self._admission = admission

    def connection_made(self, transport: Any) -> None:
        """Accept a connection; where there are too many, one is cut off."""
        super().connection_made(transport)
        if self._admission and (victim := self._admission.choose_victim(transport, len(self.connections))):
            self._admission.end_pause(victim)
            victim.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        if self._admission:
            self._admission.end_pause(self.transport)
        super().connection_lost(exc)

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
        """Stop counting; a body may follow. Refuse at once what cannot be queued."""
        self._is_in_headers, self._pending_bytes = False, 0
        is_first = self.cycle is None or self.cycle.response_complete  # no earlier response of this connection is due
        admission = self._admission
        if admission and is_first and admission.is_refused(self.parser.get_method(), self.url):
            self._is_dropping = True
            # Who waits for "100 Continue" may not send the body: the next bytes need not be a request.
            is_closing = self.expect_100_continue or not self.parser.should_keep_alive()
            refusal = admission.make_refusal(self.headers, is_closing)
            if is_closing:  # in a flood later than at once: who is refused would connect again
                self._is_refused = True
                self.loop.call_later(admission.choose_pause(self.transport) - PAUSE, self._close_with, refusal)
            else:
                self.transport.write(refusal)
                self._drop_timer = self.loop.call_later(DROP_TIMEOUT, self.transport.abort)
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count nothing: ``request_body.py`` limits the body. That of a refused request is dropped."""
        self._pending_bytes = 0
        if not self._is_dropping:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Count again: headers of the next request may follow."""
        self._is_in_headers, self._pending_bytes = True, 0
        if not self._is_dropping:
            super().on_message_complete()
            return
        self._is_dropping = False
        if self._drop_timer:
            self._drop_timer.cancel()
        if not self._is_refused:
            self.transport.pause_reading()
            pause = self._admission.choose_pause(self.transport)  # type: ignore[union-attr]
            self.loop.call_later(pause, self._continue)

    def _close_with(self, response: bytes) -> None:
        """Write the last response of a connection."""
        self.transport.write(response)
        self.loop.call_later(LINGER, self.transport.close)

    def _continue(self) -> None:
        """Read the next request of a connection, some time after one was refused."""
        if self.transport.is_closing():
            return
        self._admission.end_pause(self.transport)  # type: ignore[union-attr]
        self.transport.resume_reading()
        if self.cycle is None or self.cycle.response_complete:  # else the end of the response starts the timer
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

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
        self._close_with(b"HTTP/1.1 " + status + b"\r\n" + head + body)
