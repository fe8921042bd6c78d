"""A load of HTTP requests from one process: raw sockets on one event loop, so that the client costs little.

Each connection sends its next request when the last is answered. Next: ``serving.py``, which compares servers with it.
"""

import asyncio
import dataclasses
import re
import time

import uvloop

LOST, NOBODY = 0, -1  # statuses of a request without an answer, and of a port where nobody listens any more
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclasses.dataclass
class Load:
    """What came of a load: seconds of every answer, by status; ``seconds`` is how long it went on."""

    answers: list[tuple[int, float]]
    seconds: float

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return sum(status == 200 for status, _ in self.answers) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the good answers came."""
        good = sorted(seconds for status, seconds in self.answers if status == 200)
        return 1000 * good[min(len(good) - 1, int(share * len(good)))] if good else float("nan")


def post(path: str, body: bytes) -> bytes:
    """A whole request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path: str) -> bytes:
    """A whole request."""
    return f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


def run(
    port: int,
    requests: list[bytes],
    connections: int,
    seconds: float,
    beside: bytes | None = None,
    pause: float = 0.0,
) -> tuple[Load, Load]:
    """Send these requests in turn over so many connections for some seconds, with a pause after each answer.

    ``beside`` is sent every 20 ms over one more connection; what came of it is the second load.
    """
    return uvloop.run(_run(port, requests, connections, seconds, beside, pause))


async def _run(port: int, requests: list[bytes], connections: int, seconds: float, beside: bytes | None, pause: float):
    began = time.perf_counter()
    until = began + seconds
    turned = [requests[at % len(requests) :] + requests[: at % len(requests)] for at in range(connections)]
    clients = [_Client(port, mine, until, pause) for mine in turned]
    other = _Client(port, [beside], until, pause=0.02) if beside else None
    await asyncio.gather(*(client.done() for client in [*clients, *([other] if other else [])]))
    spent = time.perf_counter() - began
    answers = [answer for client in clients for answer in client.answers]
    return Load(answers, spent), Load(other.answers if other else [], spent)


class _Client(asyncio.Protocol):
    """One connection, made again when the server closes it."""

    def __init__(self, port: int, requests: list[bytes], until: float, pause: float = 0.0):
        self.answers: list[tuple[int, float]] = []
        self._port, self._requests, self._until, self._pause = port, requests, until, pause
        self._loop = asyncio.get_running_loop()
        self._finished = self._loop.create_future()

    async def done(self) -> None:
        """Until its time is over and its last answer has come."""
        await self._connect()
        await self._finished

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, "127.0.0.1", self._port)
        except OSError:
            self._told(NOBODY)
            self._finish()

    def connection_made(self, transport):
        self._transport = transport
        self._send()

    def data_received(self, data):
        self._came += data
        if self._wanted is None:
            head, found, _ = self._came.partition(b"\r\n\r\n")
            if not found:
                return
            length = LENGTH.search(head)
            self._status, self._closes = int(head[9:12]), b"connection: close" in head.lower()
            self._wanted = len(head) + 4 + (int(length[1]) if length else 0)
        if len(self._came) >= self._wanted:
            self._told(self._status)
            if self._closes:
                self._transport.close()
            elif self._pause:
                self._loop.call_later(self._pause, self._send)
            else:
                self._send()

    def connection_lost(self, error):
        if self._sent:
            self._told(LOST)
        if time.perf_counter() < self._until:
            self._loop.create_task(self._connect())
        else:
            self._finish()

    def _send(self):
        if time.perf_counter() >= self._until:
            self._transport.close()
            return
        self._came, self._wanted, self._sent = bytearray(), None, time.perf_counter()
        self._transport.write(self._requests[len(self.answers) % len(self._requests)])

    def _told(self, status):
        self.answers.append((status, time.perf_counter() - (self._sent or time.perf_counter())))
        self._sent = 0.0

    def _finish(self):
        if not self._finished.done():
            self._finished.set_result(None)

    _transport: asyncio.Transport
    _came = bytearray()
    _wanted: int | None = None
    _sent = 0.0
    _status, _closes = 0, False
