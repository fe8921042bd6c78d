"""Generated training images that never come again in another epoch, made beside the training by processes of their own.

The image at a position of a seed is always the same (``trainer/generators``), whoever makes it and in which order, so
an epoch follows from seed and epoch alone. Only a few batches are kept. NumPy, no TensorFlow: the processes start fast.
Next: ``batches.py`` mixes the images into batches.
"""

import collections
import concurrent.futures
import dataclasses
import math
import multiprocessing
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from trainer.settings import plugins

if TYPE_CHECKING:
    from trainer.imaging import Imaging

CHUNK = 16  # images that a process makes at a time
AHEAD = 4  # chunks that are ready or in work, for each process
WEIGHTS = {"signature": 3, "text": 3, "other": 1}  # of labels; of others 1


@dataclasses.dataclass(frozen=True)
class StreamSpec:
    """What is streamed: ``count`` images an epoch, with the labels of a generator that are among ``labels``.

    ``labels`` are in the order of the label numbers of the model. Each image is used ``repeats`` times in its epoch,
    which is called data echoing (Choi et al., 2019, arXiv:1907.05550): augmented anew, it still teaches something, and
    a processor makes fewer images a second than it trains on.
    """

    generator: str
    labels: tuple[str, ...]
    count: int
    seed: int
    imaging: "Imaging"
    repeats: int = 1

    @property
    def distinct(self) -> int:
        """The number of different images in an epoch."""
        return math.ceil(self.count / self.repeats)

    def label_of(self, position: int) -> int:
        """Return the label number at a position: labels take turns by their weights."""
        turns = [
            number
            for number, label in enumerate(self.labels)
            if label in plugins.load("generators", self.generator).labels
            for _ in range(WEIGHTS.get(label, 1))
        ]
        return turns[position % len(turns)]


def stream_epoch(spec: StreamSpec, epoch: int, processes: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each image of an epoch once, in chunks: ``uint8 [n, H, W, 1]``, and label numbers ``int32 [n]``, in order.

    Raises what a process raises; closing the iterator stops the processes.
    """
    first = epoch * spec.distinct
    end = first + spec.distinct
    starts = iter(range(first, end, CHUNK))
    processes = processes or os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")  # a forked process would share the threads of TensorFlow
    with concurrent.futures.ProcessPoolExecutor(processes, context, initializer=_end_with_parent) as pool:
        waiting: collections.deque[concurrent.futures.Future] = collections.deque()
        try:
            for start in starts:
                waiting.append(pool.submit(make_chunk, spec, start, min(CHUNK, end - start)))
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


def make_chunk(spec: StreamSpec, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Make ``count`` images from position ``start``: ``uint8 [count, H, W, 1]`` and label numbers ``int32 [count]``."""
    generate = plugins.load("generators", spec.generator).generate_canonical
    numbers = [spec.label_of(position) for position in range(start, start + count)]
    images = [
        generate(spec.labels[number], spec.seed, start + index, spec.imaging) for index, number in enumerate(numbers)
    ]
    return np.stack(images), np.array(numbers, np.int32)
