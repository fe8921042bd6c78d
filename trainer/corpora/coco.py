"""Pages and a JSON file in the format of COCO object detection: ``images``, ``annotations``, ``categories``.

``bbox`` is left, top, width and height in pixels (https://cocodataset.org/#format-data). The file lies beside its pages
or above them; several files, one for each split, are read together. Next: ``_boxes.py``.
"""

import collections
import json
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from trainer.corpora import LabelledBox, Tree, UnknownLayout
from trainer.corpora._boxes import Boxes, find_files, make_box, make_corpus

FILE_NAME = "annotations.coco.json"
KEYS = ("images", "annotations", "categories")


def parse_boxes(tree: Tree) -> Boxes:
    """Read the boxes of the pages that the files name; empty without such files. Raises ``UnknownLayout``."""
    boxes: dict[PurePosixPath, tuple[LabelledBox, ...]] = {}
    for file in find_files(tree, ".json"):
        try:
            content = json.loads((tree.root / file).read_text())
        except (ValueError, OSError) as error:
            raise UnknownLayout(f"{str(tree.root / file)!r} is no JSON: {error}") from None
        if isinstance(content, dict) and all(isinstance(content.get(key), list) for key in KEYS):
            boxes.update(_read(tree, file, content))
    return boxes


def _read(tree: Tree, file: PurePosixPath, content: dict[str, Any]) -> Boxes:
    location = repr(str(tree.root / file))
    try:
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        by_page: dict[Any, list[LabelledBox]] = collections.defaultdict(list)
        for number, row in enumerate(content["annotations"]):
            left, top, width, height = row["bbox"]
            edges = (left, top, left + width, top + height)
            by_page[row["image_id"]].append(make_box(names[row["category_id"]], edges, f"{location}, box {number}"))
        pages = {_find_page(tree, file, str(row["file_name"])): row["id"] for row in content["images"]}
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, UnknownLayout):
            raise
        raise UnknownLayout(f"{location} is not in the format of COCO: {error!r}") from None
    return {tree.split_by_file[page][0]: tuple(by_page[number]) for page, number in pages.items()}


def _find_page(tree: Tree, file: PurePosixPath, name: str) -> PurePosixPath:
    """Find a page beside the file, in ``images`` beside it or above, or by its path below the root."""
    above = (file.parent, *file.parent.parents)
    for folder in (*above, *(parent / "images" for parent in above)):
        if (page := folder / name) in tree.split_by_file:
            return page
    raise UnknownLayout(f"{str(tree.root / file)!r}: there is no page {name!r}")


def format_boxes(pages: Iterable[tuple[str, tuple[int, int], tuple[LabelledBox, ...]]]) -> dict[str, str]:
    """Return the file of pages: (path, (width, height), boxes) of each."""
    rows = list(pages)
    labels = sorted({box.label for *_, boxes in rows for box in boxes})
    content: dict[str, list[dict[str, Any]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": number, "name": label} for number, label in enumerate(labels, start=1)],
    }
    for number, (path, (width, height), boxes) in enumerate(rows, start=1):
        content["images"].append({"id": number, "file_name": path, "width": width, "height": height})
        for box in boxes:
            edges = [round(edge, 1) for edge in (box.left, box.top, box.right - box.left, box.bottom - box.top)]
            content["annotations"].append({
                "id": len(content["annotations"]) + 1, "image_id": number, "category_id": labels.index(box.label) + 1,
                "bbox": edges, "area": round(edges[2] * edges[3], 1), "iscrowd": 0,
            })  # fmt: skip
    return {FILE_NAME: json.dumps(content) + "\n"}


CORPUS = make_corpus(
    "pages and a JSON file in the format of COCO, beside or above them",
    parse_boxes,
    format_boxes,
    "images",
    may_skip_images=True,
)
