"""Decide the answer to a vector, by the decision that the manifest describes.

Evaluation, server and offline use all decide with this code. Independent of images, HTTP and problems. To add a type of
decision, add a class with the members of ``Classifier`` to ``DECISION_TYPES``. Next: ``verification.py``.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from trainer.artifact.manifest import BadArtifact
from trainer.artifact.verification import DecisionParameters, UnsupportedRequest, Verifier

__all__ = [
    "DECISION_TYPES",
    "Classifier",
    "Decision",
    "DecisionParameters",
    "UnsupportedRequest",
    "Verifier",
    "from_manifest",
]


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Answer one of L labels from class probabilities ``float32 [L]``.

    The answer is the label whose probability is largest relative to its threshold (Collell et al. 2018, "A simple
    plug-in bagging ensemble", sec. 2). With two labels and thresholds t and 1 - t, it is the first label if p >= t.
    """

    kind: ClassVar[str] = "classify"
    takes_references: ClassVar[bool] = False
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self):
        if len(self.labels) < 2 or len(self.thresholds) != len(self.labels) or min(self.thresholds) <= 0:
            raise BadArtifact(
                f"classify needs two labels or more, a positive threshold for each: {self.labels}, {self.thresholds}"
            )

    @classmethod
    def with_equal_thresholds(cls, labels: tuple[str, ...]) -> "Classifier":
        """Make a classifier that answers the most probable label."""
        return cls(tuple(labels), (1 / len(labels),) * len(labels))

    def predict_indices(self, vectors: np.ndarray) -> np.ndarray:
        """Return the indices of the answered labels: ``float32 [N, L] -> int64 [N]``."""
        return np.argmax(vectors / np.asarray(self.thresholds, np.float32), axis=1)

    def answer(
        self,
        vector: np.ndarray,
        references: Sequence[np.ndarray] = (),
        parameters: DecisionParameters = DecisionParameters(),
    ) -> dict[str, Any]:
        """Answer class probabilities ``float32 [L]`` with ``label``, its ``score``, and the ``scores`` of all labels.

        Raises ``UnsupportedRequest`` for a false acceptance rate.
        """
        if parameters.far is not None:
            raise UnsupportedRequest("this model classifies; it has no thresholds by false acceptance rate")
        index = int(self.predict_indices(vector[None])[0])
        scores = {label: float(p) for label, p in zip(self.labels, vector, strict=True)}
        return {"label": self.labels[index], "score": scores[self.labels[index]], "scores": scores}

    @property
    def columns(self) -> list[str]:
        """Return the names of the cells of ``to_row``, most informative first."""
        return ["label", "score", *(f"score_{label}" for label in self.labels)]

    def to_row(self, answer: dict[str, Any]) -> list[str]:
        """Return an answer as the cells of a table."""
        scores = [answer["score"], *(answer["scores"][label] for label in self.labels)]
        return [answer["label"], *(f"{score:.6f}" for score in scores)]

    def get_metadata(self) -> dict[str, Any]:
        """Return the metadata that a server publishes beside the labels: none."""
        return {}

    def to_manifest(self) -> dict[str, Any]:
        """Return the JSON form that the manifest keeps."""
        return {"kind": self.kind, "labels": list(self.labels), "thresholds": list(self.thresholds)}


Decision = Classifier | Verifier
DECISION_TYPES: dict[str, type[Decision]] = {Classifier.kind: Classifier, Verifier.kind: Verifier}


def from_manifest(described: dict[str, Any]) -> Decision:
    """Make the decision that a manifest describes in ``decision``. Raises ``BadArtifact``."""
    values = dict(described)
    kind = values.pop("kind", None)
    if kind not in DECISION_TYPES:
        raise BadArtifact(
            f"the manifest's decision is of kind {kind!r}; this version knows {', '.join(DECISION_TYPES)}"
        )
    decision: Any = DECISION_TYPES[kind]
    try:
        return decision(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    except TypeError as error:
        raise BadArtifact(f"the manifest's {kind} decision lacks or adds a field: {error}") from None
