"""A load of HTTP requests from one process: raw sockets on one event loop, so that the client needs little CPU.

Each connection sends its next request when the previous one is answered. Next: ``serving.py``, which compares servers.
"""

import asyncio
import dataclasses
import re
import time

import uvloop

LOST, REFUSED = 0, -1  # statuses of a request without an answer, and of a refused connection
CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
PROBE_INTERVAL = 0.02  # seconds


@dataclasses.dataclass
class Load:
    """The result of a load: (status, seconds) of every answer; ``seconds`` is the duration of the load."""

    answers: list[tuple[int, float]]
    seconds: float

    @property
    def rate(self) -> float:
        """Answers with status 200 a second."""
        return sum(status == 200 for status, _ in self.answers) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the milliseconds within which this share of the answers with status 200 arrived."""
        durations = sorted(seconds for status, seconds in self.answers if status == 200)
        if not durations:
            return float("nan")
        return 1000 * durations[min(len(durations) - 1, int(share * len(durations)))]


def make_post(path: str, body: bytes) -> bytes:
    """Make the bytes of a POST request with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def make_get(path: str) -> bytes:
    """Make the bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


def run(
    port: int,
    requests: list[bytes],
    connections: int,
    seconds: float,
    probe: bytes | None = None,
    pause: float = 0.0,
) -> tuple[Load, Load]:
    """Send these requests in turn over so many connections, with a pause of some seconds after each answer.

    ``probe`` is sent over one more connection, ``PROBE_INTERVAL`` after each answer; the second load is its result.
    """
    return uvloop.run(_run(port, requests, connections, seconds, probe, pause))


async def _run(
    port: int, requests: list[bytes], connections: int, seconds: float, probe: bytes | None, pause: float
) -> tuple[Load, Load]:
    started_at = time.perf_counter()
    expires_at = started_at + seconds
    starts = [index % len(requests) for index in range(connections)]  # each connection starts with another request
    clients = [_Client(port, requests[start:] + requests[:start], expires_at, pause) for start in starts]
    probes = [_Client(port, [probe], expires_at, PROBE_INTERVAL)] if probe else []
    await asyncio.gather(*(client.run() for client in [*clients, *probes]))
    duration = time.perf_counter() - started_at
    return tuple(
        Load([answer for client in group for answer in client.answers], duration) for group in (clients, probes)
    )


class _Client(asyncio.Protocol):
    """One connection, which is opened again when the server closes it."""

    def __init__(self, port: int, requests: list[bytes], expires_at: float, pause: float):
        self.answers: list[tuple[int, float]] = []
        self._port, self._requests, self._expires_at, self._pause = port, requests, expires_at, pause
        self._loop = asyncio.get_running_loop()
        self._finished = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._expected_bytes: int | None = None  # of head and body, when the head is complete
        self._sent_at = 0.0  # 0 while no request is in flight
        self._status, self._is_closing = 0, False

    async def run(self) -> None:
        """Send requests until the time is over and the last answer has arrived."""
        await self._connect()
        await self._finished

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, "127.0.0.1", self._port)
        except OSError:
            self._record(REFUSED)
            self._finish()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the next request."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Record the answer when it is complete, and send the next request."""
        self._received += data
        if self._expected_bytes is None:
            head, separator, _ = self._received.partition(b"\r\n\r\n")
            if not separator:
                return
            length = CONTENT_LENGTH.search(head)
            self._status, self._is_closing = int(head[9:12]), b"connection: close" in head.lower()
            self._expected_bytes = len(head) + 4 + (int(length[1]) if length else 0)
        if len(self._received) >= self._expected_bytes:
            self._record(self._status)
            if self._is_closing:
                self._transport.close()
            elif self._pause:
                self._loop.call_later(self._pause, self._send)
            else:
                self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Record a request without an answer, and connect again if there is time left."""
        if self._sent_at:
            self._record(LOST)
        if time.perf_counter() < self._expires_at:
            self._loop.create_task(self._connect())
        else:
            self._finish()

    def _send(self) -> None:
        if time.perf_counter() >= self._expires_at:
            self._transport.close()
            return
        self._received, self._expected_bytes, self._sent_at = bytearray(), None, time.perf_counter()
        self._transport.write(self._requests[len(self.answers) % len(self._requests)])

    def _record(self, status: int) -> None:
        self.answers.append((status, time.perf_counter() - (self._sent_at or time.perf_counter())))
        self._sent_at = 0.0

    def _finish(self) -> None:
        if not self._finished.done():
            self._finished.set_result(None)
