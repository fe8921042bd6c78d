"""The bytes of a request, within limits, and the three forms they may have: JSON, a form's upload, a bare image.

Knows HTTP's headers, not routes. However many clients send at the same time, what is kept of their bodies stays below
one sum. Next: ``wire.py``, the contract of the JSON.
"""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from predictor import schema, wire
from predictor.errors import BadRequest, Busy, TooLarge, TooSlow, UnsupportedMediaType

JSON, FORM, IMAGE = "application/json", "multipart/form-data", "image/"
ACCEPTED = f"{JSON}, {FORM} or image/*"
IMAGES, REFERENCES = ("image", "file"), ("references", "reference")  # names of a form's files, alike in each pair
PIECE = 1 << 18  # bytes that are inflated at once


class Bodies:
    """Reads bodies; knows how many bytes of them are kept at this moment."""

    def __init__(self, largest: int, together: int, seconds: float):
        self._largest, self._together, self._seconds = largest, max(largest, together), seconds
        self.kept = 0

    @contextlib.asynccontextmanager
    async def whole(self, request: Request, refusal: Exception | None) -> AsyncIterator[bytearray]:
        """The whole body, counted as kept within the context. ``refusal``, if there is one, is raised at its end.

        What is refused is still read, and forgotten: before its body has come, a sender would see a broken connection
        instead of the answer. Only what says that it is too large is not waited for. A gzip body is
        decompressed. Raises ``TooLarge``, ``TooSlow``, ``Busy``, ``UnsupportedMediaType`` or ``BadRequest``.
        """
        decoder = _decoder(request.headers)
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._largest:
            raise TooLarge(f"the request has {int(announced):,} bytes; at most {self._largest:,} are accepted")
        body = bytearray()
        try:
            try:
                await asyncio.wait_for(self._fill(body, request, decoder, refusal), self._seconds)
            except asyncio.TimeoutError:
                raise TooSlow(f"the request was not complete within {self._seconds:g} s") from None
            yield body
        finally:
            self._forget(body)

    async def _fill(self, body: bytearray, request: Request, decoder: "_Identity", refusal: Exception | None) -> None:
        came = 0
        async for chunk in request.stream():
            came += len(chunk)
            if came > self._largest:
                raise TooLarge(f"the request has more than the accepted {self._largest:,} bytes")
            try:
                for piece in decoder.pieces(chunk) if not refusal else ():
                    self._keep(body, piece)
                    await asyncio.sleep(0)  # inflating is work, and the loop has to answer health
            except (BadRequest, Busy, TooLarge) as error:
                refusal = error
                self._forget(body)
        if not refusal:
            decoder.finish()
        if refusal:
            raise refusal

    def _keep(self, body: bytearray, piece: bytes) -> None:
        if len(body) + len(piece) > self._largest:
            raise TooLarge(f"the request holds more than the accepted {self._largest:,} bytes when it is decompressed")
        if self.kept + len(piece) > self._together:
            raise Busy(f"{self.kept:,} bytes of requests are waiting, at most {self._together:,} may; try again")
        body += piece
        self.kept += len(piece)

    def _forget(self, body: bytearray) -> None:
        self.kept -= len(body)
        body.clear()


def check_query(request: Request) -> None:
    """Raises ``BadRequest`` for parameters in the address, where nobody would look at them."""
    for name in request.query_params:
        if name in schema.Parameters.__struct_fields__:
            raise BadRequest(f'the address has "?{name}="; parameters are sent in the body, as JSON or as a form')


class _Identity:
    """A body that is sent as it is."""

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What a chunk holds."""
        yield chunk

    def finish(self) -> None:
        """The body has ended. Raises ``BadRequest`` when it should not have."""


class _Gzip(_Identity):
    """A body that is sent with ``Content-Encoding: gzip``; a small one may hold gigabytes."""

    def __init__(self):
        self._stream = _inflating()

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What a chunk holds, in pieces of bounded size."""
        while chunk:
            if self._stream.eof:  # another member of the file: RFC 1952, 2.2
                self._stream = _inflating()
            try:
                piece = self._stream.decompress(chunk, PIECE)
            except zlib.error:
                raise BadRequest("the body is not gzip, which its Content-Encoding says") from None
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
            yield piece

    def finish(self) -> None:
        """Raises ``BadRequest`` when the end is missing."""
        if not self._stream.eof:
            raise BadRequest("the gzip body is cut short")


