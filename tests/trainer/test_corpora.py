"""Reading folders of images: labels, writers, and errors that show what was found."""

import pytest

from trainer import corpora
from trainer.corpora import UnknownLayout


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_paired_folders_hold_genuine_and_forged_by_writer(tmp_path):
    touch(tmp_path, "001/a.png", "001_forg/b.png", "002/c.tif")
    found = {(s.name, s.label, s.writer) for s in corpora.read(tmp_path)}
    assert found == {
        ("001/a.png", "genuine", "001"),
        ("001_forg/b.png", "forged", "001"),
        ("002/c.tif", "genuine", "002"),
    }


def test_class_folders_may_have_any_labels(tmp_path):
    touch(tmp_path, "stamp/a.png", "signature/deep/b.jpg", "text/c.webp")
    assert {s.label for s in corpora.read(tmp_path)} == {"stamp", "signature", "text"}


def test_a_given_label_overrides_the_layouts_labels_and_keeps_its_writers(tmp_path):
    touch(tmp_path, "001/a.png", "001_forg/b.png")
    found = corpora.read(tmp_path, label="signature")
    assert {(s.label, s.writer) for s in found} == {("signature", "001")}


def test_with_a_label_any_pile_of_images_is_read(tmp_path):
    touch(tmp_path, "x.png", "some/y.png")
    assert {s.label for s in corpora.read(tmp_path, label="text")} == {"text"}


def test_names_that_end_in_a_running_number_share_a_document(tmp_path):
    touch(tmp_path, *(f"text/{page}_{word:02d}.png" for page in range(300, 306) for word in range(3)), "logo/x.png")
    groups = {s.group for s in corpora.read(tmp_path) if s.label == "text"}
    assert len(groups) == 6


def test_one_long_series_of_numbers_is_not_one_document(tmp_path):
    touch(tmp_path, *(f"text/img_{word:04d}.png" for word in range(30)), "logo/x.png")
    assert len({s.group for s in corpora.read(tmp_path) if s.label == "text"}) == 30


def test_two_folders_of_the_same_name_are_two_origins(tmp_path):
    touch(tmp_path, "a/scans/001/x.png", "a/scans/001_forg/x.png", "b/scans/001/x.png", "b/scans/001_forg/x.png")
    found = corpora.read_all([(None, tmp_path / "a" / "scans"), (None, tmp_path / "b" / "scans")])
    assert {s.origin for s in found} == {"scans", "scans-2"}
    assert len({s.group for s in found}) == 2, "writer 001 of one is not writer 001 of the other"


def test_a_tree_that_fits_no_layout_is_shown_beside_what_is_understood(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    with pytest.raises(UnknownLayout) as error:
        corpora.read(tmp_path)
    assert "a.png" in str(error.value)
    assert "paired_folders" in str(error.value)
    assert "LABEL=PATH" in str(error.value)


def test_an_empty_and_a_missing_folder_are_told_apart(tmp_path):
    with pytest.raises(UnknownLayout, match="holds no image"):
        corpora.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        corpora.read(tmp_path / "nowhere")


def test_hidden_files_are_not_looked_at(tmp_path):
    touch(tmp_path, "a/x.png", "b/y.png", ".cache/z.png", "a/._x.png")
    assert len(corpora.read(tmp_path)) == 2
