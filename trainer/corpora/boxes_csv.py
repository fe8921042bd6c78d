"""Pages and ``boxes.csv``, which has a row for each box: path, left, top, right, bottom and label, in pixels.

Pages that it does not name have no boxes. Next: ``_boxes.py``.
"""

import collections
import csv
import io
from collections.abc import Iterable
from pathlib import PurePosixPath

from trainer.corpora import LabelledBox, Tree, UnknownLayout
from trainer.corpora._boxes import EDGES, Boxes, make_box, make_corpus
from trainer.corpora.csv_manifest import read_lines

FILE_NAME = "boxes.csv"
COLUMNS = ("path", *EDGES, "label")


def parse_boxes(tree: Tree) -> Boxes:
    """Read the boxes of every page below a folder with the file; empty without it. Raises ``UnknownLayout``."""
    file = tree.root / FILE_NAME
    if not file.is_file():
        return {}
    boxes: dict[PurePosixPath, list[LabelledBox]] = collections.defaultdict(list)
    for number, line in read_lines(file, COLUMNS):
        location = f"{str(file)!r}, line {number}"
        page = PurePosixPath((line["path"] or "").strip().replace("\\", "/"))
        if page not in tree.split_by_file:
            raise UnknownLayout(f"{location}: there is no page {str(page)!r} below the folder of the file")
        boxes[page].append(make_box(line["label"] or "", tuple(line[edge] for edge in EDGES), location))
    return {name: tuple(boxes.get(page, ())) for page, (name, _) in tree.split_by_file.items()} if boxes else {}


def format_boxes(pages: Iterable[tuple[str, tuple[int, int], tuple[LabelledBox, ...]]]) -> dict[str, str]:
    """Return the file of pages: (path, (width, height), boxes) of each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for path, _, boxes in pages:
        writer.writerows(
            [path, *(f"{edge:.1f}" for edge in (box.left, box.top, box.right, box.bottom)), box.label] for box in boxes
        )
    return {FILE_NAME: text.getvalue()}


CORPUS = make_corpus(
    f"pages beside {FILE_NAME} with the columns {', '.join(COLUMNS)}, in pixels",
    parse_boxes,
    format_boxes,
)
