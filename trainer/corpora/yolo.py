"""Pages in ``images`` and a text file for each in ``labels``: number of the label, centre, width and height, as shares.

The names of the labels are in ``classes.txt``, ``obj.names`` or ``data.yaml``
(https://docs.ultralytics.com/datasets/detect/). A page without text file, or with an empty one, has no boxes. Next:
``_boxes.py``.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from trainer.corpora import LabelledBox, Tree, UnknownLayout
from trainer.corpora._boxes import Boxes, make_box, make_corpus

NAME_FILES = ("classes.txt", "obj.names")
YAML_FILES = ("data.yaml", "data.yml", "dataset.yaml")


def parse_boxes(tree: Tree) -> Boxes:
    """Read the boxes of every page in a folder ``images``; empty without names or labels. Raises ``UnknownLayout``."""
    if not (names := _read_names(tree)):
        return {}
    boxes = {}
    for page, (name, _) in tree.split_by_file.items():
        if "images" not in page.parts[:-1]:
            return {}
        folders = ["labels" if part == "images" else part for part in page.parts[:-1]]
        file = tree.root.joinpath(*folders, page.stem + ".txt")
        boxes[name] = tuple(_read_rows(file, names)) if file.is_file() else ()
    return boxes if any(boxes.values()) else {}


def _read_rows(file, names: dict[int, str]) -> list[LabelledBox]:
    boxes = []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        location = f"{str(file)!r}, line {number}"
        if not (values := line.split()):
            continue
        try:
            label, (x, y, width, height) = names[int(values[0])], map(float, values[1:])
        except (KeyError, ValueError):
            raise UnknownLayout(
                f"{location} is {line!r}; it has to be a label number of {min(names)} to {max(names)}, then centre x, "
                "centre y, width and height as shares of the page"
            ) from None
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        boxes.append(make_box(label, edges, location, is_relative=True))
    return boxes


def _read_names(tree: Tree) -> dict[int, str]:
    """Read the names of the labels, by number; empty where there are none."""
    for name in NAME_FILES:
        if (file := tree.root / name).is_file():
            return dict(enumerate(line.strip() for line in file.read_text().splitlines() if line.strip()))
    for name in YAML_FILES:
        if (file := tree.root / name).is_file():
            return _parse_names(file.read_text())
    return {}


def _parse_names(text: str) -> dict[int, str]:
    """Parse ``names`` of a YAML file: a list in brackets, a list of lines with hyphens, or numbers with colons."""
    inline = re.search(r"^names:\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    if inline:
        return dict(enumerate(part.strip().strip("'\"") for part in inline[1].split(",") if part.strip()))
    block = re.search(r"^names:\s*\n((?:[ \t]*(?:-|\d+:).*\n?)+)", text, re.MULTILINE)
    lines = [line.strip() for line in (block[1].splitlines() if block else ())]
    if lines and lines[0].startswith("-"):
        return dict(enumerate(line[1:].strip().strip("'\"") for line in lines))
    pairs = (line.partition(":") for line in lines)
    return {int(number): name.strip().strip("'\"") for number, _, name in pairs}


def format_boxes(pages: Iterable[tuple[str, tuple[int, int], tuple[LabelledBox, ...]]]) -> dict[str, str]:
    """Return the files of pages: (path, (width, height), boxes) of each."""
    rows = list(pages)
    labels = sorted({box.label for *_, boxes in rows for box in boxes})
    files = {NAME_FILES[0]: "".join(f"{label}\n" for label in labels)}
    for path, (width, height), boxes in rows:
        lines = []
        for box in boxes:
            x, y = (box.left + box.right) / 2 / width, (box.top + box.bottom) / 2 / height
            size = (box.right - box.left) / width, (box.bottom - box.top) / height
            numbers = " ".join(f"{value:.6f}" for value in (x, y, *size))
            lines.append(f"{labels.index(box.label)} {numbers}\n")
        files[str(PurePosixPath("labels", PurePosixPath(path).stem + ".txt"))] = "".join(lines)
    return files


CORPUS = make_corpus(
    f"pages in images/, a text file for each in labels/, and the names of labels in {NAME_FILES[0]} or {YAML_FILES[0]}",
    parse_boxes,
    format_boxes,
    "images",
)
