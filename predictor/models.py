"""The models of a server: open them, select the one that answers an instance, describe them.

A finder reads documents; a classifier judges single images, and a verifier compares them with references. A single
model answers every instance. Independent of HTTP. Next: ``service.py`` answers with them,
``trainer/artifact/artifact.py`` is one of them.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import ready, storage
from trainer.artifact import golden_regions
from trainer.artifact.artifact import Artifact
from trainer.artifact.decision import Classifier, Locator, Verifier
from trainer.artifact.location import SIGNATURE
from trainer.artifact.manifest import BadArtifact
from trainer.imaging import Limits

if TYPE_CHECKING:
    from predictor.schema import Instance, Parameters
    from predictor.settings import Settings
    from trainer.enrolment.gallery import Gallery


@dataclasses.dataclass(frozen=True)
class Models:
    """The opened artefact ``main``, and those beside it that answer what it does not.

    Beside a finder, which reads documents, are a ``classifier`` and a ``verifier``; beside a classifier is a
    ``verifier``. ``engine`` is the name of the engine of all, ``golden_answers`` the number of those that they have
    reproduced. ``gallery`` are the writers on file, enrolled with the verifier. Raises
    ``BadArtifact`` for artefacts that do not complement each other.
    """

    main: Artifact
    verifier: Artifact | None = None
    classifier: Artifact | None = None
    engine: str = "litert"
    golden_answers: int = 0
    gallery: Gallery | None = None

    def __post_init__(self):
        if self.verifier and self.main.decision.task == Verifier.task:
            raise BadArtifact(
                f"the artefact, of the problem {self.main.manifest.problem}, compares signatures itself; a verifier is "
                "for requests that it cannot answer: leave out --verifier (COUNTERSIGN_VERIFIER)"
            )
        if self.verifier and self.verifier.decision.task != Verifier.task:
            raise BadArtifact(
                f"the verifier is an artefact of the problem {self.verifier.manifest.problem}, which judges single "
                f"images; it has to be one that compares signatures, such as {ready.VERIFIER}"
            )

    @classmethod
    def open(cls, settings: Settings, path: str = "") -> Models:
        """Fetch, verify and open the artefacts of the settings, and replay their golden answers.

        ``path`` names another artefact than the settings, for development; if it is a verifier, it answers alone. The
        parts of a finder answer beside it. Raises ``BadArtifact`` or ``StorageError``.
        """
        main, count = _open(settings, path or settings.artifact)
        verifier = classifier = None
        if settings.verifier and not (path and main.decision.task == Verifier.task):
            verifier, added = _open(settings, settings.verifier)
            count += added
        if settings.classifier and main.decision.task == Locator.task:
            classifier, added = _open(settings, settings.classifier)
            count += added
        return cls.compose(main, verifier, classifier, settings.engine, count)

    @classmethod
    def compose(
        cls,
        main: Artifact,
        verifier: Artifact | None = None,
        classifier: Artifact | None = None,
        engine: str = "litert",
        golden_answers: int = 0,
    ) -> Models:
        """Put opened artefacts together; a part of a finder answers where no other artefact is given.

        Replays the golden pages of a finder with the verifier. Raises ``BadArtifact``.
        """
        if main.decision.task == Locator.task:
            verifier, classifier = verifier or main.verifier, classifier or main.signature_check
        models = cls(main, verifier, classifier, engine)
        return dataclasses.replace(models, golden_answers=golden_answers + golden_regions.replay(main, verifier))

    @property
    def signature_check(self) -> Artifact | None:
        """Return the artefact that judges what a finder finds: the classifier, if it knows signatures."""
        classifier = self.classifier
        return classifier if classifier and SIGNATURE in classifier.manifest.labels else None

    @property
    def by_task(self) -> dict[str, Artifact]:
        """Return the artefact for each task that can be answered: ``find``, ``classify`` and ``verify``."""
        artifacts = {
            Locator.task: None,
            Classifier.task: self.classifier,
            Verifier.task: self.verifier,
            self.main.decision.task: self.main,
        }
        return {task: artifact for task, artifact in artifacts.items() if artifact}

    def is_finder(self, artifact: Artifact) -> bool:
        """Return whether an artefact finds signatures on pages."""
        return artifact.decision.task == Locator.task

    def find_verifier(self) -> Artifact | None:
        """Return the artefact that compares signatures, if there is one."""
        return self.by_task.get(Verifier.task)

    def select_task(self, instance: Instance, parameters: Parameters) -> str:
        """Return the task of an instance: that of the parameters, else what the instance asks for, else the main one.

        A finder reads what has references, too, as a document; embeddings and explanations are of single signatures.
        """
        if parameters.task:
            return parameters.task
        main = self.main.decision.task
        needs_verifier: object = parameters.return_embedding or instance.explain
        if main == Classifier.task:
            needs_verifier = parameters.return_embedding or instance.is_compared
        return Verifier.task if self.verifier and needs_verifier else main

    def select(self, instance: Instance, parameters: Parameters) -> Artifact:
        """Return the artefact that answers an instance. Raises ``KeyError`` for a task that none answers."""
        return self.by_task[self.select_task(instance, parameters)]

    def may_identify(self, instance: Instance, parameters: Parameters) -> bool:
        """Return whether the artefact that answers an instance can also search its writer, if that is asked."""
        return not instance.identify or self.select_task(instance, parameters) != Classifier.task

    def describe(self) -> dict[str, Any]:
        """Describe the main model briefly, for health checks; ``verifier`` and ``classifier`` are those beside it."""
        return self._describe_each(_describe)

    def describe_in_full(self) -> dict[str, Any]:
        """Describe the same with question, published metrics and versions."""
        described = self._describe_each(lambda artifact: {**_describe_in_full(artifact), "engine": self.engine})
        if self.gallery is not None:
            counts = {"writers": len(self.gallery), "references": int(self.gallery.reference_counts.sum())}
            described["people"] = counts
        return described

    def _describe_each(self, describe: Callable[[Artifact], dict[str, Any]]) -> dict[str, Any]:
        beside = {"verifier": self.verifier, "classifier": self.classifier}
        described = {name: describe(artifact) for name, artifact in beside.items() if artifact}
        return {**describe(self.main), "tasks": list(self.by_task), **described}


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
        "card": dataclasses.asdict(artifact.card_facts) if artifact.card_facts else None,
    }
