"""Generated training images that never come again in another epoch, made beside the training by processes of their own.

The image at a position of a seed is always the same (``trainer/generators``), whoever makes it and in which order, so
an epoch follows from seed and epoch alone. Only a few batches are kept. NumPy, no TensorFlow: the processes start fast.
Next: ``batches.py`` mixes the images into batches.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from trainer.parallel.processes import run_in_order
from trainer.settings import plugins

if TYPE_CHECKING:
    from trainer.imaging import Imaging

CHUNK = 16  # images that a process makes at a time
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
    chunks = ((spec, start, min(CHUNK, end - start)) for start in range(first, end, CHUNK))
    yield from run_in_order(make_chunk, chunks, processes)


def make_chunk(spec: StreamSpec, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Make ``count`` images from position ``start``: ``uint8 [count, H, W, 1]`` and label numbers ``int32 [count]``."""
    generate = plugins.load("generators", spec.generator).generate_canonical
    numbers = [spec.label_of(position) for position in range(start, start + count)]
    images = [
        generate(spec.labels[number], spec.seed, start + index, spec.imaging) for index, number in enumerate(numbers)
    ]
    return np.stack(images), np.array(numbers, np.int32)
