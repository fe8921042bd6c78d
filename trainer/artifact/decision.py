"""Decide the answer to a vector, by the decision that the manifest describes.

Evaluation, server and offline use all decide with this code. Independent of images, HTTP and problems. To add a type of
decision, add a class with the members of ``Classifier`` to ``DECISION_TYPES``. Next: ``verification.py``.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from trainer.artifact.location import Locator
from trainer.artifact.manifest import UNKNOWN, BadArtifact
from trainer.artifact.verification import DecisionParameters, UnsupportedRequest, Verifier

__all__ = [
    "DECISION_TYPES",
    "Classifier",
    "Decision",
    "DecisionParameters",
    "Locator",
    "UnsupportedRequest",
    "Verifier",
    "from_manifest",
]


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Answer one of L labels from class probabilities ``float32 [L]``.

    The answer is the label whose probability is largest relative to its threshold (Collell et al. 2018, "A simple
    plug-in bagging ensemble", sec. 2). With two labels and thresholds t and 1 - t, it is the first label if p >= t.
    With a ``rejection_limit``, 0 to 1, it is ``unknown`` where the probability of that label is lower: the image is
    probably of none of the classes (Hendrycks and Gimpel 2017, "A baseline for detecting misclassified and
    out-of-distribution examples").
    """

    kind: ClassVar[str] = "classify"
    task: ClassVar[str] = "classify"
    summary_columns: ClassVar[int] = 2  # of ``columns``, that say the answer
    takes_references: ClassVar[bool] = False
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    rejection_limit: float | None = None

    def __post_init__(self):
        if len(self.labels) < 2 or len(self.thresholds) != len(self.labels) or min(self.thresholds) <= 0:
            raise BadArtifact(
                f"classify needs two labels or more, a positive threshold for each: {self.labels}, {self.thresholds}"
            )
        if self.rejection_limit is None:
            return
        if not 0 <= self.rejection_limit <= 1:
            raise BadArtifact(f"the rejection limit of classify is {self.rejection_limit}; it has to be 0 to 1")
        if UNKNOWN in self.labels:
            raise BadArtifact(
                f"classify has a rejection limit and a label {UNKNOWN!r}, which is the answer below the limit; give "
                "the label another name"
            )

    @classmethod
    def with_equal_thresholds(cls, labels: tuple[str, ...]) -> "Classifier":
        """Make a classifier that answers the most probable label."""
        return cls(tuple(labels), (1 / len(labels),) * len(labels))

    @property
    def answers(self) -> tuple[str, ...]:
        """What the label of an answer may be: the labels and, with a rejection limit, ``unknown`` after them."""
        return self.labels if self.rejection_limit is None else (*self.labels, UNKNOWN)

    def predict_indices(self, vectors: np.ndarray) -> np.ndarray:
        """Return the indices of the best labels, before any rejection: ``float32 [N, L] -> int64 [N]``."""
        return np.argmax(vectors / np.asarray(self.thresholds, np.float32), axis=1)

    def is_rejected(self, vectors: np.ndarray) -> np.ndarray:
        """Return where the answer is ``unknown``: ``float32 [N, L] -> bool [N]``."""
        best = np.take_along_axis(vectors, self.predict_indices(vectors)[:, None], axis=1)[:, 0]
        return best < (self.rejection_limit or 0.0)

    def answer(
        self,
        vector: np.ndarray,
        references: Sequence[np.ndarray] = (),
        parameters: DecisionParameters = DecisionParameters(),
    ) -> dict[str, Any]:
        """Answer class probabilities ``float32 [L]`` with ``label``, its ``score``, and the ``scores`` of all labels.

        The ``score`` of ``unknown`` is the probability of the best label, which is too low; ``scores`` lack it.

        Raises ``UnsupportedRequest`` for a false acceptance rate or a threshold.
        """
        if parameters.has_threshold:
            raise UnsupportedRequest("this model classifies; it takes neither far nor threshold")
        index = int(self.predict_indices(vector[None])[0])
        scores = {label: float(p) for label, p in zip(self.labels, vector, strict=True)}
        label = UNKNOWN if self.is_rejected(vector[None])[0] else self.labels[index]
        return {"label": label, "score": scores[self.labels[index]], "scores": scores}

    @property
    def columns(self) -> list[str]:
        """Return the names of the cells of ``to_row``, most informative first."""
        return ["label", "score", *(f"score_{label}" for label in self.labels)]

    def to_row(self, answer: dict[str, Any]) -> list[str]:
        """Return an answer as the cells of a table."""
        scores = [answer["score"], *(answer["scores"][label] for label in self.labels)]
        return [answer["label"], *(f"{score:.6f}" for score in scores)]

    def get_metadata(self) -> dict[str, Any]:
        """Return the metadata that a server publishes beside the labels: the rejection limit, if there is one."""
        return {} if self.rejection_limit is None else {"rejection_limit": self.rejection_limit}

    def to_manifest(self) -> dict[str, Any]:
        """Return the JSON form that the manifest keeps; without a rejection limit it is that of earlier releases."""
        values = {"kind": self.kind, "labels": list(self.labels), "thresholds": list(self.thresholds)}
        return {**values, **self.get_metadata()}


Decision = Classifier | Verifier | Locator
DECISION_TYPES: dict[str, type[Decision]] = {each.kind: each for each in (Classifier, Verifier, Locator)}


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
