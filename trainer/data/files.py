"""Apply a function to every image file of a list, in threads, and collect the files that cannot be read.

Next: ``evaluation/measure.py`` and ``enrol.py``, which use it.
"""

import concurrent.futures
import os
from collections.abc import Callable
from typing import TypeVar

from trainer.console.progress import Progress
from trainer.corpora import Sample
from trainer.imaging.errors import ImageError

Refused = list[tuple[str, str]]  # (path, reason)
Result = TypeVar("Result")


def map_samples(
    samples: list[Sample], title: str, function: Callable[[bytes], Result]
) -> tuple[list[tuple[Sample, Result]], Refused]:
    """Apply ``function`` to the bytes of every file, in parallel, with ``title`` on the progress bar.

    Returns (sample, result) in the order of ``samples``, and (path, reason) of the files for which ``function`` raises
    ``ImageError`` or ``OSError``.
    """

    def apply(sample: Sample) -> Result | ImageError | OSError:
        try:
            return function(sample.path.read_bytes())
        except (ImageError, OSError) as error:
            return error

    results: list[tuple[Sample, Result]] = []
    refused: Refused = []
    with Progress(title, len(samples)) as progress, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for sample, result in zip(samples, progress.track(pool.map(apply, samples)), strict=True):
            if isinstance(result, ImageError | OSError):
                refused.append((str(sample.path), str(result)))
            else:
                results.append((sample, result))
    return results, refused
