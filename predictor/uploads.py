"""What ``POST /train`` is sent: settings as JSON, or a form with settings and a zip of images, which is kept on disk.

Images are people's: an upload has a folder of its own, and nothing of it is left when that is deleted. Next:
``development.py``, which trains on it.
"""

import asyncio
import dataclasses
import shutil
import tempfile
import zipfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, BinaryIO

from starlette.datastructures import UploadFile
from starlette.requests import Request

from predictor import schema
from predictor.bodies import FORM, JSON, WholeForm, text_fields
from predictor.errors import BadRequest, TooLarge, UnsupportedMediaType

LONGEST = 10_000  # bytes of settings


@dataclasses.dataclass(frozen=True)
class Upload:
    """A zip of people's images in a folder of its own, with the cache that the trainer unpacks it into."""

    folder: Path

    @property
    def archive(self) -> Path:
        """The zip."""
        return self.folder / "images.zip"

    @property
    def cache(self) -> Path:
        """Where its images are while they are trained on."""
        return self.folder / "cache"

    def delete(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)


async def read(request: Request, largest: int) -> tuple[dict[str, Any], Upload | None]:
    """The settings, and the upload if there is one. Raises ``BadRequest``, ``TooLarge`` or ``UnsupportedMediaType``."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        return await _form(request, largest)
    if kind != JSON:
        raise UnsupportedMediaType(f"the Content-Type has to be {JSON}, or {FORM} with a zip of images")
    body = b""
    async for chunk in _bounded(request, LONGEST):
        body += chunk
    return schema.train(body), None


async def _form(request: Request, largest: int) -> tuple[dict[str, Any], Upload]:
    parser = WholeForm(request.headers, _bounded(request, largest), max_files=1, max_fields=100, max_part_size=1000)
    form = await parser.whole()
    try:
        settings = schema.train_fields(text_fields(form))
        files = [(name, part) for name, part in form.multi_items() if isinstance(part, UploadFile)]
        if [name for name, _ in files] != ["file"]:
            raise BadRequest('the form has to hold one zip of images, in a field named "file"')
        if "train_dir" in settings:
            raise BadRequest('the form has "train_dir" and a file, which contradict each other')
        return settings, await asyncio.to_thread(_kept, files[0][1].file)
    finally:
        await form.close()


def _kept(file: BinaryIO) -> Upload:
    """A copy that the trainer can open, which nobody else can read. Raises ``BadRequest`` for what is no zip."""
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


async def _bounded(request: Request, largest: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks. Raises ``TooLarge``."""
    announced, came = request.headers.get("content-length", ""), 0
    if announced.isdigit() and int(announced) > largest:
        raise TooLarge(f"the request has {int(announced):,} bytes; at most {largest:,} are accepted")
    async for chunk in request.stream():
        came += len(chunk)
        if came > largest:
            raise TooLarge(f"the request has more than the accepted {largest:,} bytes")
        yield chunk
