"""Measure an artefact on labelled image files, with the code that serves. No Keras model is run.

Next: ``report.py`` writes the report.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.console.errors import UserError
from trainer.data.files import Refused, map_samples
from trainer.settings import plugins

if TYPE_CHECKING:
    from trainer.artifact.artifact import Artifact
    from trainer.artifact.decision import Decision
    from trainer.corpora import Sample


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The vectors that an artefact computes for labelled images, or what a report extracts, and the metrics of them.

    ``vectors`` is ``float32 [N, D]`` for the N ``samples`` whose files could be read; the row of an image that the
    signature check rejects is all zeros. ``refused`` has (path, reason) of the other files.
    """

    samples: list[Sample]
    vectors: np.ndarray
    decision: Decision
    refused: Refused
    metrics: dict[str, Any]


def evaluate(artifact: Artifact, samples: list[Sample], check: Artifact | None = None) -> Evaluation:
    """Encode every sample and measure the vectors. Raises ``UserError`` when no file can be read.

    ``check`` is a classifier beside a finder, which judges what that finds.
    """
    report_builder = plugins.load("problems", artifact.manifest.problem).report_builder
    beside = (check,) if check else ()
    encoded, refused = map_samples(samples, "evaluating", lambda data: report_builder.extract(data, artifact, *beside))
    if not encoded:
        raise UserError(f"none of the {len(samples)} test images can be read, for example {': '.join(refused[0])}")
    vectors = np.stack([vector for _, vector in encoded])
    readable = [sample for sample, _ in encoded]
    metrics = report_builder.measure(vectors, readable, artifact.decision)
    metrics["errors"] = report_builder.error_rates(metrics)
    return Evaluation(readable, vectors, artifact.decision, refused, metrics)
