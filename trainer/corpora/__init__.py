"""Dataset layouts, one file each: who wrote an image and what it is, read from folder and file names.

Knows names, not pixels. ``read`` looks at a tree, finds the layout that explains it and lists its samples; a new
layout is one more file here that defines ``CORPUS``. ``python -m trainer.data PATH...`` tells what is read. Next:
``trainer/data/sources.py``, which brings zips and Cloud Storage here; ``trainer/data/splits.py``, which keeps writers
apart.
"""

import collections
import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from trainer.console.errors import UserError
from trainer.corpora import _tree
from trainer.corpora._tree import PREDICT, Tree, image_files
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.settings import plugins

__all__ = [
    "CONSTANT",
    "PREDICT",
    "Corpus",
    "Explained",
    "OverlappingData",
    "Reading",
    "Sample",
    "Tree",
    "UnknownLayout",
]
__all__ += ["detect", "image_files", "read", "read_all"]

CONSTANT = "CORPUS"
Explained = Mapping[PurePosixPath, tuple[str | None, str | None]]


class UnknownLayout(UserError):
    """A folder that fits no layout, or not unambiguously; the message shows what was found and what is understood."""


class OverlappingData(UserError):
    """The same file would be in two places; the message names it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image file. ``writer`` is the person or the document, unknown if ``None``; unique within ``origin``.

    ``name`` is the path below ``root``, the same wherever the corpus lies. ``part`` is train, validation or test where
    folders so called say it, else empty. Small, because there may be 100,000.
    """

    root: Path
    name: str
    label: str
    writer: str | None
    origin: str
    part: str = ""

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.root / self.name

    @property
    def group(self) -> tuple[str, str]:
        """What must not be torn apart by a split: the writer where known, else the image itself."""
        return (self.origin, self.name if self.writer is None else self.writer)


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
    instead: str = ""  # how its folders could be meant, for who finds that the labels are not the right ones


# Ranks: an index that names every image, a pattern of file names, names of folders, any folder, nothing at all.
INDEX, FILE_NAMES, FOLDER_NAMES, ANY_FOLDER, ANYTHING = range(5)


@dataclasses.dataclass(frozen=True)
class Reading:
    """One folder as it was understood.

    ``left_out`` counts images that its index does not name, ``predict`` those in folders called so.
    """

    origin: str
    layout: str
    samples: list[Sample]
    left_out: int = 0
    predict: int = 0

    @property
    def parts(self) -> dict[str, int]:
        """Images by part, where folders say it."""
        held = collections.Counter(sample.part for sample in self.samples if sample.part)
        return {part: held[part] for part in ("train", "validation", "test") if part in held}


def read_all(folders: Iterable[tuple[str | None, Path, str]], layout: str = "") -> list[Reading]:
    """Every (label or ``None``, folder, name) in turn; each becomes an origin of its own, so writers never mix.

    ``layout`` is that of all of them; each is detected if not given.
    """
    readings: list[Reading] = []
    taken: set[str] = set()
    for label, root, name in folders:
        others = (f"{name}-{number}" for number in itertools.count(2))
        origin = name if name not in taken else next(other for other in others if other not in taken)
        taken.add(origin)
        readings.append(read(root, label, origin, layout))
    _check_once(readings)
    return readings


def read(root: Path, label: str | None = None, origin: str | None = None, layout: str = "") -> Reading:
    """All labelled images below a folder, or in a CSV index, sorted by path; the layout is detected if not given.

    ``label`` overrides the layout's own labels (its writers are kept). Raises ``UnknownLayout``, or
    ``FileNotFoundError`` when there is no such folder.
    """
    if not (root.is_dir() or (root.is_file() and root.suffix.lower() == ".csv")):
        raise FileNotFoundError(f"no folder, zip or CSV file {str(root)!r}")
    origin = origin or root.resolve().stem
    tree = _tree.of(root)
    if not tree.images and not tree.index:
        only = f" but {len(tree.files)} to predict" if tree.files else f" ({', '.join(sorted(FILE_SUFFIXES))})"
        raise UnknownLayout(f"{str(root)!r} holds no image{only}")
    layout, explained = _named(tree, label is not None, layout) if layout else detect(tree, label is not None)
    samples, predict = _samples(tree, layout, explained, label, origin)
    unnamed = sum(part != PREDICT for _, part in tree.files.values()) - len(samples)
    return Reading(origin, layout, samples, max(0, unnamed), predict)


