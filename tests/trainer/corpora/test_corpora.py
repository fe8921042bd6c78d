"""Reading folders of images: labels, writers, splits, and errors that show the folder and the layouts."""

import pytest

from trainer import corpora
from trainer.corpora import OverlappingData, UnknownLayout
from trainer.data import __main__ as command
from trainer.settings import plugins


def touch(root, *names):
    """Make empty files below ``root``."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_paired_folders_hold_genuine_and_forged_by_writer(tmp_path):
    touch(tmp_path, "001/a.png", "001_forg/b.png", "002/c.tif")
    assert {(s.name, s.label, s.writer) for s in corpora.read(tmp_path).samples} == {
        ("001/a.png", "genuine", "001"),
        ("001_forg/b.png", "forged", "001"),
        ("002/c.tif", "genuine", "002"),
    }


def test_class_folders_may_have_any_labels(tmp_path):
    touch(tmp_path, "stamp/a.png", "signature/deep/b.jpg", "text/c.webp")
    assert {s.label for s in corpora.read(tmp_path).samples} == {"stamp", "signature", "text"}


def test_a_label_argument_replaces_the_labels_of_the_layout_and_keeps_its_writers(tmp_path):
    touch(tmp_path, "001/a.png", "001_forg/b.png")
    samples = corpora.read(tmp_path, label="signature").samples
    assert {(s.label, s.writer) for s in samples} == {("signature", "001")}


def test_with_a_label_argument_images_in_any_folders_are_read(tmp_path):
    touch(tmp_path, "x.png", "some/y.png")
    assert {s.label for s in corpora.read(tmp_path, label="text").samples} == {"text"}


def test_names_that_end_in_a_running_number_share_a_document(tmp_path):
    touch(tmp_path, *(f"text/{page}_{word:02d}.png" for page in range(300, 310) for word in range(3)), "logo/x.png")
    split_units = {s.split_unit for s in corpora.read(tmp_path).samples if s.label == "text"}
    assert len(split_units) == 10


@pytest.mark.parametrize(
    ("name", "writer"),
    [
        ("user{:03d}_abjadiyah_0{}.png", "user003"),
        ("{}-01-0{}.png", "3"),
        ("d-{:03d}a-001_0{}.png", "d-003a"),
        ("scan_{}_{}.png", "scan-3"),
        ("K-S-{:03d}-G-0{}.tif", "K-S-003"),
    ],
)
def test_the_shortest_distinguishing_prefix_of_a_name_is_the_writer_or_page(tmp_path, name, writer):
    touch(tmp_path, *(name.format(unit, number) for unit in range(12) for number in range(3)))
    writers = {s.name: s.writer for s in corpora.read(tmp_path, label="any").samples}
    assert {writers[name.format(3, number)] for number in range(3)} == {writer}
    assert len(set(writers.values())) == 12


def test_many_folders_are_writers_when_a_label_is_given(tmp_path):
    touch(tmp_path, *(f"{writer:03d}/{number}.jpg" for writer in range(12) for number in range(3)))
    assert {s.writer for s in corpora.read(tmp_path, label="signature").samples} == {f"{w:03d}" for w in range(12)}


def test_a_writer_is_the_same_under_two_labels(tmp_path):
    touch(
        tmp_path, *(f"{label}/{w:03d}_{n}.png" for label in ("genuine", "forged") for w in range(9) for n in range(2))
    )
    assert len({s.split_unit for s in corpora.read(tmp_path).samples}) == 9


def test_the_same_file_in_two_given_folders_is_refused(tmp_path):
    touch(tmp_path, "a/x/1.png", "a/y/2.png")
    with pytest.raises(OverlappingData, match=r"1\.png"):
        corpora.read_corpora([(None, tmp_path / "a", "a"), ("x", tmp_path / "a" / "x", "x")])


def test_one_series_of_running_numbers_is_not_one_document(tmp_path):
    touch(tmp_path, *(f"text/img_{word:04d}.png" for word in range(30)), "logo/x.png")
    assert len({s.split_unit for s in corpora.read(tmp_path).samples if s.label == "text"}) == 30


def test_two_folders_of_the_same_name_are_two_corpora(tmp_path):
    touch(tmp_path, "a/scans/001/x.png", "a/scans/001_forg/x.png", "b/scans/001/x.png", "b/scans/001_forg/x.png")
    listings = corpora.read_corpora([(None, tmp_path / name / "scans", "scans") for name in "ab"])
    samples = [sample for listing in listings for sample in listing.samples]
    assert {s.corpus_id for s in samples} == {"scans", "scans-2"}
    assert len({s.split_unit for s in samples}) == 2, "writer 001 of the first corpus is not writer 001 of the second"


def test_the_error_for_a_tree_of_no_layout_shows_its_files_and_the_layouts(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    with pytest.raises(UnknownLayout) as error:
        corpora.read(tmp_path)
    assert "a.png" in str(error.value)
    assert "paired_folders" in str(error.value)
    assert "LABEL=PATH" in str(error.value)


def test_an_empty_folder_and_a_missing_folder_have_different_errors(tmp_path):
    with pytest.raises(UnknownLayout, match="holds no image"):
        corpora.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        corpora.read(tmp_path / "nowhere")


def test_hidden_files_are_ignored(tmp_path):
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
def test_file_names_of_public_corpora_hold_label_and_writer(tmp_path, name, label, writer):
    # Names of numbers alone are parsed only where a genuine image is among them.
    genuine_names = {"02103001.png": "00100001.png", "021001_000.png": "001001_000.png"}
    touch(tmp_path, name, genuine_names.get(name.split("/")[-1], name))
    (sample,) = (s for s in corpora.read(tmp_path).samples if s.path.name == name.split("/")[-1])
    assert (sample.label, sample.writer) == (label, writer)


def test_the_same_number_in_two_scripts_is_two_writers(tmp_path):
    touch(tmp_path, "B-S-001-G-01.tif", "H-S-001-G-01.tif")
    assert len({s.split_unit for s in corpora.read(tmp_path).samples}) == 2


def test_file_names_are_preferred_to_folders_of_the_same_meaning(tmp_path):
    touch(
        tmp_path,
        *(
            f"001{suffix}/{name}_1_{n}.png"
            for suffix, name in (("", "original"), ("_forg", "forgeries"))
            for n in (1, 2)
        ),
    )
    listing = corpora.read(tmp_path)
    assert listing.layout == "cedar"
    assert {(s.label, s.writer) for s in listing.samples} == {("genuine", "1"), ("forged", "1")}


def test_the_same_name_in_train_and_test_folders_is_the_same_writer(tmp_path):
    touch(tmp_path, "train/001/a.png", "train/001_forg/b.png", "test/001/c.png", "test/001_forg/d.png")
    assert {s.writer for s in corpora.read(tmp_path).samples} == {"001"}


def test_eight_folders_of_numbers_are_writers_and_two_are_labels(tmp_path):
    touch(tmp_path / "writers", *(f"{writer:03d}/{n}.png" for writer in range(8) for n in range(2)))
    touch(tmp_path / "labels", "0/a.png", "1/b.png")
    assert corpora.read(tmp_path / "writers").layout == "writer_folders"
    assert {s.label for s in corpora.read(tmp_path / "labels").samples} == {"0", "1"}


def test_a_folder_named_text_is_a_label_unless_its_subfolders_are_labels(tmp_path):
    touch(tmp_path / "text", "receipts/a.png", "letters/b.png")
    touch(tmp_path / "signatures", "genuine/a.png", "forged/b.png")
    assert {s.label for s in corpora.read(tmp_path / "text").samples} == {"text"}
    assert {s.label for s in corpora.read(tmp_path / "signatures").samples} == {"genuine", "forged"}


def test_a_lone_subfolder_is_the_root(tmp_path):
    touch(tmp_path, "download/dataset/001/a.png", "download/dataset/001_forg/b.png", "download/.DS_Store")
    assert [s.name for s in corpora.read(tmp_path).samples] == ["001/a.png", "001_forg/b.png"]


def write_csv(root, text, name="manifest.csv"):
    """Write a CSV file beside three images."""
    touch(root, "a.png", "deep/b.png", "unnamed.png")
    (root / name).write_text(text)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_file_lists_the_images_to_use(tmp_path, delimiter):
    write_csv(tmp_path, "\ufeffPath,Label,Writer\na.png,stamp,w1\ndeep\\b.png,text,\n".replace(",", delimiter))
    for path in (tmp_path, tmp_path / "manifest.csv"):
        listing = corpora.read(path)
        assert {(s.name, s.label, s.writer) for s in listing.samples} == {
            ("a.png", "stamp", "w1"),
            ("deep/b.png", "text", None),
        }
    assert corpora.read(tmp_path).unlisted_count == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("missing.png,text,", "no file 'missing.png'"),
        ("../a.png,text,", "leaves the folder"),
        ("/etc/a.png,text,", "leaves the folder"),
        ("a.png,,w", "label ''"),
        ("a.png,text,w\na.png,text,w", "listed twice"),
    ],
)
def test_the_error_for_a_faulty_line_of_a_csv_file_describes_it(tmp_path, row, message):
    write_csv(tmp_path, f"path,label,writer\n{row}\n")
    with pytest.raises(UnknownLayout, match=message):
        corpora.read(tmp_path)


def test_a_csv_file_without_the_required_columns_is_ignored(tmp_path):
    touch(tmp_path, "x/a.png", "y/b.png")
    (tmp_path / "prices.csv").write_text("item,price\npen,3\n")
    assert {s.label for s in corpora.read(tmp_path).samples} == {"x", "y"}


def test_two_layouts_of_equal_ambiguity_that_disagree_are_an_error(tmp_path):
    touch(
        tmp_path / "genuine",
        *(f"{w:03d}{suffix}/{n}.png" for w in range(9) for suffix in ("", "_forg") for n in range(2)),
    )
    with pytest.raises(UnknownLayout, match="can be read as"):
        corpora.read(tmp_path / "genuine")


def test_the_command_prints_how_a_path_is_read(tmp_path, capsys):
    touch(tmp_path, "001/a.png", "001_forg/b.png")
    assert command.main([str(tmp_path)]) == 0
    assert "paired_folders" in capsys.readouterr().out
    assert command.main([str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["20230110.png", "000001_003.png", "00000002.png"])
def test_dates_and_counters_in_file_names_are_not_parsed_as_authors_and_writers(tmp_path, name):
    touch(tmp_path, f"genuine/{name}", "genuine/x1.png", f"forged/{name}", "forged/x2.png")
    touch(tmp_path / "alone", f"signature/{name}", f"text/{name}")
    assert {s.label for s in corpora.read(tmp_path / "alone").samples} == {"signature", "text"}
    touch(tmp_path / "bare", f"forge/{name}", "real/00101001.png")
    assert corpora.read(tmp_path / "bare").layout in ("class_folders", "kaggle_names")
    assert {s.label for s in corpora.read(tmp_path / "bare").samples} & {"genuine", "real"}


def test_labels_below_train_and_test_are_the_labels(tmp_path):
    touch(tmp_path, *(f"{split}/{label}/{split}.png" for split in ("train", "test") for label in ("signature", "text")))
    assert {s.label for s in corpora.read(tmp_path).samples} == {"signature", "text"}


def test_corpus_ids_are_unique(tmp_path):
    for folder in ("p/a", "q/a", "a-2"):
        touch(tmp_path / folder, "001/x.png", "001_forg/y.png")
    listings = corpora.read_corpora(
        [(None, tmp_path / folder, folder.split("/")[-1]) for folder in ("p/a", "q/a", "a-2")]
    )
    assert len({listing.corpus_id for listing in listings}) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_csv_file_is_read_in_the_encodings_of_spreadsheets(tmp_path, encoding):
    touch(tmp_path, "a.png")
    (tmp_path / "list.csv").write_bytes("path,label,writer\na.png,Zürich,José\n".encode(encoding))
    (sample,) = corpora.read(tmp_path).samples
    assert (sample.label, sample.writer) == ("Zürich", "José")


def test_a_csv_file_that_is_no_table_is_an_error_only_when_it_is_the_path(tmp_path):
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


def test_a_path_may_resemble_console_markup(tmp_path, capsys, monkeypatch):
    touch(tmp_path / "one[/x]", "001/a.png", "001_forg/b.png")
    monkeypatch.chdir(tmp_path)
    assert command.main(["s=one[/x]"]) == 0
    assert "one[/x]" in capsys.readouterr().out.replace("\n", "")


SPLIT_FILES = ("Train/text/a.png", "Train/stamp/b.png", "VAL/text/a.png", "test/stamp/d.png", "predict/e.png")


def splits_of(root, **options):
    """(label, split) of each sample, by name."""
    return {s.name: (s.label, s.split) for s in corpora.read(root, **options).samples}


def test_folders_named_train_val_test_and_predict_are_splits_and_no_labels(tmp_path):
    touch(tmp_path, *SPLIT_FILES, "predict/text/f.png")
    listing = corpora.read(tmp_path)
    assert splits_of(tmp_path) == {
        "Train/text/a.png": ("text", "train"),
        "Train/stamp/b.png": ("stamp", "train"),
        "VAL/text/a.png": ("text", "validation"),
        "test/stamp/d.png": ("stamp", "test"),
    }
    assert listing.split_counts == {"train": 2, "validation": 1, "test": 1}
    assert listing.predict_count == 2
    assert listing.unlisted_count == 0


def test_folders_of_splits_may_be_at_any_level(tmp_path):
    touch(tmp_path, "text/scans/train/a.png", "stamp/scans/train/b.png", "text/scans/Testing/c.png")
    assert splits_of(tmp_path) == {
        "text/scans/train/a.png": ("text", "train"),
        "stamp/scans/train/b.png": ("stamp", "train"),
        "text/scans/Testing/c.png": ("text", "test"),
    }
    assert corpora.read(tmp_path).layout == "class_folders"


def test_images_beside_folders_of_splits_are_of_train(tmp_path):
    touch(tmp_path, "text/a.png", "stamp/b.png", "test/text/c.png", "test/stamp/d.png")
    assert {split for name, (_, split) in splits_of(tmp_path).items() if not name.startswith("test")} == {"train"}


def test_a_split_of_few_writers_is_read_in_the_layout_of_the_whole_tree(tmp_path):
    touch(tmp_path, *(f"train/{w:03d}/{n}.png" for w in range(9) for n in range(2)), "test/010/0.png", "test/011/0.png")
    listing = corpora.read(tmp_path)
    assert listing.layout == "writer_folders"
    assert {s.writer for s in listing.samples if s.split == "test"} == {"010", "011"}


def test_each_split_may_have_its_own_csv_file(tmp_path):
    touch(tmp_path, "train/a.png", "train/b.png", "test/a.png", "predict/c.png")
    for split, rows in (("train", "a.png,text\nb.png,stamp\n"), ("test", "a.png,stamp\n")):
        (tmp_path / split / "manifest.csv").write_text(f"path,label\n{rows}")
    assert splits_of(tmp_path) == {
        "train/a.png": ("text", "train"),
        "train/b.png": ("stamp", "train"),
        "test/a.png": ("stamp", "test"),
    }
    assert corpora.read(tmp_path).predict_count == 1


def test_a_csv_file_above_the_splits_may_list_files_in_them(tmp_path):
    touch(tmp_path, "train/a.png", "test/a.png", "predict/c.png")
    (tmp_path / "list.csv").write_text("path,label\ntrain/a.png,text\ntest/a.png,stamp\npredict/c.png,stamp\n")
    expected = {"train/a.png": ("text", "train"), "test/a.png": ("stamp", "test")}
    assert splits_of(tmp_path) == splits_of(tmp_path / "list.csv") == expected
    assert corpora.read(tmp_path / "list.csv").predict_count == 1


def test_a_label_argument_keeps_the_splits(tmp_path):
    touch(tmp_path, "train/a.png", "test/b.png", "predict/c.png")
    assert splits_of(tmp_path, label="text") == {"train/a.png": ("text", "train"), "test/b.png": ("text", "test")}


def test_a_tree_of_images_to_predict_alone_is_an_error(tmp_path):
    touch(tmp_path, "predict/a.png")
    with pytest.raises(UnknownLayout, match="1 to predict"):
        corpora.read(tmp_path)


@pytest.mark.parametrize("folder", ["003", "003_forg", "train/003", "test/3"])
def test_names_of_author_and_writer_are_parsed_in_folders_of_writers(tmp_path, folder):
    touch(tmp_path, f"{folder}/00201003.png", f"{folder}/00202003.png", "forg/009/00201009.png")
    assert {(s.label, s.writer) for s in corpora.read(tmp_path).samples} == {("forged", "003"), ("forged", "009")}


def test_forged_names_in_folders_of_writers_are_never_read_as_genuine(tmp_path):
    touch(tmp_path, *(f"{w:03d}/021{n:02d}{w:03d}.png" for w in range(1, 10) for n in range(3)))
    listing = corpora.read(tmp_path)
    assert (listing.layout, {s.label for s in listing.samples}) == ("kaggle_names", {"forged"})


def test_the_error_for_a_stray_file_among_names_of_a_layout_names_it(tmp_path):
    touch(tmp_path, *(f"{w:03d}/{author}01{w:03d}.png" for w in range(1, 10) for author in ("021", f"{w:03d}")))
    touch(tmp_path, "001/scan.png")
    with pytest.raises(UnknownLayout, match=r"001/scan\.png.*--layout writer_folders"):
        corpora.read(tmp_path)
    assert corpora.read(tmp_path, layout="writer_folders").layout == "writer_folders"


def test_a_layout_argument_replaces_detection(tmp_path):
    touch(tmp_path, *(f"{w:03d}/{n}.png" for w in range(9) for n in range(2)))
    assert corpora.read(tmp_path).layout == "writer_folders"
    assert len({s.label for s in corpora.read(tmp_path, layout="class_folders").samples}) == 9
    touch(tmp_path / "few", "ann/a.png", "bob/b.png")
    assert {s.writer for s in corpora.read(tmp_path / "few", layout="writer_folders").samples} == {"ann", "bob"}
    with pytest.raises(UnknownLayout, match="--layout cedar does not fit"):
        corpora.read(tmp_path / "few", layout="cedar")
    with pytest.raises(UnknownLayout, match="--layout flat does not fit"):
        corpora.read(tmp_path / "few", layout="flat")
    with pytest.raises(plugins.UnknownName, match="class_folders"):
        corpora.read(tmp_path / "few", layout="class_folder")


def test_a_lone_folder_is_a_writer_where_the_layout_is_named(tmp_path):
    touch(tmp_path, "Ann Example/1.png", "Ann Example/2.png")
    for folder in (tmp_path, tmp_path / "Ann Example"):
        assert {s.writer for s in corpora.read(folder, layout="writer_folders").samples} == {"Ann Example"}


def test_linked_folders_and_files_are_read_once(tmp_path):
    pool, data = tmp_path / "pool", tmp_path / "data"
    touch(pool, "texts/a.png", "stamps/b.png", "single/c.png")
    touch(data, "test/text/d.png", "test/stamp/e.png")
    (data / "train").mkdir()
    (data / "train" / "text").symlink_to(pool / "texts")
    (data / "train" / "stamp").symlink_to("../../pool/stamps")
    (data / "train" / "again").symlink_to(pool / "texts")
    (data / "test" / "stamp" / "f.png").symlink_to(pool / "single" / "c.png")
    (data / "test" / "stamp" / "same.png").symlink_to("e.png")
    (data / "test" / "stamp" / "up").symlink_to(data)  # a cycle
    splits = splits_of(data)
    assert len(splits) == 5
    assert splits["test/stamp/f.png"] == ("stamp", "test")
    assert splits["train/stamp/b.png"] == ("stamp", "train")
    assert sum(name.endswith("/a.png") for name in splits) == 1


def test_a_link_to_itself_or_to_the_folder_above_is_not_followed_forever(tmp_path):
    touch(tmp_path / "data", "x/a.png", "y/b.png")
    (tmp_path / "data" / "x" / "back").symlink_to(tmp_path / "data" / "x")
    (tmp_path / "data" / "self").symlink_to(tmp_path / "data" / "self")
    assert len(corpora.read(tmp_path / "data").samples) == 2
    (tmp_path / "lone").mkdir()
    (tmp_path / "lone" / "up").symlink_to(tmp_path / "lone")
    with pytest.raises(UnknownLayout, match="holds no image"):
        corpora.read(tmp_path / "lone")


def test_the_command_prints_the_splits_and_takes_a_layout(tmp_path, capsys, monkeypatch):
    touch(tmp_path / "data", *SPLIT_FILES)
    monkeypatch.chdir(tmp_path)
    assert command.main(["data", "--layout", "class_folders"]) == 0
    assert "2 train, 1 validation, 1 test, 1 predict" in " ".join(capsys.readouterr().out.split())
