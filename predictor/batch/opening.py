"""Open what the flags of ``predictor.offline`` name: artefacts and writers on file, in this process or in another.

Next: ``answering.py``, which answers files with them.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from predictor.people import PeopleFile
from trainer import ready
from trainer.artifact.artifact import Artifact
from trainer.artifact.decision import Classifier, Verifier
from trainer.console.progress import transfer_progress

if TYPE_CHECKING:
    from predictor.batch.answering import FileAnswerer
    from predictor.models import Models


@dataclasses.dataclass(frozen=True)
class AnswererSpec:
    """What makes a ``FileAnswerer``, in any process: the flags, and the path of the artefact of each role.

    ``compose`` is that of ``Models``, ``make`` that of ``FileAnswerer``.
    """

    options: argparse.Namespace
    artifacts: dict[str, str]
    compose: Callable[..., Models]
    make: Callable[[Models, argparse.Namespace], FileAnswerer]

    def fetch(self) -> AnswererSpec:
        """Return the same with the folders of the artefacts on this machine.

        Raises ``BadArtifact`` or ``StorageError``.
        """
        folders = {
            role: ready.fetch_artifact(path, progress=transfer_progress) for role, path in self.artifacts.items()
        }
        return dataclasses.replace(self, artifacts={role: str(folder) for role, folder in folders.items()})

    def open(self, replay_golden: bool = True) -> FileAnswerer:
        """Open everything, check the options, and replay the golden answers, unless this machine has done so.

        Raises ``BadArtifact``, ``EnrolmentError``, ``UnsupportedRequest``, ``ImageError`` or ``OSError``.
        """
        opened = {role: Artifact(ready.fetch_artifact(path)) for role, path in self.artifacts.items()}
        if replay_golden:
            for artifact in opened.values():
                artifact.replay_golden()
        models = self.compose(opened["artifact"], opened.get("verifier"), opened.get("classifier"))
        verifier = models.find_verifier()
        if self.options.people and verifier:
            people = PeopleFile(self.options.people, self.options.people_key).open(verifier)
            models = dataclasses.replace(models, gallery=people.gallery)
        return self.make(models, self.options)


def print_question(spec: AnswererSpec, answerer: FileAnswerer) -> None:
    """Say on standard error which ready artefact answers, where the user has named none."""
    if not spec.options.artifact:
        question = answerer.models.main.manifest.question
        print(f"{spec.artifacts['artifact']} answers: {question} Another artefact: --artifact", file=sys.stderr)


def choose_artifacts(options: argparse.Namespace) -> dict[str, str]:
    """Return the paths of the artefacts by their role: those of the options, or the ready ones."""
    paths = {"artifact": options.artifact} if options.artifact else _find_ready_artifacts(options)
    return {role: path for role, path in paths.items() if path}


def _find_ready_artifacts(options: argparse.Namespace) -> dict[str, str]:
    """Return the ready artefacts that answer where none is named, by their role, as a server without settings does."""
    chain = ready.find_chain() or {"artifact": ready.CLASSIFIER}
    needs_verifier = options.reference or options.people or options.return_embedding or options.task == Verifier.task
    is_single = options.task == Verifier.task or options.return_embedding or "classifier" not in chain
    if needs_verifier and is_single:
        return {"artifact": ready.VERIFIER}
    if options.task == Classifier.task:
        return {"artifact": ready.CLASSIFIER}
    return {role: path for role, path in chain.items() if role != "verifier" or needs_verifier}
