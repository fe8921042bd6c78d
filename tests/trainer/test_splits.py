"""Parts that never share a writer, whatever the data looks like."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.corpora import Sample
from trainer.data import splits
from trainer.data.splits import PARTS, TooFewSamples, split


def people(sizes: list[int], origin: str = "o", labels=("genuine", "forged")) -> list[Sample]:
    return [
        Sample(Path(), f"{w}-{label}-{i}", label, f"w{w}", origin)
        for w, size in enumerate(sizes)
        for label in labels
        for i in range(size)
    ]


@given(st.lists(st.integers(1, 6), min_size=8, max_size=40), st.integers(0, 2**32 - 1), st.floats(0.1, 0.5))
def test_no_writer_is_in_two_parts_and_no_image_is_lost(sizes, seed, validation):
    everything = people(sizes) + people(sizes, "other", ("text",))
    parts = split(everything, validation, 0.2, seed)
    groups = [{sample.group for sample in parts[part]} for part in PARTS]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert sorted(s.name for chosen in parts.values() for s in chosen) == sorted(s.name for s in everything)


@given(st.integers(0, 2**32 - 1))
def test_the_same_seed_gives_the_same_parts_wherever_the_files_lie(seed):
    here = people([3] * 12)
    there = [dataclasses.replace(sample, root=Path("/elsewhere")) for sample in reversed(here)]
    names = [
        {part: [s.name for s in chosen] for part, chosen in split(x, 0.3, 0.1, seed).items()} for x in (here, there)
    ]
    assert names[0] == names[1]


def test_shares_are_of_images_and_every_origin_is_everywhere():
    parts = split(people([10] * 40) + people([5] * 40, "b"), 0.3, 0.15, 1)
    total = sum(map(len, parts.values()))
    assert len(parts["test"]) / total == pytest.approx(0.15, abs=0.03)
    assert len(parts["validation"]) / (total - len(parts["test"])) == pytest.approx(0.3, abs=0.03)
    assert all({sample.origin for sample in parts[part]} == {"o", "b"} for part in PARTS)


def test_the_share_of_the_validation_part_is_of_what_the_test_leaves():
    parts = split(people([1] * 200), 0.5, 0.5, 1)
    assert [len(parts[part]) for part in ("test", "validation", "train")] == [200, 100, 100]


def test_a_closed_set_is_split_by_image_so_that_everybody_is_everywhere():
    parts = split(people([20] * 5), 0.3, 0.15, 1, by_writer=False)
    assert all(len({sample.writer for sample in parts[part]}) == 5 for part in PARTS)


def test_too_few_writers_is_an_error_that_counts_them():
    with pytest.raises(TooFewSamples, match="1 of them"):
        split(people([10]), 0.3, 0.15, 1)


def test_without_a_test_share_there_is_no_test_part():
    assert split(people([3] * 6), 0.3, 0.0, 1)["test"] == []
    assert splits.PARTS == ("train", "validation", "test")


@given(st.lists(st.tuples(st.integers(0, 79), st.integers(0, 79)), max_size=12), st.booleans())
def test_copies_never_end_up_on_both_sides(pairs, by_writer):
    everything = people([2] * 20)
    parts = split(everything, 0.3, 0.2, 1, by_writer, twins=pairs)
    part_of = {sample.name: part for part, chosen in parts.items() for sample in chosen}
    assert all(part_of[everything[i].name] == part_of[everything[j].name] for i, j in pairs)
    assert len(part_of) == len(everything)


def test_a_person_under_two_names_is_one_when_a_genuine_signature_says_so():
    named = [
        Sample(Path(), f"{number}", label, writer, "here")
        for number, (label, writer) in enumerate(
            [("genuine", "a"), ("genuine", "b"), ("forged", "a"), ("forged", "c"), ("genuine", "c")]
        )
    ]
    found = splits.people(named, [(0, 1), (2, 3)], "genuine")
    assert found[("here", "a")] == found[("here", "b")]
    assert found[("here", "c")] != found[("here", "a")], "a forgery that was filed twice joins nobody"
