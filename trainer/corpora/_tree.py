"""The image files below a folder: links followed once, folders of parts told from folders of labels. No layout itself.

Users split their data with folders called ``train``, ``val``, ``test`` or ``predict``. Layouts never see those folders:
``train/text/a.png`` is ``text/a.png`` to them, of the part ``train``.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from trainer.imaging.formats import FILE_SUFFIXES

PREDICT = "predict"  # images to be answered about some day: labelled or not, nothing is learnt from them
PARTS = {  # what folders of parts are called, in any case
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
    """What a layout gets to see: image files below a folder, relative and sorted, or an index file that names them.

    ``images`` are without folders of parts, whose paths are ``part_folders``. ``files`` maps every file's own path to
    its path among ``images`` and its part, empty where it lies in none. ``named`` says that the caller named the
    layout, so that nothing has to be concluded from the number of folders.
    """

    root: Path
    images: tuple[PurePosixPath, ...]
    index: Path | None = None
    files: Mapping[PurePosixPath, tuple[PurePosixPath, str]] = dataclasses.field(default_factory=dict)
    named: bool = False

    @property
    def part_folders(self) -> list[PurePosixPath]:
        """The folders of parts that images are learnt from or tested with."""
        above = {folder for file in self.files for folder in file.parents if folder.name}
        return sorted(folder for folder in above if PARTS.get(folder.name.lower(), PREDICT) != PREDICT)


def of(root: Path) -> Tree:
    """Everything below a folder, or the index file itself; a lone folder that is no part is stepped into."""
    if root.is_file():
        return Tree(root.parent, (), index=root)
    been = {root.resolve()}
    while True:
        inside = [entry for entry in root.iterdir() if not is_hidden(entry.name)]
        if len(inside) != 1 or not inside[0].is_dir() or inside[0].name.lower() in PARTS:
            break
        if inside[0].resolve() in been:  # a link to a folder above it
            break
        root = inside[0]
        been.add(root.resolve())
    files = {file: without_parts(file) for file in image_files(root)}
    return Tree(root, tuple(sorted({name for name, part in files.values() if part != PREDICT})), files=files)


def without_parts(file: PurePosixPath) -> tuple[PurePosixPath, str]:
    """A path without its folders of parts, and the part: the innermost one's, but ``predict`` of any of them."""
    parts = [PARTS[folder.lower()] for folder in file.parts[:-1] if folder.lower() in PARTS]
    rest = [folder for folder in file.parts[:-1] if folder.lower() not in PARTS]
    return PurePosixPath(*rest, file.name), PREDICT if PREDICT in parts else parts[-1] if parts else ""


def image_files(root: Path) -> list[PurePosixPath]:
    """Image files by suffix, relative to ``root`` and sorted; not hidden ones, and none below hidden folders.

    Links are followed, and no real folder or file comes twice, however often it is linked: by its own name where that
    is below ``root``, else by the first link.
    """
    found: dict[str, str] = {}  # by real path
    links: list[str] = []
    for folder, real, names in _folders(root):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                links.append(path)
            elif os.path.isfile(path):
                found[os.path.join(real, name)] = path
    for path in sorted(links):
        real = os.path.realpath(path)
        if os.path.isfile(real):  # and no dangling link
            found.setdefault(real, path)
    return sorted(PurePosixPath(Path(path).relative_to(root).as_posix()) for path in found.values())


def _folders(root: Path) -> Iterator[tuple[str, str, list[str]]]:
    """(path, real path, names of images) of each real folder once: those below ``root`` first, then linked ones."""
    waiting, been = [str(root)], set()
    while waiting:
        for folder, folders, files in os.walk(waiting.pop(0)):
            real = os.path.realpath(folder)
            if real in been:
                folders.clear()
                continue
            been.add(real)
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            waiting += [path for name in folders if os.path.islink(path := os.path.join(folder, name))]
            yield folder, real, [name for name in files if _is_image(name)]


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in FILE_SUFFIXES and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is the system's rather than the user's."""
    return name.startswith(".") or name == "__MACOSX"
