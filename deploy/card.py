"""What people read about a version in the registry: its model card, and the evaluation that Vertex AI shows.

Made of the manifest alone, so it says what was measured and nothing else. Knows manifests, not the SDK.
"""

from collections.abc import Mapping
from typing import Any

from deploy import gate
from deploy.live import Identity
from trainer.artifact.manifest import Manifest

# https://cloud.google.com/vertex-ai/docs/evaluation/introduction: the schema of evaluations with a confusion matrix and
# curves; there is none for verification, whose error rates go into the metadata beside it.
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
        f"{training.get('seed')}, {training.get('parameters')} parameters; answers with {manifest.precision}.",
        "Meant for documents that a person looks at too: an answer is evidence, not proof of identity. Writers, "
        "scanners and pens unlike those of the test images have not been measured.",
        f"Artefact sha256: {artifact_sha256}",
        f"Image: {image}",
    ]
    return "\n".join(lines)


def labels(identity: Identity, manifest: Manifest) -> dict[str, str]:
    """By which a version is found again: never by its name."""
    return {
        "artifact-sha256": identity.artifact,
        "image-sha256": identity.image,
        "problem": manifest.problem,
        "precision": manifest.precision,
    }


def identity_of(labels: Mapping[str, str]) -> Identity | None:
    """The inverse of ``labels``; None for a version that is not ours."""
    artifact, image = labels.get("artifact-sha256"), labels.get("image-sha256")
    return Identity(artifact, image) if artifact and image else None


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
