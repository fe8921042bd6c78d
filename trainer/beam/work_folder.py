"""The files that driver and workers of a pipeline share: each is written in one step, so that a retry harms nothing.

Next: ``indexing.py``, ``duplicates.py`` and ``shards.py``, which read and write them.
"""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PARTIAL = ".partial-"  # of folders that a worker has not finished


@dataclasses.dataclass(frozen=True)
class WorkFolder:
    """A folder that driver and workers can reach."""

    folder: Path

    def get_path(self, name: str) -> Path:
        """Return a local path of a file that exists."""
        return self.folder / name

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        return self.get_path(name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Write a file in one step."""
        with self.publish() as folder:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

    def list(self, below: str) -> set[str]:
        """Return the names of the finished files in a folder of this one."""
        folder = self.folder / below
        return {f"{below}/{path.name}" for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()

    @contextlib.contextmanager
    def publish(self, last: str = "") -> Iterator[Path]:
        """Yield an empty folder; what is in it after the block replaces the files of the same names, ``last`` at last.

        A worker that is killed leaves files of which none has a final name, unless all but ``last`` are complete.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self.folder))
        try:
            yield folder
            names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            for name in sorted(names, key=lambda name: name == last):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(folder / name, self.folder / name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
