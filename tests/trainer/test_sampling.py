"""Batches that compare hands: who meets whom, the same for the same seed, and no giveaway."""

import numpy as np
import pytest

from trainer import corpora
from trainer.data import batches, image_index, records, sampling, splits
from trainer.data.sampling import FORGED, GENUINE, Hands, TooFewWriters
from trainer.imaging import Imaging
from trainer.samples import generator
from trainer.samples.amount import Amount
from trainer.settings.flags import BadSetting

CANVAS = (32, 64)


@pytest.fixture
def people():
    """(writer, genuine) of ten people: 6 genuine signatures each and, but for the last three, 5 forgeries."""
    writer = np.concatenate([np.full(6 + 5 * (person < 7), person) for person in range(10)])
    genuine = np.concatenate([np.arange(6 + 5 * (person < 7)) < 6 for person in range(10)])
    order = np.random.default_rng(0).permutation(len(writer))
    return writer[order], genuine[order]


@pytest.fixture
def hands(people):
    return Hands.of(*people, np.zeros(len(people[0]), int))


def hands_of(writer, genuine, source=None) -> Hands:
    writer = np.asarray(writer)
    return Hands.of(writer, np.asarray(genuine), np.zeros_like(writer) if source is None else np.asarray(source))


def drawn(way, hands, size, steps, seed=3):
    return list(sampling.WAYS[way](hands, size, steps, np.random.default_rng(seed)))


def test_a_batch_by_writers_holds_each_with_its_genuine_ones_and_forgeries(hands, people):
    writer, genuine = people
    for rows in drawn("writers", hands, 32, 20):
        present, counts = np.unique(writer[rows], return_counts=True)
        assert len(present) == 4
        assert set(counts.tolist()) == {GENUINE + FORGED}
        for person in present:
            real = np.count_nonzero(genuine[rows][writer[rows] == person])
            assert real == (GENUINE if person < 7 else GENUINE + FORGED)


def test_everybody_comes_in_turn_and_three_of_four_have_forgeries(hands, people):
    writer, _ = people
    rows = np.concatenate(drawn("writers", hands, 32, 50))
    times = np.bincount(writer[rows]) / (GENUINE + FORGED)
    for kind in (times[:7], times[7:]):
        assert kind.max() - kind.min() <= 1
    assert times[:7].sum() == 0.75 * times.sum()


