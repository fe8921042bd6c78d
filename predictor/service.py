"""What an answer is: an encoded image -> admit, decode, ink, engine, decision. Knows no HTTP.

Holds the opened model and whether it has proven itself; ``lanes.py`` calls ``answer`` from its threads.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from predictor.errors import BadInstance, NotReady
from predictor.settings import Settings
from trainer import storage
from trainer.artifact.model import Model
from trainer.imaging import ImageError, Limits


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
        }

    def answer(self, numbered: tuple[int, bytes]) -> dict[str, Any]:
        """(position, encoded image) to its answer. Raises ``BadInstance``."""
        position, data = numbered
        try:
            return self.opened.answer(data)
        except ImageError as error:
            raise BadInstance(error, position) from None
