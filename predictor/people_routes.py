"""The route ``/people`` of mode ``dev``: put writers on file, replace and remove them, and export the file.

A request changes everything that it asks for, or nothing. Names are in bodies, because addresses are logged by proxies.
Next: ``people.py``, the file; ``trainer/enrolment/writers.py``, the changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import orjson
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from predictor.errors import BadInstance, BadRequest, NotReady, WriterNotOnFile
from predictor.image_input import NotASignature
from predictor.responses import make_json_response
from predictor.same_site import check_site
from predictor.schema import Base64
from predictor.text_encodings import decode_base64
from trainer.enrolment import writers
from trainer.enrolment.errors import EnrolmentError, NotEnrolled
from trainer.imaging import ImageError

if TYPE_CHECKING:
    from predictor.people import People, PeopleFile
    from predictor.request_body import BodyReader
    from predictor.service import Service
    from predictor.settings import Settings
    from trainer.artifact.artifact import Artifact, EncodedImage
    from trainer.enrolment.records import Reference

_Result = TypeVar("_Result")
FILE_NAME, FILE_TYPE = "people.sqlite", "application/vnd.sqlite3"


class ReferenceImage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An image of a genuine signature, and what people call it, such as its file name."""

    b64: Base64
    label: Annotated[str, Meta(max_length=200)] = ""


class EnrolRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """References to add to those of a writer, or to replace them with."""

    writer: Annotated[str, Meta(min_length=1, max_length=200)]
    images: Annotated[list[ReferenceImage], Meta(min_length=1, max_length=writers.MAX_REFERENCES)]
    replace: bool = False


class RemoveRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A writer to remove, or one ``reference`` of the writer, by its id."""

    writer: Annotated[str, Meta(min_length=1, max_length=200)]
    reference: str | None = None


class PeopleRoutes:
    """The handlers of the writers on file of one server."""

    def __init__(self, service: Service, people: PeopleFile, settings: Settings, body_reader: BodyReader):
        self._service, self._people, self._settings, self._body_reader = service, people, settings, body_reader
        self._turn = asyncio.Lock()  # one change at a time

    def make_routes(self) -> list[BaseRoute]:
        """Make the routes."""
        return [
            Route("/people", self.handle, methods=["GET", "POST", "DELETE"]),
            Route(f"/{FILE_NAME}", self.export),
        ]

    async def handle(self, request: Request) -> Response:
        """List the writers, or one writer's references; add references; remove a writer or a reference."""
        check_site(request)
        verifier = self._find_verifier()
        if request.method == "GET":
            content = await self._run(self._describe, verifier, request.query_params.get("writer"))
            return make_json_response(orjson.dumps(content))
        async with self._body_reader.read(request, self._service.unavailable_reason()) as body:
            parsed: Any = _parse(bytes(body), EnrolRequest if request.method == "POST" else RemoveRequest)
        async with self._turn:
            if isinstance(parsed, EnrolRequest):
                labelled = await self._encode(verifier, parsed)
                content = await self._run(self._put, verifier, parsed, labelled)
            else:
                content = await self._run(self._remove, verifier, parsed)
        return make_json_response(orjson.dumps(content))

    async def export(self, request: Request) -> Response:
        """Respond with the file that a server of mode ``prod`` reads, encrypted as it is here."""
        check_site(request)
        content = await self._run(self._people.export, self._find_verifier())
        disposition = {"Content-Disposition": f"attachment; filename={FILE_NAME}", "Cache-Control": "no-store"}
        return Response(content, headers=disposition, media_type=FILE_TYPE)

    def _find_verifier(self) -> Artifact:
        verifier = self._service.models.find_verifier()
        if verifier is None:
            raise NotReady("writers on file are compared by a verifier, and this server has none")
        return verifier

    async def _run(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call what works on the file, on a thread. Raises ``WriterNotOnFile`` or ``BadRequest``."""
        try:
            return await asyncio.to_thread(work, *arguments)
        except NotEnrolled as error:
            raise WriterNotOnFile(str(error)) from None
        except EnrolmentError as error:
            raise BadRequest(str(error)) from None

    async def _encode(self, verifier: Artifact, request: EnrolRequest) -> list[Reference]:
        """Encode the images of a request on the executor. Raises ``BadInstance`` for the first that cannot be used."""

        def encode(position: int) -> EncodedImage:
            try:
                encoded = verifier.encode(_decode(request.images[position].b64, position))
                if encoded.rejection:
                    raise NotASignature(f"the image is not a signature: {encoded.rejection['code']}")
            except ImageError as error:
                raise BadInstance(error, position) from None
            return encoded

        expires_at = time.monotonic() + self._settings.deadline
        with self._service.executor.reserve(len(request.images)) as reservation:
            encoded = await reservation.run_all(encode, [*range(len(request.images))], expires_at)
        labels = (image.label for image in request.images)
        return writers.make_references((label, each.vector) for label, each in zip(labels, encoded, strict=True))

    def _put(self, verifier: Artifact, request: EnrolRequest, references: list[Reference]) -> dict[str, Any]:
        change = writers.put_writer if request.replace else writers.add_references
        with self._people.write(verifier) as (store, decision):
            copies = change(store, decision, request.writer, references)
        return {**self._describe(verifier, request.writer), "left_out": [copy.label for copy in copies]}

    def _remove(self, verifier: Artifact, request: RemoveRequest) -> dict[str, Any]:
        with self._people.write(verifier) as (store, decision):
            if request.reference is None:
                store.remove(request.writer)
            else:
                writers.remove_reference(store, decision, request.writer, request.reference)
        return self._describe(verifier, None)

    def _describe(self, verifier: Artifact, name: str | None) -> dict[str, Any]:
        """Describe all writers, or the references of one, with what the verifier makes of them."""
        self._service.reload_people()
        people: People = self._people.open(verifier)
        gallery = people.gallery
        if name is None:
            counts = gallery.reference_counts.tolist()
            rows = [{"writer": each, "references": count} for each, count in zip(gallery.names, counts, strict=True)]
            return {"writers": sorted(rows, key=lambda row: row["writer"])}
        references = people.store.read_references(name)
        disagreements = writers.find_disagreements(gallery.verifier, references)
        return {
            "writer": name,
            "references": [{"id": reference.id, "label": reference.label} for reference in references],
            "warnings": [disagreement.describe() for disagreement in disagreements],
        }


def _parse(body: bytes, struct: type[msgspec.Struct]) -> msgspec.Struct:
    """Parse a body. Raises ``BadRequest``, whose message never quotes a value."""
    try:
        return msgspec.json.decode(body, type=struct)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the body: {str(error)[:200]}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the body is not JSON") from None


def _decode(text: str, position: int) -> bytes:
    try:
        return decode_base64(text)
    except ValueError:
        raise BadRequest(f"image {position}: {len(text):,} characters that are not base64", position) from None
