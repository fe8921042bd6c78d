"""``python -m predictor --model DIR``: serve an artefact until SIGTERM."""

import logging
import signal
import sys

# First thing: as PID 1 of a container a process ignores a SIGTERM that comes before it has a handler.
# uvicorn sets its own while it serves, and raises the signal again when it has drained; this one then says "done".
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

import uvicorn  # noqa: E402

from predictor import settings  # noqa: E402
from predictor.app import create_app  # noqa: E402
from predictor.telemetry import JsonLines  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Serve; 0 after a clean stop, 1 when the model cannot be served."""
    chosen = settings.from_command_line(arguments)
    logging.basicConfig(level=logging.WARNING, handlers=[JsonLines()])
    failed = False

    def give_up():
        nonlocal failed
        failed = server.should_exit = True

    config = uvicorn.Config(
        create_app(chosen, give_up), chosen.host, chosen.port, loop="uvloop", http="httptools", ws="none",
        log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=int(chosen.deadline) + 1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.run()
    return 1 if failed or not server.started else 0


if __name__ == "__main__":
    raise SystemExit(main())
