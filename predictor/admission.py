"""Refuse requests that cannot be queued before their body is read, so that a flood costs little.

A refusal by the application costs as much as reading, parsing and logging a request: a flood of them would take the
processor from the answers. Here it costs the parsing of the headers. Next: ``protocol.py``, which asks; the executor
refuses what is admitted and is larger than the room that is left.
"""

import asyncio
import uuid
from collections.abc import Callable

from predictor.errors import Busy, error_body
from predictor.responses import RETRY_SECONDS
from predictor.telemetry import ID

LOG_INTERVAL = 1.0  # seconds of refusals that one line of the log counts
# After a refusal the next request of its connection is read some time later: at least PAUSE seconds, and so late that
# REFUSALS_PER_SECOND are not exceeded, but not later than the response told its client to come back.
PAUSE, REFUSALS_PER_SECOND = 0.02, 250
MAX_CONNECTIONS = 900  # open at the same time; where 1024 file descriptors are allowed, some are left
MESSAGE = "the queue of this server is full; try again shortly"


class Admission:
    """How many requests for predictions are in progress, and whether another one is admitted.

    ``route`` is that of predictions; other routes are always admitted. ``count_images`` returns the number of images
    that are processed or waiting, of which there may be ``capacity``, and as many requests. ``report`` is called with
    the number of refusals, at most once a second. All methods belong to the event loop's thread.
    """

    def __init__(self, route: str, capacity: int, count_images: Callable[[], int], report: Callable[[int], None]):
        self._route, self._capacity = route.encode(), capacity
        self._count_images, self._report = count_images, report
        self._in_progress = self._refused = 0
        self._next_refusal_at = 0.0
        self._paused: dict[asyncio.Transport, None] = {}  # in the order of their refusal

    def is_refused(self, method: bytes, url: bytes) -> bool:
        """Return whether a request with these first bytes is refused now."""
        if method != b"POST" or url.partition(b"?")[0] != self._route:
            return False
        return max(self._in_progress, self._count_images()) >= self._capacity

    def choose_pause(self, transport: asyncio.Transport) -> float:
        """Return the seconds after which the next request of a refused connection is read; it counts as paused."""
        self._paused[transport] = None
        now = asyncio.get_running_loop().time()
        self._next_refusal_at = max(now, self._next_refusal_at) + 1 / REFUSALS_PER_SECOND
        return min(max(PAUSE, self._next_refusal_at - now), float(RETRY_SECONDS))

    def end_pause(self, transport: asyncio.Transport) -> None:
        """Note that a connection is not paused any more: it is read again, or closed."""
        self._paused.pop(transport, None)

    def choose_victim(self, transport: asyncio.Transport, connections: int) -> asyncio.Transport | None:
        """Return the connection to cut off when a new one is too many: the first one refused, else the new one.

        So a health check is answered that comes over a new connection.
        """
        return None if connections <= MAX_CONNECTIONS else next(iter(self._paused), transport)

    def begin(self) -> None:
        """Count a request whose handler begins."""
        self._in_progress += 1

    def end(self) -> None:
        """Count a request as answered."""
        self._in_progress -= 1

    def make_refusal(self, headers: list[tuple[bytes, bytes]], is_closing: bool) -> bytes:
        """Count a refusal, and return the bytes of its response, as far as the application would make the same."""
        if not self._refused:
            asyncio.get_running_loop().call_later(LOG_INTERVAL, self._flush)
        self._refused += 1
        id = next(
            (value for name, value in headers if name == b"x-request-id" and ID.fullmatch(value.decode("latin-1"))),
            None,
        )
        body = error_body(Busy.code, MESSAGE)
        return b"".join(
            (
                b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\n",
                b"retry-after: %d\r\n" % RETRY_SECONDS,
                b"connection: close\r\n" if is_closing else b"",
                b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (id or uuid.uuid4().hex.encode(), len(body)),
                body,
            )
        )

    def _flush(self) -> None:
        refused, self._refused = self._refused, 0
        self._report(refused)
