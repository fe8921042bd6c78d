"""Run a function on many arguments in processes of their own, which end with this process.

For work in NumPy beside a training: the processes are spawned, import no TensorFlow, and start within a second. Next:
``stream.py`` and ``copies.py``, which use it.
"""

import collections
import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

AHEAD = 4  # results that are ready or in work, for each process

Result = TypeVar("Result")


def run_in_order(
    function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]], processes: int | None = None
) -> Iterator[Result]:
    """Yield ``function(*each)`` for each of ``arguments``, in their order, from at most ``processes`` processes.

    Without ``processes`` there are as many as processors. Arguments are taken as results are consumed, so memory does
    not grow with their number. Raises what a process raises; closing the iterator stops the processes.
    """
    processes = processes or os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")  # a forked process would share the threads of TensorFlow
    with concurrent.futures.ProcessPoolExecutor(processes, context, initializer=_end_with_parent) as pool:
        waiting: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
        try:
            for each in arguments:
                waiting.append(pool.submit(function, *each))
                if len(waiting) >= AHEAD * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """End this process when its parent ends, also when the parent is killed and can stop no pool."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
