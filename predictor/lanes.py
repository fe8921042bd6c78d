"""Bounded work on threads for an event loop: refuse at once what cannot wait, drop what came too late or was given up.

Knows no model and no HTTP. One thread for each vCPU does whole items; decoders and engines release the interpreter.
"""

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from predictor.errors import Busy, Expired, TooLarge


class Room:
    """Room for a number of items at a time, taken when a request is admitted and kept until its end."""

    def __init__(self, count: int):
        self.left, self.closed = count, False


class Lanes:
    """``await lanes.run_all(work, items, deadline)``: every item on some thread, results in order."""

    def __init__(self, threads: int, waiting: int, clock: Callable[[], float] = time.monotonic):
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="lane")
        self._room = threads + waiting
        self._taken = 0
        self._clock = clock

    @property
    def taken(self) -> int:
        """Items being worked on or waiting."""
        return self._taken

    @contextlib.contextmanager
    def reserve(self, count: int) -> Iterator[Room]:
        """Room for all the work that a request may need, so that none of it is refused once some is done.

        Raises ``Busy`` at once when there is none now, ``TooLarge`` when there never will be.
        """
        if count > self._room:
            raise TooLarge(
                f"{count} images in one request; this server takes at most {self._room} at a time, see --waiting"
            )
        if self._taken + count > self._room:
            raise Busy(
                f"{self._taken} images are being worked on or waiting, at most {self._room} may; try again shortly"
            )
        room = Room(count)
        self._taken += count
        try:
            yield room
        finally:
            self._taken -= room.left
            room.closed = True

    async def run_all(
        self,
        work: Callable[[Any], Any],
        items: list[Any],
        deadline: float,
        room: Room,
        waited: Callable[[float], None] = lambda seconds: None,
    ) -> list[Any]:
        """Do all items, for which ``room`` was reserved.

        ``deadline`` is a time of the clock; what is not done by then raises ``Expired``. The first error wins
        and gives up what has not begun; so does cancelling the caller. ``waited`` is told, on the item's thread, how
        long each waited for it.
        """
        if not items:
            return []
        if len(items) > room.left:
            raise ValueError(f"{len(items)} items, but room is reserved for {room.left}")
        room.left -= len(items)
        loop, submitted = asyncio.get_running_loop(), self._clock()
        cells, begun = [[work, item] for item in items], []
        future: Any = None
        done: Any = None
        try:
            for cell in cells:
                future = self._pool.submit(self._in_time, cell, submitted, deadline, waited)
                begun.append(future)
                future.add_done_callback(lambda _: self._leave(loop, room))
            done = asyncio.gather(*map(asyncio.wrap_future, begun))
            done.add_done_callback(lambda found: found.cancelled() or found.exception())  # or asyncio calls it lost
            await asyncio.wait([done], timeout=max(0.0, deadline - self._clock()))
            if not done.done():
                raise Expired("the request was not done within its deadline")
            return list(done.result())
        finally:
            if done is not None:
                done.cancel()
            room.left += len(items) - len(begun)  # those that no thread could be started for
            for future, cell in zip(begun, cells, strict=False):
                if future.cancel():  # without effect on what has begun or is done
                    cell.clear()  # the pool keeps its place in the queue, but not the image
            # An error refers to this frame and a future to the error: a circle that would keep a request's images
            # until the collector comes by, which counts objects and not bytes.
            future = done = None
            begun.clear()

    async def idle(self) -> None:
        """Until nothing is being worked on or waiting."""
        while self._taken:
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """Wait for what has begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _in_time(self, cell, submitted, deadline, waited):
        work, item = cell
        cell.clear()
        began = self._clock()
        waited(began - submitted)
        if began > deadline:
            raise Expired("the request waited longer than its deadline and was dropped before any work")
        return work(item)

    def _leave(self, loop, room):
        """Called on any thread when an item is done or given up; the counts belong to the loop."""
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._give_back, room)

    def _give_back(self, room):
        if room.closed:  # the request has ended without waiting for it
            self._taken -= 1
        else:
            room.left += 1
