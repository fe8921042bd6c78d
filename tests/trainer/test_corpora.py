"""Reading folders of images: labels, writers, and errors that show what was found."""

import pytest

from trainer import corpora
from trainer.corpora import OverlappingData, UnknownLayout
from trainer.corpora import __main__ as command


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_paired_folders_hold_genuine_and_forged_by_writer(tmp_path):
    touch(tmp_path, "001/a.png", "001_forg/b.png", "002/c.tif")
    found = {(s.name, s.label, s.writer) for s in corpora.read(tmp_path).samples}
    assert found == {
        ("001/a.png", "genuine", "001"),
        ("001_forg/b.png", "forged", "001"),
        ("002/c.tif", "genuine", "002"),
    }


def test_class_folders_may_have_any_labels(tmp_path):
    touch(tmp_path, "stamp/a.png", "signature/deep/b.jpg", "text/c.webp")
    assert {s.label for s in corpora.read(tmp_path).samples} == {"stamp", "signature", "text"}


def test_a_given_label_overrides_the_layouts_labels_and_keeps_its_writers(tmp_path):
    touch(tmp_path, "001/a.png", "001_forg/b.png")
    found = corpora.read(tmp_path, label="signature").samples
    assert {(s.label, s.writer) for s in found} == {("signature", "001")}


def test_with_a_label_any_pile_of_images_is_read(tmp_path):
    touch(tmp_path, "x.png", "some/y.png")
    assert {s.label for s in corpora.read(tmp_path, label="text").samples} == {"text"}


def test_names_that_end_in_a_running_number_share_a_document(tmp_path):
    touch(tmp_path, *(f"text/{page}_{word:02d}.png" for page in range(300, 310) for word in range(3)), "logo/x.png")
    groups = {s.group for s in corpora.read(tmp_path).samples if s.label == "text"}
    assert len(groups) == 10


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("user{:03d}_abjadiyah_0{}.png", "user003"),
        ("{}-01-0{}.png", "3"),
        ("d-{:03d}a-001_0{}.png", "d-003a"),
        ("scan_{}_{}.png", "scan-3"),
        ("K-S-{:03d}-G-0{}.tif", "K-S-003"),
    ],
)
def test_the_shortest_telling_beginning_of_a_name_is_the_person_or_page(tmp_path, name, person):
    touch(tmp_path, *(name.format(writer, number) for writer in range(12) for number in range(3)))
    found = {s.name: s.writer for s in corpora.read(tmp_path, label="any").samples}
    assert {found[name.format(3, number)] for number in range(3)} == {person}
    assert len(set(found.values())) == 12


def test_a_folder_for_each_person_is_a_writer_when_the_label_is_given(tmp_path):
    touch(tmp_path, *(f"{writer:03d}/{number}.jpg" for writer in range(12) for number in range(3)))
    assert {s.writer for s in corpora.read(tmp_path, label="signature").samples} == {f"{w:03d}" for w in range(12)}


def test_a_person_is_the_same_under_two_labels(tmp_path):
    touch(
        tmp_path, *(f"{label}/{w:03d}_{n}.png" for label in ("genuine", "forged") for w in range(9) for n in range(2))
    )
    assert len({s.group for s in corpora.read(tmp_path).samples}) == 9


def test_the_same_file_in_two_given_folders_is_refused(tmp_path):
    touch(tmp_path, "a/x/1.png", "a/y/2.png")
    with pytest.raises(OverlappingData, match=r"1\.png"):
        corpora.read_all([(None, tmp_path / "a", "a"), ("x", tmp_path / "a" / "x", "x")])


def test_one_long_series_of_numbers_is_not_one_document(tmp_path):
    touch(tmp_path, *(f"text/img_{word:04d}.png" for word in range(30)), "logo/x.png")
    assert len({s.group for s in corpora.read(tmp_path).samples if s.label == "text"}) == 30


def test_two_folders_of_the_same_name_are_two_origins(tmp_path):
    touch(tmp_path, "a/scans/001/x.png", "a/scans/001_forg/x.png", "b/scans/001/x.png", "b/scans/001_forg/x.png")
    readings = corpora.read_all([(None, tmp_path / name / "scans", "scans") for name in "ab"])
    found = [sample for reading in readings for sample in reading.samples]
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
    assert len(corpora.read(tmp_path).samples) == 2


