"""How far a long job is: a bar on a terminal, a line now and then in a log. rich draws the bar.

Knows nothing of what is being counted. A run's log keeps the lines, of a bar the last numbers.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from trainer.console.messages import KEPT_ONLY, LOG

EVERY = 5.0  # seconds between two lines where there is no terminal


class Progress:
    """``with Progress("preparing", total=100) as progress: progress.show(3, loss=0.2)``."""

    def __init__(self, title: str, total: int, later: int = 0, unit: str = "images"):
        """``later`` is what will follow under other titles: it counts for the time left."""
        self.title, self.total, self.later, self.unit = title, total, later, unit
        self._live = sys.stdout.isatty()
        self._bar: Bar | None = None
        self._began = self._spoke = time.monotonic()
        self._done = 0
        self._values: dict[str, float] = {}

    def __enter__(self):
        if self._live:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[told]}"),
            )
            self._bar = Bar(*columns, console=Console())
            self._task = self._bar.add_task(self.title, total=self.total, told="")
            self._bar.start()
        return self

    def show(self, done: int, **values: float) -> None:
        """So many are done; ``values`` are shown beside it."""
        self._done, self._values = done, values
        if self._bar:
            self._bar.update(self._task, completed=done, told=self._told())
        elif done < self.total and time.monotonic() - self._spoke >= EVERY:
            self._line()

    def counted(self, items):
        """Pass items through, one step for each."""
        for item in items:
            self.show(self._done + 1, **self._values)
            yield item

    def __exit__(self, kind, *_):
        if self._bar:
            self._bar.stop()
        if kind is None:
            self._line()

    def _line(self):
        self._spoke = time.monotonic()
        text = f"{self.title}  {self._done}/{self.total}  {self._told()}"
        LOG.info(text, extra=KEPT_ONLY if self._bar else None)

    def _told(self) -> str:
        seconds = time.monotonic() - self._began
        rate = self._done / max(1e-6, seconds)
        left = (self.total + self.later - self._done) / max(1e-6, rate)
        ahead = f"{_clock(left)} left" if left >= 1 else f"in {seconds:.1f} s"
        return f"{rate:.0f} {self.unit}/s  {_spell(self._values)}  {ahead}".replace("    ", "  ")


@contextlib.contextmanager
def fetching(megabytes: int) -> Iterator[Callable[[int], None]]:
    """The bar of a transfer from Cloud Storage, as ``trainer.storage`` takes it."""
    with Progress("fetching", megabytes, unit="MB") as progress:
        yield progress.show


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def _spell(values):
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())
