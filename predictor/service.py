"""What an answer is: encoded images -> admit, decode, ink, engine -> decision. Knows no HTTP.

Holds the opened model and whether it has proven itself; ``lanes.py`` calls ``look`` and ``explain`` from its threads.
"""

import dataclasses
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from predictor import wire
from predictor.errors import BadInstance, BadRequest, NotReady
from predictor.settings import Settings
from trainer import storage
from trainer.artifact import explain
from trainer.artifact.decision import BadQuestion, Parameters
from trainer.artifact.model import Look, Model
from trainer.imaging import ImageError, Limits


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


class Service:
    """One artefact for the life of the process: loading, ready, or closing."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._model: Model | None = None
        self._closing = False
        self._began = time.monotonic()

    def load(self) -> dict[str, Any]:
        """Fetch, check and open the artefact and reproduce its golden answers; returns what was loaded.

        Raises ``BadArtifact`` or ``StorageError``; the service then never becomes ready.
        """
        limits = Limits(self._settings.max_image_bytes, self._settings.max_image_pixels)
        # A folder of its own: a second server on this machine must not change this one's model.
        own = Path(tempfile.mkdtemp(prefix="countersign-")) / "model"
        folder = storage.fetch(self._settings.model, own, shown=False)
        model = Model(folder, self._settings.engine, limits)
        proven = model.prove()
        self._model = model  # from here on health says yes
        seconds = round(time.monotonic() - self._began, 3)
        return {**self.describe(), "engine": self._settings.engine, "golden_answers": proven, "seconds": seconds}

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
        if self._model is None:
            raise NotReady(f"the model is being loaded, for {time.monotonic() - self._began:.1f} s now")
        return self._model

    def describe(self) -> dict[str, Any]:
        """What is served, for people and probes."""
        manifest = self.opened.manifest
        return {
            "problem": manifest.problem,
            "labels": manifest.labels,
            "backbone": manifest.backbone,
            "precision": manifest.precision,
            "created_at": manifest.created_at,
            **self.opened.facts(),
        }

    @staticmethod
    def images(asked: wire.Request) -> list[Image]:
        """Every image of a request once, however often it is named."""
        found: dict[bytes, Image] = {}
        for position, instance in enumerate(asked.instances):
            found.setdefault(instance.image, Image(instance.image, position, "the image"))
            for number, reference in enumerate(instance.references):
                found.setdefault(reference, Image(reference, position, f"reference {number}"))
        return list(found.values())

    @staticmethod
    def questions(asked: wire.Request, looks: Mapping[bytes, Look]) -> list[Question]:
        """The instances of a request with what was seen of their images."""
        parameters = Parameters(asked.far, asked.return_embedding, asked.encoder)
        return [
            Question(
                looks[instance.image],
                [
                    *(looks[reference] for reference in instance.references),
                    *(() if instance.embeddings is None else instance.embeddings),
                ],
                parameters,
            )
            for instance in asked.instances
        ]

    def look(self, image: Image) -> Look:
        """One image to what a decision needs: the work of a request. Raises ``BadInstance``."""
        try:
            return self.opened.look(image.data)
        except ImageError as error:
            raise BadInstance(error, image.instance, image.called) from None

    def decide(self, position: int, asked: Question) -> dict[str, Any]:
        """What was seen of an instance's images to its answer; takes no time. Raises ``BadRequest``."""
        try:
            return self.opened.decide(asked.look, asked.references, asked.parameters)
        except BadQuestion as error:
            raise BadRequest(f"instance {position}: {error}", position) from None

    def explain(self, asked: Question) -> dict[str, Any]:
        """Which regions speak against the questioned image; long work, see ``trainer.artifact.explain``."""
        return explain.describe(explain.against_nearest(self.opened.engine, asked.look, asked.references))
