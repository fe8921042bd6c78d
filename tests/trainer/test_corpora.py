"""Reading folders of images: labels, writers, and errors that show what was found."""

import pytest

from trainer import corpora
from trainer.corpora import OverlappingData, UnknownLayout


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
    touch(tmp_path, *(f"text/{page}_{word:02d}.png" for page in range(300, 310) for word in range(3)), "logo/x.png")
    groups = {s.group for s in corpora.read(tmp_path) if s.label == "text"}
    assert len(groups) == 10


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("user{:03d}_abjadiyah_0{}.png", "user003"),
        ("{}-01-0{}.png", "3"),
        ("d-{:03d}a-001_0{}.png", "d-003a"),
        ("original_{}_{}.png", "original-3"),
        ("B-S-{:03d}-G-0{}.tif", "B-S-003"),
    ],
)
def test_the_shortest_telling_beginning_of_a_name_is_the_person_or_page(tmp_path, name, person):
    touch(tmp_path, *(name.format(writer, number) for writer in range(12) for number in range(3)))
    found = {s.name: s.writer for s in corpora.read(tmp_path, label="any")}
    assert {found[name.format(3, number)] for number in range(3)} == {person}
    assert len(set(found.values())) == 12


def test_a_folder_for_each_person_is_a_writer_when_the_label_is_given(tmp_path):
    touch(tmp_path, *(f"{writer:03d}/{number}.jpg" for writer in range(12) for number in range(3)))
    assert {s.writer for s in corpora.read(tmp_path, label="signature")} == {f"{w:03d}" for w in range(12)}


def test_a_person_is_the_same_under_two_labels(tmp_path):
    touch(
        tmp_path, *(f"{label}/{w:03d}_{n}.png" for label in ("genuine", "forged") for w in range(9) for n in range(2))
    )
    assert len({s.group for s in corpora.read(tmp_path)}) == 9


def test_the_same_file_in_two_given_folders_is_refused(tmp_path):
    touch(tmp_path, "a/x/1.png", "a/y/2.png")
    with pytest.raises(OverlappingData, match=r"1\.png"):
        corpora.read_all([(None, tmp_path / "a"), ("x", tmp_path / "a" / "x")])


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
