"""Deployments that answer an artefact's golden images as recorded, without a server; some fail, or answer late."""

import base64
import random
from pathlib import Path
from typing import Any

from tests.loopback.resources import Refused
from trainer.artifact import golden_file, manifest


class Recorded:
    """``failing`` is the share of requests that fail, by version number; ``asked`` the versions that were reached."""

    def __init__(self, folder: Path):
        labels = manifest.read(folder).labels
        self._scores = {
            base64.b64encode((folder / golden_file.FOLDER / one.file).read_bytes()).decode(): dict(
                zip(labels, one.vectors["float32"], strict=True)
            )
            for one in golden_file.read(folder)
        }
        self.failing: dict[str, float] = {}
        self.asked: list[str] = []
        self._versions: dict[tuple[str, str], str] = {}
        self._random = random.Random(5)

    def start(self, endpoint: str, id: str, version: Any) -> None:
        self._versions[endpoint, id] = version.version_id

    def stop(self, endpoint: str, id: str) -> None:
        del self._versions[endpoint, id]

    def predict(self, endpoint: str, split: dict[str, int], body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Whom the traffic reaches, and what it answers. Raises ``Refused`` as a container's error reaches people."""
        id = self._random.choices(list(split), list(split.values()))[0]
        version = self._versions[endpoint, id]
        self.asked.append(version)
        if self._random.random() < self.failing.get(version, 0):
            raise Refused(500, "INTERNAL", "the model server said: out of memory")
        images = [one["image"]["b64"] for one in body["instances"]]
        return id, {"predictions": [{"scores": self._scores.get(image, {})} for image in images]}

    def run(self, world: Any, job: Any, version: Any) -> None:
        """No job is run."""

    def close(self) -> None:
        """Nothing runs."""
