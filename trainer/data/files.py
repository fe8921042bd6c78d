"""Apply a function to every image file of a list, in threads, and name the files that it could not use."""

import concurrent.futures
import os
from collections.abc import Callable
from typing import Any

from trainer.console.progress import Progress
from trainer.corpora import Sample
from trainer.imaging.errors import ImageError

Refused = list[tuple[str, str]]


def look_at(
    samples: list[Sample], title: str, look: Callable[[bytes], Any]
) -> tuple[list[tuple[Sample, Any]], Refused]:
    """Every sample with what ``look`` makes of its file, in parallel; and what could not be used."""

    def one(sample: Sample):
        try:
            return sample, look(sample.path.read_bytes()), None
        except (ImageError, OSError) as error:
            return sample, None, str(error)

    seen, refused = [], []
    with Progress(title, len(samples)) as progress, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for sample, found, reason in progress.counted(pool.map(one, samples)):
            if reason is None:
                seen.append((sample, found))
            else:
                refused.append((str(sample.path), reason))
    return seen, refused
