"""Read the body of a request within limits: decompress it, and parse a multipart form into files and fields.

One limit bounds the buffered bytes of all bodies together, however many clients send at the same time. Works on HTTP's
headers, not routes. Next: ``schema.py``, the contract of the content.
"""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from predictor.errors import BadRequest, Busy, RequestTimeout, TooLarge, UnsupportedMediaType
from predictor.schema import IMAGE_FIELDS, REFERENCE_FIELDS, Parameters

JSON, MULTIPART, IMAGE_PREFIX = "application/json", "multipart/form-data", "image/"
PDF = "application/pdf"
INFLATED_CHUNK = 1 << 18  # bytes: the most that one call inflates


class BodyReader:
    """Reads bodies of at most ``max_bytes`` each and counts the bytes that are buffered at this moment.

    ``timeout`` is in seconds, from the start of a body to its end.
    """

    def __init__(self, max_bytes: int, max_total_bytes: int, timeout: float):
        self._max_bytes, self._max_total_bytes = max_bytes, max(max_bytes, max_total_bytes)
        self._timeout = timeout
        self.buffered_bytes = 0

    @contextlib.asynccontextmanager
    async def read(self, request: Request, refusal: Exception | None) -> AsyncIterator[bytearray]:
        """Read and decompress a whole body, which counts as buffered within the context.

        ``refusal``, if there is one, is raised at the end of the body. A refused body is still read, and dropped:
        without that, its sender would see a broken connection instead of the response. Only a body that announces too
        many bytes is not read. Raises ``TooLarge``, ``RequestTimeout``, ``Busy``, ``UnsupportedMediaType`` or
        ``BadRequest``.
        """
        decoder = _choose_decoder(request.headers)
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._max_bytes:
            raise TooLarge(f"the request has {int(announced):,} bytes; at most {self._max_bytes:,} are accepted")
        body = bytearray()
        try:
            try:
                await asyncio.wait_for(self._fill(body, request, decoder, refusal), self._timeout)
            except asyncio.TimeoutError:
                raise RequestTimeout(f"the request was not complete within {self._timeout:g} s") from None
            yield body
        finally:
            self._drop(body)

    async def _fill(self, body: bytearray, request: Request, decoder: "_Identity", refusal: Exception | None) -> None:
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            if received > self._max_bytes:
                raise TooLarge(f"the request has more than the accepted {self._max_bytes:,} bytes")
            try:
                for piece in decoder.decode(chunk) if not refusal else ():
                    self._append(body, piece)
                    await asyncio.sleep(0)  # inflating takes time, and the loop has to answer health checks
            except (BadRequest, Busy, TooLarge) as error:
                refusal = error
                self._drop(body)
        if not refusal:
            decoder.finish()
        if refusal:
            raise refusal

    def _append(self, body: bytearray, piece: bytes) -> None:
        if len(body) + len(piece) > self._max_bytes:
            raise TooLarge(
                f"the request holds more than the accepted {self._max_bytes:,} bytes when it is decompressed"
            )
        if self.buffered_bytes + len(piece) > self._max_total_bytes:
            raise Busy(
                f"{self.buffered_bytes:,} bytes of requests are waiting, at most {self._max_total_bytes:,} may; try "
                "again"
            )
        body += piece
        self.buffered_bytes += len(piece)

    def _drop(self, body: bytearray) -> None:
        self.buffered_bytes -= len(body)
        body.clear()


def check_query(request: Request) -> None:
    """Raise ``BadRequest`` for parameters in the URL, where they would be ignored."""
    for name in request.query_params:
        if name in Parameters.__struct_fields__:
            raise BadRequest(f'the address has "?{name}="; parameters are sent in the body, as JSON or as a form')


