"""Dataset layouts, one file each: who wrote an image and what it is, read from folder and file names.

Knows names, not pixels. ``read`` looks at a tree, finds the layout that explains it and lists its samples; a new
layout is one more file here that defines ``CORPUS``. ``python -m trainer.corpora PATH...`` tells what is read. Next:
``trainer/sources.py``, which brings zips and Cloud Storage here; ``trainer/splits.py``, which keeps writers apart.
"""

import collections
import dataclasses
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from trainer import plugins
from trainer.errors import UserError
from trainer.imaging import FILE_SUFFIXES

CONSTANT = "CORPUS"
Explained = Mapping[PurePosixPath, tuple[str | None, str | None]]


class UnknownLayout(UserError):
    """A folder that fits no layout, or not unambiguously; the message shows what was found and what is understood."""


class OverlappingData(UserError):
    """The same file would be in two places; the message names it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image file. ``writer`` is the person or the document, unknown if ``None``; unique within ``origin``.

    ``name`` is the path below ``root``, the same wherever the corpus lies. Small, because there may be 100,000.
    """

    root: Path
    name: str
    label: str
    writer: str | None
    origin: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.root / self.name

    @property
    def group(self) -> tuple[str, str]:
        """What must not be torn apart by a split: the writer where known, else the image itself."""
        return (self.origin, self.name if self.writer is None else self.writer)


