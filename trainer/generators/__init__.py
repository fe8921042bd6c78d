"""Generators of data, one file each: images of people who do not exist, for problems without data of their own.

A new generator is one more file that defines ``GENERATOR``; a problem names it in its ``generated_dataset``. The
drawing is in ``trainer/samples``. Next: ``signatures.py``.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from trainer.samples.amount import DatasetSpec

PLUGIN_ATTRIBUTE = "GENERATOR"
MODIFIED_TIME = 1_577_836_800  # of every generated file, in seconds since 1970: 1 January 2020


@dataclasses.dataclass(frozen=True)
class Generator:
    """How images are generated; everything follows from the arguments and the fonts of the machine.

    ``write_dataset(folder, spec, seed)`` writes a dataset and yields the number of files so far.
    ``describe_limits()`` says what is missing on this machine, such as fonts; empty if nothing is. ``generate_image(
    seed, writer, kind, number)`` returns the bytes and the suffix of a file; of pages, the writer is a document.
    ``labels`` are those of ``generate_canonical(label, seed, position, imaging)``, which returns one canonical image
    ``uint8 [H, W, 1]`` of an endless stream. A generator without these cannot stream.
    """

    write_dataset: Callable[[Path, DatasetSpec, int], Iterator[int]]
    describe_limits: Callable[[], str]
    generate_image: Callable[[int, int, str, int], tuple[bytes, str]] | None = None
    labels: tuple[str, ...] = ()
    generate_canonical: Callable[..., np.ndarray] | None = None
