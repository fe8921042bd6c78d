"""The files of the paths of a command, one after the other: on this machine, or objects at ``gs://``.

A list is never made of all of them: memory holds the names of one folder. Next: ``answering.py``, which answers a file.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainer import storage
from trainer.storage import remote_files
from trainer.storage.listing import FileStatus, RemoteFile


@dataclasses.dataclass(frozen=True)
class MemoryFile:
    """A file by its name, with its bytes."""

    name: str
    data: bytes

    def read_bytes(self) -> bytes:
        """Return the bytes."""
        return self.data

    def __str__(self) -> str:
        return self.name


InputFile = Path | RemoteFile | MemoryFile


def open_file(name: str) -> InputFile:
    """Return the file of a name that ``list_files`` yields; nothing is read yet."""
    if storage.is_remote(name):
        return RemoteFile(name, FileStatus(0, 0), remote_files.read_bytes)
    return storage.get_local_path(name)


def check_paths(paths: Sequence[str]) -> None:
    """Raise ``FileNotFoundError`` for a local path that does not exist, before any file is answered."""
    for path in paths:
        if not storage.is_remote(path) and not storage.get_local_path(path).exists():
            raise FileNotFoundError(f"no file or folder {path!r}")


def list_files(paths: Sequence[str], suffixes: frozenset[str]) -> Iterator[str]:
    """Yield the names of the images and PDFs among paths and in folders, each folder in the order of its names.

    Raises ``FileNotFoundError`` or ``StorageError``.
    """
    check_paths(paths)
    for path in paths:
        if storage.is_remote(path):
            yield from _list_objects(path.rstrip("/"), suffixes)
        elif (local := storage.get_local_path(path)).is_dir():
            yield from _walk(str(local), suffixes)
        else:
            yield str(local)


def _walk(folder: str, suffixes: frozenset[str]) -> Iterator[str]:
    """Yield the files below a folder, in the order in which ``sorted`` has their paths; links to folders are not."""
    try:
        with os.scandir(folder) as entries:
            selected = [
                (each.name, each.is_dir(follow_symlinks=False))
                for each in entries
                if each.is_dir(follow_symlinks=False) or (_get_suffix(each.name) in suffixes and each.is_file())
            ]
    except PermissionError:
        return
    selected.sort()
    for name, is_folder in selected:
        path = name if folder == "." else os.path.join(folder, name)  # as pathlib writes it
        if is_folder:
            yield from _walk(path, suffixes)
        else:
            yield path


def _list_objects(path: str, suffixes: frozenset[str]) -> Iterator[str]:
    """Yield the images and PDFs below a ``gs://`` prefix, or the object itself."""
    names = sorted(name for name, _ in remote_files.list_objects(path))
    if not names and not storage.exists(path):
        raise FileNotFoundError(f"nothing is at {path!r}")
    yield from (f"{path}/{name}" for name in names if _get_suffix(name) in suffixes)
    if not names:
        yield path


def _get_suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
