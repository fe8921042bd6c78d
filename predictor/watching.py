"""Note what is watched of the answers of a request, for the metrics and the line in the log.

Next: ``trainer/artifact/monitoring.py`` says what is watched, ``telemetry.py`` writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainer.artifact import monitoring

if TYPE_CHECKING:
    from predictor.models import Models
    from predictor.request_images import EncodedInstance
    from predictor.telemetry import Model, RequestLog
    from trainer.artifact.artifact import Artifact


def watch(
    models: Models, decided: Sequence[tuple[dict[str, Any], EncodedInstance | None]], request_log: RequestLog
) -> None:
    """Note what was observed of each instance that has an answer."""
    for row, encoded in decided:
        if encoded is None:
            continue
        model = _name_model(encoded.artifact)
        if not isinstance(encoded.image, tuple):
            request_log.observe(model, monitoring.observe(encoded.image, row))
            continue
        request_log.observe(model, monitoring.observe_document(encoded.image))
        for observation in monitoring.observe_regions(row):
            request_log.observe(_name_model(models.verifier or encoded.artifact), observation)


def _name_model(artifact: Artifact) -> Model:
    return artifact.manifest.problem, artifact.identity[:12]
