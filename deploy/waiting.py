"""Waiting with a heartbeat: every half minute without output, a wait prints what it waits for and for how long.

Next: ``vertex.py`` waits for operations, ``jobs.py`` for jobs.
"""

import dataclasses
import time
from collections.abc import Callable

POLL_INTERVAL = 2.0  # seconds between two looks at an operation or a job
HEARTBEAT_INTERVAL = 30.0  # seconds without a line, after which a wait prints one


@dataclasses.dataclass(frozen=True)
class Clock:
    """Monotonic seconds, and a function that sleeps; tests use a clock whose sleeps take no time."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Wait:
    """A wait; it starts when it is constructed."""

    def __init__(self, clock: Clock, print_line: Callable[[str], None] = print):
        self._clock, self._print_line = clock, print_line
        self._start = self._last_line = clock.now()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._clock.now() - self._start

    def print_line(self, line: str) -> None:
        """Print a line; the next heartbeat is due ``HEARTBEAT_INTERVAL`` seconds later."""
        self._print_line(line)
        self._last_line = self._clock.now()

    def print_heartbeat(self, description: str) -> None:
        """Print what the wait waits for if a heartbeat is due."""
        if self._clock.now() - self._last_line >= HEARTBEAT_INTERVAL:
            self.print_line(f"waiting for {description}: {self.seconds:.0f} s so far")

    def sleep(self, seconds: float, description: str) -> None:
        """Sleep, and print each heartbeat that becomes due."""
        end = self._clock.now() + seconds
        while (left := end - self._clock.now()) > 0:
            until_heartbeat = self._last_line + HEARTBEAT_INTERVAL - self._clock.now()
            self._clock.sleep(min(left, max(until_heartbeat, 0.001)))
            self.print_heartbeat(description)
