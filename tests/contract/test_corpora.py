"""Every dataset layout reads back what it places, as a folder and in a zip, is recognised, and explains itself."""

import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

from trainer import corpora
from trainer import preprocess as imaging_command
from trainer.data import sources
from trainer.samples import __main__ as command
from trainer.samples import generator
from trainer.samples.amount import Amount
from trainer.settings import plugins


@pytest.fixture(params=plugins.names("corpora"))
def layout(request):
    return request.param


@pytest.fixture(params=["folder", "zip"])
def form(request, monkeypatch, tmp_path):
    monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path / "cache"))
    return request.param


def placed(corpus, root: Path) -> dict[str, tuple[str, str]]:
    """Files of ten writers and every label the layout can say, placed by the layout itself: (label, writer) by name."""
    labels = corpus.labels if corpus.labels is not None else ("signature", "text")
    rows = []
    for label in labels or (corpus.called or "anything",):
        for writer in range(1, 11):
            for number in range(2):
                place = f"{corpus.place(label, f'{writer:03d}', number)}.png"
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                (root / place).write_bytes(b"")
                rows.append((place, label, f"{writer:03d}"))
    for name, text in (corpus.index(rows) if corpus.index else {}).items():
        (root / name).write_text(text)
    return {place: (label, writer) for place, label, writer in rows}


def given(corpus, root: Path, form: str) -> str:
    """What a person would name: the folder or its zip, with the label where the layout has none."""
    path = shutil.make_archive(str(root), "zip", root.parent, root.name) if form == "zip" else str(root)
    return path if corpus.labels != () or corpus.called else f"anything={path}"


def test_a_layout_reads_back_the_labels_and_the_writers_it_placed(layout, form, tmp_path):
    corpus = plugins.load("corpora", layout)
    root = tmp_path / "data" / (corpus.called or "scans")
    expected = placed(corpus, root)
    source = sources.bring(given(corpus, root, form))
    reading = corpora.read(source.root, source.label, source.name)
    assert reading.layout == layout, "found by detection"
    assert {sample.name: sample.label for sample in reading.samples} == {n: label for n, (label, _) in expected.items()}
    together = {}
    for sample in reading.samples:
        together.setdefault(sample.group, set()).add(expected[sample.name][1])
    assert all(len(writers) == 1 for writers in together.values()), "a group never mixes writers"
    assert all(sample.writer is not None for sample in reading.samples)
    assert reading.left_out == 0


def test_layouts_mix_and_their_writers_do_not(form, tmp_path):
    brought = []
    for name in plugins.names("corpora"):
        corpus = plugins.load("corpora", name)
        root = tmp_path / name / (corpus.called or "scans")
        placed(corpus, root)
        brought.append(sources.bring(given(corpus, root, form)))
    readings = corpora.read_all([(source.label, source.root, source.name) for source in brought])
    assert [reading.layout for reading in readings] == plugins.names("corpora")
    assert len({reading.origin for reading in readings}) == len(readings)
    groups = [{sample.group for sample in reading.samples} for reading in readings]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_a_layout_says_what_it_understands(layout):
    assert plugins.load("corpora", layout).understands


@pytest.mark.slow
def test_the_generated_dataset_can_be_written_in_it(layout, tmp_path):
    corpus = plugins.load("corpora", layout)
    amount = Amount(layout, 4, 1, 1, 1)
    if corpus.labels == ():
        with pytest.raises(SystemExit):
            command.main([str(tmp_path / "out"), "--layout", layout])
        assert not (tmp_path / "out").exists()
        return
    *_, done = generator.write(tmp_path / "out", amount, seed=1)
    assert done == amount.images() == len(corpora.read(tmp_path / "out").samples)


def drawn(corpus, root: Path) -> None:
    """The placed files as generated images of several formats."""
    forms = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".BMP": "BMP"}
    page = Image.open(io.BytesIO(generator.image(1, 4, "genuine", 0)[0])).convert("L").resize((160, 80))
    rows = []
    for number, (name, (label, writer)) in enumerate(sorted(placed(corpus, root).items())):
        suffix, form = list(forms.items())[number % len(forms)]
        (root / name).unlink()
        named = str(Path(name).with_suffix(suffix))
        page.save(root / named, form)
        rows.append((named, label, writer))
    if corpus.index:
        for name, text in corpus.index(rows).items():
            (root / name).write_text(text)


def test_a_folder_that_imaging_has_preprocessed_is_read_as_the_original_is(layout, tmp_path, capsys):
    corpus = plugins.load("corpora", layout)
    root, seen = (tmp_path / name / (corpus.called or "scans") for name in ("data", "seen"))
    drawn(corpus, root)
    assert imaging_command.main([str(root), str(seen), "--height", "16", "--width", "32"]) == 0
    label = None if corpus.labels != () or corpus.called else "anything"
    original, found = corpora.read(root, label), corpora.read(seen, label)
    assert found.layout == original.layout == layout
    told = [{(s.name.rpartition(".")[0], s.label, s.writer) for s in reading.samples} for reading in (original, found)]
    assert told[0] == told[1]
    assert len(found.samples) == len(told[0]) == len(original.samples)
    assert all(sample.name.endswith(".png") for sample in found.samples)
