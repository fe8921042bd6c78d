"""Answer requests: encode every image once, on the executor's threads, then decide, then explain, there as well.

Holds the served models and the state of the server. Independent of HTTP. Next: ``models.py`` selects the model of an
instance, ``executor.py`` schedules the work, ``trainer/artifact/artifact.py`` encodes and decides.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pybase64

from predictor import watching
from predictor.errors import (
    BadInstance,
    LoadError,
    NoModel,
    NotReady,
    PredictorError,
    Unanswerable,
    error_content,
)
from predictor.executor import Executor
from predictor.request_images import (
    EncodedImages,
    EncodedInstance,
    ImageFile,
    Pages,
    check_answerable,
    collect_images,
    get_encoded,
    is_compared,
    may_be_explained,
)
from predictor.schema import Instance, Parameters, ParsedRequest
from predictor.telemetry import log
from trainer import storage
from trainer.artifact import decision, explain, finder
from trainer.artifact.artifact import EncodedImage
from trainer.artifact.manifest import BadArtifact
from trainer.artifact.page_finder import FoundPage
from trainer.documents import DocumentLimits
from trainer.enrolment.errors import EnrolmentError
from trainer.enrolment.gallery import Gallery, IdentificationParameters
from trainer.imaging import ImageError, encode_png

if TYPE_CHECKING:
    from predictor.models import Models
    from predictor.people import PeopleFile
    from predictor.settings import Settings
    from predictor.telemetry import RequestLog

PICTURES = {"regions": "crop", "pages": "picture"}  # the rows of an answer, and their field that is an image file


class Service:
    """The served models and the executor of a process that is loading, ready or closing.

    ``open_models`` opens the models of settings, or those of a path that is not empty; it is ``Models.open``.
    ``people`` is the file of the writers on file, if there is one.
    """

    def __init__(
        self, settings: Settings, open_models: Callable[[Settings, str], Models], people: PeopleFile | None = None
    ):
        self.people = people
        self.executor = Executor(settings.threads, settings.max_waiting_images)
        self._settings = settings
        self._open_models = open_models
        self._models: Models | None = None
        self._is_closing = False
        self._reloading = threading.Lock()
        self._started_at = time.monotonic()

    def load(self, path: str = "") -> dict[str, Any]:
        """Open the models and replay their golden answers; return a description of them.

        An empty ``path`` is that of the settings; other paths are for development. Raises ``LoadError``: the service
        then keeps its previous models, if any.
        """
        try:
            models = self._open_models(self._settings, path)
            is_required = not path and self._settings.mode == "prod"
            models = dataclasses.replace(models, gallery=self._open_gallery(models, is_required))
        except (BadArtifact, storage.StorageError, EnrolmentError) as error:
            raise LoadError(str(error)) from error
        self._models = models  # from here on health is 200
        seconds = round(time.monotonic() - self._started_at, 3)
        return {
            **models.describe(),
            "engine": models.engine,
            "golden_answers": models.golden_answers,
            "seconds": seconds,
        }

    def _open_gallery(self, models: Models, is_required: bool) -> Gallery | None:
        """Open the writers on file; in development, a server without any goes on. Raises ``EnrolmentError``."""
        if not self.people:
            return None
        try:
            return self.people.open(models.find_verifier()).gallery
        except EnrolmentError as error:
            if is_required:
                raise
            log("WARNING", f"served without people on file: {error}")
            return None

    def reload_people(self) -> bool:
        """Answer with the writers on file as they are now; return whether they changed. Raises ``EnrolmentError``.

        After an error the service keeps the writers that it has.
        """
        with self._reloading:  # a thread that is late must not put its older writers in the place of newer ones
            models = self._models
            if not self.people or not models:
                return False
            gallery = self.people.open(models.find_verifier()).gallery
            if gallery is models.gallery:
                return False
            self._models = dataclasses.replace(models, gallery=gallery)
            return True

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
        check_answerable(models, request)
        images = collect_images(models, request)
        with self.executor.reserve(max(len(images), sum(map(may_be_explained, request.instances)))) as reservation:
            use_all_cores = len(images) == 1 and self.executor.in_flight == reservation.free  # no other request

            def encode(image: ImageFile) -> EncodedImage | Pages | ImageError:
                encoded: EncodedImage | Pages
                try:
                    if models.is_finder(image.artifact):
                        is_wanted = functools.partial(_is_in_time, expires_at)
                        encoded = tuple(self._find(models, image, request.parameters, is_wanted))
                    else:
                        encoded = image.artifact.encode(image.data, use_all_cores)
                except ImageError as error:
                    if request.parameters.on_error != "row":
                        raise BadInstance(error, image.instance, image.role) from None
                    return error
                for each in encoded if isinstance(encoded, tuple) else (encoded,):
                    for stage, seconds in each.stage_seconds.items():
                        request_log.add_seconds(stage, seconds)
                return encoded

            def decide_all(_: ParsedRequest) -> list[tuple[dict[str, Any], EncodedInstance | None]]:
                with request_log.measure("decide"):
                    positions = range(len(request.instances))
                    return [_decide(models, request, position, encoded_images) for position in positions]

            def explain_row(encoded: EncodedInstance) -> dict[str, Any]:
                return explain.to_json(encoded.artifact.explain(encoded.image, encoded.references))  # type: ignore[arg-type]

            on_start = functools.partial(request_log.add_seconds, "wait")
            results = await reservation.run_all(encode, images, expires_at, on_start)
            encoded_images = {image.key: result for image, result in zip(images, results, strict=True)}
            if any(map(is_compared, request.instances)):  # long work, during which health checks are answered
                (decided,) = await reservation.run_all(decide_all, [request], expires_at, on_start)
            else:
                decided = decide_all(request)
            rows = [row for row, _ in decided]
            watching.watch(models, decided, request_log)
            to_explain = [
                (row, encoded)
                for instance, (row, encoded) in zip(request.instances, decided, strict=True)
                if encoded and may_be_explained(instance) and "distance" in row
            ]
            explanations = await reservation.run_all(explain_row, [encoded for _, encoded in to_explain], expires_at)
        for (row, _), explanation in zip(to_explain, explanations, strict=True):
            row["explanation"] = explanation
        counts = {"images": len(images), "errors": sum("error" in row for row in rows)}
        counts["pages"] = sum(len(row["pages"]) for row in rows if "pages" in row)
        counts["verifier_instances"] = sum(
            models.select(instance, request.parameters).decision.takes_references
            for instance in request.instances
            if isinstance(instance, Instance)
        )
        request_log.set_counts(instances=len(rows), **counts)
        return rows

    def _find(
        self, models: Models, image: ImageFile, parameters: Parameters, is_wanted: Callable[[], bool]
    ) -> Iterator[FoundPage]:
        limits = DocumentLimits(max_pages=self._settings.max_pages)
        outputs = parameters.crops, parameters.return_pages
        check = models.signature_check
        return finder.find(image.artifact, image.data, image.verifier, *outputs, limits, is_wanted, check)


def _is_in_time(expires_at: float) -> bool:
    """Return whether anybody still waits for the answer; an answer after that time is refused anyway."""
    return time.monotonic() < expires_at


def _decide(
    models: Models, request: ParsedRequest, position: int, encoded_images: EncodedImages
) -> tuple[dict[str, Any], EncodedInstance | None]:
    """Decide an instance; return its answer, or its error as a row. Raises ``PredictorError``."""
    parameters = request.parameters
    try:
        encoded = get_encoded(models, request, position, encoded_images)
        decision_parameters = decision.DecisionParameters(
            parameters.far, parameters.return_embedding, parameters.encoder, parameters.threshold
        )
        if not _is_verified(models, encoded):
            decision_parameters = decision.DecisionParameters()  # they are for the verifier's instances of the request
        try:
            identification = _make_identification(parameters)
            answer = _answer(models, encoded, decision_parameters, identification)
        except decision.UnsupportedRequest as error:
            raise Unanswerable(f"instance {position}: {error}", position) from None
    except PredictorError as error:
        if parameters.on_error != "row":
            raise
        return error_content(error.code, str(error), error.instance), None
    for row, name in ((row, name) for rows, name in PICTURES.items() for row in answer.get(rows, ())):
        if name in row:
            row[name] = _to_base64(row[name])
    if parameters.return_ink and isinstance(encoded.image, EncodedImage):
        answer["ink"] = _to_base64(encode_png(encoded.image.canonical.image))
    return answer, encoded


def _to_base64(picture: bytes) -> dict[str, str]:
    return {"b64": pybase64.b64encode(picture).decode()}


def _is_verified(models: Models, encoded: EncodedInstance) -> bool:
    """Return whether the parameters of a comparison apply: always for a model that is alone."""
    return models.verifier is None or encoded.artifact is models.verifier or bool(encoded.references)


def _make_identification(parameters: Parameters) -> IdentificationParameters:
    default = IdentificationParameters()
    return IdentificationParameters(parameters.candidates or default.candidates, parameters.fpir or default.fpir)


def _answer(
    models: Models,
    encoded: EncodedInstance,
    parameters: decision.DecisionParameters,
    identification: IdentificationParameters,
) -> dict[str, Any]:
    identify = None
    if encoded.identify and models.gallery is not None:
        identify = functools.partial(models.gallery.answer, parameters=identification)
    if isinstance(encoded.image, tuple):
        return finder.answer(encoded.image, encoded.artifact, models.verifier, encoded.references, parameters, identify)
    if identify is None:
        return encoded.artifact.decide(encoded.image, encoded.references, parameters)
    answer = identify(encoded.image)
    embedding = {"embedding": encoded.image.vector, "encoder": encoded.artifact.encoder}
    return {**answer, **(embedding if parameters.return_embedding and "candidates" in answer else {})}
