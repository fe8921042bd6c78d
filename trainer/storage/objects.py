"""List, download and upload single objects of Cloud Storage, completely and with a checksum, or not at all.

The only importer of ``google.cloud.storage``. Requests are retried after transient errors; the content is compared with
the checksum that Cloud Storage keeps. Independent of folders; see ``storage/__init__.py``. Next:
``connection_refused.py``.
"""

import base64
import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import google_crc32c

from trainer.storage import connection_refused

REMOTE = "gs://"
CHUNK_BYTES = 8 * 2**20  # an interrupted download continues after the last complete chunk
TIMEOUT = 60.0  # seconds without a byte, after which a request is retried
RETRY_SECONDS = 300.0  # seconds of retries, after which a request fails
ATTEMPTS = 3  # transfers of a file whose checksum is wrong


class StorageError(OSError):
    """A bucket, an object or a permission is missing, or a transfer failed; the message names the path."""


@dataclasses.dataclass(frozen=True)
class RemoteObject:
    """An object as it was listed, of which exactly this generation is downloaded.

    ``relative`` is its path below the prefix, ``size`` is in bytes, ``crc32c`` as Cloud Storage keeps it.
    """

    name: str
    relative: PurePosixPath
    generation: int
    size: int
    crc32c: str

    def is_stored_at(self, path: Path) -> bool:
        """Return whether a local file is a copy of this generation, by its size and modification time."""
        try:
            status = path.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.generation * 1000)


class Bucket:
    """The objects of a bucket below a prefix, which ends in a slash or is empty; a context that closes connections."""

    def __init__(self, path: str):
        """Connect with the application default credentials. Raises ``StorageError``."""
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import storage  # type: ignore[attr-defined]  # the package ships no types

        name, _, prefix = path.removeprefix(REMOTE).partition("/")
        if not name:
            raise StorageError(f"{path!r} names no bucket; it has to be gs://BUCKET/PATH")
        self.path, self.name, self.prefix = path, name, prefix.strip("/") + "/" if prefix.strip("/") else ""
        try:
            self._client = storage.Client()
        except (DefaultCredentialsError, OSError) as error:
            raise StorageError(
                f"{path!r} needs Google credentials (gcloud auth application-default login): {error}"
            ) from None
        self._bucket = self._client.bucket(name)

    def list(self) -> list[RemoteObject]:
        """Return all objects below the prefix, or the object of exactly that name if there is one."""
        name = self.prefix.rstrip("/")
        blobs = self._client.list_blobs(self._bucket, prefix=name, timeout=TIMEOUT, retry=_make_retry())
        objects = [
            RemoteObject(blob.name, relative(blob.name, self.prefix), int(blob.generation), int(blob.size), blob.crc32c)
            for blob in blobs
            if not blob.name.endswith("/") and (blob.name.startswith(self.prefix) or blob.name == name)
        ]
        return [item for item in objects if name and item.name == name] or objects

    def download(self, item: RemoteObject, target: Path, count: Callable[[int], None] = lambda size: None) -> None:
        """Download an object; ``target`` exists only if it is complete and has the listed checksum.

        ``count`` is called with the bytes of each chunk. Raises ``StorageError``.
        """
        if item.is_stored_at(target):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{item.generation}.partial")
        blob = self._bucket.blob(item.name, generation=item.generation)
        for _ in range(ATTEMPTS):
            self._resume(blob, item.size, partial, count)
            if crc32c(partial) == item.crc32c:
                os.utime(partial, ns=(item.generation * 1000, item.generation * 1000))
                os.replace(partial, target)
                return
            partial.unlink()
        raise self._make_checksum_error(item.name)

    def _resume(self, blob: Any, size: int, partial: Path, count: Callable[[int], None]) -> None:
        """Append the missing chunks to a file that an earlier attempt may have started."""
        with partial.open("ab") as file:
            position = file.tell()
            while position < size:
                end = min(position + CHUNK_BYTES, size) - 1
                chunk = blob.download_as_bytes(
                    start=position, end=end, raw_download=True, checksum=None, timeout=TIMEOUT, retry=_make_retry()
                )
                file.write(chunk)
                if not chunk:
                    return  # the checksum will differ
                position += len(chunk)
                count(len(chunk))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return an object below the prefix, whose checksum the client verifies, or a part of it."""
        blob = self._bucket.blob(self.prefix + name)
        if stop is None and not start:
            return blob.download_as_bytes(timeout=TIMEOUT, retry=_make_retry())
        end = None if stop is None else stop - 1
        return blob.download_as_bytes(start=start, end=end, checksum=None, timeout=TIMEOUT, retry=_make_retry())

    def upload(self, name: str, file: Path) -> None:
        """Upload a file to an object below the prefix. A retry is safe, because it has the same content.

        Raises ``StorageError``.
        """
        from google.cloud.exceptions import BadRequest

        expected = crc32c(file)
        for _ in range(ATTEMPTS):
            blob = self._bucket.blob(self.prefix + name)
            with contextlib.suppress(BadRequest):  # the answer of Cloud Storage to a wrong checksum
                blob.upload_from_filename(str(file), checksum="crc32c", timeout=TIMEOUT, retry=_make_retry())
                if blob.crc32c == expected:
                    return
        self.remove(name)
        raise self._make_checksum_error(self.prefix + name)

    def remove(self, name: str) -> None:
        """Delete an object below the prefix, if it exists."""
        from google.cloud.exceptions import NotFound

        with contextlib.suppress(NotFound):
            self._bucket.blob(self.prefix + name).delete(timeout=TIMEOUT, retry=_make_retry())

    def _make_checksum_error(self, name: str) -> StorageError:
        return StorageError(
            f"{REMOTE}{self._bucket.name}/{name} arrives damaged: its checksum was wrong {ATTEMPTS} times"
        )

    def __enter__(self):
        return self

    def __exit__(self, error_type, error, _):
        """Close connections. Raise ``StorageError``, with the path of the user, in place of an error of Google's."""
        self._client.close()
        _raise_storage_error(self.path, error)

    @contextlib.contextmanager
    def translate_errors(self, path: str) -> Iterator[None]:
        """Raise ``StorageError`` with a path in place of an error of Google's; connections stay open."""
        try:
            yield
        except Exception as error:
            _raise_storage_error(path, error)
            raise


