"""The bytes of a request, within limits, and the three forms they may have: JSON, a form's upload, a bare image.

Knows HTTP's headers, not routes. However many clients send at the same time, what is kept of their bodies stays below
one sum. Next: ``wire.py``, the contract of the JSON.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from predictor import wire
from predictor.errors import BadRequest, Busy, TooLarge, TooSlow, UnsupportedMediaType

JSON, FORM, IMAGE = "application/json", "multipart/form-data", "image/"
ACCEPTED = f"{JSON}, {FORM} or image/*"
FILES = ("image", wire.REFERENCES, "reference")  # parts of a form that are files; both names of references are read


class Bodies:
    """Reads bodies; knows how many bytes of them are kept at this moment."""

    def __init__(self, largest: int, together: int, seconds: float):
        self._largest, self._together, self._seconds = largest, max(largest, together), seconds
        self.kept = 0

    @contextlib.asynccontextmanager
    async def whole(self, request: Request, refusal: Exception | None) -> AsyncIterator[bytearray]:
        """The whole body, counted as kept within the context. ``refusal``, if there is one, is raised at its end.

        What is refused is still read, and forgotten: before its body has come, a sender would see a broken connection
        instead of the answer. Only what says that it is too large is not waited for. Raises ``TooLarge``, ``TooSlow``
        or ``Busy``.
        """
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._largest:
            raise TooLarge(f"the request has {int(announced):,} bytes; at most {self._largest:,} are accepted")
        body = bytearray()
        try:
            try:
                await asyncio.wait_for(self._fill(body, request, refusal), self._seconds)
            except asyncio.TimeoutError:
                raise TooSlow(f"the request was not complete within {self._seconds:g} s") from None
            yield body
        finally:
            self._forget(body)

    async def _fill(self, body: bytearray, request: Request, refusal: Exception | None) -> None:
        came = 0
        async for chunk in request.stream():
            came += len(chunk)
            if came > self._largest:
                raise TooLarge(f"the request has more than the accepted {self._largest:,} bytes")
            if not refusal and self.kept + len(chunk) > self._together:
                refusal = Busy(
                    f"{self.kept:,} bytes of requests are waiting, at most {self._together:,} may; try again"
                )
                self._forget(body)
            if not refusal:
                body += chunk
                self.kept += len(chunk)
        if refusal:
            raise refusal

    def _forget(self, body: bytearray) -> None:
        self.kept -= len(body)
        body.clear()


async def parse(body: bytearray, content_type: str, max_instances: int) -> wire.Request:
    """A body to its questions. Raises ``UnsupportedMediaType``, ``BadRequest`` or ``TooLarge``."""
    kind = content_type.partition(";")[0].strip().lower()
    if not kind or kind == JSON or (kind.startswith("application/") and kind.endswith("+json")):
        return wire.parse(body, max_instances)
    if kind.startswith(IMAGE):
        asked = wire.with_parameters({})
        asked.instances.append(wire.Instance(bytes(body)))
        return asked
    if kind == FORM:
        return await _form(body, content_type, max_instances)
    raise UnsupportedMediaType(f"the Content-Type is {kind[:80]!r}; it has to be {ACCEPTED}")


async def _form(body: bytearray, content_type: str, max_instances: int) -> wire.Request:
    """Files named ``image``, each compared with all files named ``references``; other fields are the parameters."""

    async def whole() -> AsyncGenerator[bytes, None]:
        yield bytes(body)

    parser = _Whole(
        Headers({"content-type": content_type}),
        whole(),
        max_files=max_instances,
        max_fields=len(wire.PARAMETERS),
        max_part_size=1000,
    )
    parser.spool_max_size = len(body) + 1  # never on disk: it is read-only, and images are not to lie on it
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, KeyError, ValueError) as error:
        reason = error.message if isinstance(error, MultiPartException) else "its parts cannot be told apart"
        raise BadRequest(f"the form cannot be read: {reason}") from None
    try:
        if not parser.ended:
            raise BadRequest("the form is cut short: its closing boundary is missing")
        return await _asked(form)
    finally:
        await form.close()


class _Whole(MultiPartParser):
    """A parser that knows whether a form was whole: one cut short would be answered without its last file."""

    ended = False

    def on_end(self) -> None:
        self.ended = True


async def _asked(form: FormData) -> wire.Request:
    parameters = {name: _value(value) for name, value in form.multi_items() if isinstance(value, str)}
    asked, explain = wire.with_parameters(parameters), wire.flag(parameters, "explain")
    images: list[bytes] = []
    references: list[bytes] = []
    for name, part in form.multi_items():
        if not isinstance(part, UploadFile):
            continue
        if name not in FILES:
            raise BadRequest(f'the form has a file named {name[:80]!r}; files are named "image" or "references"')
        (images if name == "image" else references).append(await part.read())
    if not images:
        raise BadRequest('the form has no file named "image"')
    asked.instances.extend(wire.Instance(image, tuple(references), explain=explain) for image in images)
    return asked


def _value(text: str) -> Any:
    """A field's text as the JSON that it would be in ``parameters``."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text
