"""The protocol of signature verification: which signatures are compared with which references.

For every writer n references are drawn from the genuine signatures. The writer's other genuine signatures are
questioned, and so are the writer's skilled forgeries and, as random forgeries, genuine signatures of other writers. One
threshold serves all writers. NumPy only; works on vectors, not images. Next: ``calibration.py`` fits decisions to
comparisons, ``verification_metrics.py`` measures them.
"""

import concurrent.futures
import dataclasses
import enum
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from trainer.artifact.similarity import Cosine
from trainer.console.errors import UserError
from trainer.corpora import Sample
from trainer.evaluation.metrics import compute_error_rates

DRAWS = 5  # of the references of every writer; the scores of all draws count
RANDOM_FORGERIES_PER_DRAW = 40
Targets = Mapping[str, np.ndarray]  # int [N] each: label, writer, corpus_index
SimilarityFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]  # questioned [M, D], references [n, D] -> [M, n]
ScoreFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]  # similarities [M, n], of references [n, n] -> [M]


class ComparisonKind(enum.IntEnum):
    """What a questioned signature is to the writer whose references it is compared with."""

    GENUINE = 0
    SKILLED = 1  # a skilled forgery
    RANDOM = 2  # a random forgery: a genuine signature of another writer


FORGERY_KINDS = {"skilled": ComparisonKind.SKILLED, "random": ComparisonKind.RANDOM}  # by the names in reports


class NoComparisons(UserError):
    """No writer has enough genuine signatures to compare; the message says what is needed."""


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """The truth about N vectors: ``genuine`` is ``bool [N]``, ``writer`` and ``corpus_index`` are ``int [N]``."""

    genuine: np.ndarray
    writer: np.ndarray
    corpus_index: np.ndarray

    @classmethod
    def from_samples(cls, samples: list[Sample]) -> "GroundTruth":
        """Number the writers by ``Sample.split_unit`` and the corpora by ``Sample.corpus_id``."""
        writers = {
            split_unit: number for number, split_unit in enumerate(sorted({sample.split_unit for sample in samples}))
        }
        corpora = {
            corpus_id: number for number, corpus_id in enumerate(sorted({sample.corpus_id for sample in samples}))
        }
        return cls(
            np.array([sample.label == "genuine" for sample in samples]),
            np.array([writers[sample.split_unit] for sample in samples]),
            np.array([corpora[sample.corpus_id] for sample in samples]),
        )

    def to_targets(self) -> Targets:
        """Return the targets that records of these images have; the inverse of ``make_ground_truth``."""
        return {"label": np.where(self.genuine, 0, 1), "writer": self.writer, "corpus_index": self.corpus_index}


@dataclasses.dataclass(frozen=True)
class Comparisons:
    """M comparisons of a questioned vector with the references of a writer.

    ``score`` is ``float [M]``; ``kind``, a ``ComparisonKind``, and ``writer``, whose references they are, ``int [M]``.
    """

    score: np.ndarray
    kind: np.ndarray
    writer: np.ndarray

    @property
    def genuine(self) -> np.ndarray:
        """``bool [M]``: whether the questioned signature is genuine."""
        return self.kind == ComparisonKind.GENUINE

    def with_forgeries(self, kind: ComparisonKind) -> "Comparisons":
        """Select the genuine comparisons and those of one kind of forgery."""
        return self.select(self.genuine | (self.kind == kind))

    def select(self, mask: np.ndarray) -> "Comparisons":
        """Select comparisons by a mask ``bool [M]``."""
        return Comparisons(self.score[mask], self.kind[mask], self.writer[mask])

    def has(self, kind: ComparisonKind) -> bool:
        """Whether there are genuine comparisons and some with a kind of forgery."""
        return bool(self.genuine.any() and (self.kind == kind).any())

    def is_measurable(self) -> bool:
        """Whether there are genuine comparisons and some with any forgery."""
        return any(self.has(kind) for kind in FORGERY_KINDS.values())

    def compute_eer(self, kind: ComparisonKind) -> float | None:
        """Return the equal error rate in percent against one kind of forgery, ``None`` if there are none."""
        selected = self.with_forgeries(kind)
        return compute_error_rates(selected.score, selected.genuine).compute_eer() if selected.has(kind) else None


