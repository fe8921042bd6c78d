"""The contract of ``POST /train``: settings as JSON, or a form with settings and a zip of images.

Signatures are biometric data: an upload is kept in a private folder, and deleting that folder leaves nothing of it.
Next: ``development.py``, which trains on the upload.
"""

import asyncio
import dataclasses
import shutil
import tempfile
import zipfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
from msgspec import Meta
from starlette.datastructures import UploadFile
from starlette.requests import Request

from predictor.errors import BadRequest, TooLarge, UnsupportedMediaType
from predictor.request_body import JSON, MULTIPART, CompleteFormParser, get_media_type, read_text_fields
from predictor.violations import locate_syntax_error, quote_key

MAX_SETTINGS_BYTES = 10_000

# Settings of trainer.task by name; the server chooses the run directory. An argument of a program cannot contain null.
_Setting = Annotated[str, Meta(pattern=r"^(?!(job|model)_dir$)[a-z][a-z_]{0,40}$")]
_Value = Annotated[str, Meta(pattern=r"^[^\x00]*$")]
TrainRequest = dict[_Setting, _Value | int | float | bool | None]
_EXPECTED = (
    'settings of trainer.task, such as {"problem": "same_writer"}: small letters and underscores, with texts (without '
    "null characters), numbers, true or false; job_dir and model_dir are chosen by the server"
)


@dataclasses.dataclass(frozen=True)
class Upload:
    """A folder with an uploaded zip of images and with the cache into which the trainer unpacks it."""

    folder: Path

    @property
    def archive(self) -> Path:
        """The uploaded zip."""
        return self.folder / "images.zip"

    @property
    def cache(self) -> Path:
        """The folder of the unpacked images during the training."""
        return self.folder / "cache"

    def delete(self) -> None:
        """Delete the zip and the cache."""
        shutil.rmtree(self.folder, ignore_errors=True)


async def read_train_request(request: Request, max_bytes: int) -> tuple[dict[str, Any], Upload | None]:
    """Read the settings, and the upload if there is one, of at most ``max_bytes``.

    Raises ``BadRequest``, ``TooLarge`` or ``UnsupportedMediaType``.
    """
    media_type = get_media_type(request.headers)
    if media_type == MULTIPART:
        return await _read_form(request, max_bytes)
    if media_type != JSON:
        raise UnsupportedMediaType(f"the Content-Type has to be {JSON}, or {MULTIPART} with a zip of images")
    body = b""
    async for chunk in _read_chunks(request, MAX_SETTINGS_BYTES):
        body += chunk
    return parse_train_settings(body), None


def parse_train_settings(body: bytes) -> dict[str, Any]:
    """Validate the settings of a training as JSON. Raises ``BadRequest``."""
    try:
        return check_train_settings(msgspec.json.decode(body, type=dict[str, Any]))
    except msgspec.ValidationError:
        raise BadRequest(f"the body is no object; it has to contain {_EXPECTED}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        location = locate_syntax_error(error, body)
        raise BadRequest(f"the body is not JSON{location}; it has to contain {_EXPECTED}") from None


def check_train_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Validate settings from JSON or from the text fields of a form, and return them. Raises ``BadRequest``."""
    for name, value in settings.items():
        try:
            msgspec.convert({name: value}, TrainRequest)
        except msgspec.ValidationError:
            raise BadRequest(
                f"the setting {quote_key(name)} is not accepted; the request has to contain {_EXPECTED}"
            ) from None
    return settings


async def _read_form(request: Request, max_bytes: int) -> tuple[dict[str, Any], Upload]:
    chunks = _read_chunks(request, max_bytes)
    parser = CompleteFormParser(request.headers, chunks, max_files=1, max_fields=100, max_part_size=1000)
    form = await parser.parse_complete()
    try:
        settings = check_train_settings(read_text_fields(form))
        files = [(name, part) for name, part in form.multi_items() if isinstance(part, UploadFile)]
        if [name for name, _ in files] != ["file"]:
            raise BadRequest('the form has to contain one zip of images, in a field named "file"')
        if "train_dir" in settings:
            raise BadRequest('the form has "train_dir" and a file, which contradict each other')
        return settings, await asyncio.to_thread(_save_upload, files[0][1].file)
    finally:
        await form.close()


def _save_upload(file: BinaryIO) -> Upload:
    """Copy a zip to a folder that no other user can read. Raises ``BadRequest`` for a file that is no zip."""
    if not zipfile.is_zipfile(file):
        raise BadRequest("the uploaded file is no zip; it has to be a zip of images, in a layout of docs/training.md")
    file.seek(0)
    upload = Upload(Path(tempfile.mkdtemp(prefix="countersign-")))
    try:
        with upload.archive.open("wb") as copy:
            shutil.copyfileobj(file, copy)
    except BaseException:
        upload.delete()
        raise
    return upload


async def _read_chunks(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of the body. Raises ``TooLarge``."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise TooLarge(f"the request has {int(announced):,} bytes; at most {max_bytes:,} are accepted")
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise TooLarge(f"the request has more than the accepted {max_bytes:,} bytes")
        yield chunk
