"""Deployed models that answer an artefact's golden images as recorded, without a server; some requests fail."""

import base64
import random
from pathlib import Path
from typing import Any

from tests.loopback.resources import Refused
from trainer.artifact import golden_file, manifest


class GoldenDeployments:
    """The machines of a loopback Vertex AI: answers predictions, runs no jobs.

    ``failing`` is the share of requests that fail, by version number; ``reached`` lists the version of each request.
    """

    def __init__(self, folder: Path):
        labels = manifest.read(folder).labels
        self._scores = {
            base64.b64encode((folder / golden_file.GOLDEN_DIR / golden.file).read_bytes()).decode(): dict(
                zip(labels, golden.vectors["float32"], strict=True)
            )
            for golden in golden_file.read(folder)
        }
        self.failing: dict[str, float] = {}
        self.reached: list[str] = []
        self._versions: dict[tuple[str, str], str] = {}
        self._random = random.Random(5)

    def start(self, endpoint: str, id: str, version: Any) -> None:
        self._versions[endpoint, id] = version.version_id

    def stop(self, endpoint: str, id: str) -> None:
        del self._versions[endpoint, id]

    def predict(self, endpoint: str, split: dict[str, int], body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the deployed model that the traffic split selects, and its response.

        Raises ``Refused``, as the API does for an error of the container.
        """
        id = self._random.choices(list(split), list(split.values()))[0]
        version = self._versions[endpoint, id]
        self.reached.append(version)
        if self._random.random() < self.failing.get(version, 0):
            raise Refused(500, "INTERNAL", "the model server said: out of memory")
        images = [instance["image"]["b64"] for instance in body["instances"]]
        return id, {"predictions": [{"scores": self._scores.get(image, {})} for image in images]}

    def run(self, world: Any, job: Any, version: Any) -> None:
        """Run no job."""

    def close(self) -> None:
        """End nothing: nothing runs."""
