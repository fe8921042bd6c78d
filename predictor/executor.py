"""Bounded work on threads for an event loop: refuse what the queue cannot hold, drop what is late or cancelled.

Each thread does one whole item at a time; decoders and engines release the interpreter lock. Independent of models and
HTTP. Next: ``service.py``, which encodes images and makes explanations on it.
"""

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from predictor.errors import Busy, DeadlineExceeded, TooLarge

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor:
    """A thread pool with a bounded queue. All methods belong to the event loop's thread.

    ``with executor.reserve(n) as reservation: results = await reservation.run_all(work, items, expires_at)``
    """

    def __init__(self, threads: int, max_waiting: int, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="executor")
        self._capacity = threads + max_waiting
        self._in_flight = 0

    @property
    def capacity(self) -> int:
        """Most items that may run or wait."""
        return self._capacity

    @property
    def in_flight(self) -> int:
        """Number of items that run or wait, and of reserved slots."""
        return self._in_flight

    @contextlib.contextmanager
    def reserve(self, count: int) -> Iterator["Reservation"]:
        """Reserve slots for all the work of a request, so that none of it is refused after some of it is done.

        Raises ``Busy`` at once when too few slots are free, ``TooLarge`` when the executor has fewer slots than that.
        """
        if count > self._capacity:
            raise TooLarge(
                f"{count} images in one request; this server takes at most {self._capacity} at a time, see "
                "--max-waiting-images"
            )
        if self._in_flight + count > self._capacity:
            raise Busy(
                f"{self._in_flight} images are being worked on or waiting, at most {self._capacity} may; try again "
                "shortly"
            )
        reservation = Reservation(self, count)
        self._in_flight += count
        try:
            yield reservation
        finally:
            self.release(reservation.free)
            reservation.is_ended = True

    def release(self, count: int) -> None:
        """Free this many slots."""
        self._in_flight -= count

    async def wait_until_idle(self) -> None:
        """Return when no item runs or waits."""
        while self._in_flight:
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """Wait for the items that run; cancel the ones that wait."""
        self.pool.shutdown(wait=True, cancel_futures=True)


class Reservation:
    """Slots of an executor, reserved from the admission of a request to its end; ``free`` of them are not in use."""

    def __init__(self, executor: Executor, count: int):
        self._executor = executor
        self.free, self.is_ended = count, False

    async def run_all(
        self,
        work: Callable[[Item], Result],
        items: list[Item],
        expires_at: float,
        on_start: Callable[[float], None] = lambda seconds: None,
    ) -> list[Result]:
        """Call ``work(item)`` for every item on the threads; return the results in the order of the items.

        Raises ``DeadlineExceeded`` when an item is not done at ``expires_at``, a time of the executor's clock in
        seconds. The first error is raised and cancels the items that have not begun; so does cancelling the caller.
        ``on_start`` is called on the thread of each item with the seconds that it waited.
        """
        if not items:
            return []
        if len(items) > self.free:
            raise ValueError(f"{len(items)} items, but {self.free} slots are reserved")
        self.free -= len(items)
        loop, submitted_at = asyncio.get_running_loop(), self._executor.clock()
        cells: list[list[Any]] = [[work, item] for item in items]
        futures: list[concurrent.futures.Future[Result]] = []
        future: concurrent.futures.Future[Result] | None = None
        results: asyncio.Future[list[Result]] | None = None
        try:
            for cell in cells:
                future = self._executor.pool.submit(self._run_in_time, cell, submitted_at, expires_at, on_start)
                futures.append(future)
                future.add_done_callback(lambda _: self._schedule_release(loop))
            results = asyncio.gather(*map(asyncio.wrap_future, futures))
            results.add_done_callback(
                lambda gathered: gathered.cancelled() or gathered.exception()
            )  # or asyncio logs that nobody retrieved it
            await asyncio.wait([results], timeout=max(0.0, expires_at - self._executor.clock()))
            if not results.done():
                raise DeadlineExceeded("the request was not done within its deadline")
            return list(results.result())
        finally:
            if results is not None:
                results.cancel()
            self.free += len(items) - len(futures)  # those for which no thread could be started
            for future, cell in zip(futures, cells, strict=False):
                if future.cancel():  # no effect on items that run or are done
                    cell.clear()  # the pool keeps the cancelled future until a thread takes it, but not the image
            # An error refers to this frame and a future to the error: this cycle would keep the images of a request
            # until garbage collection, which is triggered by the number of objects and not by their bytes.
            future = results = None
            futures.clear()

    def _run_in_time(
        self, cell: list[Any], submitted_at: float, expires_at: float, on_start: Callable[[float], None]
    ) -> Any:
        """Run on a thread: empty the cell, so that only this frame refers to the item, and do its work."""
        work, item = cell
        cell.clear()
        started_at = self._executor.clock()
        on_start(started_at - submitted_at)
        if started_at > expires_at:
            raise DeadlineExceeded("the request waited longer than its deadline and was dropped before any work")
        return work(item)

    def _schedule_release(self, loop: asyncio.AbstractEventLoop) -> None:
        """Release a slot on the loop's thread, which owns the counts; called on any thread at the end of an item."""
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._release_slot)

    def _release_slot(self) -> None:
        if self.is_ended:  # the request ended before the item did
            self._executor.release(1)
        else:
            self.free += 1
