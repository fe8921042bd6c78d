"""Measure an artefact on labelled image files, through the code that serves. No Keras model is run.

Next: ``report.py`` writes down what was measured.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.console.errors import UserError
from trainer.data.files import Refused, look_at
from trainer.settings import plugins

if TYPE_CHECKING:
    from trainer.artifact.artifact import Model
    from trainer.corpora import Sample


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an artefact answers to labelled images.

    ``vectors`` is ``float32 [N, D]`` for the N ``samples`` that could be read, zeros where the model calls an image no
    signature, and ``decision`` what is made of them; ``refused`` are (path, reason).
    """

    samples: list[Sample]
    vectors: np.ndarray
    decision: Any
    refused: Refused
    metrics: dict[str, Any]


def evaluate(model: Model, samples: list[Sample]) -> Evaluation:
    """Answer every sample and measure. Unreadable images are counted and named, never guessed."""
    seen, refused = look_at(samples, "evaluating", lambda data: model.look(data).vector)
    if not seen:
        raise UserError(f"none of the {len(samples)} test images can be read, for example {': '.join(refused[0])}")
    vectors = np.stack([vector for _, vector in seen])
    readable = [sample for sample, _ in seen]
    judge = plugins.load("problems", model.manifest.problem).judge
    numbers = judge.measure(vectors, readable, model.decision)
    numbers["errors"] = judge.errors(numbers)
    return Evaluation(readable, vectors, model.decision, refused, numbers)