@dataclasses.dataclass(frozen=True)
class Trial:
    """One draw of n references of a writer, and the M signatures that are questioned with them.

    ``similarities`` to the references are ``float32 [M, n]``, those of the references to each other ``float32 [n, n]``;
    ``kind`` is ``int [M]``. Where ``usable``, ``bool [M]``, is false, the image is no signature.
    """

    writer: int
    kind: np.ndarray
    usable: np.ndarray
    similarities: np.ndarray
    reference_similarities: np.ndarray


def make_trials(
    vectors: np.ndarray, truth: GroundTruth, reference_count: int, similarity: SimilarityFunction, draws: int = DRAWS
) -> list[Trial]:
    """Make all trials of the protocol with vectors ``float32 [N, D]``.

    Random forgeries come from the writer's own corpus if it has other writers. Draws depend on the arguments only. A
    vector of zeros is an image that is no signature: it is rejected, and is no reference.
    """
    usable = np.any(vectors != 0, axis=1)

    def compute(draw: tuple[int, np.ndarray, np.ndarray, np.ndarray]) -> Trial:
        writer, references, questioned, kinds = draw
        reference_vectors = vectors[references]
        similarities = similarity(vectors[questioned], reference_vectors)
        return Trial(writer, kinds, usable[questioned], similarities, similarity(reference_vectors, reference_vectors))

    drawn = _draw(truth, usable, reference_count, draws)
    # NumPy computes outside of Python's lock. Its own threads would wait for each other: that takes ten times as long.
    with threadpool_limits(1), concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compute, drawn))


def compare(trials: Sequence[Trial], score: ScoreFunction) -> Comparisons:
    """Score the comparisons of trials; a higher score is more genuine, and that of a rejected image minus infinity."""
    columns = [
        (
            np.where(trial.usable, score(trial.similarities, trial.reference_similarities), -np.inf),
            trial.kind,
            np.full(len(trial.kind), trial.writer),
        )
        for trial in trials
    ]
    if not columns:
        return Comparisons(np.zeros(0), np.zeros(0, int), np.zeros(0, int))
    return Comparisons(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _draw(
    truth: GroundTruth, usable: np.ndarray, reference_count: int, draws: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (writer, rows of the references, rows that are questioned, their kinds) for every draw."""
    for writer in np.unique(truth.writer[truth.genuine]):
        by_writer = truth.writer == writer
        genuine, forged = np.flatnonzero(by_writer & truth.genuine), np.flatnonzero(by_writer & ~truth.genuine)
        if len(genuine) <= reference_count or np.count_nonzero(usable[genuine]) < reference_count:
            continue
        by_others = ~by_writer & truth.genuine
        same_corpus = by_others & (truth.corpus_index == truth.corpus_index[genuine[0]])
        candidates = np.flatnonzero(same_corpus if same_corpus.any() else by_others)
        for draw in range(draws):
            rng = np.random.default_rng([draw, reference_count, int(writer)])
            order = rng.permutation(genuine)
            order = order[np.argsort(~usable[order], kind="stable")]  # references are taken from the beginning
            random_forgeries = rng.choice(candidates, min(RANDOM_FORGERIES_PER_DRAW, len(candidates)), replace=False)
            questioned = np.concatenate([order[reference_count:], forged, random_forgeries])
            kinds = np.repeat(
                [ComparisonKind.GENUINE, ComparisonKind.SKILLED, ComparisonKind.RANDOM],
                [len(order) - reference_count, len(forged), len(random_forgeries)],
            )
            yield int(writer), order[:reference_count], questioned, kinds


def make_ground_truth(targets: Targets) -> GroundTruth:
    """Make the ground truth of a split of the records from its targets, each ``int [N]``."""
    return GroundTruth(targets["label"] == 0, targets["writer"], targets["corpus_index"])


def check_samples(samples: list[Sample]) -> None:
    """Check before training that the test samples can be compared. Raises ``NoComparisons``."""
    vectors, truth = np.ones((len(samples), 1), np.float32), GroundTruth.from_samples(samples)
    trials = make_trials(vectors, truth, 1, Cosine().compare, draws=1)
    if not compare(trials, lambda similarities, _: similarities[:, 0]).is_measurable():
        raise NoComparisons(
            f"{len(samples)} test images: no writer has two genuine signatures and forgeries or other writers to "
            "compare them with; add writers, or give a larger --test-fraction"
        )
