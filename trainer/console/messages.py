"""Log the messages of the trainer's commands to standard output, and to the ``log.txt`` of a run.

Uses Python's logging, with one logger for this package. Messages contain file names and numbers, never the content of
an image. Standard library only, independent of runs and settings. Next: ``progress.py``.
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
LOG_FILE_ONLY = {"log_file_only": True}  # ``extra`` of a message that the terminal shows in another form


class _StandardOutput(logging.Handler):
    """Print messages to ``sys.stdout`` as it is at that moment: tests and notebooks replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "log_file_only", False):
            print(self.format(record), flush=True)


class _LogFile(logging.Handler):
    """Append messages to a file, each line with its time and level.

    The file is opened for each message, because on a mounted bucket a killed process loses what is not closed.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def emit(self, record: logging.LogRecord) -> None:
        with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(_add_time(record.created, record.levelname, self.format(record)))


def _add_time(seconds: float, level: str, text: str) -> str:
    """Put local time and level before each line that is not empty; ``seconds`` are since the epoch."""
    time_text = datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
    return "".join(f"{time_text} {level} {line}\n" for line in text.splitlines() if line.strip())


LOG.propagate = False
LOG.setLevel(logging.INFO)
LOG.addHandler(_StandardOutput())


@contextlib.contextmanager
def log_to_file(path: Path | None, verbose: bool = False) -> Iterator[None]:
    """Also append every message of the block to a file, and an error that ends it; without a path to none.

    ``verbose`` includes messages of ``LOG.debug``: layers, versions, durations.
    """
    handler = _LogFile(path) if path else logging.NullHandler()
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(OSError):  # a full disk must not replace the error that is raised
            expected = isinstance(error, UserError | OSError | KeyboardInterrupt)
            text = str(error) or type(error).__name__
            LOG.error(text, exc_info=None if expected else error, extra=LOG_FILE_ONLY)
        raise
    finally:
        LOG.setLevel(logging.INFO)
        LOG.removeHandler(handler)


def append_to_log_file(text: str) -> None:
    """Append a line to the files of ``log_to_file`` without the locks of logging, for a signal handler."""
    for handler in LOG.handlers:
        if isinstance(handler, _LogFile):
            with contextlib.suppress(OSError):
                descriptor = os.open(handler.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                os.write(descriptor, _add_time(time.time(), "WARNING", text).encode())
                os.close(descriptor)


@contextlib.contextmanager
def log_duration(stage: str) -> Iterator[None]:
    """Log the duration of a stage; ``--verbose`` shows it."""
    start = time.monotonic()
    yield
    LOG.debug("%s took %.1f s", stage, time.monotonic() - start)
