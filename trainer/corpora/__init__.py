"""Dataset layouts, one file each: writer and label of an image, parsed from folder and file names.

Reads names, no pixels. ``read`` detects the layout of a tree and lists its samples; a new layout is one more file here
that defines ``CORPUS``. ``python -m trainer.data PATH...`` prints what is read. Next: ``trainer/data/sources.py``,
which makes zips and Cloud Storage local; ``trainer/data/splits.py``, which keeps each writer in one split.
"""

import collections
import dataclasses
import enum
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from trainer.console.errors import UserError
from trainer.corpora import _tree
from trainer.corpora._sample import BoxedPage, LabelledBox, Sample
from trainer.corpora._tree import PREDICT, Tree, list_image_files
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.settings import plugins
from trainer.storage.listing import RemoteFolder

__all__ = [
    "PLUGIN_ATTRIBUTE",
    "PREDICT",
    "Ambiguity",
    "Annotations",
    "Corpus",
    "CorpusListing",
    "LabelledBox",
    "OverlappingData",
    "Sample",
    "Tree",
    "UnknownLayout",
]
__all__ += ["check_disjoint", "detect_layout", "list_image_files", "read", "read_corpora"]

PLUGIN_ATTRIBUTE = "CORPUS"
Annotations = Mapping[PurePosixPath, tuple[str | None, str | None]]


class UnknownLayout(UserError):
    """A folder that fits no layout, or several that disagree; the message shows its files and lists the layouts."""


class OverlappingData(UserError):
    """A file would be in two splits or two corpora, or a split lacks its data; the message names the folders."""


