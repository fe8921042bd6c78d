"""Every dataset layout reads back what it places, is recognised by itself, and explains itself."""

import pytest

from trainer import corpora, plugins, samples
from trainer.samples import Amount
from trainer.samples import __main__ as command


@pytest.fixture(params=plugins.names("corpora"))
def layout(request):
    return request.param


def placed(corpus, tmp_path):
    """Files of ten writers and every label the layout can say, placed by the layout itself."""
    labels = corpus.labels if corpus.labels is not None else ("signature", "text")
    expected = {}
    for label in labels or ("anything",):
        for writer in range(1, 11):
            for number in range(2):
                place = corpus.place(label, f"{writer:03d}", number)
                path = (tmp_path / place).with_suffix(".png")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
                expected[path] = (label, f"{writer:03d}")
    return expected


def test_a_layout_reads_back_the_labels_and_the_writers_it_placed(layout, tmp_path):
    corpus = plugins.load("corpora", layout)
    expected = placed(corpus, tmp_path)
    found = corpora.read(tmp_path, label="anything" if corpus.labels == () else None)
    assert {sample.path: sample.label for sample in found} == {path: label for path, (label, _) in expected.items()}
    together = {}
    for sample in found:
        together.setdefault(sample.group, set()).add(expected[sample.path][1])
    assert all(len(writers) == 1 for writers in together.values()), "a group never mixes writers"
    assert all(sample.writer is not None for sample in found)


def test_a_layout_is_found_by_detection(layout, tmp_path):
    corpus = plugins.load("corpora", layout)
    files = [path.relative_to(tmp_path) for path in placed(corpus, tmp_path)]
    assert corpora.detect(files, labelled=corpus.labels == (), root=tmp_path) == layout


def test_a_layout_says_what_it_understands(layout):
    assert plugins.load("corpora", layout).understands


def test_the_generated_dataset_can_be_written_in_it(layout, tmp_path):
    corpus = plugins.load("corpora", layout)
    amount = Amount(layout, 3, 2, 2, 2)
    if corpus.labels == ():
        with pytest.raises(SystemExit):
            command.main([str(tmp_path / "out"), "--layout", layout])
        assert not (tmp_path / "out").exists()
        return
    *_, done = samples.write(tmp_path / "out", amount, seed=1)
    assert done == amount.images() == len(corpora.read(tmp_path / "out"))