@pytest.mark.parametrize(
    ("name", "label", "writer"),
    [
        ("full_org/original_12_3.png", "genuine", "12"),
        ("full_forg/forgeries_12_3.png", "forged", "12"),
        ("NFI-00701007.png", "genuine", "007"),
        ("real/NFI-00703012.png", "forged", "012"),
        ("00100001.PNG", "genuine", "001"),
        ("forge/02103001.png", "forged", "001"),
        ("001001_000.png", "genuine", "001"),
        ("021001_000.png", "forged", "001"),
        ("Bengali/001/B-S-1-G-01.tif", "genuine", "B-001"),
        ("H-S-160-F-30.tif", "forged", "H-160"),
        ("001/c-001-01.jpg", "genuine", "1"),
        ("001/cf-001-01.jpg", "forged", "1"),
    ],
)
def test_file_names_of_public_sets_tell_label_and_writer(tmp_path, name, label, writer):
    others = {"02103001.png": "00100001.png", "021001_000.png": "001001_000.png"}  # bare numbers want a genuine one
    touch(tmp_path, name, others.get(name.split("/")[-1], name))
    (sample,) = (s for s in corpora.read(tmp_path).samples if s.path.name == name.split("/")[-1])
    assert (sample.label, sample.writer) == (label, writer)


def test_the_same_number_in_two_scripts_is_two_writers(tmp_path):
    touch(tmp_path, "B-S-001-G-01.tif", "H-S-001-G-01.tif")
    assert len({s.group for s in corpora.read(tmp_path).samples}) == 2


def test_names_win_over_the_folders_they_lie_in_when_both_say_the_same(tmp_path):
    touch(
        tmp_path,
        *(f"001{kind}/{name}_1_{n}.png" for kind, name in (("", "original"), ("_forg", "forgeries")) for n in (1, 2)),
    )
    reading = corpora.read(tmp_path)
    assert reading.layout == "cedar"
    assert {(s.label, s.writer) for s in reading.samples} == {("genuine", "1"), ("forged", "1")}


def test_writers_of_train_and_test_folders_are_the_same_people(tmp_path):
    touch(tmp_path, "train/001/a.png", "train/001_forg/b.png", "test/001/c.png", "test/001_forg/d.png")
    assert {s.writer for s in corpora.read(tmp_path).samples} == {"001"}


def test_eight_folders_of_numbers_are_writers_and_two_are_labels(tmp_path):
    touch(tmp_path / "people", *(f"{writer:03d}/{n}.png" for writer in range(8) for n in range(2)))
    touch(tmp_path / "labels", "0/a.png", "1/b.png")
    assert corpora.read(tmp_path / "people").layout == "writer_folders"
    assert {s.label for s in corpora.read(tmp_path / "labels").samples} == {"0", "1"}


def test_a_folder_called_text_is_text_unless_its_folders_are_labels(tmp_path):
    touch(tmp_path / "text", "receipts/a.png", "letters/b.png")
    touch(tmp_path / "signatures", "genuine/a.png", "forged/b.png")
    assert {s.label for s in corpora.read(tmp_path / "text").samples} == {"text"}
    assert {s.label for s in corpora.read(tmp_path / "signatures").samples} == {"genuine", "forged"}


def test_a_lone_folder_is_stepped_into(tmp_path):
    touch(tmp_path, "download/dataset/001/a.png", "download/dataset/001_forg/b.png", "download/.DS_Store")
    assert [s.name for s in corpora.read(tmp_path).samples] == ["001/a.png", "001_forg/b.png"]


def write_csv(root, text, name="manifest.csv"):
    touch(root, "a.png", "deep/b.png", "unnamed.png")
    (root / name).write_text(text)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_index_says_what_counts(tmp_path, delimiter):
    write_csv(tmp_path, "\ufeffPath,Label,Writer\na.png,stamp,w1\ndeep\\b.png,text,\n".replace(",", delimiter))
    for given in (tmp_path, tmp_path / "manifest.csv"):
        reading = corpora.read(given)
        assert {(s.name, s.label, s.writer) for s in reading.samples} == {
            ("a.png", "stamp", "w1"),
            ("deep/b.png", "text", None),
        }
    assert corpora.read(tmp_path).left_out == 1


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("missing.png,text,", "no file 'missing.png'"),
        ("../a.png,text,", "leaves the folder"),
        ("/etc/a.png,text,", "leaves the folder"),
        ("a.png,,w", "label ''"),
        ("a.png,text,w\na.png,text,w", "named twice"),
    ],
)
def test_a_wrong_line_of_a_csv_index_is_named(tmp_path, row, complaint):
    write_csv(tmp_path, f"path,label,writer\n{row}\n")
    with pytest.raises(UnknownLayout, match=complaint):
        corpora.read(tmp_path)


