"""Run a function on many arguments in processes of their own, which end with this process.

The processes are spawned, import no TensorFlow, and start within a second. What a process leaves undone when it is
killed, another one does. Next: ``trainer/data/stream.py`` and ``predictor/batch/workers.py``, which use it.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

AHEAD = 4  # results that are ready or in work, for each process

Result = TypeVar("Result")
Initializer = Callable[[], None]


class ProcessNotStarted(RuntimeError):
    """A process ended before it could begin its work; it has printed why."""


def run_in_order(
    function: Callable[..., Result],
    arguments: Iterable[tuple[Any, ...]],
    processes: int | None = None,
    initializer: Initializer | None = None,
    on_crash: Callable[..., Result] | None = None,
) -> Generator[Result, None, None]:
    """Yield ``function(*each)`` for each of ``arguments``, in their order, from at most ``processes`` processes.

    Without ``processes`` there are as many as processors. Each first calls ``initializer``. Arguments are taken as
    results are consumed, so memory does not grow with their number. Raises what a process raises, and
    ``ProcessNotStarted``; closing the iterator stops the processes.

    ``on_crash(*each)`` is called here for the arguments on which a process was killed, such as by an invalid access of
    native code or for lack of memory, and its value is yielded; without it ``BrokenProcessPool`` is raised. The other
    arguments of that process are given to a new one.
    """
    processes = processes or os.cpu_count() or 1
    workers: list[_Worker[Result]] = []
    waiting: collections.deque[_Call[Result]] = collections.deque()
    try:
        for each in arguments:
            worker = _choose_worker(workers, processes, function, initializer)
            waiting.append(_Call(each, worker))
            worker.submit(waiting[-1])
            if len(waiting) >= AHEAD * processes:
                yield _finish(waiting.popleft(), on_crash)
        while waiting:
            yield _finish(waiting.popleft(), on_crash)
    finally:
        with concurrent.futures.ThreadPoolExecutor(processes) as threads:  # all at the same time
            for worker in workers:
                threads.submit(worker.stop)


@dataclasses.dataclass(eq=False)
class _Call(Generic[Result]):
    arguments: tuple[Any, ...]
    worker: "_Worker[Result]"
    future: "concurrent.futures.Future[Result]" = dataclasses.field(default_factory=concurrent.futures.Future)
    has_crashed: bool = False


class _Worker(Generic[Result]):
    """A process that makes one call after the other, and a new one when it was killed.

    A pool of one process, so that it is known on which call the process was killed: the oldest without a result.
    """

    def __init__(self, function: Callable[..., Result], initializer: Initializer | None):
        self._function, self._initializer = function, initializer
        self._calls: collections.deque[_Call[Result]] = collections.deque()
        self._start()

    def _start(self) -> None:
        self._is_started = True
        context = multiprocessing.get_context("spawn")  # a forked process would share the threads of TensorFlow
        self._pool = concurrent.futures.ProcessPoolExecutor(1, context, _prepare_process, (self._initializer,))
        with _without_interruption():
            self._started = self._pool.submit(_do_nothing)

    def count_calls(self) -> int:
        """Return the number of calls without a result."""
        while self._calls and self._calls[0].future.done() and not _is_broken(self._calls[0].future):
            self._calls.popleft()
        return len(self._calls)

    def submit(self, call: _Call[Result]) -> None:
        """Make the call after those that were submitted before. Raises ``ProcessNotStarted``."""
        if not self._is_started:
            self._start()
        self._calls.append(call)
        try:
            call.future = self._pool.submit(self._function, *call.arguments)
        except BrokenProcessPool:
            self.replace_process()

    def replace_process(self) -> None:
        """Leave the calls behind the one on which the process was killed to a new one, which starts if there are any.

        Raises ``ProcessNotStarted``.
        """
        if _is_broken(self._started):
            raise ProcessNotStarted("a process ended before it began its work; what it printed says why")
        self.count_calls()  # leaves out those with results
        self._pool.shutdown()
        self._is_started = False
        self._calls.popleft().has_crashed = True
        calls, self._calls = self._calls, collections.deque()
        for call in calls:
            self.submit(call)

    def stop(self) -> None:
        """End the process, after the call in work, and drop the other calls."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _choose_worker(
    workers: list[_Worker[Result]], limit: int, function: Callable[..., Result], initializer: Initializer | None
) -> _Worker[Result]:
    """Return an idle process, else a new one, else the one with the fewest calls."""
    least = min(workers, key=_Worker.count_calls, default=None)
    if least is None or (least.count_calls() and len(workers) < limit):
        least = _Worker(function, initializer)
        workers.append(least)
    return least


def _finish(call: _Call[Result], on_crash: Callable[..., Result] | None) -> Result:
    """Return the result of a call, as soon as there is one."""
    while not call.has_crashed:
        try:
            return call.future.result()
        except BrokenProcessPool:
            call.worker.replace_process()
    if on_crash is None:
        raise BrokenProcessPool("a process was killed while it was at work")
    return on_crash(*call.arguments)


def _is_broken(future: concurrent.futures.Future) -> bool:
    return future.done() and not future.cancelled() and isinstance(future.exception(), BrokenProcessPool)


def _do_nothing() -> None:
    pass


@contextlib.contextmanager
def _without_interruption() -> Iterator[None]:
    """Start processes that Ctrl-C on a terminal does not reach: this process is interrupted, and stops them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which processes inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _prepare_process(initializer: Initializer | None) -> None:
    _end_with_parent()
    if initializer:
        initializer()


def _end_with_parent() -> None:
    """End this process when its parent ends, also when the parent is killed and can stop no pool."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
