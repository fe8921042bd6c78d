"""Verify a questioned embedding against reference embeddings: fusion, normalisation, calibration, thresholds.

The score compares two similarities: of the questioned signature to the references, and of the references to each other
(with few references: a prior value). One threshold for each number of references then applies to all writers. NumPy
only, independent of images and HTTP. Next: ``trainer/evaluation/calibration.py`` fits the numbers.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from trainer.artifact.manifest import BadArtifact

FUSION_WEIGHTS = {"max": 1.0, "mean": 0.0, "both": 0.5}  # weight of the largest similarity; the mean has the rest
NORM_TOLERANCE = 0.02  # largest accepted difference of the length of a stored vector from 1


class UnsupportedRequest(ValueError):
    """The model cannot answer this request; the message says what it can answer."""


@dataclasses.dataclass(frozen=True)
class DecisionParameters:
    """Options of a request.

    ``far`` selects a stored threshold by its false acceptance rate, ``return_embedding`` adds the questioned embedding
    to the answer, ``encoder`` identifies the encoder that made the stored embeddings of the request.
    """

    far: float | None = None
    return_embedding: bool = False
    encoder: str | None = None


@dataclasses.dataclass(frozen=True)
class Verifier:
    """Decide from embeddings of length 1 whether the writer of the references wrote the questioned signature.

    h(q) is the ``fusion`` of the cosine similarities of q to the n references; c is the mean of h(r), each reference r
    compared with the others. The log-odds that q is genuine, with equal prior probabilities of genuine and forged, are

        b0 + b1 L + (a0 + a1 L) (h(q) - (1 - 1/n) c - prior_cohesion / n),    L = ln(min(n, max_references))

    ``thresholds`` are log-odds by name and number of references, interpolated linearly in ln n. Names are ``eer`` and
    false acceptance rates such as ``0.01``; they were measured with the forgeries ``calibrated_on``. Within
    ``inconclusive_margin`` of the threshold ``eer`` the answer is inconclusive.
    """

    kind: ClassVar[str] = "verify"
    takes_references: ClassVar[bool] = True
    embedding_dim: int
    fusion: str
    prior_cohesion: float
    a0: float
    a1: float
    b0: float
    b1: float
    max_references: int
    thresholds: Mapping[str, Mapping[str, float]]
    inconclusive_margin: float
    calibrated_on: str

    def __post_init__(self):
        stored = self.thresholds if isinstance(self.thresholds, Mapping) else {}
        has_counts = all(
            isinstance(by_count, Mapping) and by_count and all(map(str.isdigit, by_count))
            for by_count in stored.values()
        )
        if self.fusion not in FUSION_WEIGHTS or "eer" not in stored or not has_counts:
            raise BadArtifact(
                f"verify needs a fusion of {', '.join(FUSION_WEIGHTS)} and thresholds 'eer' by number of references: "
                f"{self.fusion}, {self.thresholds}"
            )

    def fused_similarity(self, similarities: np.ndarray) -> np.ndarray:
        """Fuse the similarities of vectors to n references: ``float [..., n] -> float [...]``."""
        weight = FUSION_WEIGHTS[self.fusion]
        return weight * similarities.max(axis=-1) + (1 - weight) * similarities.mean(axis=-1)

    def reference_cohesion(self, references: np.ndarray) -> float:
        """Return the mean fused similarity of references ``float32 [n, D]`` to each other.

        The fewer they are, the closer it is to ``prior_cohesion``: (1 - 1/n) c + prior_cohesion / n.
        """
        count = len(references)
        if count == 1:
            return self.prior_cohesion
        off_diagonal = ~np.eye(count, dtype=bool)
        similarities = (references @ references.T)[off_diagonal].reshape(count, count - 1)
        return float((1 - 1 / count) * self.fused_similarity(similarities).mean() + self.prior_cohesion / count)

    def log_odds(self, questioned: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Compute log-odds ``float64 [M]`` of vectors ``float32 [M, D]`` to n references ``float32 [n, D]``."""
        similarity = self.fused_similarity(questioned @ references.T)
        excess = (similarity - self.reference_cohesion(references)).astype(np.float64)
        log_count = self.log_references(len(references))
        return self.b0 + self.b1 * log_count + (self.a0 + self.a1 * log_count) * excess

    def log_references(self, references: int) -> float:
        """Return L, the natural logarithm of the number of references, at most that of ``max_references``."""
        return math.log(min(references, self.max_references))

    def threshold_for(self, name: str, references: int) -> float:
        """Interpolate a stored threshold, as log-odds, for a number of references."""
        stored = sorted((math.log(int(count)), value) for count, value in self.thresholds[name].items())
        log_counts, values = zip(*stored, strict=True)
        return float(np.interp(math.log(references), np.array(log_counts), np.array(values)))

    @staticmethod
    def to_probability(log_odds: float) -> float:
        """Convert log-odds to the probability of being genuine, 0 to 1."""
        return 1 / (1 + math.exp(-min(max(log_odds, -700.0), 700.0)))

    def decision_bounds(self, references: int, far: float | None = None) -> tuple[float, float]:
        """Return the log-odds from which a signature is not rejected, and those from which it is accepted.

        Raises ``UnsupportedRequest`` if no threshold is stored for ``far``.
        """
        equal = self.threshold_for("eer", references)
        if far is None:
            return equal - self.inconclusive_margin, equal + self.inconclusive_margin
        stored = {float(name): name for name in self.thresholds if name != "eer"}
        if far not in stored:
            raise UnsupportedRequest(f"no threshold is stored for far {far:g}; there is: {', '.join(map(str, stored))}")
        accepted = self.threshold_for(stored[far], references)
        return min(equal - self.inconclusive_margin, accepted), accepted

    def answer(
        self,
        vector: np.ndarray,
        references: Sequence[np.ndarray] = (),
        parameters: DecisionParameters = DecisionParameters(),
    ) -> dict[str, Any]:
        """Answer a questioned vector ``float32 [D]``, compared with references ``float32 [D]``.

        The answer has ``decision``, ``score`` (probability of genuine), ``distance`` to the nearest reference
        (Euclidean, 0 to 2), both of ``per_reference`` alone, and the ``threshold`` and bounds of ``inconclusive`` as
        scores. Without references it is the ``embedding``, for enrolment. Raises ``UnsupportedRequest``.
        """
        low, high = self.decision_bounds(max(1, len(references)), parameters.far)
        embedding = {"embedding": vector}
        if not len(references):
            return embedding
        vectors = self._check_references(references)
        log_odds = float(self.log_odds(vector[None], vectors)[0])
        distances = np.sqrt(np.maximum(0, 2 - 2 * (vectors @ vector)))
        scores = [self.to_probability(float(self.log_odds(vector[None], row[None])[0])) for row in vectors]
        return {
            "decision": "accept" if log_odds >= high else "inconclusive" if log_odds >= low else "reject",
            "score": self.to_probability(log_odds),
            "distance": float(distances.min()),
            "per_reference": [
                {"distance": float(distance), "score": score} for distance, score in zip(distances, scores, strict=True)
            ],
            "threshold": self.to_probability(
                self.threshold_for("eer", len(vectors)) if parameters.far is None else high
            ),
            "inconclusive": [self.to_probability(low), self.to_probability(high)],
            **(embedding if parameters.return_embedding else {}),
        }

    def _check_references(self, references: Sequence[np.ndarray]) -> np.ndarray:
        """Return the references as ``float32 [n, D]``, normalised to length 1. Raises ``UnsupportedRequest``."""
        for number, reference in enumerate(references):
            length = float(np.linalg.norm(reference.astype(np.float64)))
            if reference.shape != (self.embedding_dim,) or not abs(length - 1) <= NORM_TOLERANCE:
                raise UnsupportedRequest(
                    f"stored reference {number} is {reference.shape[0]} numbers of length {length:.3g}; this model's "
                    f"embeddings are {self.embedding_dim} numbers of length 1"
                )
        vectors = np.stack(references)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def is_inconclusive(self, log_odds: np.ndarray, references: int) -> np.ndarray:
        """Return where the answer is neither accept nor reject, without ``far``: ``float [M] -> bool [M]``."""
        low, high = self.decision_bounds(references)
        return (log_odds >= low) & (log_odds < high)

    @property
    def columns(self) -> list[str]:
        """Return the names of the cells of ``to_row``, most informative first."""
        return ["decision", "score", "distance", "threshold", "references"]

    def to_row(self, answer: dict[str, Any]) -> list[str]:
        """Return an answer as the cells of a table; an embedding has no numbers."""
        if "score" not in answer:
            return [answer.get("decision", "embedding"), "", "", "", ""]
        numbers = [f"{answer[name]:.6f}" for name in ("score", "distance", "threshold")]
        return [answer["decision"], *numbers, str(len(answer["per_reference"]))]

    def get_metadata(self) -> dict[str, Any]:
        """Return the metadata that a server publishes: thresholds as scores, by name and number of references."""
        return {
            "thresholds": {
                name: {count: self.to_probability(value) for count, value in by_count.items()}
                for name, by_count in self.thresholds.items()
            }
        }

    def to_manifest(self) -> dict[str, Any]:
        """Return the JSON form that the manifest keeps."""
        return {"kind": self.kind, **dataclasses.asdict(self)}
