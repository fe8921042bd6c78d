"""Add, replace and remove writers and their references, and find references that disagree with each other.

Each function is one write of the store. Next: ``store.py``; ``gallery.py`` reads the summaries that are made here.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.artifact.cohort import CohortSimilarity, pool
from trainer.artifact.similarity import find_distinct
from trainer.enrolment import records
from trainer.enrolment.errors import EnrolmentError, NotEnrolled
from trainer.enrolment.records import Reference, WriterSummary

if TYPE_CHECKING:
    from trainer.artifact.verification import Verifier
    from trainer.enrolment.store import EnrolmentStore

MAX_REFERENCES = 100  # of one writer; a verifier's thresholds end at fewer
POOLED_PLACES = (3, 6)  # rows and columns that a grid of local descriptors is reduced to, for the prototypes
MIN_AGREEMENT = 0.1  # probability that a reference is by the hand of the others
UNLIKE_THE_OTHERS = "unlike_other_references"


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """A reference that is unlike the others of its writer: its ``score`` beside them is less than the ``limit``."""

    reference: Reference
    score: float
    limit: float

    def describe(self) -> dict[str, Any]:
        """Return it in the JSON form of a warning."""
        return {
            "code": UNLIKE_THE_OTHERS,
            "reference": self.reference.id,
            "label": self.reference.label,
            "value": self.score,
            "limit": self.limit,
        }


def make_references(labelled: Iterable[tuple[str, np.ndarray]]) -> list[Reference]:
    """Make references of labels and embeddings ``float32 [D]``, each with a new id."""
    return [Reference(secrets.token_hex(6), label, vector) for label, vector in labelled]


def put_writer(
    store: EnrolmentStore, verifier: Verifier, name: str, references: Sequence[Reference]
) -> list[Reference]:
    """Store a writer with these references in the place of the previous ones. Raises ``EnrolmentError``.

    A copy of another reference tells nothing more about the hand; returns the copies, which are left out.
    """
    if not 1 <= len(references) <= MAX_REFERENCES:
        raise EnrolmentError(f"a writer has 1 to {MAX_REFERENCES} references; these are {len(references)}")
    distinct = find_distinct(records.restore(np.stack([reference.vector for reference in references])))
    kept = [references[position] for position in distinct]
    store.put(summarise(verifier, name, [reference.vector for reference in kept]), kept)
    return [reference for position, reference in enumerate(references) if position not in distinct]


def add_references(
    store: EnrolmentStore, verifier: Verifier, name: str, references: Sequence[Reference]
) -> list[Reference]:
    """Add references to those of a writer, who need not be on file; return the copies, which are left out.

    Raises ``EnrolmentError``.
    """
    with store.transaction():
        try:
            stored = store.read_references(name)
        except NotEnrolled:
            stored = []
        return put_writer(store, verifier, name, [*stored, *references])


def remove_reference(store: EnrolmentStore, verifier: Verifier, name: str, id: str) -> None:
    """Remove one reference; the writer with the last one. Raises ``NotEnrolled``."""
    with store.transaction():
        stored = store.read_references(name)
        others = [reference for reference in stored if reference.id != id]
        if len(others) == len(stored):
            raise NotEnrolled(f"the writer {name!r} has no reference {id!r}")
        if others:
            put_writer(store, verifier, name, others)
        else:
            store.remove(name)


def summarise(verifier: Verifier, name: str, vectors: Sequence[np.ndarray] | np.ndarray) -> WriterSummary:
    """Make the summary of a writer's references ``float32 [D]``: their cohesion, and the mean of their directions."""
    stacked = records.restore(np.stack([*vectors]))
    cohesion = verifier.reference_cohesion(verifier.measure.compare_all(stacked))
    mean = pool_vectors(verifier, stacked).mean(axis=0)
    return WriterSummary(name, len(stacked), cohesion, mean / max(float(np.linalg.norm(mean)), 1e-6))


def pool_vectors(verifier: Verifier, vectors: np.ndarray) -> np.ndarray:
    """Reduce embeddings ``float32 [n, D]`` to the ``float32 [n, P]`` by which near writers are searched."""
    measure = verifier.measure
    return pool(vectors, measure.similarity if isinstance(measure, CohortSimilarity) else measure, POOLED_PLACES)


def find_disagreements(verifier: Verifier, references: Sequence[Reference]) -> list[Disagreement]:
    """Compare each reference with the others of its writer; return those that are hardly by the same hand.

    Few genuine signatures are: the limit is a calibrated probability, far below a threshold for questioned ones.
    """
    count = len(references)
    if count < 2:
        return []
    similarities = verifier.measure.compare_all(np.stack([reference.vector for reference in references]))
    disagreements = []
    for position, reference in enumerate(references):
        others = np.arange(count) != position
        log_odds = verifier.log_odds(similarities[position][None, others], similarities[np.ix_(others, others)])[0]
        score = verifier.to_probability(float(log_odds))
        if score < MIN_AGREEMENT:
            disagreements.append(Disagreement(reference, score, MIN_AGREEMENT))
    return disagreements
