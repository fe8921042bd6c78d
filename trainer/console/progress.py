"""Show the progress of a long job: a bar of rich on a terminal, elsewhere a line every few seconds.

The log file receives the lines, or the last numbers of a bar.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from trainer.console.messages import LOG, LOG_FILE_ONLY

Item = TypeVar("Item")
LOG_INTERVAL = 5.0  # seconds between two lines without a terminal


class Progress:
    """A context that shows progress: ``with Progress("preparing", 100) as progress: progress.update(3, loss=0.2)``."""

    def __init__(self, title: str, total: int, later_total: int = 0, unit: str = "images"):
        """``later_total`` is the work that follows under other titles; the remaining time includes it."""
        self.title, self.total, self.later_total, self.unit = title, total, later_total, unit
        self._is_terminal = sys.stdout.isatty()
        self._bar: Bar | None = None
        self._start = self._last_line = time.monotonic()
        self._done = 0
        self._values: dict[str, float] = {}

    def __enter__(self):
        if self._is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[status]}"),
            )
            self._bar = Bar(*columns, console=Console())
            self._task = self._bar.add_task(self.title, total=self.total, status="")
            self._bar.start()
        return self

    def update(self, done: int, **values: float) -> None:
        """Set the number of units that are done, and the ``values`` beside the bar."""
        self._done, self._values = done, values
        if self._bar:
            self._bar.update(self._task, completed=done, status=self._describe())
        elif done < self.total and time.monotonic() - self._last_line >= LOG_INTERVAL:
            self._log_line()

    def track(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and count one unit for each."""
        for item in items:
            self.update(self._done + 1, **self._values)
            yield item

    def __exit__(self, error_type, *_):
        if self._bar:
            self._bar.stop()
        if error_type is None:
            self._log_line()

    def _log_line(self) -> None:
        self._last_line = time.monotonic()
        text = f"{self.title}  {self._done}/{self.total}  {self._describe()}"
        LOG.info(text, extra=LOG_FILE_ONLY if self._bar else None)

    def _describe(self) -> str:
        """Return rate, values, and the remaining time or, at the end, the duration."""
        seconds = time.monotonic() - self._start
        rate = self._done / max(1e-6, seconds)
        remaining = (self.total + self.later_total - self._done) / max(1e-6, rate)
        duration = f"{_format_seconds(remaining)} left" if remaining >= 1 else f"in {seconds:.1f} s"
        return f"{rate:.0f} {self.unit}/s  {_format_values(self._values)}  {duration}".replace("    ", "  ")


@contextlib.contextmanager
def transfer_progress(megabytes: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of a download from Cloud Storage; a ``ProgressBar`` of ``trainer.storage``."""
    with Progress("fetching", megabytes, unit="MB") as progress:
        yield progress.update


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def _format_values(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())