def _raise_storage_error(path: str, error: BaseException | None) -> None:
    """Raise ``StorageError`` in place of an error of Google's; return for any other."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.exceptions import Forbidden, NotFound, Unauthorized
    from requests.exceptions import RequestException

    if isinstance(error, NotFound):
        raise StorageError(f"{path!r} does not exist: no such bucket or object") from None
    if isinstance(error, Forbidden | Unauthorized):
        raise StorageError(
            f"no permission for {path!r}; the account needs read (or write) access to the bucket"
        ) from None
    if isinstance(error, GoogleAuthError):
        raise StorageError(f"{path!r}: the Google credentials do not work: {error}") from None
    if isinstance(error, GoogleAPIError | RequestException | ConnectionError):
        reason = connection_refused.describe_refusal(error) or f"{type(error).__name__}: {error}"
        raise StorageError(f"Cloud Storage failed for {path!r}: {reason}") from error


def relative(name: str, prefix: str) -> PurePosixPath:
    """Return the path of an object below the prefix. Raises ``StorageError`` if it leaves the target folder."""
    below = PurePosixPath(name[len(prefix) :] if name.startswith(prefix) else name.rsplit("/", 1)[-1])
    if below.is_absolute() or ".." in below.parts:
        raise StorageError(f"object name {name!r} leaves its folder; it is not downloaded")
    return below


def crc32c(file: Path) -> str:
    """Return the CRC32C of a file as Cloud Storage keeps it: base64 of the big-endian bytes."""
    checksum = google_crc32c.Checksum()
    with file.open("rb") as content:
        while block := content.read(CHUNK_BYTES):
            checksum.update(block)
    return base64.b64encode(checksum.digest()).decode()


def _make_retry() -> Any:
    """Return the retries of one call: those of Google's client, with our times, and few for refused connections."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    transient = DEFAULT_RETRY.with_timeout(RETRY_SECONDS).with_delay(initial=0.2, maximum=20)
    return transient.with_predicate(connection_refused.limit_refused_retries(DEFAULT_RETRY._predicate))
