"""How far a long job is: a bar on a terminal, a line now and then in a log. rich draws the bar.

Knows nothing of what is being counted.
"""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

EVERY = 5.0  # seconds between two lines where there is no terminal


class Progress:
    """``with Progress("preparing", total=100) as progress: progress.show(3, loss=0.2)``."""

    def __init__(self, title: str, total: int, unit: str = "images"):
        self.title, self.total, self.unit = title, total, unit
        self._live = sys.stdout.isatty()
        self._bar: Bar | None = None
        self._began = self._spoke = time.monotonic()
        self._done = 0
        self._values: dict[str, float] = {}

    def __enter__(self):
        if self._live:
            columns = (
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[values]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            )  # fmt: skip
            self._bar = Bar(*columns, console=Console())
            self._task = self._bar.add_task(self.title, total=self.total, values="")
            self._bar.start()
        return self

    def show(self, done: int, **values: float) -> None:
        """So many are done; ``values`` are shown beside it."""
        self._done, self._values = done, values
        if self._bar:
            self._bar.update(self._task, completed=done, values=f"{self._rate():.0f} {self.unit}/s  {_spell(values)}")
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
        elif kind is None:
            self._line()

    def _rate(self) -> float:
        return self._done / max(1e-6, time.monotonic() - self._began)

    def _line(self):
        self._spoke = time.monotonic()
        left = (self.total - self._done) / max(1e-6, self._rate())
        ahead = f"  {left:.0f} s left" if self._done < self.total else f"  in {self._spoke - self._began:.1f} s"
        rate = f"{self._rate():.0f} {self.unit}/s"
        print(f"{self.title}  {self._done}/{self.total}  {rate}  {_spell(self._values)}{ahead}", flush=True)


def _spell(values):
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())
