"""The layouts of pages with boxes: all four say the same, in either direction, and name what is wrong."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer import corpora
from trainer.corpora import LabelledBox, UnknownLayout
from trainer.settings import plugins

LAYOUTS = ("boxes_csv", "coco", "yolo", "pascal_voc")
SIZE = (200, 100)  # width and height of every page, pixels
PAGES = {  # name: what is on it
    "one": (LabelledBox("signature", 20.0, 30.0, 90.0, 60.0), LabelledBox("stamp", 100.0, 10.0, 150.0, 50.0)),
    "two": (LabelledBox("handwriting", 5.0, 5.0, 60.0, 20.0),),
    "three": (),
}


def write_corpus(folder: Path, layout: str) -> Path:
    """Write the pages in a layout."""
    corpus = plugins.load("corpora", layout)
    rows = []
    for number, (name, boxes) in enumerate(PAGES.items()):
        label = "signed" if any(box.label == "signature" for box in boxes) else "unsigned"
        path = corpus.format_path(label, name, number)
        path = path.with_name(path.name + ".png")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(SIZE[::-1], zlib.crc32(name.encode()) % 256, np.uint8)).save(folder / path)
        rows.append((str(path), SIZE, boxes))
    for name, text in corpus.format_boxes(rows).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def read_boxes(folder: Path) -> dict[str, list[tuple]]:
    """Read the boxes of every page in pixels, by the beginning of its name."""
    found = {}
    for sample in corpora.read(folder).samples:
        scale = (*SIZE, *SIZE)
        boxes = [
            (box.label, *(round(e * s, 1) for e, s in zip(box[1:5], scale, strict=True)))
            if box.is_relative
            else box[:5]
            for box in sample.boxes
        ]
        found[Path(sample.name).stem.partition("_")[0]] = sorted(boxes)
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_detected_and_gives_back_labels_and_boxes(tmp_path, layout):
    folder = write_corpus(tmp_path, layout)
    listing = corpora.read(folder)
    assert listing.layout == layout
    assert {Path(s.name).stem.partition("_")[0]: s.label for s in listing.samples} == {
        "one": "signed",
        "two": "unsigned",
        "three": "unsigned",
    }
    assert read_boxes(folder) == {name: sorted(box[:5] for box in boxes) for name, boxes in PAGES.items()}


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_folders_of_splits_are_splits(tmp_path, layout):
    for split in ("train", "test"):
        write_corpus(tmp_path / split, layout)
    if layout == "yolo":
        (tmp_path / "train" / "classes.txt").rename(tmp_path / "classes.txt")
    splits = {sample.split for sample in corpora.read(tmp_path).samples}
    assert splits == {"train", "test"}


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ("names: ['Signature', stamp]\n", "signature"),
        ("names:\n  0: signatures\n  1: stamp\n", "signature"),
        ("path: .\nnames:\n- sign\n- stamp\nnc: 2\n", "signature"),
        ("names: [logo, stamp]\n", "logo"),
    ],
)
def test_yolo_reads_the_names_of_a_yaml_file_in_all_its_forms(tmp_path, names, label):
    folder = write_corpus(tmp_path, "yolo")
    (folder / "classes.txt").unlink()
    (folder / "data.yaml").write_text(names)
    (folder / "labels" / "one_00000.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "labels" / "two_00001.txt").write_text("")
    assert read_boxes(folder)["one"] == [(label, 80.0, 40.0, 120.0, 60.0)]


def test_a_page_of_coco_may_lie_in_images_beside_the_file_or_above(tmp_path):
    folder = write_corpus(tmp_path, "coco")
    content = json.loads((folder / "annotations.coco.json").read_text())
    for image in content["images"]:
        image["file_name"] = Path(image["file_name"]).name
    (folder / "annotations.coco.json").unlink()
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances.json").write_text(json.dumps(content))
    assert read_boxes(folder)["two"] == [("handwriting", 5.0, 5.0, 60.0, 20.0)]


@pytest.mark.parametrize(
    ("layout", "file", "text", "message"),
    [
        (
            "boxes_csv",
            "boxes.csv",
            "path,left,top,right,bottom,label\na.png,1,2,3,4,signature\n",
            "there is no page 'a.png'",
        ),
        (
            "boxes_csv",
            "boxes.csv",
            "path,left,top,right,bottom,label\nsigned/one_00000.png,9,2,3,4,signature\n",
            "line 2: the box is 9, 2, 3, 4 .* left has to be less than right",
        ),
        (
            "boxes_csv",
            "boxes.csv",
            "path,left,top,right,bottom,label\nsigned/one_00000.png,a,2,3,4,signature\n",
            "it has to be four numbers",
        ),
        ("yolo", "labels/one_00000.txt", "7 0.5 0.5 0.1 0.1\n", "line 1 is '7 .*a label number of 0 to 2"),
        ("yolo", "labels/one_00000.txt", "0 0.5 0.5\n", "it has to be a label number"),
        ("coco", "annotations.coco.json", "{", "is no JSON"),
        ("coco", "annotations.coco.json", '{"images": [{}], "annotations": [], "categories": []}', "format of COCO"),
        ("pascal_voc", "Annotations/one_00000.xml", "<annotation>", "is no XML"),
        ("pascal_voc", "Annotations/one_00000.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "defines entities"),
    ],
)
def test_a_damaged_file_is_named_with_what_would_be_right(tmp_path, layout, file, text, message):
    folder = write_corpus(tmp_path, layout)
    (folder / file).write_text(text)
    with pytest.raises(UnknownLayout, match=message):
        corpora.read(folder, layout=layout)
