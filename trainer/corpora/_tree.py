"""List the image files below a folder, with links followed once and folders of splits removed from their paths.

Users split their data with folders named ``train``, ``val``, ``test`` or ``predict``. Layouts never see those folders:
``train/text/a.png`` is ``text/a.png`` to them, in the split ``train``. Next: ``corpora/__init__.py``.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from trainer.imaging.formats import FILE_SUFFIXES
from trainer.storage.listing import RemoteFolder

PREDICT = "predict"  # images that training does not use, labelled or not
SPLIT_FOLDERS = {  # split by lower-case folder name
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "predict": PREDICT,
}


@dataclasses.dataclass(frozen=True)
class Tree:
    """The input of a layout: image files below a folder, relative to it and sorted, or a CSV file that lists them.

    The paths in ``images`` have no folders of splits. ``split_by_file`` maps the relative path of every file to its
    path in ``images`` and its split, which is empty outside folders of splits. ``is_layout_named`` means that the
    caller named the layout, so that a layout need not check the number of folders. ``remote`` has the images where they
    are on Cloud Storage; ``root`` then has copies of the other files alone.
    """

    root: Path
    images: tuple[PurePosixPath, ...]
    csv_file: Path | None = None
    split_by_file: Mapping[PurePosixPath, tuple[PurePosixPath, str]] = dataclasses.field(default_factory=dict)
    is_layout_named: bool = False
    remote: RemoteFolder | None = None

    @property
    def image_folder(self) -> Path | RemoteFolder:
        """The folder that the images are read from."""
        return self.remote or self.root

    @property
    def split_folders(self) -> list[PurePosixPath]:
        """Folders of train, validation and test images, relative and sorted."""
        above = {folder for file in self.split_by_file for folder in file.parents if folder.name}
        return sorted(folder for folder in above if SPLIT_FOLDERS.get(folder.name.lower(), PREDICT) != PREDICT)


def read_tree(root: Path | RemoteFolder) -> Tree:
    """List the images below a folder, or wrap a CSV file; a lone subfolder that is no split becomes the root."""
    if isinstance(root, RemoteFolder):
        return _read_remote_tree(root)
    if root.is_file():
        return Tree(root.parent, (), csv_file=root)
    visited = {root.resolve()}
    while True:
        entries = [entry for entry in root.iterdir() if not is_hidden(entry.name)]
        if len(entries) != 1 or not entries[0].is_dir() or entries[0].name.lower() in SPLIT_FOLDERS:
            break
        if entries[0].resolve() in visited:  # a link to a folder above it
            break
        root = entries[0]
        visited.add(root.resolve())
    split_by_file = {file: strip_split_folders(file) for file in list_image_files(root)}
    images = {name for name, split in split_by_file.values() if split != PREDICT}
    return Tree(root, tuple(sorted(images)), split_by_file=split_by_file)


def _read_remote_tree(root: RemoteFolder) -> Tree:
    """List the images of a folder on Cloud Storage as if it were here."""
    while True:
        names = [PurePosixPath(name) for name in root.statuses]
        shown = [name for name in names if not any(map(is_hidden, name.parts))]
        first = {name.parts[0] for name in shown}
        if len(first) != 1 or any(len(name.parts) == 1 for name in shown) or min(first).lower() in SPLIT_FOLDERS:
            break
        root = root.enter(min(first))
    split_by_file = {name: strip_split_folders(name) for name in sorted(shown) if _is_image(name.name)}
    images = {name for name, split in split_by_file.values() if split != PREDICT}
    return Tree(root.local, tuple(sorted(images)), split_by_file=split_by_file, remote=root)


def strip_split_folders(file: PurePosixPath) -> tuple[PurePosixPath, str]:
    """Return a path without its folders of splits, and the innermost split; ``predict`` takes precedence."""
    splits = [SPLIT_FOLDERS[folder.lower()] for folder in file.parts[:-1] if folder.lower() in SPLIT_FOLDERS]
    rest = [folder for folder in file.parts[:-1] if folder.lower() not in SPLIT_FOLDERS]
    return PurePosixPath(*rest, file.name), PREDICT if PREDICT in splits else splits[-1] if splits else ""


def list_image_files(root: Path) -> list[PurePosixPath]:
    """List image files by suffix, relative to ``root`` and sorted, without hidden files and folders.

    Links are followed. Each real file is listed once: by its own path where that is below ``root``, else by the first
    link to it.
    """
    paths: dict[str, str] = {}  # by real path
    links: list[str] = []
    for folder, real, names in _walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                links.append(path)
            elif os.path.isfile(path):
                paths[os.path.join(real, name)] = path
    for path in sorted(links):
        real = os.path.realpath(path)
        if os.path.isfile(real):  # false for a dangling link
            paths.setdefault(real, path)
    return sorted(PurePosixPath(Path(path).relative_to(root).as_posix()) for path in paths.values())


def _walk(root: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (path, real path, image names) of each real folder once: first those below ``root``, then linked ones."""
    queue, visited = [str(root)], set()
    while queue:
        for folder, folders, files in os.walk(queue.pop(0)):
            real = os.path.realpath(folder)
            if real in visited:
                folders.clear()
                continue
            visited.add(real)
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            queue += [path for name in folders if os.path.islink(path := os.path.join(folder, name))]
            yield folder, real, [name for name in files if _is_image(name)]


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in FILE_SUFFIXES and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to the operating system rather than to the user."""
    return name.startswith(".") or name == "__MACOSX"
