"""What the layouts of pages with boxes share: the label of a page, names of labels, and checks of numbers.

A page is ``signed`` if a signature is on it, else ``unsigned``. Next: ``boxes_csv.py``, ``coco.py``, ``yolo.py`` and
``pascal_voc.py``.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from trainer.corpora import Ambiguity, Annotations, BoxedPage, Corpus, LabelledBox, Tree, UnknownLayout

SIGNED, UNSIGNED = "signed", "unsigned"
PAGE_LABELS = (SIGNED, UNSIGNED)
SIGNATURE = "signature"
SYNONYMS = {"signatures": SIGNATURE, "sign": SIGNATURE, "handwritten signature": SIGNATURE, "initial": "initials"}
Boxes = Mapping[PurePosixPath, tuple[LabelledBox, ...]]  # by page, also of pages without any
EDGES = ("left", "top", "right", "bottom")


def make_corpus(
    description: str,
    parse_boxes: Callable[[Tree], Boxes],
    format_boxes: Callable[[Iterable[BoxedPage]], dict[str, str]],
    folder: str = "",
    may_skip_images: bool = False,
) -> Corpus:
    """Make a layout of pages with boxes; generated pages are put into ``folder``, or one that is named by the label."""

    def parse_tree(tree: Tree) -> Annotations:
        return {page: (label_page(boxes), None) for page, boxes in parse_boxes(tree).items()}

    def format_path(label: str, writer: str, number: int) -> PurePosixPath:
        return PurePosixPath(folder or label, f"{writer}_{number:05d}")

    return Corpus(
        description,
        Ambiguity.BOXES,
        parse_tree,
        format_path,
        PAGE_LABELS,
        parse_boxes=parse_boxes,
        format_boxes=format_boxes,
        may_skip_images=may_skip_images,
    )


def label_page(boxes: tuple[LabelledBox, ...]) -> str:
    """Return the label of a page with these boxes."""
    return SIGNED if any(box.label == SIGNATURE for box in boxes) else UNSIGNED


def make_box(label: str, edges: tuple[object, ...], location: str, is_relative: bool = False) -> LabelledBox:
    """Make a box of ``left, top, right, bottom`` as they are in a file. Raises ``UnknownLayout``."""
    name = " ".join(label.strip().lower().replace("_", " ").split())
    try:
        left, top, right, bottom = (float(edge) for edge in edges)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UnknownLayout(f"{location}: the box is {edges}; it has to be four numbers: {', '.join(EDGES)}") from None
    if not all(map(math.isfinite, (left, top, right, bottom))) or right <= left or bottom <= top or not name:
        raise UnknownLayout(
            f"{location}: the box is {left:g}, {top:g}, {right:g}, {bottom:g} with label {label!r}; left has to be "
            "less than right, top less than bottom, and the label a name"
        )
    return LabelledBox(SYNONYMS.get(name, name), left, top, right, bottom, is_relative)


def find_files(tree: Tree, suffix: str) -> dict[PurePosixPath, PurePosixPath]:
    """Find the files with a suffix below the root, relative to it, sorted."""
    files = sorted(file for file in tree.root.rglob(f"*{suffix}") if file.is_file())
    relative = (PurePosixPath(file.relative_to(tree.root).as_posix()) for file in files)
    return {file: file for file in relative if not any(part.startswith(".") for part in file.parts)}