def _inflating():
    return zlib.decompressobj(16 + zlib.MAX_WBITS)  # with a gzip header


def _decoder(headers: Headers) -> _Identity:
    encoding = ", ".join(headers.getlist("content-encoding")).strip().lower() or "identity"
    if encoding in ("gzip", "x-gzip"):  # RFC 9110, 8.4.1.3
        return _Gzip()
    if encoding != "identity":
        raise UnsupportedMediaType(f"the Content-Encoding is {encoding[:80]!r}; it has to be gzip, or absent")
    return _Identity()


async def parse(body: bytearray, content_type: str, max_instances: int) -> wire.Request:
    """A body to its questions. Raises ``UnsupportedMediaType``, ``BadRequest`` or ``TooLarge``."""
    kind = content_type.partition(";")[0].strip().lower()
    if not kind or kind == JSON or (kind.startswith("application/") and kind.endswith("+json")):
        return wire.parse(body, max_instances)
    if kind.startswith(IMAGE):
        asked = wire.with_parameters(schema.Parameters())
        asked.instances.append(wire.Instance(bytes(body)))
        return asked
    if kind == FORM:
        return await _form(body, content_type, max_instances)
    raise UnsupportedMediaType(f"the Content-Type is {kind[:80]!r}; it has to be {ACCEPTED}")


async def _form(body: bytearray, content_type: str, max_instances: int) -> wire.Request:
    """Files named ``image`` or ``file``, each compared with all ``references``; other fields are the parameters."""

    async def whole() -> AsyncGenerator[bytes, None]:
        yield bytes(body)

    parser = WholeForm(
        Headers({"content-type": content_type}),
        whole(),
        max_files=max_instances,
        max_fields=len(schema.Parameters.__struct_fields__),
        max_part_size=1000,
    )
    parser.spool_max_size = len(body) + 1  # never on disk: it is read-only, and images are not to lie on it
    form = await parser.whole()
    try:
        return await _asked(form)
    finally:
        await form.close()


class WholeForm(MultiPartParser):
    """A parser that knows whether a form was whole: one cut short would be answered without its last file."""

    ended = False

    def on_end(self) -> None:
        self.ended = True

    async def whole(self) -> FormData:
        """The form, which the caller closes. Raises ``BadRequest``."""
        try:
            form = await self.parse()
        except (MultiPartException, MultipartParseError, KeyError, ValueError) as error:
            reason = error.message if isinstance(error, MultiPartException) else "its parts cannot be told apart"
            if "maximum size" in reason:  # whose number is of kilobytes, rounded down
                reason = f"a field that is no file has more than {self.max_part_size:,} bytes"
            raise BadRequest(f"the form cannot be read: {reason}; images are sent as files (-F image=@FILE)") from None
        if not self.ended:
            await form.close()
            raise BadRequest("the form is cut short: its closing boundary is missing")
        return form


def text_fields(form: FormData) -> dict[str, str]:
    """The fields of a form that are no files. Raises ``BadRequest`` when one is there twice."""
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if not isinstance(value, str):
            continue
        if name in (*IMAGES, *REFERENCES):
            raise BadRequest(f"{name!r} is a text; it has to be a file (-F {name}=@FILE)")
        if fields.setdefault(name, value) is not value:
            raise BadRequest(f"the form has more than one field {name[:80]!r}; one is enough")
    return fields


async def _asked(form: FormData) -> wire.Request:
    files: dict[str, list[bytes]] = {name: [] for name in (*IMAGES, *REFERENCES)}
    for name, part in form.multi_items():
        if isinstance(part, UploadFile):
            if name not in files:
                raise BadRequest(f'the form has a file named {name[:80]!r}; files are named "image" or "references"')
            files[name].append(await part.read())
    parameters = schema.parameters(text_fields(form))
    asked = wire.with_parameters(parameters)
    images, references = ([data for name in names for data in files[name]] for names in (IMAGES, REFERENCES))
    if not images:
        raise BadRequest('the form has no file named "image"')
    asked.instances.extend(wire.Instance(image, tuple(references), explain=parameters.explain) for image in images)
    return asked
