"""The model card and the evaluation of a version in the registry, both made of the manifest alone.

The card is the version's description; its last lines identify artefact and image. Independent of the SDK. Next:
``trainer/artifact/card.py``, which words the other lines.
"""

import dataclasses
import re
from typing import Any

from deploy.live_state import DIGEST_DIGITS, VersionIdentity
from trainer.artifact import card
from trainer.artifact.card import CardFacts
from trainer.artifact.manifest import UNKNOWN, Manifest, read_error_rates

ARTIFACT, IMAGE = "Artefact sha256: ", "Image: "  # the lines of a card that identify a version
# https://cloud.google.com/vertex-ai/docs/evaluation/introduction: the schema of evaluations with a confusion matrix and
# curves. There is none for verification, whose error rates stand in the metadata.
SCHEMA = "gs://google-cloud-aiplatform/schema/modelevaluation/classification_metrics_1.0.0.yaml"


def render(manifest: Manifest, artifact_sha256: str, image: str, facts: CardFacts | None = None) -> str:
    """Return a model card (Mitchell et al. 2019) in Markdown, and below it the identity of the version.

    Without ``facts``, of an artefact of an earlier release, it is what the manifest says.
    """
    text = card.render(manifest, facts) if facts else "\n".join([*card.describe(manifest), card.INTENDED_USE])
    return "\n".join([text, f"{ARTIFACT}{artifact_sha256}", f"{IMAGE}{image}"])


def make_labels(identity: VersionIdentity, manifest: Manifest) -> dict[str, str]:
    """Return labels of a version, for people and filters; ``parse_identity`` does not read them."""
    return {
        "artifact-sha256": identity.artifact,
        "image-sha256": identity.image,
        "problem": manifest.problem,
        "variant": manifest.variant,
    }


def parse_identity(description: str) -> tuple[VersionIdentity, str] | None:
    """Return identity and full image name of a version from its card; None for one that this tool did not write.

    The card is read and not the labels, because Vertex AI merges the labels of a version with those of its model.
    """
    artifact = re.search(rf"^{ARTIFACT}([0-9a-f]{{64}})$", description, re.MULTILINE)
    image = re.search(rf"^{IMAGE}(\S+@sha256:([0-9a-f]{{64}}))$", description, re.MULTILINE)
    if not artifact or not image:
        return None
    return VersionIdentity(artifact[1][:DIGEST_DIGITS], image[2][:DIGEST_DIGITS]), image[1]


def make_evaluation(manifest: Manifest, facts: CardFacts | None = None) -> dict[str, Any]:
    """Return the published metrics as a ``ModelEvaluation`` in JSON, with the ``facts`` of the card as metadata."""
    published = manifest.metrics
    metrics: dict[str, Any] = {}
    if published.get("roc_auc") is not None:
        metrics["auRoc"] = published["roc_auc"]
    if "confusion" in published:
        labels, rows = list(manifest.labels), list(published["confusion"])
        if UNKNOWN in published:  # the last column: an answer that no image has as its label
            labels, rows = [*labels, UNKNOWN], [*rows, [0] * (len(labels) + 1)]
        specs = [{"displayName": label} for label in labels]
        metrics["confusionMatrix"] = {"annotationSpecs": specs, "rows": rows}
    for verification in published.get("references", {}).values():  # the last one has the most references
        if verification.get("auc_skilled") is not None:
            metrics["auRoc"] = verification["auc_skilled"]
            metrics["confidenceMetrics"] = [
                {
                    "confidenceThreshold": point["threshold"],
                    "recall": 1 - point["frr"] / 100,
                    "falsePositiveRate": point["far_skilled"] / 100,
                }
                for point in verification.get("thresholds", {}).values()
                if point.get("threshold") is not None
            ]
    return {
        "displayName": f"unseen images, {manifest.created_at}",
        "metricsSchemaUri": SCHEMA,
        "metrics": metrics,
        "metadata": {
            "errors": read_error_rates(manifest),
            "images": manifest.training.get("test_images"),
            "problem": manifest.problem,
            **({"card": dataclasses.asdict(facts)} if facts else {}),
        },
    }
