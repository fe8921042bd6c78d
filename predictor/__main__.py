"""``python -m predictor --artifact DIR``: serve an artefact until SIGTERM. Next: ``settings.py`` and ``app.py``."""

import asyncio
import contextlib
import ctypes
import functools
import logging
import os
import signal
import sys
import time
import types

from predictor.blas_threads import limit_blas_threads

# Before the imports, which take a second: process 1 of a container ignores a SIGTERM for which it has no handler.
# uvicorn sets its own handler while it serves, and raises the signal again when it has drained; this one then exits.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
# Also before the imports, of NumPy among others.
limit_blas_threads()

import uvicorn

from predictor.app import create_app
from predictor.models import Models
from predictor.people import PeopleFile
from predictor.protocol import BoundedProtocol
from predictor.service import Service
from predictor.settings import from_command_line
from predictor.telemetry import JsonLogHandler

M_ARENA_MAX = -8  # malloc.h
MAX_ARENAS = 2
GRACE = 0.5  # seconds, after the last answer, until idle connections are closed


def _limit_malloc_arenas() -> None:
    """Limit the heaps of glibc, which makes one for each thread and returns little of their memory."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, MAX_ARENAS)


def _silence_native_libraries() -> None:
    """Send file descriptor 2 to the null device: libtiff and libjpeg print bytes of images to it.

    ``sys.stderr`` becomes a copy of the descriptor, so that Python's messages are still printed.
    """
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


class DrainingServer(uvicorn.Server):
    """uvicorn's server that reports not ready and answers the accepted requests before it stops listening."""

    _is_draining = False

    def handle_exit(self, sig: int, frame: types.FrameType | None) -> None:
        """Drain at the first signal; stop at once at the second, or while the server is still starting."""
        drain = getattr(getattr(self.config.app, "state", None), "drain", None)
        if drain is None or self._is_draining:
            super().handle_exit(sig, frame)
            return
        self._is_draining = True

        async def stop() -> None:
            try:
                await drain()
                await self._close_connections()
            finally:
                uvicorn.Server.handle_exit(self, sig, frame)

        loop = asyncio.get_event_loop()
        loop.call_soon_threadsafe(lambda: loop.create_task(stop()))

    async def _close_connections(self) -> None:
        """Stop listening, and refuse the requests that still arrive, each of which closes its connection.

        uvicorn alone would close idle connections at once, also those over which a request is being sent.
        """
        for server in self.servers:
            server.close()
        expires_at = time.monotonic() + GRACE
        while self.server_state.connections and time.monotonic() < expires_at:
            await asyncio.sleep(0.02)


def main(arguments: list[str] | None = None) -> int:
    """Serve; return 0 after a clean stop, 1 when the model cannot be served, 3 (uvicorn's) when the port is in use."""
    logging.basicConfig(level=logging.WARNING, handlers=[JsonLogHandler()])
    settings = from_command_line(arguments)
    _silence_native_libraries()
    _limit_malloc_arenas()
    has_failed = False

    def on_load_failure() -> None:
        nonlocal has_failed
        has_failed = server.should_exit = True

    service = Service(settings, Models.open, PeopleFile.from_settings(settings))
    app = create_app(settings, service, on_load_failure)
    config = uvicorn.Config(
        app,
        settings.host,
        settings.port,
        loop="auto",
        http=functools.partial(BoundedProtocol, admission=app.state.admission),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.deadline) + 1,
    )
    server = DrainingServer(config)
    try:
        server.run()
    except KeyboardInterrupt:
        return 130
    return 1 if has_failed or not server.started else 0


def run() -> int:
    """Run ``python -m predictor``, or ``countersign-serve``; return its exit status."""
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
