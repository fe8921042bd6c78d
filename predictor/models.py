"""The models of a server: open them, select the one that answers an instance, describe them.

A classifier judges single images; a verifier beside it compares images with references. A single model answers every
instance. Independent of HTTP. Next: ``service.py`` answers with them, ``trainer/artifact/artifact.py`` is one of them.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import ready, storage
from trainer.artifact.artifact import Artifact
from trainer.artifact.manifest import BadArtifact
from trainer.imaging import Limits

if TYPE_CHECKING:
    from predictor.schema import Instance, Parameters
    from predictor.settings import Settings


@dataclasses.dataclass(frozen=True)
class Models:
    """The opened artefact ``main`` and, beside a classifier, the ``verifier`` that answers instances with references.

    ``engine`` is the name of the engine of both, ``golden_answers`` the number of those that they have reproduced.
    Raises ``BadArtifact`` for two artefacts that are not a classifier and a verifier.
    """

    main: Artifact
    verifier: Artifact | None = None
    engine: str = "litert"
    golden_answers: int = 0

    def __post_init__(self):
        if self.verifier is None:
            return
        if self.main.decision.takes_references:
            raise BadArtifact(
                f"the artefact, of the problem {self.main.manifest.problem}, compares signatures itself; a verifier is "
                "for requests that a classifier cannot answer: leave out --verifier (COUNTERSIGN_VERIFIER)"
            )
        if not self.verifier.decision.takes_references:
            raise BadArtifact(
                f"the verifier is an artefact of the problem {self.verifier.manifest.problem}, which judges single "
                f"images; it has to be one that compares signatures, such as {ready.VERIFIER}"
            )

    @classmethod
    def open(cls, settings: Settings, path: str = "") -> Models:
        """Fetch, verify and open the artefacts of the settings, and replay their golden answers.

        ``path`` names another artefact than the settings, for development; if it is a verifier, it answers alone.
        Raises ``BadArtifact`` or ``StorageError``.
        """
        main, count = _open(settings, path or settings.artifact)
        if not settings.verifier or (path and main.decision.takes_references):
            return cls(main, None, settings.engine, count)
        verifier, verifier_count = _open(settings, settings.verifier)
        return cls(main, verifier, settings.engine, count + verifier_count)

    def find_verifier(self) -> Artifact | None:
        """Return the artefact that compares signatures, if there is one."""
        return self.main if self.main.decision.takes_references else self.verifier

    def select(self, instance: Instance, parameters: Parameters) -> Artifact:
        """Return the artefact that answers an instance.

        Beside a classifier, the verifier answers what has references, and without references what asks for the
        embedding.
        """
        needs_verifier = instance.references or instance.embeddings or parameters.return_embedding
        return self.verifier if self.verifier and needs_verifier else self.main

    def describe(self) -> dict[str, Any]:
        """Describe the main model briefly, for health checks; ``verifier`` describes the one beside it."""
        return self._describe_each(_describe)

    def describe_in_full(self) -> dict[str, Any]:
        """Describe the same with question, published metrics and versions."""
        return self._describe_each(lambda artifact: {**_describe_in_full(artifact), "engine": self.engine})

    def _describe_each(self, describe: Callable[[Artifact], dict[str, Any]]) -> dict[str, Any]:
        return {**describe(self.main), **({"verifier": describe(self.verifier)} if self.verifier else {})}


def _open(settings: Settings, path: str) -> tuple[Artifact, int]:
    """Open the artefact at a path; return it with the number of golden answers that it reproduced."""
    if not storage.is_remote(path):
        return _open_folder(settings, ready.fetch_artifact(path))
    # In a new folder: a second server on this machine must not change the artefact of this one. An opened artefact does
    # not read its files again.
    with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
        return _open_folder(settings, ready.fetch_artifact(path, Path(folder) / "model"))


def _open_folder(settings: Settings, folder: Path) -> tuple[Artifact, int]:
    limits = Limits(settings.max_image_bytes, settings.max_image_pixels)
    artifact = Artifact(folder, settings.engine, limits, settings.threads)
    return artifact, artifact.replay_golden()


def _describe(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "model": f"{manifest.problem}/{manifest.backbone}",
        "version": artifact.identity[:12],
        "problem": manifest.problem,
        "labels": manifest.labels,
        "backbone": manifest.backbone,
        "variant": manifest.variant,
        "created_at": manifest.created_at,
        **artifact.get_metadata(),
    }


def _describe_in_full(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        **_describe(artifact),
        "question": manifest.question,
        "takes_references": artifact.decision.takes_references,
        "canvas": [manifest.imaging["height"], manifest.imaging["width"]],
        "parameters": manifest.training.get("parameters"),
        "metrics": manifest.metrics,
        "versions": manifest.versions,
    }
