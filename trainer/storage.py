"""Paths people give: local folders, ``/gcs/`` mounts and ``gs://`` prefixes, brought here and sent there.

The only importer of ``google.cloud.storage``; shared by trainer, predictor and deploy. All work is on local copies,
because TensorFlow's own ``gs://`` neither resumes nor verifies.
"""

import shutil
from pathlib import Path, PurePosixPath

REMOTE = "gs://"
MOUNT = Path("/gcs")  # Vertex AI mounts every bucket here in training containers


class StorageError(OSError):
    """A bucket, an object or a permission is missing; the message names the path."""


def is_remote(path: str) -> bool:
    """Whether the path has to be copied before it can be used here."""
    return path.startswith(REMOTE) and _mounted(path) is None


def local(path: str) -> Path:
    """A path as this machine sees it: ``gs://bucket/x`` is ``/gcs/bucket/x`` where buckets are mounted.

    Raises ``StorageError`` for a ``gs://`` path that is not mounted.
    """
    if not path.startswith(REMOTE):
        return Path(path)
    mounted = _mounted(path)
    if mounted is None:
        raise StorageError(
            f"{path!r} is on Cloud Storage and {str(MOUNT)!r} is not mounted here; a local folder is needed"
        )
    return mounted


def fetch(path: str, into: Path) -> Path:
    """A folder as a local one: itself, or a verified copy of everything below a ``gs://`` prefix.

    The copy is complete or absent. Raises ``StorageError``.
    """
    if not is_remote(path):
        return local(path)
    client, bucket, prefix = _client(path)
    partial = into.with_name(into.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with _errors_named(path):
        blobs = [blob for blob in client.list_blobs(bucket, prefix=prefix) if not blob.name.endswith("/")]
        if not blobs:
            raise StorageError(f"there is nothing below {path!r}")
        for blob in blobs:
            target = partial / _relative(blob.name, prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(str(target), checksum="crc32c")
    shutil.rmtree(into, ignore_errors=True)
    partial.rename(into)
    return into


def send(folder: Path, path: str, last: str) -> None:
    """Copy a folder to a ``gs://`` prefix; the file ``last`` goes when all others are there, so it marks completeness.

    Raises ``StorageError``.
    """
    client, bucket, prefix = _client(path)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    with _errors_named(path):
        marker = client.bucket(bucket).blob(prefix + last)
        if marker.exists():
            marker.delete()  # from here on what lies there is incomplete, and says so
        for file in sorted(files, key=lambda p: p == folder / last):
            blob = client.bucket(bucket).blob(prefix + file.relative_to(folder).as_posix())
            blob.upload_from_filename(str(file), checksum="crc32c")


def _client(path: str):
    """(client, bucket, prefix ending in a slash); credentials are the application default ones."""
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage  # type: ignore[attr-defined]  # the package ships no types

    bucket, _, prefix = path.removeprefix(REMOTE).partition("/")
    try:
        client = storage.Client()
    except (DefaultCredentialsError, OSError) as error:
        raise StorageError(
            f"{path!r} needs Google credentials (gcloud auth application-default login): {error}"
        ) from None
    return client, bucket, prefix.rstrip("/") + "/" if prefix else ""


class _errors_named:
    """Google's errors as ours, with the path people wrote."""

    def __init__(self, path: str):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        from google.api_core.exceptions import GoogleAPIError
        from google.cloud.exceptions import Forbidden, NotFound

        if isinstance(error, NotFound):
            raise StorageError(f"{self.path!r} does not exist: no such bucket or object") from None
        if isinstance(error, Forbidden):
            raise StorageError(
                f"no permission for {self.path!r}; the account needs read (or write) access to the bucket"
            ) from None
        if isinstance(error, GoogleAPIError):
            raise StorageError(f"Cloud Storage failed for {self.path!r}: {type(error).__name__}") from error


def _relative(name: str, prefix: str) -> PurePosixPath:
    """An object's path below the prefix, never outside the target folder."""
    relative = PurePosixPath(name[len(prefix) :])
    if relative.is_absolute() or ".." in relative.parts:
        raise StorageError(f"object name {name!r} leaves its folder; it is not taken")
    return relative


def _mounted(path: str) -> Path | None:
    bucket, _, rest = path.removeprefix(REMOTE).partition("/")
    return MOUNT / bucket / rest if (MOUNT / bucket).is_dir() else None
