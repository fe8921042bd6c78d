"""Answer requests: encode every image once, on the executor's threads, then decide, then explain.

Holds the served artefact and the state of the server. Independent of HTTP. Next: ``executor.py`` schedules the work,
``trainer/artifact/artifact.py`` encodes and decides.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
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
from trainer.imaging import ImageError, Limits, encode_png
from trainer.ready import fetch_artifact

if TYPE_CHECKING:
    from predictor.settings import Settings
    from predictor.telemetry import RequestLog


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """The bytes of an image file and the first instance that contains it; ``role`` names it there, for errors."""

    data: bytes
    instance: int
    role: str


@dataclasses.dataclass(frozen=True)
class EncodedInstance:
    """An instance with its encoded images; ``references`` are encoded images and stored embeddings ``float32 [D]``."""

    image: EncodedImage
    references: list[EncodedImage | np.ndarray]


class Service:
    """The served artefact and the executor of a process that is loading, ready or closing."""

    def __init__(self, settings: Settings):
        self.executor = Executor(settings.threads, settings.max_waiting_images)
        self._settings = settings
        self._artifact: Artifact | None = None
        self._is_closing = False
        self._started_at = time.monotonic()

    def load(self, path: str = "") -> dict[str, Any]:
        """Fetch, verify and open an artefact and replay its golden answers; return a description of it.

        An empty ``path`` is the path of the settings; other paths are for development. Raises ``LoadError``: the
        service then keeps its previous artefact, if any.
        """
        try:
            artifact, golden_answers = self._open(path or self._settings.artifact)
        except (BadArtifact, storage.StorageError) as error:
            raise LoadError(str(error)) from error
        self._artifact = artifact  # from here on health is 200
        seconds = round(time.monotonic() - self._started_at, 3)
        counts = {"golden_answers": golden_answers, "seconds": seconds}
        return {**self.describe(), "engine": self._settings.engine, **counts}

    def _open(self, path: str) -> tuple[Artifact, int]:
        """Open the artefact at a path; return it with the number of golden answers that it reproduced."""
        if not storage.is_remote(path):
            return self._open_folder(fetch_artifact(path))
        # In a new folder: a second server on this machine must not change the artefact of this one. An opened artefact
        # does not read its files again.
        with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
            return self._open_folder(fetch_artifact(path, Path(folder) / "model"))

    def _open_folder(self, folder: Path) -> tuple[Artifact, int]:
        limits = Limits(self._settings.max_image_bytes, self._settings.max_image_pixels)
        artifact = Artifact(folder, self._settings.engine, limits, self._settings.threads)
        return artifact, artifact.replay_golden()

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
            self.artifact  # noqa: B018
        except NotReady as reason:
            return reason
        return None

    @property
    def artifact(self) -> Artifact:
        """The artefact, also after ``close`` for requests accepted before. Raises ``NotReady``."""
        if self._artifact is None and not self._settings.artifact:
            raise NoModel("no model yet: train one")
        if self._artifact is None:
            raise NotReady(f"the model is being loaded, for {time.monotonic() - self._started_at:.1f} s now")
        return self._artifact

    def describe(self) -> dict[str, Any]:
        """Describe the model briefly, for health checks. Raises ``NotReady``."""
        manifest = self.artifact.manifest
        return {
            "model": f"{manifest.problem}/{manifest.backbone}",
            "version": self.artifact.identity[:12],
            "problem": manifest.problem,
            "labels": manifest.labels,
            "backbone": manifest.backbone,
            "variant": manifest.variant,
            "created_at": manifest.created_at,
            **self.artifact.get_metadata(),
        }

    def describe_in_full(self) -> dict[str, Any]:
        """Describe the model in full, with its question and its published metrics. Raises ``NotReady``."""
        manifest = self.artifact.manifest
        return {
            **self.describe(),
            "question": manifest.question,
            "takes_references": self.artifact.decision.takes_references,
            "engine": self._settings.engine,
            "canvas": [manifest.imaging["height"], manifest.imaging["width"]],
            "parameters": manifest.training.get("parameters"),
            "metrics": manifest.metrics,
            "versions": manifest.versions,
        }

    async def answer(self, request: ParsedRequest, expires_at: float, request_log: RequestLog) -> list[dict[str, Any]]:
        """Answer each instance, in order; ``expires_at`` is a time of ``time.monotonic``.

        Raises the ``PredictorError`` of the request, or of its first bad instance; with ``on_error="row"``, the answer
        to a bad instance is ``{"error": {...}}`` and the others are answered.
        """
        artifact = self.artifact
        _check_answerable(artifact, request)
        images = collect_images(request)
        with self.executor.reserve(max(len(images), sum(map(_may_be_explained, request.instances)))) as reservation:
            use_all_cores = len(images) == 1 and self.executor.in_flight == reservation.free  # no other request

            def encode(image: ImageFile) -> EncodedImage | ImageError:
                try:
                    encoded = artifact.encode(image.data, use_all_cores)
                except ImageError as error:
                    if request.parameters.on_error != "row":
                        raise BadInstance(error, image.instance, image.role) from None
                    return error
                for stage, seconds in encoded.stage_seconds.items():
                    request_log.add_seconds(stage, seconds)
                return encoded

            def explain_row(encoded: EncodedInstance) -> dict[str, Any]:
                return explain.to_json(explain.explain_nearest(artifact.engine_pool, encoded.image, encoded.references))

            results = await reservation.run_all(
                encode, images, expires_at, functools.partial(request_log.add_seconds, "wait")
            )
            encoded_images = {image.data: result for image, result in zip(images, results, strict=True)}
            rows, to_explain = [], []
            for position, instance in enumerate(request.instances):
                row, encoded = _decide(artifact, request, position, encoded_images)
                rows.append(row)
                if encoded and _may_be_explained(instance) and "distance" in row:
                    to_explain.append((row, encoded))
            explanations = await reservation.run_all(explain_row, [encoded for _, encoded in to_explain], expires_at)
        for (row, _), explanation in zip(to_explain, explanations, strict=True):
            row["explanation"] = explanation
        request_log.set_counts(instances=len(rows), images=len(images), errors=sum("error" in row for row in rows))
        return rows


def collect_images(request: ParsedRequest) -> list[ImageFile]:
    """List the different images of a request, each once."""
    images: dict[bytes, ImageFile] = {}
    for position, instance in enumerate(request.instances):
        if isinstance(instance, Instance):
            for image in _get_images(instance, position):
                images.setdefault(image.data, image)
    return list(images.values())


def _get_images(instance: Instance, position: int) -> list[ImageFile]:
    """List the questioned image and the references of an instance, with their names for errors."""
    references = enumerate(instance.references)
    return [
        ImageFile(instance.image, position, "the image"),
        *(ImageFile(reference, position, f"reference {number}") for number, reference in references),
    ]


def _check_answerable(artifact: Artifact, request: ParsedRequest) -> None:
    """Raise ``Unanswerable`` for parameters that apply to no instance of the request."""
    instances = [instance for instance in request.instances if isinstance(instance, Instance)]
    has_references = any(instance.references or instance.embeddings for instance in instances)
    has_explain = any(instance.explain for instance in instances)
    if not artifact.decision.takes_references and has_explain:
        raise Unanswerable('this model judges single images; "explain" is for models that compare signatures')
    needs_references = has_explain or request.parameters.far is not None
    if artifact.decision.takes_references and instances and not has_references and needs_references:
        raise Unanswerable('no instance has references, so there is nothing to decide: "far" and "explain" need some')


def _may_be_explained(instance: Instance | BadRequest) -> bool:
    """Return whether an answer may need an explanation, which is more work: it has references."""
    return isinstance(instance, Instance) and instance.explain and bool(instance.references or instance.embeddings)


def _decide(
    artifact: Artifact, request: ParsedRequest, position: int, encoded_images: Mapping[bytes, EncodedImage | ImageError]
) -> tuple[dict[str, Any], EncodedInstance | None]:
    """Decide an instance; return its answer, or its error as a row. Raises ``PredictorError``."""
    parameters = request.parameters
    try:
        encoded = _get_encoded(request, position, encoded_images)
        decision_parameters = decision.DecisionParameters(
            parameters.far, parameters.return_embedding, parameters.encoder
        )
        try:
            answer = artifact.decide(encoded.image, encoded.references, decision_parameters)
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
    request: ParsedRequest, position: int, encoded_images: Mapping[bytes, EncodedImage | ImageError]
) -> EncodedInstance:
    """Return an instance with its encoded images. Raises its ``BadRequest`` or ``BadInstance``."""
    instance = request.instances[position]
    if isinstance(instance, BadRequest):
        raise instance
    images = []
    for image in _get_images(instance, position):
        encoded = encoded_images[image.data]
        if isinstance(encoded, ImageError):
            raise BadInstance(encoded, position, image.role)
        images.append(encoded)
    return EncodedInstance(images[0], [*images[1:], *instance.embeddings])
