"""What an answer is: encoded images -> admit, decode, ink, engine -> decision. Knows no HTTP.

Holds the opened model and whether it has proven itself. Next: ``answering.py``, which puts its steps on threads.
"""

import dataclasses
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pybase64

from predictor import wire
from predictor.errors import BadInstance, BadRequest, NoModel, NotReady, Unanswerable
from predictor.settings import Settings
from trainer import storage
from trainer.artifact import explain
from trainer.artifact.artifact import Look, Model
from trainer.artifact.decision import BadQuestion, Parameters
from trainer.artifact.manifest import BadArtifact
from trainer.imaging import ImageError, Limits, as_png

CANNOT_SERVE = (BadArtifact, storage.StorageError)  # whose messages say it all


@dataclasses.dataclass(frozen=True)
class Image:
    """An encoded image with the instance that it belongs to; ``called`` is said in errors."""

    data: bytes
    instance: int
    called: str


@dataclasses.dataclass(frozen=True)
class Question:
    """An instance whose images have been looked at."""

    look: Look
    references: list[Look | np.ndarray]
    parameters: Parameters
    return_ink: bool = False


class Service:
    """One artefact for the life of the process: loading, ready, or closing."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._model: Model | None = None
        self._closing = False
        self._began = time.monotonic()

    def load(self, source: str = "") -> dict[str, Any]:
        """Fetch, check and open an artefact and reproduce its golden answers; returns what was loaded.

        Without ``source``, the one that the settings name; another one only in development. Raises ``BadArtifact`` or
        ``StorageError``; then the service goes on with what it had, or never becomes ready.
        """
        path = source or self._settings.model
        if storage.is_remote(path):
            # A folder of its own: a second server on this machine must not change this one's model. An opened model
            # reads its files no more.
            with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
                model, proven = self._proven(storage.fetch(path, Path(folder) / "model"))
        else:
            model, proven = self._proven(storage.fetch(path))
        self._model = model  # from here on health says yes
        seconds = round(time.monotonic() - self._began, 3)
        return {**self.describe(), "engine": self._settings.engine, "golden_answers": proven, "seconds": seconds}

    def _proven(self, folder: Path) -> tuple[Model, int]:
        """The artefact of a folder, and how many golden answers it has reproduced."""
        limits = Limits(self._settings.max_image_bytes, self._settings.max_image_pixels)
        model = Model(folder, self._settings.engine, limits, self._settings.threads)
        return model, model.prove()

    def close(self) -> None:
        """From now on health says no, so that no new work is sent here."""
        self._closing = True

    def check_ready(self) -> None:
        """Raises the ``reason_to_wait``, if there is one."""
        if reason := self.reason_to_wait():
            raise reason

    def reason_to_wait(self) -> NotReady | None:
        """Why no new work may come at this moment."""
        if self._closing:
            return NotReady("the server is shutting down")
        try:
            self.opened  # noqa: B018
        except NotReady as loading:
            return loading
        return None

    @property
    def opened(self) -> Model:
        """The model, also for work that was accepted before closing. Raises ``NotReady``."""
        if self._model is None and not self._settings.model:
            raise NoModel("no model yet: train one")
        if self._model is None:
            raise NotReady(f"the model is being loaded, for {time.monotonic() - self._began:.1f} s now")
        return self._model

    def describe(self) -> dict[str, Any]:
        """What is served, for people and probes."""
        manifest = self.opened.manifest
        return {
            "model": f"{manifest.problem}/{manifest.backbone}",
            "version": self.opened.identity[:12],
            "problem": manifest.problem,
            "labels": manifest.labels,
            "backbone": manifest.backbone,
            "precision": manifest.variant,
            "created_at": manifest.created_at,
            **self.opened.facts(),
        }

    def card(self) -> dict[str, Any]:
        """All that people may want to know of what is served: also what it asks, and its published numbers."""
        manifest = self.opened.manifest
        return {
            **self.describe(),
            "question": manifest.question,
            "compares": self.opened.decision.compares,
            "engine": self._settings.engine,
            "canvas": [manifest.imaging["height"], manifest.imaging["width"]],
            "parameters": manifest.training.get("parameters"),
            "metrics": manifest.metrics,
            "versions": manifest.versions,
        }

    def check(self, asked: wire.Request) -> None:
        """Raises ``Unanswerable`` for parameters that no instance of the request could be answered by."""
        instances = [instance for instance in asked.instances if isinstance(instance, wire.Instance)]
        compared = any(instance.references or instance.embeddings for instance in instances)
        explained = any(instance.explain for instance in instances)
        if not self.opened.decision.compares and explained:
            raise Unanswerable('this model judges single images; "explain" is for models that compare signatures')
        if self.opened.decision.compares and instances and not compared and (explained or asked.far is not None):
            raise Unanswerable(
                'no instance has references, so there is nothing to decide: "far" and "explain" need some'
            )

    @staticmethod
    def images(asked: wire.Request) -> list[Image]:
        """Every image of a request once, however often it is named."""
        found: dict[bytes, Image] = {}
        for position, instance in enumerate(asked.instances):
            if isinstance(instance, wire.Instance):
                for image in _images_of(instance, position):
                    found.setdefault(image.data, image)
        return list(found.values())

    @staticmethod
    def question(asked: wire.Request, position: int, looks: Mapping[bytes, Look | ImageError]) -> Question:
        """An instance with what was seen of its images. Raises its ``BadRequest`` or ``BadInstance``."""
        instance = asked.instances[position]
        if isinstance(instance, BadRequest):
            raise instance
        seen = []
        for image in _images_of(instance, position):
            look = looks[image.data]
            if isinstance(look, ImageError):
                raise BadInstance(look, position, image.called)
            seen.append(look)
        parameters = Parameters(asked.far, asked.return_embedding, asked.encoder)
        return Question(seen[0], [*seen[1:], *instance.embeddings], parameters, asked.return_ink)

    def look(self, image: Image, alone: bool = False) -> Look:
        """One image to what a decision needs: the work of a request. Raises ``BadInstance``."""
        try:
            return self.opened.look(image.data, alone)
        except ImageError as error:
            raise BadInstance(error, image.instance, image.called) from None

    def decide(self, position: int, asked: Question) -> dict[str, Any]:
        """What was seen of an instance's images to its answer; takes no time. Raises ``Unanswerable``."""
        try:
            answer = self.opened.decide(asked.look, asked.references, asked.parameters)
        except BadQuestion as error:
            raise Unanswerable(f"instance {position}: {error}", position) from None
        if asked.return_ink:
            answer["ink"] = {"b64": pybase64.b64encode(as_png(asked.look.canonical.image)).decode()}
        return answer

    def explain(self, asked: Question) -> dict[str, Any]:
        """Which regions speak against the questioned image; long work, see ``trainer.artifact.explain``."""
        return explain.describe(explain.against_nearest(self.opened.engine, asked.look, asked.references))


def _images_of(instance: wire.Instance, position: int) -> list[Image]:
    """The questioned image and the references, as errors call them."""
    references = enumerate(instance.references)
    return [
        Image(instance.image, position, "the image"),
        *(Image(reference, position, f"reference {number}") for number, reference in references),
    ]
