"""What people read about a version in the registry: its model card, and the evaluation that Vertex AI shows.

Made of the manifest alone, so it says what was measured and nothing else. Knows manifests, not the SDK.
"""

import re
from collections.abc import Mapping
from typing import Any

from deploy import gate
from deploy.live import DIGITS, Identity
from trainer.artifact.manifest import Manifest

# https://cloud.google.com/vertex-ai/docs/evaluation/introduction: the schema of evaluations with a confusion matrix and
# curves; there is none for verification, whose error rates go into the metadata beside it.
ARTIFACT, IMAGE = "Artefact sha256: ", "Image: "  # lines of a card by which a version is found again
SCHEMA = "gs://google-cloud-aiplatform/schema/modelevaluation/classification_metrics_1.0.0.yaml"


def card(manifest: Manifest, artifact_sha256: str, image: str) -> str:
    """A model card (Mitchell et al. 2019) in Markdown: what it answers, how well, on what, by which thresholds."""
    training, decision = manifest.training, manifest.decision
    numbers = ", ".join(f"{name} {rate:.2f} %" for name, rate in gate.errors(manifest).items()) or "not measured"
    audit = training.get("audit")
    found = "; ".join(f"{severity}: {', '.join(codes)}" for severity, codes in (audit or {}).items())
    lines = [
        f"# {manifest.problem} / {manifest.backbone}",
        f"Question: {manifest.question}",
        f"Error rates on {training.get('test_images', 'unknown')} unseen images: {numbers}.",
        f"Decision: {decision.get('kind')}; thresholds: {_thresholds(decision)}.",
        f"Audit of the data: {'not recorded' if audit is None else found or 'nothing found'}.",
        f"Trained: {manifest.created_at}, best epoch {training.get('best_epoch')} of {training.get('epochs')}, seed "
        f"{training.get('seed')}, {training.get('parameters')} parameters; answers with {manifest.variant}.",
        "Meant for documents that a person looks at too: an answer is evidence, not proof of identity. Writers, "
        "scanners and pens unlike those of the test images have not been measured.",
        f"{ARTIFACT}{artifact_sha256}",
        f"{IMAGE}{image}",
    ]
    return "\n".join(lines)


def labels(identity: Identity, manifest: Manifest) -> dict[str, str]:
    """For people and filters; see ``told``."""
    return {
        "artifact-sha256": identity.artifact,
        "image-sha256": identity.image,
        "problem": manifest.problem,
        "precision": manifest.variant,
    }


def told(text: str) -> tuple[Identity, str] | None:
    """The identity and the whole image of a version by its card; None for one that is not ours.

    Read from the card and not from labels: Vertex AI merges those of a version with those of its model.
    """
    artifact = re.search(rf"^{ARTIFACT}([0-9a-f]{{64}})$", text, re.MULTILINE)
    image = re.search(rf"^{IMAGE}(\S+@sha256:([0-9a-f]{{64}}))$", text, re.MULTILINE)
    return (Identity(artifact[1][:DIGITS], image[2][:DIGITS]), image[1]) if artifact and image else None


def evaluation(manifest: Manifest) -> dict[str, Any]:
    """The published numbers as a ``ModelEvaluation`` in JSON."""
    numbers = manifest.metrics
    metrics: dict[str, Any] = {}
    if numbers.get("roc_auc") is not None:
        metrics["auRoc"] = numbers["roc_auc"]
    if "confusion" in numbers:
        named = [{"displayName": label} for label in manifest.labels]
        metrics["confusionMatrix"] = {"annotationSpecs": named, "rows": numbers["confusion"]}
    for of in numbers.get("references", {}).values():  # the last has the most references
        if of.get("auc_skilled") is not None:
            metrics["auRoc"] = of["auc_skilled"]
            metrics["confidenceMetrics"] = [
                {"confidenceThreshold": at["threshold"], "recall": 1 - at["frr"] / 100,
                 "falsePositiveRate": at["far_skilled"] / 100}
                for at in of["thresholds"].values() if at.get("threshold") is not None
            ]  # fmt: skip
    told = {
        "errors": gate.errors(manifest),
        "images": manifest.training.get("test_images"),
        "problem": manifest.problem,
    }
    called = f"unseen images, {manifest.created_at}"
    return {"displayName": called, "metricsSchemaUri": SCHEMA, "metrics": metrics, "metadata": told}


def _thresholds(decision: Mapping[str, Any]) -> str:
    thresholds = decision.get("thresholds")
    if isinstance(thresholds, Mapping):  # by false acceptance rate, then by number of references
        return "; ".join(
            f"{name}: " + ", ".join(f"{count} ref. {value:.4f}" for count, value in of.items())
            for name, of in thresholds.items()
        )
    return ", ".join(f"{label} {value:g}" for label, value in zip(decision["labels"], thresholds or (), strict=False))
