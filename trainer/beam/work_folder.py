"""The files that driver and workers of a pipeline share, in a local folder or below a ``gs://`` prefix.

Each is written in one step, so that a worker that is killed, or that runs twice, harms nothing. Next: ``indexing.py``,
``duplicates.py`` and ``shards.py``, which read and write them.
"""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trainer import storage
from trainer.storage import remote_files

PARTIAL = ".partial-"  # of folders that a worker has not finished


@dataclasses.dataclass(frozen=True)
class WorkFolder:
    """A folder that driver and workers can reach, by its absolute path or ``gs://`` prefix."""

    path: str

    @property
    def is_remote(self) -> bool:
        """Whether the files are on Cloud Storage."""
        return storage.is_remote(self.path)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read a file, or its bytes from ``start`` to before ``stop``."""
        if self.is_remote:
            return remote_files.read_bytes(f"{self.path}/{name}", start, stop)
        with (Path(self.path) / name).open("rb") as file:
            file.seek(start)
            return file.read() if stop is None else file.read(stop - start)

    def write(self, name: str, data: bytes) -> None:
        """Write a file in one step."""
        with self.publish() as folder:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

    def list(self, below: str = "") -> set[str]:
        """Return the names of the finished files in a folder of this one, also those in its folders."""
        if self.is_remote:
            names = {name for name, _ in remote_files.list_objects(f"{self.path}/{below}".rstrip("/"))}
        else:
            root = Path(self.path) / below
            files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
            names = {file.as_posix() for file in files if not file.parts[0].startswith(PARTIAL)}
        return {f"{below}/{name}".lstrip("/") for name in names}

    @contextlib.contextmanager
    def publish(self, last: str = "") -> Iterator[Path]:
        """Yield an empty folder; what is in it after the block replaces the files of the same names, ``last`` at last.

        A worker that is killed leaves files of which none has a final name, unless all but ``last`` are complete.
        """
        root = None if self.is_remote else Path(self.path)
        if root:
            root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=root))
        try:
            yield folder
            names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            for name in sorted(names, key=lambda name: name == last):
                if root:
                    (root / name).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(folder / name, root / name)
                else:
                    remote_files.upload(f"{self.path}/{name}", folder / name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file to this machine, unless it is there."""
        if self.is_remote and not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.partial")
            partial.write_bytes(self.read(name))
            partial.replace(target)

    def delete(self, name: str) -> None:
        """Delete a file."""
        if self.is_remote:
            remote_files.delete(f"{self.path}/{name}")
        else:
            (Path(self.path) / name).unlink()

    def clear(self) -> None:
        """Delete all files."""
        if self.is_remote:
            for name, _ in remote_files.list_objects(self.path):
                remote_files.delete(f"{self.path}/{name}")
        else:
            shutil.rmtree(self.path, ignore_errors=True)
