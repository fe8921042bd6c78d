"""How rows are drawn into a batch: any images, P writers x (K genuine + F forged), or pairs.

A loss that compares images learns only from what is in one batch. Works on row numbers, not pixels or files; the same
generator gives the same batches. Next: ``batches.py`` reads the images.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterator

import numpy as np

from trainer.console.errors import UserError

GENUINE_PER_WRITER, FORGED_PER_WRITER = 4, 4  # K and F
FORGED_WRITERS_SHARE = 0.75  # of the writers in a batch: writers with forgeries teach more than those without
SINGLE_CORPUS_SHARE = 0.8  # of the batches: across corpora, pen and scanner separate most writers and would be learnt
Batches = Iterator[np.ndarray]  # row numbers ``int [size]`` of each batch


class Sampling(str, enum.Enum):
    """How the images of a batch are drawn."""

    IMAGES = "images"  # any, each once an epoch: for losses of single images
    WRITERS = "writers"  # several genuine and forged images of each writer: for losses that compare
    PAIRS = "pairs"  # pairs of images: for losses that compare

    __str__ = str.__str__  # in text the value, on every version of Python


# Rows of a batch that belong together, in a row: a writer's, or a pair's.
GROUP_SIZES = {Sampling.WRITERS: GENUINE_PER_WRITER + FORGED_PER_WRITER, Sampling.PAIRS: 2}


class TooFewWriters(UserError):
    """Too few writers with two genuine signatures; the message says how many are needed."""


@dataclasses.dataclass(frozen=True)
class WriterRows:
    """Row numbers by writer: ``genuine[i]`` (two or more) and ``forged[i]`` (may be empty) are those of one writer.

    ``corpus_index[i]`` is the number of the writer's corpus.
    """

    genuine: list[np.ndarray]
    forged: list[np.ndarray]
    corpus_index: np.ndarray

    @classmethod
    def from_targets(cls, writer: np.ndarray, genuine: np.ndarray, corpus_index: np.ndarray) -> "WriterRows":
        """Group rows by writer, from ``int [N]``, ``bool [N]`` and ``int [N]``.

        Writers with one genuine signature cannot be compared and are left out.
        """
        order = np.argsort(writer, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(writer[order])) + 1)
        groups = [rows for rows in groups if np.count_nonzero(genuine[rows]) >= 2]
        first_rows = np.array([rows[0] for rows in groups], int)
        genuine_rows, forged_rows = ([rows[mask[rows]] for rows in groups] for mask in (genuine, ~genuine))
        return cls(genuine_rows, forged_rows, corpus_index[first_rows])

    def __len__(self) -> int:
        return len(self.genuine)


def sample_writers(rows: WriterRows, size: int, steps: int, rng: np.random.Generator) -> Batches:
    """Yield ``steps`` batches of ``size`` rows: P = size / (K + F) writers with K genuine and F forged images each.

    ``SINGLE_CORPUS_SHARE`` of the batches are of writers of one corpus, drawn by its number of writers, as far as it
    has enough. Writers take turns, in a new order each round; ``FORGED_WRITERS_SHARE`` of them have forgeries, where
    the data has both kinds. Writers without forgeries contribute K + F genuine images.
    """
    count = size // (GENUINE_PER_WRITER + FORGED_PER_WRITER)
    from_all = _mix(rows, np.arange(len(rows)), count, rng)
    corpora = [np.flatnonzero(rows.corpus_index == corpus) for corpus in np.unique(rows.corpus_index)]
    from_corpus = [_mix(rows, members, min(count, len(members)), rng) for members in corpora]
    shares = np.array([len(members) for members in corpora]) / len(rows)
    for _ in range(steps):
        if rng.random() < SINGLE_CORPUS_SHARE:
            writers = next(from_corpus[rng.choice(len(corpora), p=shares)])
        else:
            writers = next(from_all)
        while len(writers) < count:  # a small corpus: fill up from all corpora, or repeat writers if there are no more
            candidates = next(from_all)
            new = np.setdiff1d(candidates, writers)
            fill = rng.permutation(new if len(new) else candidates)
            writers = np.concatenate([writers, fill[: count - len(writers)]])
        # In random order: a loss may compare a writer with those beside it alone, which stand for all of the batch.
        yield np.array([row for writer in rng.permutation(writers) for row in _draw_rows(rows, writer, rng)])


def _mix(rows: WriterRows, writers: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield ``count`` of ``writers`` at a time, with ``FORGED_WRITERS_SHARE`` as far as there are enough."""
    has_forgeries = np.array([len(rows.forged[writer]) > 0 for writer in writers])
    with_forgeries, without = int(has_forgeries.sum()), int((~has_forgeries).sum())
    target = round(FORGED_WRITERS_SHARE * count)
    forged_count = max(min(with_forgeries, target), count - without) if with_forgeries else 0
    queues = [
        _round_robin(writers[has_forgeries], forged_count, rng),
        _round_robin(writers[~has_forgeries], count - forged_count, rng),
    ]
    while True:
        yield np.concatenate([next(queue) for queue in queues])


def sample_pairs(rows: WriterRows, size: int, steps: int, rng: np.random.Generator) -> Batches:
    """Yield ``steps`` batches of ``size / 2`` pairs, rows 2i and 2i + 1, in random order within the pair.

    Half are genuine signatures of one writer. The negative pairs alternate between a genuine signature with its forgery
    and with another writer's genuine one: if every negative pair held a forgery, the forger's writing alone would give
    the label away.
    """
    rounds = _round_robin(np.arange(len(rows)), size // 2, rng)
    negatives = 0
    for _ in range(steps):
        batch = []
        for position, writer in enumerate(next(rounds)):
            first, second = rng.choice(rows.genuine[writer], 2, replace=False)
            if position % 2:
                negatives += 1
                if negatives % 2 and len(rows.forged[writer]):
                    second = rng.choice(rows.forged[writer])
                else:
                    other_writer = (writer + rng.integers(1, len(rows))) % len(rows)
                    second = rng.choice(rows.genuine[other_writer])
            batch += [first, second] if rng.random() < 0.5 else [second, first]
        yield np.array(batch)


def check_writers(rows: WriterRows) -> None:
    """Raises ``TooFewWriters`` below two writers; if writers are few, each is drawn several times."""
    if len(rows) < 2:
        raise TooFewWriters(
            f"{len(rows)} writers have two or more genuine signatures in the training data; comparing writers takes two"
        )


SAMPLERS: dict[Sampling, Callable[[WriterRows, int, int, np.random.Generator], Batches]] = {
    Sampling.WRITERS: sample_writers,
    Sampling.PAIRS: sample_pairs,
}


def _round_robin(writers: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield ``count`` writers at a time, each equally often; none twice at a time unless there are too few."""
    queue = writers[:0]
    while True:
        while len(queue) < count:
            shuffled = rng.permutation(writers)
            is_queued = np.isin(shuffled, queue)  # these go to the end
            queue = np.concatenate([queue, shuffled[~is_queued], shuffled[is_queued]])
        yield queue[:count]
        queue = queue[count:]


def _draw_rows(rows: WriterRows, writer: int, rng: np.random.Generator) -> list[int]:
    """Draw K genuine and F forged rows of a writer."""
    genuine, forged = rows.genuine[writer], rows.forged[writer]
    drawn = _draw(forged, FORGED_PER_WRITER, rng) if len(forged) else []
    return _draw(genuine, GENUINE_PER_WRITER + FORGED_PER_WRITER - len(drawn), rng) + drawn


def _draw(rows: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """Draw ``count`` rows; none is drawn again before all have been."""
    rounds = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:count].tolist()
