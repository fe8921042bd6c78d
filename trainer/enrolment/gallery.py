"""Identify the writer of a signature among those on file (1:N), or answer that it is by none of them.

One matrix product finds the writers whose mean references are nearest; the verifier then compares the signature with
the references of those alone. ``calibration.py`` measures how high the best score of a stranger is among these writers,
which grows with their number. Terms and rates are those of ISO/IEC 19795-1: FPIR, FNIR. Next: ``store.py``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trainer.enrolment import calibration
from trainer.enrolment.calibration import Calibration
from trainer.enrolment.errors import NotEnrolled
from trainer.enrolment.records import normalize_name
from trainer.enrolment.writers import pool_vectors, summarise

if TYPE_CHECKING:
    from trainer.artifact.artifact import EncodedImage
    from trainer.artifact.verification import Verifier
    from trainer.enrolment.store import EnrolmentStore

MAX_COMPARED = 20  # writers whose references are compared; docs/people.md has what that costs and finds
DEFAULT_FPIR = 0.01
IDENTIFIED, UNKNOWN = "identified", "unknown"


@dataclasses.dataclass(frozen=True)
class IdentificationParameters:
    """``candidates`` is the number of nearest writers to return, ``fpir`` the accepted rate of strangers identified."""

    candidates: int = 5
    fpir: float = DEFAULT_FPIR


class IdentificationColumns:
    """Answers as cells of a table, as ``Verifier`` has them for its own."""

    columns: ClassVar[list[str]] = ["decision", "writer", "score", "threshold"]
    summary_columns: ClassVar[int] = 3

    def to_row(self, answer: Mapping[str, Any]) -> list[str]:
        """Return the cells of an answer, empty where it has nothing."""
        numbers = [f"{answer[name]:.6f}" if name in answer else "" for name in ("score", "threshold")]
        return [answer["decision"], answer.get("writer", ""), *numbers]


class Gallery:
    """The writers of a store as they are when this is made; it reads the references of a few of them when it answers.

    Any number of threads may share one object. A writer who is changed meanwhile is compared as before or after the
    change, one who is removed is not.
    """

    def __init__(self, store: EnrolmentStore, verifier: Verifier):
        self.verifier, self._store = verifier, store
        summaries = store.read_summaries()
        self.names = [summary.name for summary in summaries]
        self.reference_counts = np.array([summary.references for summary in summaries], np.int32)
        size = pool_vectors(verifier, np.eye(1, verifier.embedding_dim, dtype=np.float32)).shape[1]
        self._prototypes = np.array([summary.prototype for summary in summaries], np.float32).reshape(-1, size)
        self._positions = {name: position for position, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: str) -> bool:
        return normalize_name(name) in self._positions

    def read_vectors(self, name: str) -> np.ndarray:
        """Read the references of a writer, ``float32 [n, D]``. Raises ``NotEnrolled``."""
        if name not in self:
            raise NotEnrolled(f"no writer {name!r} is on file, among {len(self)}")
        return np.stack([reference.vector for reference in self._store.read_references(name)])

    @functools.cached_property
    def calibration(self) -> Calibration:
        """What the store has stored about these writers, or what is measured now, within seconds."""
        stored = self._store.read_calibration()
        return Calibration(**stored) if stored else calibration.measure(self)

    def answer(self, encoded: EncodedImage, parameters: IdentificationParameters) -> dict[str, Any]:
        """Answer an encoded image as ``identify`` does; one that is no signature as a verifier does."""
        if encoded.rejection:
            reasons = [{"image": "questioned", **encoded.rejection}]
            return {"decision": "not_a_signature", "reasons": reasons, "warnings": encoded.warnings}
        return {**self.identify(encoded.vector, parameters), "warnings": encoded.warnings}

    def identify(self, vector: np.ndarray, parameters: IdentificationParameters) -> dict[str, Any]:
        """Answer which writer made a signature with embedding ``float32 [D]``.

        ``decision`` is ``identified``, with ``writer``, or ``unknown``. ``candidates`` are the nearest writers, best
        first, each with the ``score`` that verification with the writer's references has. From the ``threshold`` on a
        writer is identified; ``fpir`` is the largest rate at which strangers then are, ``fnir`` the measured rate at
        which writers on file are not.
        """
        positions, log_odds = self.rank(vector)
        threshold, rates = self.calibration.find_threshold(parameters.fpir)
        answer: dict[str, Any] = {"decision": UNKNOWN, "writers": len(self), **rates}
        if len(positions):
            low, _ = self.verifier.decision_bounds(int(self.reference_counts[positions[0]]))
            threshold = max(threshold, low)  # who is rejected in a verification is not identified either
            if log_odds[0] >= threshold:
                answer |= {"decision": IDENTIFIED, "writer": self.names[positions[0]]}
            answer["score"] = self.verifier.to_probability(float(log_odds[0]))
            answer["threshold"] = self.verifier.to_probability(threshold)
        nearest = list(zip(positions, log_odds, strict=True))[: parameters.candidates]
        answer["candidates"] = [
            {"writer": self.names[position], "score": self.verifier.to_probability(float(value))}
            for position, value in nearest
        ]
        return answer

    def _read_if_on_file(self, position: int) -> tuple[float, np.ndarray] | None:
        """Read cohesion and references ``float32 [n, D]`` of a writer; None if removed since this gallery was made."""
        try:
            summary, references = self._store.read_writer(self.names[position])
        except NotEnrolled:
            return None
        return summary.cohesion, np.stack([reference.vector for reference in references])

    def rank(
        self, vector: np.ndarray, replaced: Mapping[int, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare an embedding ``float32 [D]`` with the nearest writers: positions and log-odds, best first.

        ``replaced`` are references ``float32 [n, D]`` to use for writers at some positions; none leave a writer out.
        """
        references = dict(replaced or {})
        summaries = {position: summarise(self.verifier, "", rows) for position, rows in references.items() if len(rows)}
        pooled = pool_vectors(self.verifier, vector[None])[0]
        similarities = self._prototypes @ pooled
        for position in references:
            has_any = position in summaries
            similarities[position] = summaries[position].prototype @ pooled if has_any else -np.inf
        count = min(MAX_COMPARED, len(self) - len(references) + len(summaries))
        if count < 1:
            return np.empty(0, np.int64), np.empty(0)
        nearest = np.argpartition(similarities, len(self) - count)[len(self) - count :]
        nearest.sort()  # so that the order of equal scores is that of the file
        compared_with: dict[int, tuple[float, np.ndarray]] = {}  # cohesion and references by position
        for position in nearest.tolist():
            if position in references:
                compared_with[position] = summaries[position].cohesion, references[position]
            elif stored := self._read_if_on_file(position):
                compared_with[position] = stored
        if not compared_with:
            return np.empty(0, np.int64), np.empty(0)
        nearest = np.array(list(compared_with))
        cohesions, rows = zip(*compared_with.values(), strict=True)
        compared = self.verifier.measure.compare(vector[None], np.concatenate(rows))
        parts = np.split(compared, np.cumsum([len(each) for each in rows])[:-1], axis=1)
        pairs = zip(parts, cohesions, strict=True)
        log_odds = np.array([self.verifier.log_odds_beside(part, cohesion)[0] for part, cohesion in pairs])
        order = np.argsort(-log_odds, kind="stable")
        return nearest[order], log_odds[order]
