"""The prediction client: sends instances to a live endpoint, at its own address where it is a dedicated one.

Keeps the platform's limits on requests. Next: ``smoke.py`` compares answers, ``downscale.py`` makes images fit into a
request.
"""

import base64
import functools
import json
from collections.abc import Iterator, Sequence

from deploy import vertex
from deploy.errors import CloudError
from deploy.request_counts import Instance, Parameters, Reply
from deploy.vertex import VertexClient, make_message, value_to_json

# https://cloud.google.com/vertex-ai/docs/predictions/choose-endpoint-type: bytes of a request, less a margin.
MAX_REQUEST_BYTES = {True: 9_900_000, False: 1_450_000}  # by whether the endpoint is dedicated
# The server takes 256 images, but the reply of a shared endpoint is limited to 1.5 MB as well.
MAX_REQUEST_IMAGES = 64
MAX_REQUEST_EMBEDDINGS = 16  # that a reply contains; one of the backbone ``strokes`` is up to 56 kB of JSON


class PredictionClient:
    """A client for the predictions of one endpoint, which has to exist."""

    def __init__(self, client: VertexClient, name: str):
        self._client, self._name = client, name

    @functools.cached_property
    def _endpoint(self) -> vertex.Endpoint:
        endpoint = self._client.read(self._client.endpoints.get_endpoint, {"name": self._name})
        if endpoint is None:
            raise CloudError(f"there is no endpoint {self._name.rpartition('/')[2]!r}; deploy apply creates it")
        return endpoint

    @property
    def max_request_bytes(self) -> int:
        """The largest size of a request. Raises ``CloudError``."""
        return MAX_REQUEST_BYTES[self._endpoint.dedicated_endpoint_enabled]

    def predict(self, instances: list[Instance], parameters: Parameters, retries: bool = True) -> Reply:
        """Send a request and return its reply. Raises ``CloudError``."""
        request = make_message(
            "PredictRequest", {"endpoint": self._name, "instances": instances, "parameters": parameters}
        )
        service = self._client.prediction_service(self._endpoint.dedicated_endpoint_dns)
        response = self._client.read(service.predict, request, retries)
        if response is None:
            raise CloudError(f"endpoint {self._name.rpartition('/')[2]!r} has nothing deployed that answers")
        return Reply(response.deployed_model_id, [value_to_json(value) for value in response.predictions])

    def predict_once(self, instances: list[Instance], parameters: Parameters) -> Reply:
        """Send a request without retries, so that a failure is seen as clients see it. Raises ``CloudError``."""
        return self.predict(instances, parameters, retries=False)


def make_instance(image: bytes, references: Sequence[bytes] = ()) -> Instance:
    """Return an image as an instance of a request, with genuine signatures to compare it with."""
    instance: Instance = {"image": _encode(image)}
    if references:
        instance["references"] = [_encode(reference) for reference in references]
    return instance


def _encode(image: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(image).decode()}


def make_batches(
    instances: Sequence[Instance], max_bytes: int, return_embedding: bool = False
) -> Iterator[list[Instance]]:
    """Group consecutive instances into requests of at most ``max_bytes`` and ``MAX_REQUEST_IMAGES``.

    With ``return_embedding``, a request has at most ``MAX_REQUEST_EMBEDDINGS`` instances. An instance that exceeds a
    limit by itself is a request of its own.
    """
    max_instances = MAX_REQUEST_EMBEDDINGS if return_embedding else MAX_REQUEST_IMAGES
    batch: list[Instance] = []
    batch_bytes = batch_images = 0
    for instance in instances:
        bytes, images = len(json.dumps(instance)) + 1, 1 + len(instance.get("references", ()))
        is_full = len(batch) == max_instances or batch_images + images > MAX_REQUEST_IMAGES
        if batch and (is_full or batch_bytes + bytes > max_bytes):
            yield batch
            batch, batch_bytes, batch_images = [], 0, 0
        batch.append(instance)
        batch_bytes, batch_images = batch_bytes + bytes, batch_images + images
    if batch:
        yield batch
