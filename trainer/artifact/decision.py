"""Vectors to answers, described as data in the manifest: the only place where an answer is decided.

Evaluation, server and offline use call this code. Knows no images, no HTTP and no problem. A new kind of decision is a
class with ``kind``, ``compares``, ``answer``, ``columns``, ``row`` and ``describe`` in ``KINDS``. Next:
``verification.py``.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from trainer.artifact.manifest import BadArtifact
from trainer.artifact.verification import BadQuestion, Parameters, Verify

__all__ = ["KINDS", "BadQuestion", "Classify", "Decision", "Parameters", "Verify", "from_manifest"]


@dataclasses.dataclass(frozen=True)
class Classify:
    """One of N labels from class probabilities.

    The answer is the label whose probability is largest relative to its threshold (Collell et al. 2018, "A simple
    plug-in bagging ensemble", sec. 2); for two labels with thresholds t and 1 - t this is: the first if p >= t.
    """

    kind: ClassVar[str] = "classify"
    compares: ClassVar[bool] = False
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self):
        if len(self.labels) < 2 or len(self.thresholds) != len(self.labels) or min(self.thresholds) <= 0:
            raise BadArtifact(
                f"classify needs two labels or more, a positive threshold for each: {self.labels}, {self.thresholds}"
            )

    @classmethod
    def even(cls, labels: tuple[str, ...]) -> "Classify":
        """The most probable label wins."""
        return cls(tuple(labels), (1 / len(labels),) * len(labels))

    def choose(self, vectors: np.ndarray) -> np.ndarray:
        """``float32 [N, L] -> int64 [N]``, indices into ``labels``."""
        return np.argmax(vectors / np.asarray(self.thresholds, np.float32), axis=1)

    def answer(
        self, vector: np.ndarray, references: Sequence[np.ndarray] = (), parameters: Parameters = Parameters()
    ) -> dict[str, Any]:
        """``float32 [L]`` to ``{"label", "score", "scores"}``; scores are probabilities."""
        if parameters.far is not None:
            raise BadQuestion("this model classifies; it has no thresholds by false acceptance rate")
        chosen = int(self.choose(vector[None])[0])
        scores = {label: float(p) for label, p in zip(self.labels, vector, strict=True)}
        return {"label": self.labels[chosen], "score": scores[self.labels[chosen]], "scores": scores}

    @property
    def columns(self) -> list[str]:
        """The names of ``row``, most telling first."""
        return ["label", "score", *(f"score_{label}" for label in self.labels)]

    def row(self, answer: dict[str, Any]) -> list[str]:
        """An answer as the cells of a table."""
        scores = [answer["score"], *(answer["scores"][label] for label in self.labels)]
        return [answer["label"], *(f"{score:.6f}" for score in scores)]

    def facts(self) -> dict[str, Any]:
        """What a server says about itself beyond the labels."""
        return {}

    def describe(self) -> dict[str, Any]:
        """The manifest's form."""
        return {"kind": self.kind, "labels": list(self.labels), "thresholds": list(self.thresholds)}


Decision = Classify | Verify
KINDS: dict[str, type[Decision]] = {Classify.kind: Classify, Verify.kind: Verify}


def from_manifest(described: dict[str, Any]) -> Decision:
    """The decision that a manifest describes. Raises ``BadArtifact``."""
    values = dict(described)
    kind = values.pop("kind", None)
    if kind not in KINDS:
        raise BadArtifact(f"the manifest's decision is of kind {kind!r}; this version knows {', '.join(KINDS)}")
    decision: Any = KINDS[kind]
    try:
        return decision(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    except TypeError as error:
        raise BadArtifact(f"the manifest's {kind} decision lacks or adds a field: {error}") from None
