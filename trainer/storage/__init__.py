"""Paths people give: local folders, ``/gcs/`` mounts and ``gs://`` prefixes, brought here and sent there.

Shared by trainer, predictor and deploy. All work is on local copies, because TensorFlow's own ``gs://`` neither resumes
nor verifies. A copy's modification time is its generation: a second run downloads nothing, and every machine sees the
same times. Next: ``objects.py``, which transfers one object and is the only importer of ``google.cloud.storage``.
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
from trainer.storage.objects import REMOTE, Bucket, Remote, StorageError, crc32c

__all__ = ["REMOTE", "Place", "StorageError", "cache", "cached", "exists", "fetch", "is_remote", "local", "names"]

MOUNT = Path("/gcs")  # Vertex AI mounts every bucket here in training containers
TRANSFERS = 8  # files at a time

Progress = Callable[[int], contextlib.AbstractContextManager[Callable[[int], None]]]
"""Draws a bar: called with the megabytes to transfer, entered for a function that takes those transferred so far."""


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


def cache() -> Path:
    """Where copies are kept between runs: ``COUNTERSIGN_CACHE``, or ``countersign`` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("COUNTERSIGN_CACHE") or Path(home) / "countersign")


def cached(path: str, kind: str = "data") -> Path:
    """The place in the cache that belongs to a ``gs://`` path: copies of ``data``, or the work of ``jobs``.

    It has the path's last name, which data is called by. Each path has a folder of its own, also where one path is
    below another: a fetch deletes from its folder what is no longer at its path.
    """
    whole = path.removeprefix(REMOTE).strip("/")
    return cache() / kind / hashlib.sha256(whole.encode()).hexdigest()[:16] / PurePosixPath(whole).name


def fetch(
    path: str,
    into: Path | None = None,
    wanted: Callable[[str], bool] = lambda name: True,
    progress: Progress | None = None,
) -> Path:
    """A folder or file as a local one: itself, or a verified copy of a ``gs://`` prefix or object.

    ``into`` is where the copy goes, in the cache if not given; what is there already in the same generation is not
    transferred again. ``wanted`` chooses among the names below a prefix; ``progress`` draws how far the copy is.
    Raises ``StorageError``; nothing half transferred is ever under its final name.
    """
    if not is_remote(path):
        return local(path)
    into = into or cached(path)
    with Bucket(path) as bucket:
        objects = bucket.list()
        if objects and objects[0].name + "/" == bucket.prefix:
            with _alone(into.parent):
                bucket.bring(objects[0], into)
            return into
        chosen = [found for found in objects if wanted(found.name)]
        if not chosen:
            raise StorageError(f"there is nothing below {path!r}, or nothing of use")
        keep = {found.relative for found in objects}
        with _alone(into):
            _bring_all(bucket, chosen, into, lambda name: name in keep, progress)
    return into


def exists(path: str) -> bool:
    """Whether there is such a file, here or on Cloud Storage. Raises ``StorageError``."""
    if not is_remote(path):
        return local(path).is_file()
    with Bucket(path) as bucket:
        return any(found.name + "/" == bucket.prefix for found in bucket.list())


def names(prefix: str) -> list[str]:
    """The ``gs://`` paths of everything below a prefix. Raises ``StorageError``."""
    with Bucket(prefix) as bucket:
        return [f"{REMOTE}{bucket.name}/{found.name}" for found in bucket.list()]


