"""The answers of ``recognizer.py`` as frozen dataclasses, with the field names of the server's JSON.

``to_dict`` gives that JSON. Decides nothing; docs/serving.md says what each field means.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.imaging import QualityWarning


class _Answer:
    def to_dict(self) -> dict[str, Any]:
        """Return the answer as the server's JSON: without the fields that it does not have."""
        return _to_json(self)


@dataclasses.dataclass(frozen=True)
class Classification(_Answer):
    """One of the artefact's labels; ``scores`` are the probabilities of all, ``score`` that of ``label``.

    ``label`` is ``unknown`` for an image of none of them, by artefacts that reject; ``score`` is then the largest of
    ``scores``.
    """

    label: str
    score: float
    scores: Mapping[str, float]
    warnings: tuple[QualityWarning, ...]

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> "Classification":
        """Make it of what ``Artifact.decide`` returns."""
        return cls(answer["label"], answer["score"], answer["scores"], _read_warnings(answer))


@dataclasses.dataclass(frozen=True)
class ReferenceComparison:
    """A questioned signature beside one reference alone: ``distance``, from 0, and ``score``."""

    distance: float
    score: float
    warnings: tuple[QualityWarning, ...]


@dataclasses.dataclass(frozen=True)
class Rejection:
    """Why an ``image``, ``questioned`` or such as ``reference 0``, is no signature; some codes have a ``limit``."""

    image: str
    code: str
    value: float
    limit: float | None = None


@dataclasses.dataclass(frozen=True)
class Verification(_Answer):
    """``decision`` is ``accept``, ``inconclusive``, ``reject`` or ``not_a_signature``.

    ``score`` is the calibrated probability that the questioned signature is genuine, ``distance`` that to
    the nearest reference, from 0, ``threshold`` the score from which it counts as genuine, and ``inconclusive`` the
    scores between which the answer is neither. ``far_interval`` is the 95 % interval of the requested false acceptance
    rate, None without one. Where an image is no signature, ``reasons`` says which, and the numbers are None.
    ``warnings`` are about the questioned image.
    """

    decision: str
    score: float | None
    distance: float | None
    threshold: float | None
    inconclusive: tuple[float, float] | None
    far_interval: tuple[float, float] | None
    per_reference: tuple[ReferenceComparison, ...]
    reasons: tuple[Rejection, ...]
    warnings: tuple[QualityWarning, ...]

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> "Verification":
        """Make it of what ``Artifact.decide`` returns."""
        numbers = {name: answer.get(name) for name in ("score", "distance", "threshold")}
        return cls(
            decision=answer["decision"],
            **numbers,
            inconclusive=_read_range(answer, "inconclusive"),
            far_interval=_read_range(answer, "far_interval"),
            per_reference=tuple(
                ReferenceComparison(row["distance"], row["score"], _read_warnings(row))
                for row in answer.get("per_reference", ())
            ),
            reasons=tuple(Rejection(**reason) for reason in answer.get("reasons", ())),
            warnings=_read_warnings(answer),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Embedding(_Answer):
    """``vector`` is ``float32 [D]``, of length 1; it compares with those of the same ``encoder`` only."""

    vector: np.ndarray
    encoder: str
    warnings: tuple[QualityWarning, ...]

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> "Embedding":
        """Make it of what ``Artifact.decide`` returns."""
        return cls(answer["embedding"], answer["encoder"], _read_warnings(answer))

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as the server's JSON, where the vector is called ``embedding``."""
        return {"embedding": self.vector.tolist(), "encoder": self.encoder, "warnings": _to_json(self.warnings)}


def _read_range(answer: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    if name not in answer:
        return None
    low, high = answer[name]
    return low, high


def _read_warnings(answer: Mapping[str, Any]) -> tuple[QualityWarning, ...]:
    return tuple(QualityWarning(**warning) for warning in answer["warnings"])


def _to_json(value: Any) -> Any:
    """Dataclasses to objects, tuples to arrays; fields that are None are left out, and empty ones but warnings."""
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if dataclasses.is_dataclass(value):
        kept = {name: item for name, item in vars(value).items() if name == "warnings" or item not in (None, ())}
        return {name: _to_json(item) for name, item in kept.items()}
    return value