class Ambiguity(enum.IntEnum):
    """What a layout reads labels from, the least ambiguous first; detection prefers the lowest value."""

    BOXES = 0
    CSV_FILE = 1
    FILE_NAMES = 2
    FOLDER_NAMES = 3
    ANY_FOLDER = 4
    UNLABELLED = 5


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A layout: a parser of trees, and its inverse, which names files.

    ``parse_tree`` maps the images of a tree to (label, writer), and omits those whose names do not fit; an empty result
    means that the layout does not fit. A label of ``None`` means that the layout has no labels, so the caller has to
    name one (``LABEL=PATH``). ``format_path`` returns the path for a label, a writer and a running number, without a
    suffix. ``format_csv_files`` returns the CSV files (name to text) beside the images, from rows of (path, label,
    writer). ``parse_boxes`` returns the boxes on the pages of a tree, for layouts that label a page by them, and
    ``format_boxes`` their files. Of several layouts that parse every file, that of the lowest ``ambiguity`` is chosen.
    """

    description: str
    ambiguity: Ambiguity
    parse_tree: Callable[[Tree], Annotations]
    format_path: Callable[[str, str, int], PurePosixPath]
    labels: tuple[str, ...] | None = None  # the only ones that the layout can express; None for any
    format_csv_files: Callable[[Iterable[tuple[str, str, str]]], dict[str, str]] | None = None
    folder_name: str | None = None  # the name that the root folder has to have, for layouts that read it
    parse_boxes: Callable[[Tree], Mapping[PurePosixPath, tuple[LabelledBox, ...]]] | None = None
    format_boxes: Callable[[Iterable[BoxedPage]], dict[str, str]] | None = None
    may_skip_images: bool = False  # True where a CSV file lists the images to use
    alternative: str = ""  # another interpretation of the same folders, for messages about unsuitable labels


@dataclasses.dataclass(frozen=True)
class CorpusListing:
    """The labelled images of one folder, zip or CSV file, and the layout that they were parsed by.

    ``unlisted_count`` counts images that the CSV file does not list, ``predict_count`` those in folders named predict.
    """

    corpus_id: str
    layout: str
    samples: list[Sample]
    unlisted_count: int = 0
    predict_count: int = 0

    @property
    def split_counts(self) -> dict[str, int]:
        """Number of images by split; empty where no folder is named after a split."""
        counts = collections.Counter(sample.split for sample in self.samples if sample.split)
        return {split: counts[split] for split in ("train", "validation", "test") if split in counts}


def read_corpora(
    folders: Iterable[tuple[str | None, Path | RemoteFolder, str]], layout: str = ""
) -> list[CorpusListing]:
    """Read every (label or ``None``, folder, name) as a corpus with a unique id, so that writers never mix.

    ``layout`` is the layout of all of them; an empty one is detected for each. Raises ``UnknownLayout``,
    ``OverlappingData`` or ``FileNotFoundError``.
    """
    listings: list[CorpusListing] = []
    used_ids: set[str] = set()
    for label, root, name in folders:
        candidates = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        corpus_id = next(candidate for candidate in candidates if candidate not in used_ids)
        used_ids.add(corpus_id)
        listings.append(read(root, label, corpus_id, layout))
    check_disjoint(listings)
    return listings


def read(
    root: Path | RemoteFolder, label: str | None = None, corpus_id: str | None = None, layout: str = ""
) -> CorpusListing:
    """List the labelled images below a folder, or in a CSV file, sorted by path; an empty layout is detected.

    ``label`` replaces the labels of the layout; its writers are kept. Raises ``UnknownLayout``, or
    ``FileNotFoundError`` when there is no such folder.
    """
    if isinstance(root, Path) and not (root.is_dir() or (root.is_file() and root.suffix.lower() == ".csv")):
        raise FileNotFoundError(f"no folder, zip or CSV file {str(root)!r}")
    corpus_id = corpus_id or PurePosixPath(root.resolve().name).stem
    tree = _tree.read_tree(root)
    if not tree.images and not tree.csv_file:
        detail = f" ({', '.join(sorted(FILE_SUFFIXES))})"
        if tree.split_by_file:
            detail = f" but {len(tree.split_by_file)} to predict"
        raise UnknownLayout(f"{str(root)!r} holds no image{detail}")
    has_label = label is not None
    layout, annotations = _parse_as(tree, has_label, layout) if layout else detect_layout(tree, has_label)
    samples, predict_count = _list_samples(tree, layout, annotations, label, corpus_id)
    unlisted = sum(split != PREDICT for _, split in tree.split_by_file.values()) - len(samples)
    return CorpusListing(corpus_id, layout, samples, max(0, unlisted), predict_count)


def _list_samples(
    tree: Tree, layout: str, annotations: Annotations, label: str | None, corpus_id: str
) -> tuple[list[Sample], int]:
    """List every file that the layout annotates, and count those in folders named predict."""
    files, corpus = tree.split_by_file, plugins.load("corpora", layout)
    boxes = corpus.parse_boxes(tree) if corpus.parse_boxes else {}
    if corpus.ambiguity == Ambiguity.CSV_FILE:  # its paths contain the folders of splits
        used = {file: (file, _tree.strip_split_folders(file)[1]) for file in annotations}
    else:
        used = {file: entry for file, entry in files.items() if entry[1] == PREDICT or entry[0] in annotations}
    default_split = "train" if any(split for _, split in used.values()) else ""
    samples = []
    for file, (name, split) in sorted(used.items()):
        if split != PREDICT:
            parsed_label, writer = annotations[name]
            annotation = (sys.intern(label or parsed_label or ""), sys.intern(writer) if writer else None)
            split = split or default_split
            page_boxes = boxes.get(name, ())
            samples.append(Sample(tree.image_folder, file.as_posix(), *annotation, corpus_id, split, "", page_boxes))
    return samples, sum(split == PREDICT for _, split in {**files, **used}.values())


def check_disjoint(listings: list[CorpusListing]) -> None:
    """Raise ``OverlappingData`` for a file in two corpora: it could be trained on and tested with."""
    roots: dict[Any, list[CorpusListing]] = collections.defaultdict(list)
    for listing in listings:
        for root in {sample.root.resolve() for sample in listing.samples}:
            roots[root].append(listing)
    nested = [root for root in roots if len(roots[root]) > 1 or any(parent in roots for parent in root.parents)]
    if not nested:
        return
    by_path: dict[Any, Sample] = {}
    for sample in (sample for listing in listings for sample in listing.samples):
        first = by_path.setdefault(sample.path.resolve(), sample)
        if first is not sample:
            raise OverlappingData(
                f"{str(sample.path)!r} is in two of the given folders ({first.corpus_id} and {sample.corpus_id}); "
                "name every folder once, and none inside another"
            )


def detect_layout(tree: Tree, has_label: bool) -> tuple[str, Annotations]:
    """Find the least ambiguous layout that annotates every file; returns its name and the annotations.

    ``has_label`` means that the caller names the label, so that folders are not labels. Raises ``UnknownLayout``.
    """
    complete: dict[int, dict[str, Annotations]] = collections.defaultdict(dict)  # by ambiguity and layout
    partial: dict[str, Annotations] = {}  # of layouts that annotate most files by their names, but not all
    for name, corpus in _load_all().items():
        annotations = corpus.parse_tree(tree)
        is_labelled = has_label or all(label is not None for label, _ in annotations.values())
        is_suitable = is_labelled and not (has_label and corpus.ambiguity == Ambiguity.ANY_FOLDER)
        if _is_complete(corpus, annotations, tree) and is_suitable:
            complete[corpus.ambiguity][name] = annotations
        elif corpus.ambiguity == Ambiguity.FILE_NAMES and 2 * len(annotations) > len(tree.images):
            partial[name] = annotations
    if not complete:
        raise UnknownLayout(_describe_tree(tree))
    best = complete[min(complete)]
    if partial and min(complete) > Ambiguity.FILE_NAMES and not has_label:
        _refuse_strays(tree, *next(iter(partial.items())), next(iter(best)))
    if len({_canonical_form(annotations) for annotations in best.values()}) > 1:
        raise UnknownLayout(
            f"{str(tree.root)!r} can be read as {' and as '.join(best)}; split it into folders that fit one"
        )
    return next(iter(best.items()))


def _parse_as(tree: Tree, has_label: bool, layout: str) -> tuple[str, Annotations]:
    """Parse the tree by the layout that the caller names. Raises ``UnknownLayout`` or ``UnknownName``."""
    corpus = plugins.load("corpora", layout)
    annotations = corpus.parse_tree(dataclasses.replace(tree, is_layout_named=True))
    is_labelled = has_label or all(label is not None for label, _ in annotations.values())
    if not _is_complete(corpus, annotations, tree) or not is_labelled:
        raise UnknownLayout(f"--layout {layout} does not fit; it is: {corpus.description}.\n{_describe_tree(tree)}")
    return layout, annotations


def _is_complete(corpus: Corpus, annotations: Annotations, tree: Tree) -> bool:
    """Whether a layout annotates every image that it has to."""
    return bool(annotations) and (corpus.may_skip_images or len(annotations) == len(tree.images))


def _refuse_strays(tree: Tree, name_layout: str, annotations: Annotations, folder_layout: str) -> None:
    """Raise ``UnknownLayout`` where most files are named as in ``name_layout`` and only ``folder_layout`` fits all.

    Labels from folders would be wrong for the named files.
    """
    strays = [file for file in tree.images if file not in annotations]
    raise UnknownLayout(
        f"{str(tree.root)!r}: {len(annotations)} of {len(tree.images)} images are named as in {name_layout}, but "
        f"{str(strays[0])!r} is not; take out or rename {'it' if len(strays) == 1 else f'these {len(strays)}'}, "
        f"or give --layout {folder_layout} to read folders alone"
    )


def _canonical_form(annotations: Annotations) -> frozenset:
    """Return labels and groups of images of one writer, without the writers' names: equal for equivalent layouts."""
    writers: dict[str, list[tuple[PurePosixPath, str | None]]] = collections.defaultdict(list)
    for file, (label, writer) in annotations.items():
        writers[writer or str(file)].append((file, label))
    return frozenset(map(frozenset, writers.values()))


def _load_all() -> dict[str, Corpus]:
    return {name: plugins.load("corpora", name) for name in plugins.list_names("corpora")}


def _describe_tree(tree: Tree) -> str:
    """Describe the files of the tree and list the layouts, for an error message."""
    files = sorted(tree.split_by_file)
    folders = collections.Counter(str(file.parent) for file in files)
    example = {str(file.parent): file.name for file in reversed(files)}
    shown = "\n".join(
        f"    {folder}/  {count} images, e.g. {example[folder]}" for folder, count in folders.most_common(5)
    )
    more = f"\n    ... and {len(folders) - 5} more folders" if len(folders) > 5 else ""
    known = "\n".join(f"    {name}: {corpus.description}" for name, corpus in _load_all().items())
    return (
        f"{str(tree.root)!r} fits no dataset layout. Found {len(files)} images:\n{shown}{more}\n"
        f"Known layouts:\n{known}\n"
        f"Folders named {', '.join(sorted(_tree.SPLIT_FOLDERS))} are splits, not labels.\n"
        "If all images below the folder have one label, give LABEL=PATH. --layout NAME names the layout."
    )