def test_a_csv_file_about_something_else_is_no_index(tmp_path):
    touch(tmp_path, "x/a.png", "y/b.png")
    (tmp_path / "prices.csv").write_text("item,price\npen,3\n")
    assert {s.label for s in corpora.read(tmp_path).samples} == {"x", "y"}


def test_two_readings_of_one_rank_that_differ_are_an_error(tmp_path):
    touch(
        tmp_path / "genuine", *(f"{w:03d}{kind}/{n}.png" for w in range(9) for kind in ("", "_forg") for n in range(2))
    )
    with pytest.raises(UnknownLayout, match="can be read as"):
        corpora.read(tmp_path / "genuine")


def test_the_command_tells_what_would_be_read(tmp_path, capsys):
    touch(tmp_path, "001/a.png", "001_forg/b.png")
    assert command.main([str(tmp_path)]) == 0
    assert "paired_folders" in capsys.readouterr().out
    assert command.main([str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["20230110.png", "000001_003.png", "00000002.png"])
def test_dates_and_counts_are_not_taken_for_hands_and_persons(tmp_path, name):
    touch(tmp_path, f"genuine/{name}", "genuine/x1.png", f"forged/{name}", "forged/x2.png")
    touch(tmp_path / "alone", f"signature/{name}", f"text/{name}")
    assert {s.label for s in corpora.read(tmp_path / "alone").samples} == {"signature", "text"}
    touch(tmp_path / "bare", f"forge/{name}", "real/00101001.png")
    assert corpora.read(tmp_path / "bare").layout in ("class_folders", "kaggle_names")
    assert {s.label for s in corpora.read(tmp_path / "bare").samples} & {"genuine", "real"}


def test_labels_below_train_and_test_are_the_labels(tmp_path):
    touch(tmp_path, *(f"{part}/{label}/{part}.png" for part in ("train", "test") for label in ("signature", "text")))
    assert {s.label for s in corpora.read(tmp_path).samples} == {"signature", "text"}


def test_a_name_that_is_taken_already_is_not_given_twice(tmp_path):
    for folder in ("p/a", "q/a", "a-2"):
        touch(tmp_path / folder, "001/x.png", "001_forg/y.png")
    readings = corpora.read_all([(None, tmp_path / folder, folder.split("/")[-1]) for folder in ("p/a", "q/a", "a-2")])
    assert len({reading.origin for reading in readings}) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_csv_index_is_read_as_spreadsheets_save_it(tmp_path, encoding):
    touch(tmp_path, "a.png")
    (tmp_path / "list.csv").write_bytes("path,label,writer\na.png,Zürich,José\n".encode(encoding))
    (sample,) = corpora.read(tmp_path).samples
    assert (sample.label, sample.writer) == ("Zürich", "José")


def test_a_csv_file_that_is_no_table_is_named_only_when_asked_for(tmp_path):
    touch(tmp_path, "x/a.png", "y/b.png")
    (tmp_path / "notes.csv").write_bytes(b"\xff\xfe\x00 caf\xe9" * 9)
    assert corpora.read(tmp_path).layout == "class_folders"
    with pytest.raises(UnknownLayout, match="names no image"):
        corpora.read(tmp_path / "notes.csv")
    (tmp_path / "long.csv").write_text("path,label\n" + "x" * 200_000 + ",text\n")
    with pytest.raises(UnknownLayout, match=r"long\.csv"):
        corpora.read(tmp_path / "long.csv")


def test_a_dangling_link_is_no_image(tmp_path):
    touch(tmp_path, "x/a.png", "y/b.png")
    (tmp_path / "x" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert len(corpora.read(tmp_path).samples) == 2


def test_a_path_may_look_like_markup(tmp_path, capsys, monkeypatch):
    touch(tmp_path / "one[/x]", "001/a.png", "001_forg/b.png")
    monkeypatch.chdir(tmp_path)
    assert command.main(["s=one[/x]"]) == 0
    assert "one[/x]" in capsys.readouterr().out.replace("\n", "")
