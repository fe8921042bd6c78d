"""Every dataset layout is detected and reads back the paths that it formats, from folders and from zips."""

import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

from trainer import corpora
from trainer import preprocess as imaging_command
from trainer.data import sources
from trainer.generators import signatures as generator
from trainer.samples import __main__ as command
from trainer.samples.amount import DatasetSpec
from trainer.settings import plugins

# Layouts with boxes are tested in test_boxes.py.
LAYOUTS = [name for name in plugins.list_names("corpora") if not plugins.load("corpora", name).format_boxes]


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return request.param


@pytest.fixture(params=["folder", "zip"])
def container(request, monkeypatch, tmp_path):
    monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path / "cache"))
    return request.param


def write_empty_files(corpus, root: Path) -> dict[str, tuple[str, str]]:
    """Write files of ten writers for every label, at the paths that the layout formats: (label, writer) by name."""
    labels = corpus.labels if corpus.labels is not None else ("signature", "text")
    rows = []
    for label in labels or (corpus.folder_name or "anything",):
        for writer in range(1, 11):
            for number in range(2):
                path = f"{corpus.format_path(label, f'{writer:03d}', number)}.png"
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(b"")
                rows.append((path, label, f"{writer:03d}"))
    for name, text in (corpus.format_csv_files(rows) if corpus.format_csv_files else {}).items():
        (root / name).write_text(text)
    return {path: (label, writer) for path, label, writer in rows}


def make_argument(corpus, root: Path, container: str) -> str:
    """The argument that a user would give: the folder or its zip, with a label where the layout has none."""
    path = shutil.make_archive(str(root), "zip", root.parent, root.name) if container == "zip" else str(root)
    return path if corpus.labels != () or corpus.folder_name else f"anything={path}"


def test_a_layout_reads_back_the_labels_and_writers_of_the_paths_that_it_formats(layout, container, tmp_path):
    corpus = plugins.load("corpora", layout)
    root = tmp_path / "data" / (corpus.folder_name or "scans")
    expected = write_empty_files(corpus, root)
    source = sources.fetch_source(make_argument(corpus, root, container))
    listing = corpora.read(source.root, source.label, source.name)
    assert listing.layout == layout, "by detection"
    assert {sample.name: sample.label for sample in listing.samples} == {n: label for n, (label, _) in expected.items()}
    writers_by_unit = {}
    for sample in listing.samples:
        writers_by_unit.setdefault(sample.split_unit, set()).add(expected[sample.name][1])
    assert all(len(writers) == 1 for writers in writers_by_unit.values()), "a split unit is of one writer"
    assert all(sample.writer is not None for sample in listing.samples)
    assert listing.unlisted_count == 0


def test_corpora_of_all_layouts_are_read_together_without_mixing_their_writers(container, tmp_path):
    data_sources = []
    for name in LAYOUTS:
        corpus = plugins.load("corpora", name)
        root = tmp_path / name / (corpus.folder_name or "scans")
        write_empty_files(corpus, root)
        data_sources.append(sources.fetch_source(make_argument(corpus, root, container)))
    listings = corpora.read_corpora([(source.label, source.root, source.name) for source in data_sources])
    assert [listing.layout for listing in listings] == LAYOUTS
    assert len({listing.corpus_id for listing in listings}) == len(listings)
    split_units = [{sample.split_unit for sample in listing.samples} for listing in listings]
    assert sum(map(len, split_units)) == len(set().union(*split_units))


def test_a_layout_has_a_description(layout):
    assert plugins.load("corpora", layout).description


@pytest.mark.slow
def test_the_generated_dataset_can_be_written_in_a_layout(layout, tmp_path):
    corpus = plugins.load("corpora", layout)
    spec = DatasetSpec(layout, 4, 1, 1, 1)
    if corpus.labels == ():
        with pytest.raises(SystemExit):
            command.main([str(tmp_path / "out"), "--layout", layout])
        assert not (tmp_path / "out").exists()
        return
    *_, done = generator.write_dataset(tmp_path / "out", spec, seed=1)
    assert done == spec.count_images() == len(corpora.read(tmp_path / "out").samples)


def write_images(corpus, root: Path) -> None:
    """Write the same files as generated images of several formats."""
    formats = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".BMP": "BMP"}
    page = Image.open(io.BytesIO(generator.generate_image(1, 4, "genuine", 0)[0])).convert("L").resize((160, 80))
    rows = []
    for number, (name, (label, writer)) in enumerate(sorted(write_empty_files(corpus, root).items())):
        suffix, image_format = list(formats.items())[number % len(formats)]
        (root / name).unlink()
        image_name = str(Path(name).with_suffix(suffix))
        page.save(root / image_name, image_format)
        rows.append((image_name, label, writer))
    if corpus.format_csv_files:
        for name, text in corpus.format_csv_files(rows).items():
            (root / name).write_text(text)


def test_a_folder_of_canonical_images_is_read_like_the_original(layout, tmp_path, capsys):
    corpus = plugins.load("corpora", layout)
    root, canonical = (tmp_path / name / (corpus.folder_name or "scans") for name in ("data", "canonical"))
    write_images(corpus, root)
    assert imaging_command.main([str(root), str(canonical), "--height", "16", "--width", "32"]) == 0
    label = None if corpus.labels != () or corpus.folder_name else "anything"
    original, copy = corpora.read(root, label), corpora.read(canonical, label)
    assert copy.layout == original.layout == layout
    annotations = [
        {(s.name.rpartition(".")[0], s.label, s.writer) for s in listing.samples} for listing in (original, copy)
    ]
    assert annotations[0] == annotations[1]
    assert len(copy.samples) == len(annotations[0]) == len(original.samples)
    assert all(sample.name.endswith(".png") for sample in copy.samples)
