"""List, read, write and delete objects of Cloud Storage one by one, where a folder is too large to be copied.

Next: ``listing.py`` is what a list consists of; ``trainer/data/sources.py`` lists data sources so,
``trainer/beam/work_folder.py`` keeps the files of pipelines so.
"""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

from trainer.storage.listing import FileStatus, RemoteFolder
from trainer.storage.objects import REMOTE, Bucket


def list_folder(path: str, local: Path) -> RemoteFolder:
    """List the objects below a ``gs://`` path. Raises ``StorageError``."""
    path = path.rstrip("/")
    return RemoteFolder(path, dict(list_objects(path)), local, read_bytes)


def list_objects(path: str) -> list[tuple[str, FileStatus]]:
    """List name and status of the objects below a ``gs://`` path. Raises ``StorageError``."""
    with Bucket(path) as bucket:
        objects = [item for item in bucket.list() if item.name.startswith(bucket.prefix)]
    return [(item.relative.as_posix(), FileStatus(item.size, item.generation * 1000)) for item in objects]


def read_bytes(path: str, start: int = 0, stop: int | None = None) -> bytes:
    """Download an object, or its bytes from ``start`` to before ``stop``. Raises ``StorageError``."""
    with _open(path) as (bucket, name):
        return bucket.read(name, start, stop)


def upload(path: str, file: Path) -> None:
    """Upload a file to an object, whole and verified. Raises ``StorageError``."""
    with _open(path) as (bucket, name):
        bucket.upload(name, file)


def delete(path: str) -> None:
    """Delete an object, if it exists. Raises ``StorageError``."""
    with _open(path) as (bucket, name):
        bucket.remove(name)


@contextlib.contextmanager
def _open(path: str) -> Iterator[tuple[Bucket, str]]:
    """Yield the bucket of a path, whose connections stay open, and the name in it."""
    bucket_name, _, name = path.removeprefix(REMOTE).partition("/")
    bucket = _connect(bucket_name)
    with bucket.translate_errors(path):
        yield bucket, name


@functools.cache
def _connect(bucket: str) -> Bucket:
    """Return the connections to a bucket, which live as long as the process."""
    return Bucket(REMOTE + bucket)
