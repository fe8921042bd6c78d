"""The published numbers: from raw image files, through the exported artefact, with the code that serves.

Nothing here touches Keras or TensorFlow. Next: ``report.py`` writes them down.
"""

import concurrent.futures
import dataclasses
import os
from typing import Any

import numpy as np

from trainer import plugins
from trainer.artifact.model import Model
from trainer.corpora import Sample
from trainer.errors import UserError
from trainer.imaging import ImageError
from trainer.progress import Progress


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an artefact answers to labelled images.

    ``vectors`` is ``float32 [N, D]`` for the N ``samples`` that could be read; ``refused`` are (path, reason).
    """

    samples: list[Sample]
    vectors: np.ndarray
    refused: list[tuple[str, str]]
    metrics: dict[str, Any]


def evaluate(model: Model, samples: list[Sample]) -> Evaluation:
    """Answer every sample and measure. Unreadable images are counted and named, never guessed."""
    seen, refused = [], []
    with (
        Progress("evaluating", len(samples)) as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for sample, vector, reason in progress.counted(pool.map(lambda s: _vector(model, s), samples)):
            if reason is None:
                seen.append((sample, vector))
            else:
                refused.append((str(sample.path), reason))
    if not seen:
        raise UserError(f"none of the {len(samples)} test images can be read, for example {': '.join(refused[0])}")
    vectors = np.stack([vector for _, vector in seen])
    readable = [sample for sample, _ in seen]
    judge = plugins.load("problems", model.manifest.problem).judge
    numbers = judge.measure(vectors, [sample.label for sample in readable], model.decision)
    return Evaluation(readable, vectors, refused, numbers)


def _vector(model: Model, sample: Sample):
    try:
        return sample, model.vector(model.see(sample.path.read_bytes())), None
    except (ImageError, OSError) as error:
        return sample, None, str(error)
