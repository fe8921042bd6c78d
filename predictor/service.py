"""Answer requests: encode every image once, on the executor's threads, then decide, then explain, there as well.

Holds the served models and the state of the server. Independent of HTTP. Next: ``models.py`` selects the model of an
instance, ``executor.py`` schedules the work, ``trainer/artifact/artifact.py`` encodes and decides.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pybase64

from predictor.errors import (
    BadInstance,
    BadRequest,
    LoadError,
    NoModel,
    NotReady,
    PredictorError,
    Unanswerable,
    error_content,
)
from predictor.executor import Executor
from predictor.schema import Instance, ParsedRequest
from trainer import storage
from trainer.artifact import decision, explain
from trainer.artifact.artifact import Artifact, EncodedImage
from trainer.artifact.manifest import BadArtifact
from trainer.imaging import ImageError, encode_png

if TYPE_CHECKING:
    from predictor.models import Models
    from predictor.settings import Settings
    from predictor.telemetry import RequestLog


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image file for an artefact, and the first instance that contains it; ``role`` names it there, for errors."""

    artifact: Artifact
    data: bytes
    instance: int
    role: str

    @property
    def key(self) -> tuple[Artifact, bytes]:
        """What has to be encoded once: each artefact has an encoder of its own."""
        return self.artifact, self.data


EncodedImages = Mapping[tuple[Artifact, bytes], EncodedImage | ImageError]  # by ``ImageFile.key``


@dataclasses.dataclass(frozen=True)
class EncodedInstance:
    """An instance with its encoded images; ``references`` are encoded images and stored embeddings ``float32 [D]``."""

    artifact: Artifact
    image: EncodedImage
    references: list[EncodedImage | np.ndarray]


class Service:
    """The served models and the executor of a process that is loading, ready or closing.

    ``open_models`` opens the models of settings, or those of a path that is not empty; it is ``Models.open``.
    """

    def __init__(self, settings: Settings, open_models: Callable[[Settings, str], Models]):
        self.executor = Executor(settings.threads, settings.max_waiting_images)
        self._settings = settings
        self._open_models = open_models
        self._models: Models | None = None
        self._is_closing = False
        self._started_at = time.monotonic()

    def load(self, path: str = "") -> dict[str, Any]:
        """Open the models and replay their golden answers; return a description of them.

        An empty ``path`` is that of the settings; other paths are for development. Raises ``LoadError``: the service
        then keeps its previous models, if any.
        """
        try:
            models = self._open_models(self._settings, path)
        except (BadArtifact, storage.StorageError) as error:
            raise LoadError(str(error)) from error
        self._models = models  # from here on health is 200
        seconds = round(time.monotonic() - self._started_at, 3)
        return {
            **models.describe(),
            "engine": models.engine,
            "golden_answers": models.golden_answers,
            "seconds": seconds,
        }

    def close(self) -> None:
        """Report not ready from now on, so that no new requests are sent here."""
        self._is_closing = True

    def check_ready(self) -> None:
        """Raise the ``unavailable_reason``, if there is one."""
        if reason := self.unavailable_reason():
            raise reason

    def unavailable_reason(self) -> NotReady | None:
        """Return why new requests are refused at this moment, or None."""
        if self._is_closing:
            return NotReady("the server is shutting down")
        try:
            self.models  # noqa: B018
        except NotReady as reason:
            return reason
        return None

    @property
    def models(self) -> Models:
        """The models, also after ``close`` for requests accepted before. Raises ``NotReady``."""
        if self._models is None and not self._settings.artifact:
            raise NoModel("no model yet: train one")
        if self._models is None:
            raise NotReady(f"the model is being loaded, for {time.monotonic() - self._started_at:.1f} s now")
        return self._models

    async def answer(self, request: ParsedRequest, expires_at: float, request_log: RequestLog) -> list[dict[str, Any]]:
        """Answer each instance, in order; ``expires_at`` is a time of ``time.monotonic``.

        Raises the ``PredictorError`` of the request, or of its first bad instance; with ``on_error="row"``, the answer
        to a bad instance is ``{"error": {...}}`` and the others are answered.
        """
        models = self.models
        _check_answerable(models, request)
        images = collect_images(models, request)
        with self.executor.reserve(max(len(images), sum(map(_may_be_explained, request.instances)))) as reservation:
            use_all_cores = len(images) == 1 and self.executor.in_flight == reservation.free  # no other request

            def encode(image: ImageFile) -> EncodedImage | ImageError:
                try:
                    encoded = image.artifact.encode(image.data, use_all_cores)
                except ImageError as error:
                    if request.parameters.on_error != "row":
                        raise BadInstance(error, image.instance, image.role) from None
                    return error
                for stage, seconds in encoded.stage_seconds.items():
                    request_log.add_seconds(stage, seconds)
                return encoded

            def decide_all(_: ParsedRequest) -> list[tuple[dict[str, Any], EncodedInstance | None]]:
                with request_log.measure("decide"):
                    positions = range(len(request.instances))
                    return [_decide(models, request, position, encoded_images) for position in positions]

            def explain_row(encoded: EncodedInstance) -> dict[str, Any]:
                return explain.to_json(encoded.artifact.explain(encoded.image, encoded.references))

            on_start = functools.partial(request_log.add_seconds, "wait")
            results = await reservation.run_all(encode, images, expires_at, on_start)
            encoded_images = {image.key: result for image, result in zip(images, results, strict=True)}
            if any(map(_has_references, request.instances)):  # long work, during which health checks are answered
                (decided,) = await reservation.run_all(decide_all, [request], expires_at, on_start)
            else:
                decided = decide_all(request)
            rows = [row for row, _ in decided]
            to_explain = [
                (row, encoded)
                for instance, (row, encoded) in zip(request.instances, decided, strict=True)
                if encoded and _may_be_explained(instance) and "distance" in row
            ]
            explanations = await reservation.run_all(explain_row, [encoded for _, encoded in to_explain], expires_at)
        for (row, _), explanation in zip(to_explain, explanations, strict=True):
            row["explanation"] = explanation
        counts = {"images": len(images), "errors": sum("error" in row for row in rows)}
        counts["verifier_instances"] = sum(
            models.select(instance, request.parameters).decision.takes_references
            for instance in request.instances
            if isinstance(instance, Instance)
        )
        request_log.set_counts(instances=len(rows), **counts)
        return rows


