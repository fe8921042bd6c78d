"""Use local folders, ``/gcs/`` mounts and ``gs://`` prefixes alike: download, upload and cache them.

Shared by trainer, predictor and deploy. All work is on local copies, because TensorFlow's support of ``gs://`` neither
resumes nor verifies transfers. The modification time of a copy encodes its generation, so a second run downloads
nothing. ``transfer_manager`` of Google's client is not used: it neither resumes a file nor skips an equal one. Next:
``objects.py``, which transfers one object and is the only importer of ``google.cloud.storage``.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from trainer.storage import lock
from trainer.storage.cache import get_cache_dir
from trainer.storage.objects import REMOTE, Bucket, RemoteObject, StorageError, crc32c

__all__ = [
    "REMOTE",
    "StorageError",
    "Workdir",
    "exists",
    "fetch",
    "get_cache_dir",
    "get_cache_path",
    "get_local_path",
    "ignore_mounts",
    "is_mounted",
    "is_remote",
    "list_paths",
    "read_generation",
]

MOUNT: Path | None = Path("/gcs")  # Vertex AI mounts all buckets here in training containers
TRANSFERS = 8  # files at the same time

ProgressBar = Callable[[int], contextlib.AbstractContextManager[Callable[[int], None]]]
"""Called with the megabytes to transfer, returns a context whose value is called with the megabytes done so far."""


def is_remote(path: str) -> bool:
    """Return whether the path is a ``gs://`` path that is not mounted here, so that it has to be copied."""
    return path.startswith(REMOTE) and _mounted(path) is None


def is_mounted(path: str) -> bool:
    """Whether this is a ``gs://`` path whose bucket is mounted on this machine."""
    return path.startswith(REMOTE) and _mounted(path) is not None


@contextlib.contextmanager
def ignore_mounts() -> Iterator[None]:
    """In the block, in all threads, treat every ``gs://`` path as remote, for work shared with other machines."""
    global MOUNT
    before, MOUNT = MOUNT, None
    try:
        yield
    finally:
        MOUNT = before


def get_local_path(path: str) -> Path:
    """Return the path on this machine: ``gs://bucket/x`` is ``/gcs/bucket/x`` where buckets are mounted.

    Raises ``StorageError`` for a ``gs://`` path that is not mounted.
    """
    if not path.startswith(REMOTE):
        return Path(path)
    mounted = _mounted(path)
    if mounted is None:
        raise StorageError(
            f"{path!r} is on Cloud Storage, which is not mounted here at '/gcs'; a local folder is needed"
        )
    return mounted


def get_cache_path(path: str, folder: str = "data") -> Path:
    """Return the path of the copy of a ``gs://`` path in the cache, in ``data``, or for working copies in ``jobs``.

    It has the same name, because data sources are named by it. Each path has a folder of its own, even if one path is
    below the other, because a fetch deletes files that are no longer at its path.
    """
    name = path.removeprefix(REMOTE).strip("/")
    return get_cache_dir() / folder / hashlib.sha256(name.encode()).hexdigest()[:16] / PurePosixPath(name).name


def fetch(
    path: str,
    target: Path | None = None,
    is_selected: Callable[[str], bool] = lambda name: True,
    progress: ProgressBar | None = None,
) -> Path:
    """Return the local path of a folder or file, after a verified download if it is a ``gs://`` prefix or object.

    ``target`` is the path of the copy, by default in the cache; files that are there in the same generation are not
    downloaded again. ``is_selected`` selects the object names to download. An incomplete file never has its final name.
    Raises ``StorageError``.
    """
    if not is_remote(path):
        return get_local_path(path)
    target = target or get_cache_path(path)
    with Bucket(path) as bucket:
        objects = bucket.list()
        if objects and objects[0].name + "/" == bucket.prefix:
            with _exclusive(target.parent):
                bucket.download(objects[0], target)
            return target
        selected = [item for item in objects if is_selected(item.name)]
        if not selected:
            raise StorageError(f"there is nothing below {path!r}, or no file that is needed")
        listed = {item.relative for item in objects}
        with _exclusive(target):
            _download_all(bucket, selected, target, lambda name: name in listed, progress)
    return target


def exists(path: str) -> bool:
    """Return whether a file exists, locally or on Cloud Storage. Raises ``StorageError``."""
    if not is_remote(path):
        return get_local_path(path).is_file()
    with Bucket(path) as bucket:
        return any(item.name + "/" == bucket.prefix for item in bucket.list())


def read_generation(path: str) -> str:
    """Return what changes when a file or object is replaced or written. Raises ``StorageError`` or ``OSError``."""
    if not is_remote(path):
        status = get_local_path(path).stat()
        return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
    with Bucket(path) as bucket:
        for item in bucket.list():
            if item.name + "/" == bucket.prefix:
                return str(item.generation)
    raise StorageError(f"there is no object {path!r}")


def list_paths(prefix: str) -> list[str]:
    """Return the ``gs://`` paths of all objects below a prefix. Raises ``StorageError``."""
    with Bucket(prefix) as bucket:
        return [f"{REMOTE}{bucket.name}/{item.name}" for item in bucket.list()]