@dataclasses.dataclass
class Place:
    """A folder to work in, and the ``gs://`` prefix that it is a copy of, if any."""

    folder: Path
    remote: str | None = None
    leave: Callable[[PurePosixPath], bool] = lambda name: False  # what stays here
    _sent: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, path: str, leave: Callable[[PurePosixPath], bool] = lambda name: False) -> "Place":
        """A path people give; for Cloud Storage the work is done in the cache."""
        return cls(cached(path, "jobs"), path.rstrip("/"), leave) if is_remote(path) else cls(local(path))

    def pull(self, progress: Progress | None = None) -> None:
        """Bring what is at the prefix, which may be nothing. Raises ``StorageError``."""
        if not self.remote:
            return
        with Bucket(self.remote) as bucket, _alone(self.folder):
            objects = [found for found in bucket.list() if found.name.startswith(bucket.prefix)]
            _bring_all(bucket, objects, self.folder, self.leave, progress)
        self._sent = {found.relative.as_posix(): _stamp(self.folder / found.relative) for found in objects}

    def push(self, *last: str) -> None:
        """Send what changed since the last time. Raises ``StorageError``.

        Files called ``last`` mark that their folder is complete: they go last, and are taken away first where files
        beside them are written over. What has disappeared here disappears there, if we sent or pulled it.
        """
        if not self.remote:
            return
        names = [PurePosixPath(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()]
        now = {str(name): _stamp(self.folder / name) for name in sorted(names) if not self.leave(name)}
        if not self._sent:
            self._sent = self._there(now)
        changed = [name for name, stamp in now.items() if self._sent.get(name) != stamp]
        others = [name for name in changed if PurePosixPath(name).name not in last]
        markers = [name for name in now if PurePosixPath(name).name in last]
        torn = [marker for marker in markers if any(name in self._sent and _is_below(name, marker) for name in others)]
        with Bucket(self.remote) as bucket:
            for marker in torn:
                bucket.remove(marker)  # from here on what lies there is incomplete, and says so
            _together([functools.partial(bucket.put, name, self.folder / name) for name in others])
            for marker in markers:
                if marker in torn or marker in changed:
                    bucket.put(marker, self.folder / marker)
            for name in set(self._sent) - set(now):
                bucket.remove(name)
        self._sent = now

    def _there(self, now: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """Which of these files lie at the prefix from an earlier run: equal ones with their stamp, others without."""
        with Bucket(self.remote or "") as bucket:
            objects = {found.relative.as_posix(): found for found in bucket.list()}
        equal = {name for name in now if name in objects and objects[name].crc32c == crc32c(self.folder / name)}
        return {name: now[name] if name in equal else (-1, -1) for name in now if name in objects}


def _is_below(name: str, marker: str) -> bool:
    return PurePosixPath(marker).parent in PurePosixPath(name).parents


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _bring_all(
    bucket: Bucket,
    objects: list[Remote],
    into: Path,
    leave: Callable[[PurePosixPath], bool] = lambda name: False,
    progress: Progress | None = None,
) -> None:
    """Make a folder hold exactly these objects, and what ``leave`` says."""
    missing = [found for found in objects if not found.is_at(into / found.relative)]
    whole = max(1, sum(found.size for found in missing) // 2**20)
    with progress(whole) if missing and progress else contextlib.nullcontext(lambda done: None) as show:
        sizes: list[int] = []  # appending is atomic, so threads may count together

        def count(size: int) -> None:
            sizes.append(size)
            show(min(sum(sizes) // 2**20, whole))

        _together([functools.partial(bucket.bring, found, into / found.relative, count) for found in missing])
        show(whole)
    kept = {into / found.relative for found in objects}
    for file in [p for p in into.rglob("*") if p.is_file() and p not in kept]:
        if not leave(PurePosixPath(file.relative_to(into))):
            file.unlink()


def _together(jobs: list[Callable[[], Any]]) -> None:
    """All jobs, some at a time; the first failure stops those that have not begun, and is raised."""
    with concurrent.futures.ThreadPoolExecutor(TRANSFERS) as pool:
        running = [pool.submit(job) for job in jobs]
        try:
            for one in concurrent.futures.as_completed(running):
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time brings files into a folder; the lock lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder.with_name(f".{folder.name}.lock"), os.O_CREAT | os.O_RDWR, 0o644)
    try:
        lock.wait(descriptor)
        yield
    finally:
        os.close(descriptor)


def _mounted(path: str) -> Path | None:
    bucket, _, rest = path.removeprefix(REMOTE).partition("/")
    return MOUNT / bucket / rest if bucket and (MOUNT / bucket).is_dir() else None
