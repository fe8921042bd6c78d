"""Samplers of batches for losses that compare: composition, balance, and the same batches for the same seed."""

import numpy as np
import pytest

from trainer import corpora
from trainer.data import batches, image_index, records, sampling, splits, writer_batches
from trainer.data.batch_settings import BatchSettings
from trainer.data.sampling import FORGED_PER_WRITER, GENUINE_PER_WRITER, Sampling, TooFewWriters, WriterRows
from trainer.generators import signatures as generator
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import check_batch_size
from trainer.samples.amount import DatasetSpec
from trainer.settings.flags import BadSetting

CANVAS = (32, 64)


@pytest.fixture
def targets():
    """(writer, genuine) of ten writers: 6 genuine signatures each and, but for the last three, 5 forgeries."""
    writer = np.concatenate([np.full(6 + 5 * (number < 7), number) for number in range(10)])
    genuine = np.concatenate([np.arange(6 + 5 * (number < 7)) < 6 for number in range(10)])
    order = np.random.default_rng(0).permutation(len(writer))
    return writer[order], genuine[order]


@pytest.fixture
def writer_rows(targets):
    return WriterRows.from_targets(*targets, np.zeros(len(targets[0]), int))


def group_rows(writer, genuine, corpus_index=None) -> WriterRows:
    writer = np.asarray(writer)
    return WriterRows.from_targets(
        writer, np.asarray(genuine), np.zeros_like(writer) if corpus_index is None else np.asarray(corpus_index)
    )


def draw_batches(method, rows, size, steps, seed=3):
    return list(sampling.SAMPLERS[method](rows, size, steps, np.random.default_rng(seed)))


def test_a_batch_by_writers_holds_genuine_signatures_and_forgeries_of_each_writer(writer_rows, targets):
    writer, genuine = targets
    for rows in draw_batches(Sampling.WRITERS, writer_rows, 32, 20):
        present, counts = np.unique(writer[rows], return_counts=True)
        assert len(present) == 4
        assert set(counts.tolist()) == {GENUINE_PER_WRITER + FORGED_PER_WRITER}
        for number in present:
            genuine_count = np.count_nonzero(genuine[rows][writer[rows] == number])
            assert genuine_count == (GENUINE_PER_WRITER if number < 7 else GENUINE_PER_WRITER + FORGED_PER_WRITER)


def test_writers_take_turns_and_three_of_four_have_forgeries(writer_rows, targets):
    writer, _ = targets
    rows = np.concatenate(draw_batches(Sampling.WRITERS, writer_rows, 32, 50))
    times = np.bincount(writer[rows]) / (GENUINE_PER_WRITER + FORGED_PER_WRITER)
    for times_of_group in (times[:7], times[7:]):
        assert times_of_group.max() - times_of_group.min() <= 1
    assert times[:7].sum() == 0.75 * times.sum()


