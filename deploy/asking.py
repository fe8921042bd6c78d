"""Predictions through a live endpoint, by its own name where it is a dedicated one, within the platform's limits.

Knows requests, not plans. Next: ``smoke.py`` compares what is answered, ``shrink.py`` makes images fit.
"""

import base64
import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from deploy.vertex import CloudError, Vertex, plain, proto

# https://cloud.google.com/vertex-ai/docs/predictions/choose-endpoint-type: bytes of a request, with some to spare.
LARGEST = {True: 9_900_000, False: 1_450_000}
MOST = 64  # images of a request; the server takes 256, and a shared endpoint's answer may have 1.5 MB, too


class Asking:
    """An endpoint that is asked; it has to exist."""

    def __init__(self, vertex: Vertex, name: str):
        self._vertex, self._name = vertex, name

    @functools.cached_property
    def _found(self) -> Any:
        found = self._vertex.read(self._vertex.endpoints.get_endpoint, {"name": self._name})
        if found is None:
            raise CloudError(f"there is no endpoint {self._name.rpartition('/')[2]!r}; deploy apply makes it")
        return found

    @property
    def largest(self) -> int:
        """Bytes that a request may have."""
        return LARGEST[self._found.dedicated_endpoint_enabled]

    def ask(self, instances: list[Any], parameters: dict[str, Any], once: bool = False) -> tuple[str, list[Any]]:
        """Who answered (the id of what is deployed), and its predictions. Raises ``CloudError``."""
        request = proto("PredictRequest", {"endpoint": self._name, "instances": instances, "parameters": parameters})
        client = self._vertex.predictions(self._found.dedicated_endpoint_dns)
        answer = self._vertex.read(client.predict, request, once)
        if answer is None:
            raise CloudError(f"endpoint {self._name.rpartition('/')[2]!r} has nothing deployed that answers")
        return answer.deployed_model_id, [plain(one) for one in answer.predictions]

    def once(self, instances: list[Any], parameters: dict[str, Any]) -> tuple[str, list[Any]]:
        """As ``ask``, and nothing is tried again: a failure is seen as others see it."""
        return self.ask(instances, parameters, once=True)


def instance(image: bytes, references: Sequence[bytes] = ()) -> dict[str, Any]:
    """One image as an instance of a request, with genuine signatures to compare it with."""
    asked: dict[str, Any] = {"image": _b64(image)}
    return {**asked, "references": [_b64(one) for one in references]} if references else asked


def _b64(image: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(image).decode()}


def batches(instances: Sequence[Any], largest: int) -> Iterator[list[Any]]:
    """Consecutive instances in requests that stay below a size and ``MOST`` images; a larger one goes alone."""
    batch: list[Any] = []
    size = images = 0
    for one in instances:
        bytes, more = len(json.dumps(one)) + 1, 1 + len(one.get("references", ()))
        if batch and (size + bytes > largest or images + more > MOST):
            yield batch
            batch, size, images = [], 0, 0
        batch.append(one)
        size, images = size + bytes, images + more
    if batch:
        yield batch
