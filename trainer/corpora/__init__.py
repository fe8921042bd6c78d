"""Dataset layouts, one file each: who wrote an image and what it is, read from folder and file names.

Knows names, not pixels. ``read`` looks at a tree, finds the layout that explains it and lists its samples; a new
layout is one more file here that defines ``CORPUS``. Next: ``trainer/splits.py``, which keeps writers apart.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from trainer import plugins
from trainer.errors import UserError
from trainer.imaging import FILE_SUFFIXES

CONSTANT = "CORPUS"


class UnknownLayout(UserError):
    """A folder that fits no layout, or not unambiguously; the message shows what was found and what is understood."""


class OverlappingData(UserError):
    """The same file would be in two places; the message names it."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One labelled image file. ``writer`` is the person or the document, unknown if ``None``; unique within ``origin``.

    ``name`` is the path below the corpus, the same wherever the corpus lies.
    """

    path: Path
    name: str
    label: str
    writer: str | None
    origin: str

    @property
    def group(self) -> tuple[str, str]:
        """What must not be torn apart by a split: the writer where known, else the image itself."""
        return (self.origin, self.name if self.writer is None else self.writer)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A layout as two functions that are each other's inverse.

    ``explain`` maps relative image paths to (label, writer), leaving out what it does not understand; an empty result
    means the layout does not fit. ``place`` names the file for the given label, writer and running number, without a
    suffix. A ``label`` of ``None`` means that the layout holds none, so the caller has to give it (``LABEL=PATH``).
    """

    understands: str
    explain: Callable[[Iterable[PurePosixPath]], dict[PurePosixPath, tuple[str | None, str | None]]]
    place: Callable[[str, str, int], PurePosixPath]
    labels: tuple[str, ...] | None = None  # the only ones the layout can say; None for any


def read_all(folders: Iterable[tuple[str | None, Path]]) -> list[Sample]:
    """Every (label or ``None``, folder) in turn; each becomes an origin with a short name of its own."""
    samples: list[Sample] = []
    taken: collections.Counter[str] = collections.Counter()
    for label, root in folders:
        name = root.resolve().name
        taken[name] += 1
        origin = name if taken[name] == 1 else f"{name}-{taken[name]}"
        samples += read(root, label, origin)
    _check_once(samples)
    return samples


def read(root: Path, label: str | None = None, origin: str | None = None) -> list[Sample]:
    """All labelled images below a folder, sorted by path; the layout is detected.

    ``label`` overrides the layout's own labels (its writers are kept). Raises ``UnknownLayout``, or
    ``FileNotFoundError`` when there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {str(root)!r}")
    files = _images_below(root)
    if not files:
        raise UnknownLayout(f"{str(root)!r} holds no image ({', '.join(sorted(FILE_SUFFIXES))})")
    explained = plugins.load("corpora", detect(files, label is not None, root)).explain(files)
    return [
        Sample(root / file, file.as_posix(), label or found, writer, origin or root.resolve().name)
        for file, (found, writer) in sorted(explained.items())
    ]


def _check_once(samples: list[Sample]) -> None:
    """The same file read twice would be trained on and tested with."""
    seen: dict[Path, Sample] = {}
    for sample in samples:
        other = seen.setdefault(sample.path.resolve(), sample)
        if other is not sample:
            raise OverlappingData(
                f"{str(sample.path)!r} is in two of the given folders ({other.origin} and {sample.origin}); "
                "name every folder once, and none inside another"
            )


def detect(files: list[PurePosixPath], labelled: bool, root: Path) -> str:
    """The one layout that explains every file.

    A layout that can only say certain labels is the more specific reading and goes first. With ``labelled`` (the caller
    knows the label) folders are no labels, so a plain pile of images is next. Raises ``UnknownLayout``.
    """
    fits = {name: corpus.explain(files) for name, corpus in _all().items()}
    whole = [name for name, found in fits.items() if len(found) == len(files)]
    saying = [name for name in whole if all(label is not None for label, _ in fits[name].values())]
    specific = [name for name in saying if _all()[name].labels is not None]
    unlabelled = [name for name in whole if name not in saying]
    for candidates in (specific, unlabelled if labelled else saying):
        if len(candidates) == 1:
            return candidates[0]
        if len(candidates) > 1:
            raise UnknownLayout(
                f"{str(root)!r} can be read as {' and as '.join(candidates)}; split it into folders that fit one"
            )
    raise UnknownLayout(_what_was_found(files, root))


def _all() -> dict[str, Corpus]:
    return {name: plugins.load("corpora", name) for name in plugins.names("corpora")}


def _images_below(root: Path) -> list[PurePosixPath]:
    """Image files by suffix, relative to ``root``, sorted; hidden files and folders are not looked into."""
    found = (
        path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in FILE_SUFFIXES and path.is_file()
    )
    return sorted(PurePosixPath(p.as_posix()) for p in found if not any(part.startswith(".") for part in p.parts))


def _what_was_found(files: list[PurePosixPath], root: Path) -> str:
    folders = collections.Counter(str(file.parent) for file in files)
    shown = "\n".join(
        f"    {folder}/  {count} images, e.g. {_first_in(files, folder)}" for folder, count in folders.most_common(5)
    )
    more = f"\n    ... and {len(folders) - 5} more folders" if len(folders) > 5 else ""
    known = "\n".join(f"    {name}: {corpus.understands}" for name, corpus in _all().items())
    return (
        f"{str(root)!r} fits no dataset layout. Found {len(files)} images:\n{shown}{more}\n"
        f"Understood are:\n{known}\n"
        "If everything below the folder has one label, say so: LABEL=PATH."
    )


def _first_in(files: list[PurePosixPath], folder: str) -> str:
    return next(file.name for file in files if str(file.parent) == folder)