def collect_images(models: Models, request: ParsedRequest) -> list[ImageFile]:
    """List the different images of a request, each once for each artefact that answers with it."""
    images: dict[tuple[Artifact, bytes], ImageFile] = {}
    for position, instance in enumerate(request.instances):
        if isinstance(instance, Instance):
            for image in _get_images(models.select(instance, request.parameters), instance, position):
                images.setdefault(image.key, image)
    return list(images.values())


def _get_images(artifact: Artifact, instance: Instance, position: int) -> list[ImageFile]:
    """List the questioned image and the references of an instance, with their names for errors."""
    references = enumerate(instance.references)
    return [
        ImageFile(artifact, instance.image, position, "the image"),
        *(ImageFile(artifact, reference, position, f"reference {number}") for number, reference in references),
    ]


def _check_answerable(models: Models, request: ParsedRequest) -> None:
    """Raise ``Unanswerable`` for parameters that apply to no instance of the request."""
    verifier = models.find_verifier()
    instances = [instance for instance in request.instances if isinstance(instance, Instance)]
    has_references = any(map(_has_references, instances))
    has_explain = any(instance.explain for instance in instances)
    if not verifier and has_explain:
        raise Unanswerable('this model judges single images; "explain" is for models that compare signatures')
    has_threshold = request.parameters.far is not None or request.parameters.threshold is not None
    if verifier and instances and not has_references and (has_explain or has_threshold):
        raise Unanswerable(
            'no instance has references, so there is nothing to decide: "far", "threshold" and "explain" need some'
        )
    answering = {models.select(instance, request.parameters) for instance in instances}
    if verifier and instances and request.parameters.encoder is not None and verifier not in answering:
        raise Unanswerable('"encoder" is that of the verifier, which answers no instance of this request')


def _has_references(instance: Instance | BadRequest) -> bool:
    """Return whether the image is compared; such an instance has images to encode, so slots are reserved."""
    return isinstance(instance, Instance) and bool(instance.references or instance.embeddings)


def _may_be_explained(instance: Instance | BadRequest) -> bool:
    """Return whether an answer may need an explanation, which is more work: it has references."""
    return isinstance(instance, Instance) and instance.explain and _has_references(instance)


def _decide(
    models: Models, request: ParsedRequest, position: int, encoded_images: EncodedImages
) -> tuple[dict[str, Any], EncodedInstance | None]:
    """Decide an instance; return its answer, or its error as a row. Raises ``PredictorError``."""
    parameters = request.parameters
    try:
        encoded = _get_encoded(models, request, position, encoded_images)
        decision_parameters = decision.DecisionParameters(
            parameters.far, parameters.return_embedding, parameters.encoder, parameters.threshold
        )
        if models.verifier and encoded.artifact is models.main:
            decision_parameters = decision.DecisionParameters()  # they are for the verifier's instances of the request
        try:
            answer = encoded.artifact.decide(encoded.image, encoded.references, decision_parameters)
        except decision.UnsupportedRequest as error:
            raise Unanswerable(f"instance {position}: {error}", position) from None
    except PredictorError as error:
        if parameters.on_error != "row":
            raise
        return error_content(error.code, str(error), error.instance), None
    if parameters.return_ink:
        answer["ink"] = {"b64": pybase64.b64encode(encode_png(encoded.image.canonical.image)).decode()}
    return answer, encoded


def _get_encoded(
    models: Models, request: ParsedRequest, position: int, encoded_images: EncodedImages
) -> EncodedInstance:
    """Return an instance with its encoded images. Raises its ``BadRequest`` or ``BadInstance``."""
    instance = request.instances[position]
    if isinstance(instance, BadRequest):
        raise instance
    artifact, images = models.select(instance, request.parameters), []
    for image in _get_images(artifact, instance, position):
        encoded = encoded_images[image.key]
        if isinstance(encoded, ImageError):
            raise BadInstance(encoded, position, image.role)
        images.append(encoded)
    return EncodedInstance(artifact, images[0], [*images[1:], *instance.embeddings])