@dataclasses.dataclass
class Workdir:
    """A local folder, and the ``gs://`` prefix of which it is a working copy, if any."""

    folder: Path
    remote: str | None = None
    is_excluded: Callable[[PurePosixPath], bool] = lambda name: False  # files that are not transferred
    _uploaded: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)  # size and time by relative path

    @classmethod
    def from_path(cls, path: str, is_excluded: Callable[[PurePosixPath], bool] = lambda name: False) -> "Workdir":
        """Make the working folder for a path; that of a ``gs://`` path is in the cache."""
        if is_remote(path):
            return cls(get_cache_path(path, "jobs"), path.rstrip("/"), is_excluded)
        return cls(get_local_path(path))

    def pull(self, progress: ProgressBar | None = None) -> None:
        """Download the objects below the prefix that are not excluded, if any. Raises ``StorageError``."""
        if not self.remote:
            return
        with Bucket(self.remote) as bucket, _exclusive(self.folder):
            listed = [item for item in bucket.list() if item.name.startswith(bucket.prefix)]
            objects = [item for item in listed if not self.is_excluded(item.relative)]
            _download_all(bucket, objects, self.folder, self.is_excluded, progress)
        self._uploaded = {item.relative.as_posix(): _stamp(self.folder / item.relative) for item in objects}

    def push(self, *last: str) -> None:
        """Upload all files that changed since the last push or pull. Raises ``StorageError``.

        A file with one of the names ``last`` marks that its folder is complete: it is uploaded last, and first deleted
        if files of its folder are overwritten. Files that were deleted locally since then are deleted at the prefix.
        """
        if not self.remote:
            return
        names = [PurePosixPath(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]
        stamps = {str(name): _stamp(self.folder / name) for name in sorted(names) if not self.is_excluded(name)}
        if not self._uploaded:
            self._uploaded = self._find_uploaded(stamps)
        changed = [name for name, stamp in stamps.items() if self._uploaded.get(name) != stamp]
        contents = [name for name in changed if PurePosixPath(name).name not in last]
        markers = [name for name in stamps if PurePosixPath(name).name in last]
        overwritten = [name for name in contents if name in self._uploaded]
        outdated = [marker for marker in markers if any(_is_below(name, marker) for name in overwritten)]
        with Bucket(self.remote) as bucket:
            for marker in outdated:
                bucket.remove(marker)  # while files are overwritten, the folder must not look complete
            _transfer_all([functools.partial(bucket.upload, name, self.folder / name) for name in contents])
            for marker in markers:
                if marker in outdated or marker in changed:
                    bucket.upload(marker, self.folder / marker)
            for name in set(self._uploaded) - set(stamps):
                bucket.remove(name)
        self._uploaded = stamps

    def _find_uploaded(self, stamps: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """Return the local files that an earlier run uploaded, with their stamp if the content is equal."""
        with Bucket(self.remote or "") as bucket:
            objects = {item.relative.as_posix(): item for item in bucket.list()}
        equal = {name for name in stamps if name in objects and objects[name].crc32c == crc32c(self.folder / name)}
        return {name: stamps[name] if name in equal else (-1, -1) for name in stamps if name in objects}


def _is_below(name: str, marker: str) -> bool:
    return PurePosixPath(marker).parent in PurePosixPath(name).parents


def _stamp(file: Path) -> tuple[int, int]:
    """Return the size of a file in bytes and its modification time in nanoseconds."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _download_all(
    bucket: Bucket,
    objects: list[RemoteObject],
    target: Path,
    is_excluded: Callable[[PurePosixPath], bool] = lambda name: False,
    progress: ProgressBar | None = None,
) -> None:
    """Download objects to a folder, and delete its other files unless ``is_excluded`` is true for them."""
    missing = [item for item in objects if not item.is_stored_at(target / item.relative)]
    megabytes = max(1, sum(item.size for item in missing) // 2**20)
    with progress(megabytes) if missing and progress else contextlib.nullcontext(lambda done: None) as show:
        sizes: list[int] = []  # a list, because several threads append to it, which is atomic

        def count(size: int) -> None:
            sizes.append(size)
            show(min(sum(sizes) // 2**20, megabytes))

        _transfer_all([functools.partial(bucket.download, item, target / item.relative, count) for item in missing])
        show(megabytes)
    expected = {target / item.relative for item in objects}
    for file in [path for path in target.rglob("*") if path.is_file() and path not in expected]:
        if not is_excluded(PurePosixPath(file.relative_to(target))):
            file.unlink()


def _transfer_all(jobs: list[Callable[[], Any]]) -> None:
    """Run all jobs, ``TRANSFERS`` at a time. The first error cancels those that have not started, and is raised."""
    with concurrent.futures.ThreadPoolExecutor(TRANSFERS) as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Lock a folder, by a file beside it, so that one process at a time downloads to it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder.with_name(f".{folder.name}.lock"), os.O_CREAT | os.O_RDWR, 0o644)
    try:
        lock.acquire(descriptor)
        yield
    finally:
        os.close(descriptor)


def _mounted(path: str) -> Path | None:
    """Return the path below the mount, or None if the bucket is not mounted."""
    bucket, _, rest = path.removeprefix(REMOTE).partition("/")
    return MOUNT / bucket / rest if MOUNT and bucket and (MOUNT / bucket).is_dir() else None
