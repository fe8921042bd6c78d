"""``python -m predictor --model DIR``: serve an artefact until SIGTERM."""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import time

# First thing: as PID 1 of a container a process ignores a SIGTERM that comes before it has a handler.
# uvicorn sets its own while it serves, and raises the signal again when it has drained; this one then says "done".
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

import uvicorn

from predictor import settings
from predictor.app import create_app
from predictor.protocol import BoundedProtocol
from predictor.telemetry import JsonLines

M_ARENA_MAX = -8  # malloc.h
GRACE = 0.5  # seconds, after the last answer, for connections that clients keep open


def _bound_heaps() -> None:
    """glibc gives every thread a heap of its own and hands back little of any; two are enough for a few threads."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def _silence_native_libraries() -> None:
    """libtiff and libjpeg print to file descriptor 2, with bytes of the image. Python's own messages still go there."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


class Server(uvicorn.Server):
    """uvicorn that says no at its health route, and finishes what it took, before it stops listening."""

    _draining = False

    def handle_exit(self, sig, frame):
        drain = getattr(getattr(self.config.app, "state", None), "drain", None)
        if drain is None or self._draining:  # still starting, or told twice
            super().handle_exit(sig, frame)
            return
        self._draining = True

        async def stop():
            try:
                await drain()
                await self._let_go()
            finally:
                uvicorn.Server.handle_exit(self, sig, frame)

        loop = asyncio.get_event_loop()
        loop.call_soon_threadsafe(lambda: loop.create_task(stop()))

    async def _let_go(self) -> None:
        """Stop listening, and answer what still comes over open connections, each of which ends with its refusal.

        uvicorn closes idle connections at once, also those on which a request is on its way.
        """
        for server in self.servers:
            server.close()
        until = time.monotonic() + GRACE
        while self.server_state.connections and time.monotonic() < until:
            await asyncio.sleep(0.02)


def main(arguments: list[str] | None = None) -> int:
    """Serve; 0 after a clean stop, 1 when the model cannot be served, 3 (uvicorn's) when the port cannot be had."""
    chosen = settings.from_command_line(arguments)
    _silence_native_libraries()
    _bound_heaps()
    logging.basicConfig(level=logging.WARNING, handlers=[JsonLines()])
    failed = False

    def give_up():
        nonlocal failed
        failed = server.should_exit = True

    config = uvicorn.Config(
        create_app(chosen, give_up), chosen.host, chosen.port, loop="auto", http=BoundedProtocol, ws="none",
        log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=int(chosen.deadline) + 1,
    )  # fmt: skip
    server = Server(config)
    try:
        server.run()
    except KeyboardInterrupt:
        return 130
    return 1 if failed or not server.started else 0


if __name__ == "__main__":
    raise SystemExit(main())
