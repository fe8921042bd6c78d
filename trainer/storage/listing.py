"""What a folder on Cloud Storage holds, as it was listed, and its files, which are downloaded when they are read.

There may be too many of them to be copied. Next: ``remote_files.py`` lists and reads.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class FileStatus(NamedTuple):
    """Size in bytes and modification time in nanoseconds, those that a copy on this machine would have."""

    st_size: int
    st_mtime_ns: int


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """An object at ``path``; has those methods of a ``Path`` that are used of the file of a sample."""

    path: str
    status: FileStatus
    read: Callable[[str], bytes]

    def read_bytes(self) -> bytes:
        """Download the object. Raises ``StorageError``."""
        return self.read(self.path)

    def stat(self) -> FileStatus:
        """Return the status that was listed."""
        return self.status

    def resolve(self) -> "RemoteFile":
        """Return the file itself, which is no link."""
        return self

    def __str__(self) -> str:
        return self.path


@dataclasses.dataclass(frozen=True, eq=False)
class RemoteFolder:
    """The objects below ``path``, by their names relative to it; ``local`` has copies of those that are no images.

    ``read`` downloads one of them by its path.
    """

    path: str
    statuses: Mapping[str, FileStatus]
    local: Path
    read: Callable[[str], bytes]

    def __truediv__(self, name: str) -> RemoteFile:
        return RemoteFile(f"{self.path}/{name}", self.statuses[name], self.read)

    @property
    def name(self) -> str:
        """The last component of the path."""
        return PurePosixPath(self.path).name

    @property
    def parents(self) -> tuple["RemoteFolder", ...]:
        """No folder: two listings never share files unless their paths do, which the files say themselves."""
        return ()

    def resolve(self) -> "RemoteFolder":
        """Return the folder itself, which is no link."""
        return self

    def enter(self, name: str) -> "RemoteFolder":
        """Return a folder in this one."""
        prefix = f"{name}/"
        statuses = {key.removeprefix(prefix): status for key, status in self.statuses.items() if key.startswith(prefix)}
        return RemoteFolder(f"{self.path}/{name}", statuses, self.local / name, self.read)