def get_media_type(headers: Headers) -> str:
    """Return the ``Content-Type`` in lower case, without its parameters; empty when there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    """Return whether a media type is JSON; a body without a ``Content-Type`` is read as JSON."""
    return (
        not media_type or media_type == JSON or (media_type.startswith("application/") and media_type.endswith("+json"))
    )


async def read_form(
    body: bytearray, content_type: str, max_files: int
) -> tuple[dict[str, list[bytes]], dict[str, str]]:
    """Parse a multipart form into its files, in lists by name, and its other fields. Raises ``BadRequest``."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield bytes(body)

    parser = CompleteFormParser(
        Headers({"content-type": content_type}),
        chunks(),
        max_files=max_files,
        max_fields=len(Parameters.__struct_fields__),
        max_part_size=1000,
    )
    parser.spool_max_size = len(body) + 1  # never on disk: it may be read-only, and images must not be stored
    form = await parser.parse_complete()
    try:
        files: dict[str, list[bytes]] = {name: [] for name in (*IMAGE_FIELDS, *REFERENCE_FIELDS)}
        for name, part in form.multi_items():
            if isinstance(part, UploadFile):
                if name not in files:
                    raise BadRequest(
                        f'the form has a file named {name[:80]!r}; files are named "image" or "references"'
                    )
                files[name].append(await part.read())
        return files, read_text_fields(form)
    finally:
        await form.close()


class CompleteFormParser(MultiPartParser):
    """A parser that refuses a form that is cut short, which Starlette's would return without its last file."""

    is_ended = False

    def on_end(self) -> None:
        """Note that the closing boundary has been parsed."""
        self.is_ended = True

    async def parse_complete(self) -> FormData:
        """Parse the form, which the caller closes. Raises ``BadRequest``."""
        try:
            form = await self.parse()
        except (MultiPartException, MultipartParseError, KeyError, ValueError) as error:
            reason = error.message if isinstance(error, MultiPartException) else "its parts cannot be told apart"
            if "maximum size" in reason:  # Starlette's message gives kilobytes, rounded down
                reason = f"a field that is no file has more than {self.max_part_size:,} bytes"
            raise BadRequest(f"the form cannot be read: {reason}; images are sent as files (-F image=@FILE)") from None
        if not self.is_ended:
            await form.close()
            raise BadRequest("the form is cut short: its closing boundary is missing")
        return form


def read_text_fields(form: FormData) -> dict[str, str]:
    """Return the fields of a form that are not files. Raises ``BadRequest`` for a repeated field."""
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if not isinstance(value, str):
            continue
        if name in (*IMAGE_FIELDS, *REFERENCE_FIELDS):
            raise BadRequest(f"{name!r} is a text; it has to be a file (-F {name}=@FILE)")
        if fields.setdefault(name, value) is not value:
            raise BadRequest(f"the form has more than one field {name[:80]!r}; one is enough")
    return fields


class _Identity:
    """The decoder of a body without ``Content-Encoding``."""

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the content of a chunk."""
        yield chunk

    def finish(self) -> None:
        """Check that the body is complete. Raises ``BadRequest``."""


class _Gzip(_Identity):
    """The decoder of a body with ``Content-Encoding: gzip``, of which a small one may inflate to gigabytes."""

    def __init__(self):
        self._stream = _make_inflater()

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the content of a chunk in pieces of bounded size. Raises ``BadRequest``."""
        while chunk:
            if self._stream.eof:  # the next member of the gzip file: RFC 1952, 2.2
                self._stream = _make_inflater()
            try:
                piece = self._stream.decompress(chunk, INFLATED_CHUNK)
            except zlib.error:
                raise BadRequest("the body is not gzip, which its Content-Encoding says") from None
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
            yield piece

    def finish(self) -> None:
        """Check that the gzip stream has its end. Raises ``BadRequest``."""
        if not self._stream.eof:
            raise BadRequest("the gzip body is cut short")


def _make_inflater() -> "zlib._Decompress":
    return zlib.decompressobj(16 + zlib.MAX_WBITS)  # with a gzip header


def _choose_decoder(headers: Headers) -> _Identity:
    encoding = ", ".join(headers.getlist("content-encoding")).strip().lower() or "identity"
    if encoding in ("gzip", "x-gzip"):  # RFC 9110, 8.4.1.3
        return _Gzip()
    if encoding != "identity":
        raise UnsupportedMediaType(f"the Content-Encoding is {encoding[:80]!r}; it has to be gzip, or absent")
    return _Identity()
