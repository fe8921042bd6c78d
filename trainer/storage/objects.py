"""One object at a time: listed, brought and put, whole and with its checksum, or not at all.

The only importer of ``google.cloud.storage``. Every request is tried again while that makes sense; what arrives is
compared with the checksum that Cloud Storage keeps. Knows no trees of files; see ``storage/__init__.py``.
"""

import base64
import contextlib
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import google_crc32c

from trainer.storage import connection_refused

REMOTE = "gs://"
PIECE = 8 * 2**20  # bytes; an interrupted download continues after the last whole piece
TIMEOUT = 60.0  # seconds without a byte before a request is tried again
PATIENCE = 300.0  # seconds of trying again before a file is given up
ATTEMPTS = 3  # at a file that arrives with another checksum


class StorageError(OSError):
    """A bucket, an object or a permission is missing, or a transfer failed; the message names the path."""


@dataclasses.dataclass(frozen=True)
class Remote:
    """One object as it was listed: exactly this generation is transferred."""

    name: str
    relative: PurePosixPath
    generation: int
    size: int
    crc32c: str

    def is_at(self, path: Path) -> bool:
        """Whether a local file is this very object: its modification time is the generation."""
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.generation * 1000)


class Bucket:
    """The part of a bucket below a prefix, which ends in a slash or is empty; a context that closes connections."""

    def __init__(self, path: str):
        """Credentials are the application default ones. Raises ``StorageError``."""
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

    def list(self) -> list[Remote]:
        """Everything below the prefix, or the one object of that very name."""
        only = self.prefix.rstrip("/")
        blobs = self._client.list_blobs(self._bucket, prefix=only, timeout=TIMEOUT, retry=_retry())
        found = [
            Remote(blob.name, relative(blob.name, self.prefix), int(blob.generation), int(blob.size), blob.crc32c)
            for blob in blobs
            if not blob.name.endswith("/") and (blob.name.startswith(self.prefix) or blob.name == only)
        ]
        return [one for one in found if only and one.name == only] or found

    def bring(self, found: Remote, target: Path, count: Callable[[int], None] = lambda size: None) -> None:
        """One object under its final name, whole and with the listed checksum, or not at all."""
        if found.is_at(target):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{found.generation}.partial")
        blob = self._bucket.blob(found.name, generation=found.generation)
        for _ in range(ATTEMPTS):
            self._continue(blob, found.size, partial, count)
            if crc32c(partial) == found.crc32c:
                os.utime(partial, ns=(found.generation * 1000, found.generation * 1000))
                os.replace(partial, target)
                return
            partial.unlink()
        raise self._damaged(found.name)

    def _continue(self, blob, size: int, partial: Path, count: Callable[[int], None]) -> None:
        """Append the missing pieces to a file that an earlier attempt may have begun."""
        with partial.open("ab") as file:
            have = file.tell()
            while have < size:
                end = min(have + PIECE, size) - 1
                piece = blob.download_as_bytes(
                    start=have, end=end, raw_download=True, checksum=None, timeout=TIMEOUT, retry=_retry()
                )
                file.write(piece)
                if not piece:
                    return  # the checksum will tell
                have += len(piece)
                count(len(piece))

    def put(self, name: str, file: Path) -> None:
        """One file to one object below the prefix; trying again is safe because the content is the same."""
        from google.cloud.exceptions import BadRequest

        expected = crc32c(file)
        for _ in range(ATTEMPTS):
            blob = self._bucket.blob(self.prefix + name)
            with contextlib.suppress(BadRequest):  # what Cloud Storage says when the content does not fit its checksum
                blob.upload_from_filename(str(file), checksum="crc32c", timeout=TIMEOUT, retry=_retry())
                if blob.crc32c == expected:
                    return
        self.remove(name)
        raise self._damaged(self.prefix + name)

    def remove(self, name: str) -> None:
        """Delete an object below the prefix, if it is there."""
        from google.cloud.exceptions import NotFound

        with contextlib.suppress(NotFound):
            self._bucket.blob(self.prefix + name).delete(timeout=TIMEOUT, retry=_retry())

    def _damaged(self, name: str) -> StorageError:
        return StorageError(
            f"{REMOTE}{self._bucket.name}/{name} arrives damaged: its checksum was wrong {ATTEMPTS} times"
        )

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        """Close connections; Google's errors as ours, with the path people wrote."""
        self._client.close()
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.exceptions import Forbidden, NotFound, Unauthorized
        from requests.exceptions import RequestException

        if isinstance(error, NotFound):
            raise StorageError(f"{self.path!r} does not exist: no such bucket or object") from None
        if isinstance(error, Forbidden | Unauthorized):
            raise StorageError(
                f"no permission for {self.path!r}; the account needs read (or write) access to the bucket"
            ) from None
        if isinstance(error, GoogleAuthError):
            raise StorageError(f"{self.path!r}: the Google credentials do not work: {error}") from None
        if isinstance(error, GoogleAPIError | RequestException | ConnectionError):
            why = connection_refused.message(error) or f"{type(error).__name__}: {error}"
            raise StorageError(f"Cloud Storage failed for {self.path!r}: {why}") from error


def relative(name: str, prefix: str) -> PurePosixPath:
    """An object's path below the prefix, never outside the target folder. Raises ``StorageError``."""
    below = PurePosixPath(name[len(prefix) :] if name.startswith(prefix) else name.rsplit("/", 1)[-1])
    if below.is_absolute() or ".." in below.parts:
        raise StorageError(f"object name {name!r} leaves its folder; it is not taken")
    return below


def crc32c(file: Path) -> str:
    """Base64 of the big-endian checksum, the form in which Cloud Storage keeps it."""
    digest = google_crc32c.Checksum()
    with file.open("rb") as content:
        while block := content.read(PIECE):
            digest.update(block)
    return base64.b64encode(digest.digest()).decode()


def _retry():
    from google.cloud.storage.retry import DEFAULT_RETRY

    transient = DEFAULT_RETRY.with_timeout(PATIENCE).with_delay(initial=0.2, maximum=20)
    return transient.with_predicate(connection_refused.at_most_twice(DEFAULT_RETRY._predicate))
