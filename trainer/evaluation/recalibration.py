"""Fit the decision of every variant of a verifier to other writers, and describe the new artefact; no training.

Images are encoded by the artefact itself, from the bytes of their files. Next: ``cross_fitting.py`` measures what the
calibration changes, ``trainer/calibrate.py`` writes the artefact.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.artifact import manifest
from trainer.artifact.engine import EnginePool, load_engine_factory
from trainer.artifact.variants import compare_variants
from trainer.artifact.verification import Verifier
from trainer.console.errors import UserError
from trainer.data.files import Refused, map_samples
from trainer.evaluation.calibration import compute_eers, fit_verifier
from trainer.evaluation.protocol import GroundTruth

if TYPE_CHECKING:
    from trainer.artifact.artifact import Artifact
    from trainer.corpora import Sample


@dataclasses.dataclass(frozen=True)
class CalibrationData:
    """The signatures of the writers to calibrate on: ``vectors`` are ``float32 [N, D]`` by variant.

    ``data_digest`` changes with the content, name, label or writer of any image. ``refused`` has (path, reason) of the
    images that could not be read, or are no signatures.
    """

    samples: list[Sample]
    vectors: dict[str, np.ndarray]
    data_digest: str
    refused: Refused

    @property
    def truth(self) -> GroundTruth:
        """Return the ground truth about the vectors."""
        return GroundTruth.from_samples(self.samples)


def encode(artifact: Artifact, samples: list[Sample]) -> CalibrationData:
    """Encode every sample with every variant. Raises ``UserError`` when none can be used."""
    described = artifact.manifest
    pools = {
        name: EnginePool(load_engine_factory(dataclasses.replace(described, variant=name), artifact.folder))
        for name in described.variants
        if name != described.variant
    }

    def encode_file(data: bytes) -> tuple[str, dict[str, Any] | None, dict[str, np.ndarray]]:
        encoded = artifact.encode(data)
        vectors = {described.variant: encoded.vector}
        if not encoded.rejection:
            vectors |= {name: pool(encoded.canonical.image[None])[0] for name, pool in pools.items()}
        return hashlib.sha256(data).hexdigest(), encoded.rejection, vectors

    results, refused = map_samples(samples, "encoding", encode_file)
    rejections = [(sample, rejection) for sample, (_, rejection, _) in results if rejection]
    refused += [(str(sample.path), f"not a signature: {rejection['code']}") for sample, rejection in rejections]
    used = [(sample, digest, vectors) for sample, (digest, rejection, vectors) in results if not rejection]
    if not used:
        raise UserError(f"none of the {len(samples)} images can be used, for example {': '.join(refused[0])}")
    facts = [[s.corpus_id, s.name, s.label, s.writer, digest] for s, digest, _ in used]
    return CalibrationData(
        [sample for sample, _, _ in used],
        {name: np.stack([vectors[name] for _, _, vectors in used]) for name in described.variants},
        hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16],
        refused,
    )


def recalibrate(
    artifact: Artifact, present: Verifier, data: CalibrationData, facts: dict[str, Any]
) -> manifest.Manifest:
    """Return the manifest of the artefact, which answers with ``present``, with decisions fitted to the data.

    Its ``training`` gets ``calibration``: the ``facts``, and what the decisions were fitted to. Metrics that depend on
    the decision are left out. If the variant that answers is no longer usable, the first one answers. Raises
    ``NoComparisons``.
    """
    described, truth = artifact.manifest, data.truth
    targets, similarity = truth.to_targets(), present.measure
    fitted = {}
    for name, vectors in data.vectors.items():
        verifier = fit_verifier(tuple(described.labels), vectors, targets, similarity)
        fitted[name] = (verifier, compute_eers(verifier, vectors, targets))
    variants = {name: {**described.variants[name], **row} for name, row in compare_variants(fitted).items()}
    for row in variants.values():
        row["usable"] &= row["difference"] <= row["tolerance"]
    calibration = {
        **facts,
        "artefact": artifact.identity,
        "data_digest": data.data_digest,
        "images": len(data.samples),
        "writers": len(np.unique(truth.writer)),
        "forgeries": fitted[described.variant][0].calibrated_on,
        "created_at": manifest.format_time(),
    }
    changed = dataclasses.replace(
        described,
        variants=variants,
        training={**described.training, "calibration": calibration},
        metrics=_keep_metrics(described, fitted[described.metrics.get("measured_with", described.variant)][0]),
    )
    variant = described.variant if variants[described.variant]["usable"] else next(iter(variants))
    return manifest.select_variant(changed, variant)


def _keep_metrics(described: manifest.Manifest, fitted: Verifier) -> dict[str, Any]:
    """Return the metrics that another calibration of the measured variant leaves as they are.

    With the same fusion, the scores of one number of references keep their order: equal error rates and areas hold.
    """
    metrics = described.metrics
    measured = described.variants[metrics.get("measured_with", described.variant)]["decision"]
    if not metrics or fitted.fusion != measured["fusion"]:
        return {}
    references = {
        count: {name: value for name, value in row.items() if name not in ("thresholds", "inconclusive", "conclusive")}
        for count, row in metrics.get("references", {}).items()
    }
    kept = {name: value for name, value in metrics.items() if name != "calibration"}
    return {**kept, "references": references}
