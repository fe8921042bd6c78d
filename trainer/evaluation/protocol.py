"""The protocol of signature verification: which signatures are compared with which references.

For every writer n references are drawn from the genuine signatures. The writer's other genuine signatures are
questioned, and so are the writer's skilled forgeries and, as random forgeries, genuine signatures of other writers. One
threshold serves all writers. NumPy only; works on vectors, not images. Next: ``calibration.py`` fits decisions to
comparisons, ``verification_metrics.py`` measures them.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from trainer.console.errors import UserError
from trainer.corpora import Sample
from trainer.evaluation.metrics import compute_error_rates

DRAWS = 5  # of the references of every writer; the scores of all draws count
RANDOM_FORGERIES_PER_DRAW = 40
Targets = Mapping[str, np.ndarray]  # int [N] each: label, writer, corpus_index
ScoreFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]  # questioned [M, D], references [n, D] -> scores [M]


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


def compare(
    vectors: np.ndarray, truth: GroundTruth, reference_count: int, score: ScoreFunction, draws: int = DRAWS
) -> Comparisons:
    """Make all comparisons of the protocol with vectors ``float32 [N, D]``; a higher score is more genuine.

    Random forgeries come from the writer's own corpus if it has other writers. Draws depend on the arguments only. A
    vector of zeros is an image that is no signature: it is rejected (its score is minus infinity), and is no reference.
    """
    usable = np.any(vectors != 0, axis=1)
    columns = [
        (
            np.where(usable[questioned], score(vectors[questioned], vectors[references]), -np.inf),
            kinds,
            np.full(len(questioned), writer),
        )
        for writer, references, questioned, kinds in _draw(truth, usable, reference_count, draws)
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
    if not compare(vectors, truth, 1, _score_zero, draws=1).is_measurable():
        raise NoComparisons(
            f"{len(samples)} test images: no writer has two genuine signatures and forgeries or other writers to "
            "compare them with; add writers, or give a larger --test-fraction"
        )


def _score_zero(questioned: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.zeros(len(questioned))
