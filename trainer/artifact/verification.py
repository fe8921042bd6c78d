"""Verify a questioned embedding against reference embeddings: fusion, normalisation, calibration, decision.

The score compares two similarities: of the questioned signature to the references, and of the references to each other
(with few references: a prior value). One threshold for each number of references then applies to all writers. NumPy
only, independent of images and HTTP. Next: ``similarity.py`` compares two embeddings, ``thresholds.py`` finds a
threshold among the stored ones, ``trainer/evaluation/calibration.py`` fits the numbers.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from trainer.artifact import thresholds as stored_thresholds
from trainer.artifact.manifest import BadArtifact
from trainer.artifact.similarity import BadSimilarity, Cosine, Similarity, find_distinct, make_similarity
from trainer.artifact.thresholds import EQUAL_ERROR, UnsupportedRequest

FUSION_WEIGHTS = {"max": 1.0, "mean": 0.0, "both": 0.5}  # weight of the largest similarity; the mean has the rest
NORM_TOLERANCE = 0.02  # largest accepted difference of the length of a stored vector from 1


@dataclasses.dataclass(frozen=True)
class DecisionParameters:
    """Options of a request.

    ``far`` selects the threshold by its false acceptance rate, or ``threshold`` is itself the score from which a
    signature is accepted, both above 0 and below 1. ``return_embedding`` adds the questioned embedding to the answer,
    ``encoder`` identifies the encoder that made the stored embeddings of the request.
    """

    far: float | None = None
    return_embedding: bool = False
    encoder: str | None = None
    threshold: float | None = None

    @property
    def has_threshold(self) -> bool:
        """Return whether the request selects the threshold, by its rate or by itself."""
        return self.far is not None or self.threshold is not None


@dataclasses.dataclass(frozen=True)
class Verifier:
    """Decide from embeddings of length 1 whether the writer of the references wrote the questioned signature.

    h(q) is the ``fusion`` of the similarities of q to the n references; c is the mean of h(r), each reference r
    compared with the others. The log-odds that q is genuine, with equal prior probabilities of genuine and forged, are

        b0 + b1 L + (a0 + a1 L) (h(q) - (1 - 1/n) c - prior_cohesion / n),    L = ln(min(n, max_references))

    ``thresholds`` are log-odds by name and number of references, interpolated linearly in ln n. Names are ``eer`` and
    false acceptance rates such as ``0.01``, interpolated linearly in their logarithm; they were measured with the
    forgeries ``calibrated_on``. ``far_intervals`` are 95 % intervals ``[low, high]`` of the rate at each of these
    thresholds, 0 to 1; older artefacts have none. Within ``inconclusive_margin`` of the threshold ``eer`` the answer is
    inconclusive. ``similarity`` is the manifest's description of how two embeddings are compared; see
    ``similarity.py``.
    """

    kind: ClassVar[str] = "verify"
    task: ClassVar[str] = "verify"
    summary_columns: ClassVar[int] = 2  # of ``columns``, that say the answer
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
    far_intervals: Mapping[str, Mapping[str, Sequence[float]]] = dataclasses.field(default_factory=dict)
    similarity: Mapping[str, Any] = dataclasses.field(default_factory=Cosine().to_manifest)

    def __post_init__(self):
        has_thresholds = stored_thresholds.has_counts(self.thresholds) and EQUAL_ERROR in self.thresholds
        if self.fusion not in FUSION_WEIGHTS or not has_thresholds:
            raise BadArtifact(
                f"verify needs a fusion of {', '.join(FUSION_WEIGHTS)} and thresholds 'eer' by number of references: "
                f"{self.fusion}, {self.thresholds}"
            )
        if self.far_intervals and (
            not stored_thresholds.has_counts(self.far_intervals)
            or {*self.far_intervals, EQUAL_ERROR} != set(self.thresholds)
        ):
            raise BadArtifact(
                f"verify needs far_intervals for the rates of its thresholds, or none: {self.far_intervals}"
            )
        try:
            make_similarity(self.similarity).check_dim(self.embedding_dim)
        except BadSimilarity as error:
            raise BadArtifact(str(error)) from None

    @functools.cached_property
    def measure(self) -> Similarity:
        """The similarity that this verifier compares embeddings with."""
        return make_similarity(self.similarity)

    def fused_similarity(self, similarities: np.ndarray) -> np.ndarray:
        """Fuse the similarities of vectors to n references: ``float [..., n] -> float [...]``."""
        weight = FUSION_WEIGHTS[self.fusion]
        return weight * similarities.max(axis=-1) + (1 - weight) * similarities.mean(axis=-1)

    def reference_cohesion(self, similarities: np.ndarray) -> float:
        """Return the mean fused similarity of references to each other, from all similarities ``float32 [n, n]``.

        The fewer they are, the closer it is to ``prior_cohesion``: (1 - 1/n) c + prior_cohesion / n.
        """
        count = len(similarities)
        if count == 1:
            return self.prior_cohesion
        others = similarities[~np.eye(count, dtype=bool)].reshape(count, count - 1)
        return float((1 - 1 / count) * self.fused_similarity(others).mean() + self.prior_cohesion / count)

    def log_odds(self, similarities: np.ndarray, reference_similarities: np.ndarray) -> np.ndarray:
        """Compute log-odds ``float64 [M]`` from similarities to n references.

        ``similarities`` are ``float32 [M, n]``, ``reference_similarities`` those of the references to each other,
        ``float32 [n, n]``.
        """
        return self.log_odds_beside(similarities, self.reference_cohesion(reference_similarities))

    def log_odds_beside(self, similarities: np.ndarray, cohesion: float) -> np.ndarray:
        """Compute log-odds ``float64 [M]`` from similarities ``float32 [M, n]`` and the references' cohesion."""
        excess = (self.fused_similarity(similarities) - cohesion).astype(np.float64)
        log_count = self.log_references(similarities.shape[1])
        return self.b0 + self.b1 * log_count + (self.a0 + self.a1 * log_count) * excess

    def log_references(self, references: int) -> float:
        """Return L, the natural logarithm of the number of references, at most that of ``max_references``."""
        return math.log(min(references, self.max_references))

    def threshold_for(self, name: str, references: int) -> float:
        """Interpolate a stored threshold, as log-odds, for a number of references."""
        return stored_thresholds.interpolate_count(self.thresholds[name], references)

    @staticmethod
    def to_probability(log_odds: float) -> float:
        """Convert log-odds to the probability of being genuine, 0 to 1."""
        return 1 / (1 + math.exp(-min(max(log_odds, -700.0), 700.0)))

    @staticmethod
    def to_log_odds(probability: float) -> float:
        """Convert a probability above 0 and below 1 to log-odds."""
        return math.log(probability) - math.log1p(-probability)

    def decision_bounds(
        self, references: int, far: float | None = None, threshold: float | None = None
    ) -> tuple[float, float]:
        """Return the log-odds from which a signature is not rejected, and those from which it is accepted.

        Raises ``UnsupportedRequest`` for a rate outside the stored ones, and for a score that is no threshold.
        """
        equal = self.threshold_for(EQUAL_ERROR, references)
        if far is not None and threshold is not None:
            raise UnsupportedRequest("far and threshold both select the threshold; give one of them")
        if threshold is not None:
            if not 0 < threshold < 1:
                raise UnsupportedRequest(f"threshold is {threshold:g}; it has to be a score above 0 and below 1")
            accepted = self.to_log_odds(threshold)
        elif far is not None:
            accepted = stored_thresholds.interpolate_threshold(self.thresholds, far, references)
        else:
            return equal - self.inconclusive_margin, equal + self.inconclusive_margin
        return min(equal - self.inconclusive_margin, accepted), accepted

    def answer(
        self,
        vector: np.ndarray,
        references: Sequence[np.ndarray] = (),
        parameters: DecisionParameters = DecisionParameters(),
    ) -> dict[str, Any]:
        """Answer a questioned vector ``float32 [D]``, compared with references ``float32 [D]``.

        The answer has ``decision``, ``score`` (probability of genuine), ``distance`` to the nearest reference (the
        root of 2 - 2 s, where s is the similarity; of cosines, the Euclidean distance), both of
        ``per_reference`` alone, the ``threshold`` and bounds of ``inconclusive`` as scores, and for a ``far`` its
        ``far_interval`` where one is stored. Copies of a reference count once: they would make the references look more
        alike than signatures of one hand are. Without references the answer is the ``embedding``, for enrolment. Raises
        ``UnsupportedRequest``.
        """
        embedding = {"embedding": vector}
        if not len(references):
            self.decision_bounds(
                1, parameters.far, parameters.threshold
            )  # a rate that is not stored is an error here, too
            return embedding
        vectors = self._check_references(references)
        distinct = find_distinct(vectors)
        low, high = self.decision_bounds(len(distinct), parameters.far, parameters.threshold)
        similarities = self.measure.compare(vector[None], vectors)
        log_odds = float(self.log_odds(similarities[:, distinct], self.measure.compare_all(vectors[distinct]))[0])
        distances = np.sqrt(np.maximum(0, 2 - 2 * similarities[0]))
        scores = map(self.to_probability, self.log_odds(similarities.T, np.ones((1, 1), np.float32)).tolist())
        score = self.to_probability(log_odds)
        # A requested threshold is compared as a score: its log-odds are rounded.
        is_accepted = log_odds >= high if parameters.threshold is None else score >= parameters.threshold
        return {
            "decision": "accept" if is_accepted else "inconclusive" if log_odds >= low else "reject",
            "score": score,
            "distance": float(distances.min()),
            "per_reference": [
                {"distance": float(distance), "score": score} for distance, score in zip(distances, scores, strict=True)
            ],
            "threshold": parameters.threshold
            or self.to_probability(
                high if parameters.has_threshold else self.threshold_for(EQUAL_ERROR, len(distinct))
            ),
            "inconclusive": [self.to_probability(low), self.to_probability(high)],
            **self._describe_far(parameters.far, len(distinct)),
            **(embedding if parameters.return_embedding else {}),
        }

    def _describe_far(self, far: float | None, references: int) -> dict[str, Any]:
        """Return the interval of a requested false acceptance rate as a part of the answer, if one is stored."""
        if far is None or not self.far_intervals:
            return {}
        return {"far_interval": stored_thresholds.interpolate_interval(self.far_intervals, far, references)}

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
        """Return where the answer is neither accept nor reject, by the threshold ``eer``: ``float [M] -> bool [M]``."""
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