def _samples(
    tree: Tree, layout: str, explained: Explained, label: str | None, origin: str
) -> tuple[list[Sample], int]:  # fmt: skip
    """Every file that the layout explains, and how many more are in folders called predict."""
    if plugins.load("corpora", layout).rank == INDEX:  # which names files by their own paths
        placed = {file: (file, _tree.without_parts(file)[1]) for file in explained}
    else:
        placed = {file: place for file, place in tree.files.items() if place[1] == PREDICT or place[0] in explained}
    loose = "train" if any(part for _, part in placed.values()) else ""
    samples = []
    for file, (name, part) in sorted(placed.items()):
        if part != PREDICT:
            found, writer = explained[name]
            known = (sys.intern(label or found or ""), sys.intern(writer) if writer else None)
            samples.append(Sample(tree.root, file.as_posix(), *known, origin, part or loose))
    return samples, sum(part == PREDICT for _, part in {**tree.files, **placed}.values())


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
    nearly: dict[str, Explained] = {}
    for name, corpus in _all().items():
        found = corpus.explain(tree)
        says = all(label is not None for label, _ in found.values())
        if _is_whole(corpus, found, tree) and (labelled or says) and not (labelled and corpus.rank == ANY_FOLDER):
            fits[corpus.rank][name] = found
        elif corpus.rank == FILE_NAMES and 2 * len(found) > len(tree.images):
            nearly[name] = found
    if not fits:
        raise UnknownLayout(_what_was_found(tree))
    best = fits[min(fits)]
    if nearly and min(fits) > FILE_NAMES and not labelled:
        _refuse_strays(tree, *next(iter(nearly.items())), next(iter(best)))
    if len({_meaning(found) for found in best.values()}) > 1:
        raise UnknownLayout(
            f"{str(tree.root)!r} can be read as {' and as '.join(best)}; split it into folders that fit one"
        )
    return next(iter(best.items()))


def _named(tree: Tree, labelled: bool, layout: str) -> tuple[str, Explained]:
    """What the layout says that the caller names. Raises ``UnknownLayout``, or ``UnknownName``."""
    corpus = plugins.load("corpora", layout)
    found = corpus.explain(dataclasses.replace(tree, named=True))
    says = labelled or all(label is not None for label, _ in found.values())
    if not _is_whole(corpus, found, tree) or not says:
        raise UnknownLayout(f"--layout {layout} does not fit, it is {corpus.understands}.\n{_what_was_found(tree)}")
    return layout, found


def _is_whole(corpus: Corpus, found: Explained, tree: Tree) -> bool:
    return bool(found) and (corpus.partial or len(found) == len(tree.images))


def _refuse_strays(tree: Tree, nearly: str, found: Explained, best: str) -> None:
    """Files whose names say most of the labels are not read by their folders because of a few others."""
    strays = [file for file in tree.images if file not in found]
    raise UnknownLayout(
        f"{str(tree.root)!r}: {len(found)} of {len(tree.images)} images are named as in {nearly}, but "
        f"{str(strays[0])!r} is not; take out or rename {'it' if len(strays) == 1 else f'these {len(strays)}'}, or say "
        f"--layout {best} to go by folders alone"
    )


def _meaning(found: Explained) -> frozenset:
    """Labels and who belongs together, whatever the writers are called."""
    writers: dict[str, list[tuple[PurePosixPath, str | None]]] = collections.defaultdict(list)
    for file, (label, writer) in found.items():
        writers[writer or str(file)].append((file, label))
    return frozenset(map(frozenset, writers.values()))


def _all() -> dict[str, Corpus]:
    return {name: plugins.load("corpora", name) for name in plugins.names("corpora")}


def _what_was_found(tree: Tree) -> str:
    files = sorted(tree.files)
    folders = collections.Counter(str(file.parent) for file in files)
    example = {str(file.parent): file.name for file in reversed(files)}
    shown = "\n".join(
        f"    {folder}/  {count} images, e.g. {example[folder]}" for folder, count in folders.most_common(5)
    )
    more = f"\n    ... and {len(folders) - 5} more folders" if len(folders) > 5 else ""
    known = "\n".join(f"    {name}: {corpus.understands}" for name, corpus in _all().items())
    return (
        f"{str(tree.root)!r} fits no dataset layout. Found {len(files)} images:\n{shown}{more}\n"
        f"Understood are:\n{known}\n"
        f"Folders called {', '.join(sorted(_tree.PARTS))} are parts, not labels.\n"
        "If everything below the folder has one label, say so: LABEL=PATH. --layout NAME names the layout."
    )
