"""Splits never share a writer, for any data."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.corpora import Sample
from trainer.data import splits
from trainer.data.splits import SPLITS, TooFewSamples, split_samples


def make_samples(sizes: list[int], corpus_id: str = "a", labels=("genuine", "forged")) -> list[Sample]:
    """One writer for each size, with so many images of each label."""
    return [
        Sample(Path(), f"{w}-{label}-{i}", label, f"w{w}", corpus_id)
        for w, size in enumerate(sizes)
        for label in labels
        for i in range(size)
    ]


@given(st.lists(st.integers(1, 6), min_size=8, max_size=40), st.integers(0, 2**32 - 1), st.floats(0.1, 0.5))
def test_no_writer_is_in_two_splits_and_no_image_is_lost(sizes, seed, validation_fraction):
    samples = make_samples(sizes) + make_samples(sizes, "b", ("text",))
    divided = split_samples(samples, validation_fraction, 0.2, seed)
    units = [{sample.split_unit for sample in divided[split]} for split in SPLITS]
    assert sum(map(len, units)) == len(set().union(*units))
    assert sorted(s.name for members in divided.values() for s in members) == sorted(s.name for s in samples)


@given(st.integers(0, 2**32 - 1))
def test_the_same_seed_gives_the_same_splits_wherever_the_files_are(seed):
    samples = make_samples([3] * 12)
    moved = [dataclasses.replace(sample, root=Path("/elsewhere")) for sample in reversed(samples)]
    names, moved_names = (
        {split: [s.name for s in members] for split, members in split_samples(files, 0.3, 0.1, seed).items()}
        for files in (samples, moved)
    )
    assert names == moved_names


def test_fractions_are_of_images_and_every_corpus_is_in_every_split():
    divided = split_samples(make_samples([10] * 40) + make_samples([5] * 40, "b"), 0.3, 0.15, 1)
    total = sum(map(len, divided.values()))
    assert len(divided["test"]) / total == pytest.approx(0.15, abs=0.03)
    assert len(divided["validation"]) / (total - len(divided["test"])) == pytest.approx(0.3, abs=0.03)
    assert all({sample.corpus_id for sample in divided[split]} == {"a", "b"} for split in SPLITS)


def test_the_validation_fraction_is_of_the_images_outside_the_test_split():
    divided = split_samples(make_samples([1] * 200), 0.5, 0.5, 1)
    assert [len(divided[split]) for split in ("test", "validation", "train")] == [200, 100, 100]


def test_a_closed_set_is_split_by_image_so_that_every_writer_is_in_every_split():
    divided = split_samples(make_samples([20] * 5), 0.3, 0.15, 1, by_writer=False)
    assert all(len({sample.writer for sample in divided[split]}) == 5 for split in SPLITS)


def test_too_few_writers_are_an_error_with_their_number():
    with pytest.raises(TooFewSamples, match="1 of them"):
        split_samples(make_samples([10]), 0.3, 0.15, 1)


def test_a_test_fraction_of_zero_gives_an_empty_test_split():
    assert split_samples(make_samples([3] * 6), 0.3, 0.0, 1)["test"] == []
    assert splits.SPLITS == ("train", "validation", "test")


@given(st.lists(st.tuples(st.integers(0, 79), st.integers(0, 79)), max_size=12), st.booleans())
def test_duplicates_are_never_in_two_splits(pairs, by_writer):
    samples = make_samples([2] * 20)
    divided = split_samples(samples, 0.3, 0.2, 1, by_writer, duplicate_pairs=pairs)
    split_of = {sample.name: split for split, members in divided.items() for sample in members}
    assert all(split_of[samples[i].name] == split_of[samples[j].name] for i, j in pairs)
    assert len(split_of) == len(samples)


def test_writers_are_merged_if_they_share_a_genuine_signature_but_not_a_forgery():
    samples = [
        Sample(Path(), f"{number}", label, writer, "a")
        for number, (label, writer) in enumerate(
            [("genuine", "a"), ("genuine", "b"), ("forged", "a"), ("forged", "c"), ("genuine", "c")]
        )
    ]
    merged = splits.merge_writers(samples, [(0, 1), (2, 3)], "genuine")
    assert merged[("a", "a")] == merged[("a", "b")]
    assert merged[("a", "c")] != merged[("a", "a")]
