"""The answers of ``recognizer.py`` as frozen dataclasses, with the field names of the server's JSON.

``to_dict`` gives that JSON. Decides nothing; docs/serving.md says what each field means.
"""

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.imaging import QualityWarning

KEPT = ("warnings", "regions")  # fields that the server's JSON has also where they are empty


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


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A writer on file with the ``score`` that verification with the writer's references has."""

    writer: str
    score: float


@dataclasses.dataclass(frozen=True)
class Identification(_Answer):
    """``decision`` is ``identified``, by ``writer``, or ``unknown``, or ``not_a_signature`` with its ``reasons``.

    ``score`` is that of the nearest of the ``candidates``, ``threshold`` the one from which a writer is identified.
    ``fpir`` is the largest rate at which strangers then are, ``fnir`` the measured rate at which writers on file are
    not, None where there are too few. ``writers`` is the number on file.
    """

    decision: str
    writer: str | None
    score: float | None
    threshold: float | None
    fpir: float | None
    fnir: float | None
    writers: int | None
    candidates: tuple[Candidate, ...]
    reasons: tuple[Rejection, ...]
    warnings: tuple[QualityWarning, ...]

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> "Identification":
        """Make it of what ``Gallery.answer`` returns."""
        names = ("writer", "score", "threshold", "fpir", "fnir", "writers")
        return cls(
            decision=answer["decision"],
            **{name: answer.get(name) for name in names},
            candidates=tuple(Candidate(**candidate) for candidate in answer.get("candidates", ())),
            reasons=tuple(Rejection(**reason) for reason in answer.get("reasons", ())),
            warnings=_read_warnings(answer),
        )


@dataclasses.dataclass(frozen=True)
class Region:
    """A region of a ``page``, from 1: ``box`` is left, top, right and bottom, in pixels of an image or points of a PDF.

    ``verification`` compares a signature with the references, if there are some; ``crop`` is a PNG file with a
    transparent background.
    """

    page: int
    label: str
    score: float
    box: tuple[float, float, float, float]
    verification: Verification | None = None
    crop: bytes | None = None


@dataclasses.dataclass(frozen=True)
class PageSize:
    """Width and height of a ``page``, from 1, in ``unit``: ``pixel`` or ``point`` (1/72 inch)."""

    page: int
    width: float
    height: float
    unit: str


@dataclasses.dataclass(frozen=True)
class Findings(_Answer):
    """Whether a document is ``signed``, with the ``score`` of that, and the ``regions`` that were found.

    ``decision`` is None without references, else ``match``, ``inconclusive``, ``mismatch`` or ``missing``: that of the
    signature which is most like them.
    """

    signed: bool
    score: float
    regions: tuple[Region, ...]
    decision: str | None
    pages: tuple[PageSize, ...]
    warnings: tuple[QualityWarning, ...]

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> "Findings":
        """Make it of what ``finder.answer`` returns."""
        regions = tuple(
            Region(
                row["page"],
                row["label"],
                row["score"],
                tuple(row["box"]),
                Verification.from_answer(row["verification"]) if "verification" in row else None,
                row.get("crop"),
            )
            for row in answer["regions"]
        )
        pages = tuple(PageSize(**page) for page in answer["pages"])
        decision = answer.get("decision")
        return cls(answer["signed"], answer["score"], regions, decision, pages, _read_warnings(answer))


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
    names = [field.name for field in dataclasses.fields(QualityWarning)]  # those of a document have a page, too
    return tuple(QualityWarning(**{name: warning[name] for name in names}) for warning in answer["warnings"])


def _to_json(value: Any) -> Any:
    """Dataclasses to objects, tuples to arrays, bytes to base64; fields that are None or empty are left out.

    Warnings and regions stay where there are none.
    """
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if dataclasses.is_dataclass(value):
        kept = {name: item for name, item in vars(value).items() if name in KEPT or item not in (None, ())}
        return {name: _to_json(item) for name, item in kept.items()}
    return value