def test_most_batches_are_of_one_source_and_others_fill_up_a_small_one():
    source = np.repeat([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2], 8)
    mixed = hands_of(np.repeat(np.arange(14), 8), np.tile(np.arange(8) < 4, 14), source)
    kinds = [np.bincount(source[rows], minlength=3) // 8 for rows in drawn("writers", mixed, 32, 400)]
    assert all(kind.sum() == 4 for kind in kinds)
    alone = [kind for kind in kinds if kind.max() == 4 or kind[2] == 2]
    assert 0.75 < len(alone) / len(kinds) < 0.95
    assert all(len(np.unique(rows // 8)) == 4 for rows in drawn("writers", mixed, 32, 100)), "nobody twice"


@pytest.mark.parametrize("forged", [0, 5])
def test_a_batch_is_whole_when_all_or_none_have_forgeries(forged):
    one = hands_of(np.repeat(np.arange(6), 6 + forged), np.tile(np.arange(6 + forged) < 6, 6))
    for rows in drawn("writers", one, 48, 3):
        assert len(rows) == 48
        assert len(set((rows // (6 + forged)).tolist())) == 6


def test_half_of_the_pairs_are_fellows_and_forgeries_are_in_half_of_the_others(hands, people):
    writer, genuine = people
    pairs = np.concatenate(drawn("pairs", hands, 40, 100)).reshape(-1, 2)
    same = (writer[pairs[:, 0]] == writer[pairs[:, 1]]) & genuine[pairs].all(axis=1)
    forged = ~genuine[pairs].all(axis=1)
    assert np.mean(same) == pytest.approx(0.5)
    assert 0.3 <= np.mean(forged[~same]) <= 0.5, "the rest are genuine signatures of others"
    assert (writer[pairs[forged]][:, 0] == writer[pairs[forged]][:, 1]).all(), "a forgery is of the writer it is with"
    assert 0.4 < np.mean(genuine[pairs[forged, 0]]) < 0.6, "and stands first as often as second"
    assert (pairs[:, 0] != pairs[:, 1]).all()


@pytest.mark.parametrize("way", sampling.WAYS)
def test_the_same_seed_draws_the_same_batches(hands, way):
    one, same, other = (drawn(way, hands, 24, 5, seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, one, same))
    assert not all(map(np.array_equal, one, other))


def test_people_with_one_genuine_signature_are_left_out():
    found = hands_of([0, 0, 1, 2, 2, 2], [True, True, True, True, False, False])
    assert [rows.tolist() for rows in found.genuine] == [[0, 1]]


def test_one_person_is_nobody_to_compare_with():
    with pytest.raises(TooFewWriters, match="takes two"):
        sampling.check(hands_of([0, 0, 0], [True, True, True]))


@pytest.mark.parametrize("way", sampling.WAYS)
@pytest.mark.parametrize("forged", [False, True])
def test_few_people_come_several_times(way, forged):
    few = hands_of(np.repeat([0, 1, 2], 6), np.tile(np.arange(6) < (4 if forged else 6), 3), np.repeat([0, 0, 1], 6))
    for rows in drawn(way, few, 64, 5):
        assert len(rows) == 64


@pytest.mark.parametrize(("way", "size"), [("writers", 20), ("writers", 8), ("pairs", 33)])
def test_a_batch_that_cannot_be_filled_is_refused(way, size):
    with pytest.raises(BadSetting, match="a multiple of"):
        sampling.check_size(way, size)


@pytest.mark.parametrize(
    ("way", "size", "replicas", "enough"),
    [
        ("writers", 8, 1, 16),
        ("writers", 16, 2, 32),  # one writer on each device: nobody to be compared with
        ("writers", 40, 2, 48),  # a device would get half of a writer
        ("writers", 128, 3, 144),
        ("writers", 128, 16, 256),
        ("pairs", 34, 4, 40),
        ("pairs", 2, 4, 8),
    ],
)
def test_a_batch_too_small_for_the_devices_is_refused_with_the_size_that_would_do(way, size, replicas, enough):
    with pytest.raises(BadSetting, match=rf"--batch-size {size}:.* {enough}\b"):
        sampling.check_size(way, size, replicas)
    sampling.check_size(way, enough, replicas)


@pytest.mark.parametrize(("way", "size", "replicas"), [("writers", 128, 8), ("pairs", 8, 4), ("images", 5, 3)])
def test_a_batch_that_every_device_can_compare_is_taken(way, size, replicas):
    sampling.check_size(way, size, replicas)


def test_a_writer_with_few_images_repeats_none_before_all_have_come():
    one = hands_of(np.repeat([0, 1], 5), np.ones(10, bool))
    for rows in drawn("writers", one, 16, 10):
        assert np.unique(rows, return_counts=True)[1].max() == 2


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Records of 12 people in several small shards."""
    monkeypatch.setattr(records, "SHARD_IMAGES", 20)
    for _ in generator.write(tmp_path / "data", Amount("paired_folders", 12, 3, 2), seed=4):
        pass
    found = corpora.read(tmp_path / "data").samples
    look = image_index.survey(found, Imaging(*CANVAS), tmp_path / "survey")
    parts = splits.split(found, 0.2, 0.0, seed=1)
    return records.write(look, parts, ("genuine", "forged"), tmp_path / "records", "source", by_writer=True)


def test_a_writer_lies_in_one_shard(prepared, tensorflow):
    seen = [set(batches._read((path,), CANVAS)[1]["writer"].tolist()) for path in prepared.paths("train")]
    assert len(seen) > 1
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_large_data_is_drawn_window_by_window_and_nobody_is_forgotten(prepared, tensorflow, monkeypatch):
    monkeypatch.setattr(batches, "_room", lambda canvas: 25)

    def epoch(number):
        stream = batches.training(prepared, CANVAS, 16, 1, number, False, "writers")
        return [(images.numpy(), targets["writer"].numpy()) for images, targets in stream]

    first, again, next_one = epoch(0), epoch(0), epoch(1)
    assert len(first) == len(prepared.paths("train")), "a step for each small window"
    writers = [set(writer.tolist()) for number in range(8) for _, writer in epoch(number)]
    assert set.union(*writers) == {w for path in prepared.paths("train") for w in _writers(path)}
    assert all(np.array_equal(one[0], other[0]) for one, other in zip(first, again, strict=True))
    assert not all(np.array_equal(one[0], other[0]) for one, other in zip(first, next_one, strict=False))


def _writers(path):
    return batches._read((path,), CANVAS)[1]["writer"].tolist()
