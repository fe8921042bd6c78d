"""What the trainer's commands say: on standard output, and in the ``log.txt`` of the run they work in.

Python's logging, with one logger for this room. Messages name files and numbers, never what an image shows. Standard
library only; knows neither runs nor settings.
"""

import contextlib
import datetime
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from trainer.console.errors import UserError

LOG = logging.getLogger("trainer")
KEPT_ONLY = {"kept_only": True}  # ``extra`` of a message that is on the terminal already, in another form


class _Printed(logging.Handler):
    """To standard output, wherever that leads when the message comes."""

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "kept_only", False):
            print(self.format(record), flush=True)


class _Kept(logging.Handler):
    """To a file, each line with its time and level.

    The file is opened for each message: on a mounted bucket only what is closed survives a kill.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def emit(self, record: logging.LogRecord) -> None:
        with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(_with_time(record.created, record.levelname, self.format(record)))


def _with_time(seconds: float, level: str, text: str) -> str:
    now = datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
    return "".join(f"{now} {level} {line}\n" for line in text.splitlines() if line.strip())


LOG.propagate = False
LOG.setLevel(logging.INFO)
LOG.addHandler(_Printed())


@contextlib.contextmanager
def kept_in(path: Path | None, verbose: bool = False) -> Iterator[None]:
    """Append every message to a file as well, and the error that ends the block; nowhere without a path.

    ``verbose`` lets ``LOG.debug`` say something: layers, versions, timings.
    """
    kept = _Kept(path) if path else logging.NullHandler()
    LOG.addHandler(kept)
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(OSError):  # a full disk must not hide what went wrong before
            expected = isinstance(error, UserError | OSError | KeyboardInterrupt)
            text = str(error) or type(error).__name__
            LOG.error(text, exc_info=None if expected else error, extra=KEPT_ONLY)
        raise
    finally:
        LOG.setLevel(logging.INFO)
        LOG.removeHandler(kept)


def keep_now(text: str) -> None:
    """Append a line to the files that messages go to, without logging's locks: for a signal handler."""
    for handler in LOG.handlers:
        if isinstance(handler, _Kept):
            with contextlib.suppress(OSError):
                file = os.open(handler.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                os.write(file, _with_time(time.time(), "WARNING", text).encode())
                os.close(file)


@contextlib.contextmanager
def timed(stage: str) -> Iterator[None]:
    """Say how long a stage took, to whoever wants to know more."""
    began = time.monotonic()
    yield
    LOG.debug("%s took %.1f s", stage, time.monotonic() - began)