@dataclasses.dataclass(frozen=True)
class Tree:
    """What a layout gets to see: image files below a folder, relative and sorted, or an index file that names them."""

    root: Path
    images: tuple[PurePosixPath, ...]
    index: Path | None = None


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A layout as two functions that are each other's inverse.

    ``explain`` maps the images of a tree to (label, writer), leaving out what it does not understand; an empty result
    means the layout does not fit. ``place`` names the file for the given label, writer and running number, without a
    suffix. A label of ``None`` means that the layout holds none, so the caller has to give it (``LABEL=PATH``).
    ``index`` makes the files that lie beside the images, from rows of (path, label, writer).

    ``rank`` is how much a layout leaves open: of those that explain every file, the lowest is the right reading.
    """

    understands: str
    rank: int
    explain: Callable[[Tree], Explained]
    place: Callable[[str, str, int], PurePosixPath]
    labels: tuple[str, ...] | None = None  # the only ones the layout can say; None for any
    index: Callable[[Iterable[tuple[str, str, str]]], dict[str, str]] | None = None
    called: str | None = None  # what the folder itself has to be called, for layouts that go by it
    partial: bool = False  # whether it may leave images out, because it names those that count


# Ranks: an index that names every image, a pattern of file names, names of folders, any folder, nothing at all.
INDEX, FILE_NAMES, FOLDER_NAMES, ANY_FOLDER, ANYTHING = range(5)


@dataclasses.dataclass(frozen=True)
class Reading:
    """One folder as it was understood; ``left_out`` counts images that its index does not name."""

    origin: str
    layout: str
    samples: list[Sample]
    left_out: int = 0


def read_all(folders: Iterable[tuple[str | None, Path, str]]) -> list[Reading]:
    """Every (label or ``None``, folder, name) in turn; each becomes an origin of its own, so writers never mix."""
    readings: list[Reading] = []
    taken: set[str] = set()
    for label, root, name in folders:
        others = (f"{name}-{number}" for number in itertools.count(2))
        origin = name if name not in taken else next(other for other in others if other not in taken)
        taken.add(origin)
        readings.append(read(root, label, origin))
    _check_once(readings)
    return readings


def read(root: Path, label: str | None = None, origin: str | None = None) -> Reading:
    """All labelled images below a folder, or in a CSV index, sorted by path; the layout is detected.

    ``label`` overrides the layout's own labels (its writers are kept). Raises ``UnknownLayout``, or
    ``FileNotFoundError`` when there is no such folder.
    """
    if not (root.is_dir() or (root.is_file() and root.suffix.lower() == ".csv")):
        raise FileNotFoundError(f"no folder, zip or CSV file {str(root)!r}")
    origin = origin or root.resolve().stem
    tree = _tree(root)
    if not tree.images and not tree.index:
        raise UnknownLayout(f"{str(root)!r} holds no image ({', '.join(sorted(FILE_SUFFIXES))})")
    layout, explained = detect(tree, label is not None)
    samples = [
        Sample(
            tree.root, file.as_posix(), sys.intern(label or found or ""), sys.intern(writer) if writer else None, origin
        )
        for file, (found, writer) in sorted(explained.items())
    ]
    return Reading(origin, layout, samples, max(0, len(tree.images) - len(samples)))


def _check_once(readings: list[Reading]) -> None:
    """The same file read twice would be trained on and tested with."""
    roots: dict[Path, list[Reading]] = collections.defaultdict(list)
    for reading in readings:
        for root in {sample.root.resolve() for sample in reading.samples}:
            roots[root].append(reading)
    nested = [root for root in roots if len(roots[root]) > 1 or any(parent in roots for parent in root.parents)]
    if not nested:
        return
    seen: dict[Path, Sample] = {}
    for sample in (sample for reading in readings for sample in reading.samples):
        other = seen.setdefault(sample.path.resolve(), sample)
        if other is not sample:
            raise OverlappingData(
                f"{str(sample.path)!r} is in two of the given folders ({other.origin} and {sample.origin}); "
                "name every folder once, and none inside another"
            )


def detect(tree: Tree, labelled: bool) -> tuple[str, Explained]:
    """The layout that explains every file and leaves least open, and what it says.

    With ``labelled`` (the caller knows the label) folders are no labels. Raises ``UnknownLayout``.
    """
    fits: dict[int, dict[str, Explained]] = collections.defaultdict(dict)
    for name, corpus in _all().items():
        found = corpus.explain(tree)
        whole = found and (corpus.partial or len(found) == len(tree.images))
        says = all(label is not None for label, _ in found.values())
        if whole and (labelled or says) and not (labelled and corpus.rank == ANY_FOLDER):
            fits[corpus.rank][name] = found
    if not fits:
        raise UnknownLayout(_what_was_found(tree))
    best = fits[min(fits)]
    if len({_meaning(found) for found in best.values()}) > 1:
        raise UnknownLayout(
            f"{str(tree.root)!r} can be read as {' and as '.join(best)}; split it into folders that fit one"
        )
    return next(iter(best.items()))


def _meaning(found: Explained) -> frozenset:
    """Labels and who belongs together, whatever the writers are called."""
    writers: dict[str, list[tuple[PurePosixPath, str | None]]] = collections.defaultdict(list)
    for file, (label, writer) in found.items():
        writers[writer or str(file)].append((file, label))
    return frozenset(map(frozenset, writers.values()))


def _all() -> dict[str, Corpus]:
    return {name: plugins.load("corpora", name) for name in plugins.names("corpora")}


def _tree(root: Path) -> Tree:
    """Image files by suffix; hidden files and folders are not looked into, and a lone folder is stepped into."""
    if root.is_file():
        return Tree(root.parent, (), index=root)
    while True:
        inside = [entry for entry in root.iterdir() if not _is_hidden(entry.name)]
        if len(inside) != 1 or not inside[0].is_dir():
            break
        root = inside[0]
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        below = PurePosixPath(Path(folder).relative_to(root).as_posix())
        images = (name for name in files if os.path.splitext(name)[1].lower() in FILE_SUFFIXES and not _is_hidden(name))
        found += [below / name for name in images if os.path.isfile(os.path.join(folder, name))]  # no dangling links
    return Tree(root, tuple(sorted(found)))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _what_was_found(tree: Tree) -> str:
    folders = collections.Counter(str(file.parent) for file in tree.images)
    example = {str(file.parent): file.name for file in reversed(tree.images)}
    shown = "\n".join(
        f"    {folder}/  {count} images, e.g. {example[folder]}" for folder, count in folders.most_common(5)
    )
    more = f"\n    ... and {len(folders) - 5} more folders" if len(folders) > 5 else ""
    known = "\n".join(f"    {name}: {corpus.understands}" for name, corpus in _all().items())
    return (
        f"{str(tree.root)!r} fits no dataset layout. Found {len(tree.images)} images:\n{shown}{more}\n"
        f"Understood are:\n{known}\n"
        "If everything below the folder has one label, say so: LABEL=PATH."
    )