def test_most_batches_are_of_one_corpus_and_a_small_corpus_is_filled_up():
    corpus_index = np.repeat([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2], 8)
    mixed = group_rows(np.repeat(np.arange(14), 8), np.tile(np.arange(8) < 4, 14), corpus_index)
    corpus_counts = [
        np.bincount(corpus_index[rows], minlength=3) // 8 for rows in draw_batches(Sampling.WRITERS, mixed, 32, 400)
    ]
    assert all(counts.sum() == 4 for counts in corpus_counts)
    single_corpus = [counts for counts in corpus_counts if counts.max() == 4 or counts[2] == 2]
    assert 0.75 < len(single_corpus) / len(corpus_counts) < 0.95
    assert all(len(np.unique(rows // 8)) == 4 for rows in draw_batches(Sampling.WRITERS, mixed, 32, 100)), (
        "no writer twice"
    )


@pytest.mark.parametrize("forged", [0, 5])
def test_a_batch_is_complete_if_all_or_no_writers_have_forgeries(forged):
    writer_rows = group_rows(np.repeat(np.arange(6), 6 + forged), np.tile(np.arange(6 + forged) < 6, 6))
    for rows in draw_batches(Sampling.WRITERS, writer_rows, 48, 3):
        assert len(rows) == 48
        assert len(set((rows // (6 + forged)).tolist())) == 6


def test_half_of_the_pairs_are_of_one_writer_and_half_of_the_others_hold_a_forgery(writer_rows, targets):
    writer, genuine = targets
    pairs = np.concatenate(draw_batches(Sampling.PAIRS, writer_rows, 40, 100)).reshape(-1, 2)
    same = (writer[pairs[:, 0]] == writer[pairs[:, 1]]) & genuine[pairs].all(axis=1)
    forged = ~genuine[pairs].all(axis=1)
    assert np.mean(same) == pytest.approx(0.5)
    assert 0.3 <= np.mean(forged[~same]) <= 0.5, "the rest are genuine signatures of two writers"
    assert (writer[pairs[forged]][:, 0] == writer[pairs[forged]][:, 1]).all(), "a forgery is with its writer"
    assert 0.4 < np.mean(genuine[pairs[forged, 0]]) < 0.6, "a forgery is first as often as second"
    assert (pairs[:, 0] != pairs[:, 1]).all()


@pytest.mark.parametrize("method", sampling.SAMPLERS)
def test_the_same_seed_draws_the_same_batches(writer_rows, method):
    first, same_seed, other_seed = (draw_batches(method, writer_rows, 24, 5, seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, same_seed))
    assert not all(map(np.array_equal, first, other_seed))


def test_writers_with_one_genuine_signature_are_left_out():
    writer_rows = group_rows([0, 0, 1, 2, 2, 2], [True, True, True, True, False, False])
    assert [rows.tolist() for rows in writer_rows.genuine] == [[0, 1]]


def test_a_single_writer_is_refused():
    with pytest.raises(TooFewWriters, match="takes two"):
        sampling.check_writers(group_rows([0, 0, 0], [True, True, True]))


@pytest.mark.parametrize("method", sampling.SAMPLERS)
@pytest.mark.parametrize("forged", [False, True])
def test_few_writers_are_drawn_several_times(method, forged):
    few = group_rows(np.repeat([0, 1, 2], 6), np.tile(np.arange(6) < (4 if forged else 6), 3), np.repeat([0, 0, 1], 6))
    for rows in draw_batches(method, few, 64, 5):
        assert len(rows) == 64


@pytest.mark.parametrize(("method", "size"), [(Sampling.WRITERS, 20), (Sampling.WRITERS, 8), (Sampling.PAIRS, 33)])
def test_a_batch_that_cannot_be_filled_is_refused(method, size):
    with pytest.raises(BadSetting, match="a multiple of"):
        check_batch_size(method, size)


@pytest.mark.parametrize(
    ("method", "size", "replicas", "next_larger"),
    [
        (Sampling.WRITERS, 8, 1, 16),
        (Sampling.WRITERS, 16, 4, 32),  # two devices would get no writer
        (Sampling.WRITERS, 40, 2, 48),  # a device would get half of a writer
        (Sampling.WRITERS, 128, 3, 144),
        (Sampling.WRITERS, 128, 32, 256),
        (Sampling.PAIRS, 34, 4, 40),
        (Sampling.PAIRS, 2, 4, 8),
    ],
)
def test_a_batch_too_small_for_the_devices_is_refused_with_the_next_larger_size(method, size, replicas, next_larger):
    with pytest.raises(BadSetting, match=rf"--batch-size {size}:.* {next_larger}\b"):
        check_batch_size(method, size, replicas)
    check_batch_size(method, next_larger, replicas)


@pytest.mark.parametrize(
    ("method", "size", "replicas"),
    [(Sampling.WRITERS, 16, 2), (Sampling.WRITERS, 128, 16), (Sampling.PAIRS, 8, 4), (Sampling.IMAGES, 5, 3)],
)
def test_a_batch_of_whole_writers_or_pairs_for_each_device_is_accepted(method, size, replicas):
    check_batch_size(method, size, replicas)


def test_no_image_of_a_writer_is_drawn_again_before_all_have_been():
    writer_rows = group_rows(np.repeat([0, 1], 5), np.ones(10, bool))
    for rows in draw_batches(Sampling.WRITERS, writer_rows, 16, 10):
        assert np.unique(rows, return_counts=True)[1].max() == 2


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Records of 12 writers in several small shards."""
    monkeypatch.setattr(records, "IMAGES_PER_SHARD", 20)
    for _ in generator.write_dataset(tmp_path / "data", DatasetSpec("paired_folders", 12, 3, 2), seed=4):
        pass
    samples = corpora.read(tmp_path / "data").samples
    index = image_index.build_image_index(samples, Imaging(*CANVAS), tmp_path / "index")
    split_samples = splits.split_samples(samples, 0.2, 0.0, seed=1)
    spec = records.RecordsSpec(("genuine", "forged"), "source", writer_in_one_shard=True)
    return records.write(index, split_samples, tmp_path / "records", spec)


def test_a_writer_is_in_one_shard(prepared, tensorflow):
    writers_of_shard = [set(_read_writers(path)) for path in prepared.shard_paths("train")]
    assert len(writers_of_shard) > 1
    assert sum(map(len, writers_of_shard)) == len(set.union(*writers_of_shard))


def test_large_data_is_drawn_window_by_window_and_every_writer_is_drawn(prepared, tensorflow, monkeypatch):
    monkeypatch.setattr(writer_batches, "memory_capacity", lambda canvas: 25)

    settings = BatchSettings(CANVAS, 16, seed=1, augment=False, sampling=Sampling.WRITERS)

    def read_epoch(number):
        stream = batches.training_batches(prepared, settings, number)
        return [(images.numpy(), targets["writer"].numpy()) for images, targets in stream]

    first, same_epoch, next_epoch = read_epoch(0), read_epoch(0), read_epoch(1)
    assert len(first) == prepared.count_images("train") // 16, "each window gives its share of the steps"
    drawn = [set(writer.tolist()) for number in range(8) for _, writer in read_epoch(number)]
    assert set.union(*drawn) == {writer for path in prepared.shard_paths("train") for writer in _read_writers(path)}
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, same_epoch, strict=True))
    assert not all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, next_epoch, strict=False))


def test_processes_augment_to_the_same_images_as_a_thread(prepared, tensorflow):
    """Each batch has random numbers of its own, so their order and distribution do not depend on who augments."""

    def read_images(workers):
        settings = BatchSettings(CANVAS, 16, seed=1, augment=True, sampling=Sampling.WRITERS, workers=workers)
        return [images.numpy() for images, _ in batches.training_batches(prepared, settings, 3)]

    in_a_thread = read_images(0)
    np.testing.assert_array_equal(in_a_thread, read_images(1))
    np.testing.assert_array_equal(in_a_thread, read_images(3))


@pytest.mark.parametrize("sampling", [Sampling.WRITERS, Sampling.IMAGES])
def test_epochs_in_a_row_have_the_batches_of_each_epoch_alone(prepared, tensorflow, sampling):
    """A run that continues begins with any epoch."""
    settings = BatchSettings(CANVAS, 16, seed=1, augment=True, sampling=sampling)
    steps = prepared.count_images("train") // 16
    epochs = batches.iterate_epochs(prepared, settings, range(2, 5), lambda dataset: dataset)
    in_a_row = [[next(iterator)[0].numpy() for _ in range(steps)] for iterator in epochs]
    for epoch, read in enumerate(in_a_row, 2):
        alone = [images.numpy() for images, _ in batches.training_batches(prepared, settings, epoch)]
        np.testing.assert_array_equal(read, alone)


def _read_writers(path) -> list[int]:
    return writer_batches._read_shards((path,), CANVAS)[1]["writer"].tolist()
