"""What concerns all image files of a list: apply a function to them, in threads, and notice that files changed.

Next: ``evaluation/measure.py`` and ``image_index.py``, which use it.
"""

import concurrent.futures
import hashlib
import json
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


def compute_files_digest(samples: list[Sample]) -> str:
    """Return a digest that changes when a file changes in size or date, or is added or removed."""
    digest = hashlib.sha256()
    for sample in samples:
        status = sample.path.stat()
        digest.update(json.dumps([sample.corpus_id, sample.name, status.st_size, status.st_mtime_ns]).encode())
    return digest.hexdigest()[:16]
