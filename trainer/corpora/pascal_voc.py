"""Pages, and an XML file for each in the format of Pascal VOC: ``object`` with ``name`` and ``bndbox``.

The file lies beside its page, or in ``Annotations`` beside ``JPEGImages`` or ``images``
(http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/). A page without file has no boxes. Next: ``_boxes.py``.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from trainer.corpora import LabelledBox, Tree, UnknownLayout
from trainer.corpora._boxes import Boxes, make_box, make_corpus

FOLDER, PAGE_FOLDERS = "Annotations", ("JPEGImages", "images")
EDGES = ("xmin", "ymin", "xmax", "ymax")
MAX_BYTES = 4 * 2**20  # of a file


def parse_boxes(tree: Tree) -> Boxes:
    """Read the boxes of every page; empty where no page has a file. Raises ``UnknownLayout``."""
    boxes, has_files = {}, False
    for page, (name, _) in tree.split_by_file.items():
        file = _find_file(tree.root, page)
        boxes[name] = tuple(_read(file)) if file else ()
        has_files = has_files or file is not None
    return boxes if has_files else {}


def _find_file(root: Path, page: PurePosixPath) -> Path | None:
    folders = [FOLDER if part in PAGE_FOLDERS else part for part in page.parts[:-1]]
    for folder in (page.parts[:-1], folders):
        if (file := root.joinpath(*folder, page.stem + ".xml")).is_file():
            return file
    return None


def _read(file: Path) -> list[LabelledBox]:
    text = file.read_bytes()
    if len(text) > MAX_BYTES or b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # entities can expand to gigabytes
        raise UnknownLayout(f"{str(file)!r} is too large, or defines entities; a file of Pascal VOC does neither")
    try:
        objects = ElementTree.fromstring(text).findall("object")  # noqa: S314 - bounded, without entities
    except ElementTree.ParseError as error:
        raise UnknownLayout(f"{str(file)!r} is no XML: {error}") from None
    return [
        make_box(
            each.findtext("name") or "",
            tuple(each.findtext(f"bndbox/{edge}") for edge in EDGES),
            f"{str(file)!r}, object {number}",
        )
        for number, each in enumerate(objects)
    ]


def format_boxes(pages: Iterable[tuple[str, tuple[int, int], tuple[LabelledBox, ...]]]) -> dict[str, str]:
    """Return the files of pages: (path, (width, height), boxes) of each."""
    files = {}
    for path, (width, height), boxes in pages:
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = PurePosixPath(path).name
        size = ElementTree.SubElement(root, "size")
        for name, length in (("width", width), ("height", height)):
            ElementTree.SubElement(size, name).text = str(length)
        for box in boxes:
            each = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(each, "name").text = box.label
            bounds = ElementTree.SubElement(each, "bndbox")
            for name, value in zip(EDGES, (box.left, box.top, box.right, box.bottom), strict=True):
                ElementTree.SubElement(bounds, name).text = f"{value:.1f}"
        ElementTree.indent(root)
        file = PurePosixPath(FOLDER, PurePosixPath(path).stem + ".xml")
        files[str(file)] = ElementTree.tostring(root, encoding="unicode") + "\n"
    return files


CORPUS = make_corpus(
    f"pages, and an XML file for each in the format of Pascal VOC, beside it or in {FOLDER}/",
    parse_boxes,
    format_boxes,
    PAGE_FOLDERS[0],
)
