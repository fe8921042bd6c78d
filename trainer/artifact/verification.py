"""``Verify``: is a questioned vector by the hand of the references? Fusion, normalisation, calibration, thresholds.

In words for auditors: how much less like the references is this signature than they are like each other? With few
references a usual value stands in for that. One threshold for each number of references then serves all people. NumPy
only; knows no images and no HTTP. Next: ``trainer/evaluation/calibration.py`` finds the numbers.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from trainer.artifact.manifest import BadArtifact

FUSIONS = {"max": 1.0, "mean": 0.0, "both": 0.5}  # how much the nearest reference counts against the mean of all
LENGTH = 0.02  # how far a stored vector may be from length 1


class BadQuestion(ValueError):
    """A question that this model does not answer; the message says what it answers."""


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What a caller may choose: a stored threshold by its false acceptance rate, and whether vectors are answered.

    ``encoder`` is what made the stored vectors of a question.
    """

    far: float | None = None
    return_embedding: bool = False
    encoder: str | None = None


@dataclasses.dataclass(frozen=True)
class Verify:
    """Same hand or not, from unit vectors.

    With cosine similarities, h(q) is ``fusion`` of those to the n references and c the mean of h(r) of each reference
    to the others. The evidence, log-odds that q is genuine when genuine and forged are as likely before, is

        b0 + b1 L + (a0 + a1 L) (h(q) - (1 - 1/n) c - cohesion / n),    L = ln(min(n, most))

    ``thresholds`` are log-odds by name and number of references, straight between in ln n: ``eer`` and target rates of
    false acceptance such as ``0.01``, of forgeries ``against`` which they were found. Within ``band`` of the first the
    answer is inconclusive.
    """

    kind: ClassVar[str] = "verify"
    compares: ClassVar[bool] = True
    size: int
    fusion: str
    cohesion: float
    a0: float
    a1: float
    b0: float
    b1: float
    most: int
    thresholds: Mapping[str, Mapping[str, float]]
    band: float
    against: str

    def __post_init__(self):
        stored = self.thresholds if isinstance(self.thresholds, Mapping) else {}
        whole = all(isinstance(of, Mapping) and of and all(map(str.isdigit, of)) for of in stored.values())
        if self.fusion not in FUSIONS or "eer" not in stored or not whole:
            raise BadArtifact(
                f"verify needs a fusion of {', '.join(FUSIONS)} and thresholds 'eer' by number of references: "
                f"{self.fusion}, {self.thresholds}"
            )

    def closeness(self, similar: np.ndarray) -> np.ndarray:
        """Similarities ``[..., n]`` of vectors to n references, fused to ``[...]``."""
        nearest = FUSIONS[self.fusion]
        return nearest * similar.max(axis=-1) + (1 - nearest) * similar.mean(axis=-1)

    def own(self, references: np.ndarray) -> float:
        """How alike the references ``[n, D]`` are, drawn to the usual value the fewer they are."""
        count = len(references)
        if count == 1:
            return self.cohesion
        others = ~np.eye(count, dtype=bool)
        similar = (references @ references.T)[others].reshape(count, count - 1)
        return float((1 - 1 / count) * self.closeness(similar).mean() + self.cohesion / count)

    def evidence(self, questioned: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Log-odds ``float64 [M]`` of vectors ``[M, D]``, given n references ``[n, D]``."""
        excess = (self.closeness(questioned @ references.T) - self.own(references)).astype(np.float64)
        more = self.more(len(references))
        return self.b0 + self.b1 * more + (self.a0 + self.a1 * more) * excess

    def more(self, references: int) -> float:
        """L: what so many references add."""
        return math.log(min(references, self.most))

    def threshold(self, name: str, references: int) -> float:
        """A stored threshold, as log-odds, for so many references."""
        known = sorted((math.log(int(count)), value) for count, value in self.thresholds[name].items())
        counts, values = zip(*known, strict=True)
        return float(np.interp(math.log(references), np.array(counts), np.array(values)))

    @staticmethod
    def probability(evidence: float) -> float:
        """Log-odds to the probability of being genuine, 0 to 1."""
        return 1 / (1 + math.exp(-min(max(evidence, -700.0), 700.0)))

    def edges(self, references: int, far: float | None = None) -> tuple[float, float]:
        """Log-odds from which a signature is not rejected, and from which it is accepted. Raises ``BadQuestion``."""
        equal = self.threshold("eer", references)
        if far is None:
            return equal - self.band, equal + self.band
        stored = {float(name): name for name in self.thresholds if name != "eer"}
        if far not in stored:
            raise BadQuestion(f"no threshold is stored for far {far:g}; there is: {', '.join(map(str, stored))}")
        accepted = self.threshold(stored[far], references)
        return min(equal - self.band, accepted), accepted

    def answer(
        self, vector: np.ndarray, references: Sequence[np.ndarray] = (), parameters: Parameters = Parameters()
    ) -> dict[str, Any]:
        """``decision``, ``score`` (probability), ``distance`` to the nearest reference (Euclidean, 0 to 2) and so on.

        Without references the ``embedding`` itself: that is how people are enrolled.
        """
        low, high = self.edges(max(1, len(references)), parameters.far)
        embedding = {"embedding": vector}
        if not len(references):
            return embedding
        given = self._checked(references)
        evidence = float(self.evidence(vector[None], given)[0])
        distances = np.sqrt(np.maximum(0, 2 - 2 * (given @ vector)))
        alone = [self.probability(float(self.evidence(vector[None], one[None])[0])) for one in given]
        return {
            "decision": "accept" if evidence >= high else "inconclusive" if evidence >= low else "reject",
            "score": self.probability(evidence),
            "distance": float(distances.min()),
            "per_reference": [
                {"distance": float(away), "score": score} for away, score in zip(distances, alone, strict=True)
            ],
            "threshold": self.probability(self.threshold("eer", len(given)) if parameters.far is None else high),
            "inconclusive": [self.probability(low), self.probability(high)],
            **(embedding if parameters.return_embedding else {}),
        }

    def _checked(self, references: Sequence[np.ndarray]) -> np.ndarray:
        """The references as ``float32 [n, D]``, each of length 1. Raises ``BadQuestion``."""
        for number, each in enumerate(references):
            length = float(np.linalg.norm(each.astype(np.float64)))
            if each.shape != (self.size,) or not abs(length - 1) <= LENGTH:
                raise BadQuestion(
                    f"stored reference {number} is {each.shape[0]} numbers of length {length:.3g}; this model's "
                    f"embeddings are {self.size} numbers of length 1"
                )
        given = np.stack(references)
        return given / np.linalg.norm(given, axis=1, keepdims=True)

    def is_inconclusive(self, evidence: np.ndarray, references: int) -> np.ndarray:
        """Where the usual answer is neither accept nor reject: ``float [M] -> bool [M]``."""
        low, high = self.edges(references)
        return (evidence >= low) & (evidence < high)

    @property
    def columns(self) -> list[str]:
        """The names of ``row``, most telling first."""
        return ["decision", "score", "distance", "threshold", "references"]

    def row(self, answer: dict[str, Any]) -> list[str]:
        """An answer as the cells of a table; an enrolment has nothing to tell there."""
        if "score" not in answer:
            return [answer.get("decision", "embedding"), "", "", "", ""]
        numbers = [f"{answer[name]:.6f}" for name in ("score", "distance", "threshold")]
        return [answer["decision"], *numbers, str(len(answer["per_reference"]))]

    def facts(self) -> dict[str, Any]:
        """What a server says about itself: thresholds as scores, by number of references."""
        return {
            "thresholds": {
                name: {count: self.probability(value) for count, value in of.items()}
                for name, of in self.thresholds.items()
            }
        }

    def describe(self) -> dict[str, Any]:
        """The manifest's form."""
        return {"kind": self.kind, **dataclasses.asdict(self)}
