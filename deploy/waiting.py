"""Wait with a sign of life: a wait that takes long says every half minute what it waits for, and for how long already.

Knows time, not the cloud.
"""

import dataclasses
import time
from collections.abc import Callable

EVERY = 30.0  # seconds without a line after which a wait says what it waits for


@dataclasses.dataclass(frozen=True)
class Clock:
    """Monotonic seconds and a pause; a test gives one whose pauses take no time."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


class Wait:
    """One wait, from its construction on."""

    def __init__(self, clock: Clock, tell: Callable[[str], None] = print):
        self._clock, self._tell = clock, tell
        self._begun = self._said = clock.now()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self._clock.now() - self._begun

    def tell(self, line: str) -> None:
        """Print a line; the next sign of life is due ``EVERY`` seconds after it."""
        self._tell(line)
        self._said = self._clock.now()

    def sign(self, what: str) -> None:
        """Say that ``what`` is waited for if ``EVERY`` seconds have passed without a line."""
        if self._clock.now() - self._said >= EVERY:
            self.tell(f"waiting for {what}: {self.seconds:.0f} s so far")

    def pause(self, seconds: float, what: str) -> None:
        """Pause, with a ``sign`` whenever it is due."""
        end = self._clock.now() + seconds
        while (left := end - self._clock.now()) > 0:
            self._clock.pause(min(left, max(self._said + EVERY - self._clock.now(), 0.001)))
            self.sign(what)
