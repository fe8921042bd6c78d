"""What is watched of a model that answers: signals of images and answers, and how often they had which value.

The manifest has the distributions on validation images (``trainer/evaluation/monitoring_baseline.py``), the server
counts those of its requests (``predictor/telemetry.py``), and ``python -m deploy drift`` compares the two. Standard
library only, also for ``deploy``. A distribution says nothing about a single image.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer.console.errors import UserError

if TYPE_CHECKING:
    from trainer.artifact.artifact import EncodedImage
    from trainer.artifact.page_finder import FoundPage

SIGNATURE = "signature"  # the label of regions that are counted
EMBEDDING = "embedding"  # the answer of a verifier without references
NOT_A_SIGNATURE = "not_a_signature"  # the answer of a verifier about what it does not compare
KNOWN_WRITER = "known_writer"  # the answer of a classifier whose labels are writers
ANSWERS = frozenset(
    "accept inconclusive reject identified unknown signed not_signed genuine forged text other".split()
) | {SIGNATURE, EMBEDDING, NOT_A_SIGNATURE}


class BadDistributions(UserError):
    """Stored distributions are damaged, or were counted by another release; the message says which."""


@dataclasses.dataclass(frozen=True)
class Signal:
    """A number that is watched. A value counts in the first bucket whose upper edge it does not exceed.

    The last bucket, beyond all ``edges``, has none. ``rises`` and ``falls`` say what a shift means.
    """

    unit: str
    edges: tuple[float, ...]
    rises: str
    falls: str


_LOW_SHARES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)
_PROBABILITIES = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995, 0.999)
SIGNALS: dict[str, Signal] = {
    "score": Signal("probability", _PROBABILITIES, "answers are surer", "answers are less sure"),
    "distance": Signal(
        "distance",
        tuple(round(0.1 * number, 1) for number in range(2, 16)),
        "questioned signatures are less like their references",
        "questioned signatures are more like their references",
    ),
    "regions": Signal("signatures", (0, 1, 2, 3, 5, 10), "more signatures a document", "fewer signatures a document"),
    "ink_share": Signal(
        "share",
        (*_LOW_SHARES, 0.035, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3),
        "more of the image is ink: closer crops, thicker pens or dirt",
        "less of the image is ink: wider crops or thinner pens",
    ),
    "writing_length": Signal(
        "pixels",
        (40, 60, 90, 135, 200, 300, 450, 675, 1000, 1500, 2250),
        "writing has more pixels: a higher resolution",
        "writing has fewer pixels: a lower resolution",
    ),
    "contrast": Signal(
        "levels of 255",
        (32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240),
        "ink is darker",
        "ink is fainter",
    ),
    "edge_width": Signal(
        "share of the writing",
        (0.0, 0.0005, 0.001, 0.0015, 0.0025, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04),
        "images are blurrier",
        "images are sharper",
    ),
    "border_share": Signal(
        "share",
        (0.0, *_LOW_SHARES, 0.05),
        "more signatures are cut off at the border",
        "fewer signatures are cut off at the border",
    ),
    "strokes_across": Signal(
        "strokes",
        (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0),
        "more strokes above each other: text, stamps or several lines",
        "fewer strokes above each other",
    ),
}


@dataclasses.dataclass(frozen=True)
class Observation:
    """What is watched of one instance: its ``answer``, codes of its quality ``warnings``, and values of signals."""

    answer: str
    warnings: tuple[str, ...] = ()
    values: tuple[tuple[str, float], ...] = ()


def observe(image: EncodedImage, answer: Mapping[str, Any]) -> Observation:
    """Observe an encoded image with its answer."""
    values = [*image.canonical.measures.items(), *_list_values(answer)]
    return Observation(_name_answer(answer), _list_codes(answer["warnings"]), tuple(values))


def observe_document(pages: Sequence[FoundPage]) -> Observation:
    """Observe the pages of a document, with what was found on them."""
    signatures = sum(region.label == SIGNATURE for page in pages for region in page.regions)
    values = [(name, value) for page in pages for name, value in page.measures.items()]
    values += [("score", max((page.score for page in pages), default=0.0)), ("regions", signatures)]
    warnings = _list_codes(warning for page in pages for warning in page.warnings)
    return Observation("signed" if signatures else "not_signed", warnings, tuple(values))


def observe_regions(answer: Mapping[str, Any]) -> Iterator[Observation]:
    """Observe what a verifier said about the signatures of a document."""
    for region in answer.get("regions", ()):
        if compared := region.get("verification") or region.get("identification"):
            yield Observation(_name_answer(compared), (), tuple(_list_values(compared)))


def _list_values(answer: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [(name, answer[name]) for name in ("score", "distance") if name in answer]


def _list_codes(warnings: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(warning["code"] for warning in warnings))


def _name_answer(answer: Mapping[str, Any]) -> str:
    """Return a decision or a label; labels that are writers are not told apart: their names are nobody's business."""
    name = str(answer.get("decision") or answer.get("label") or EMBEDDING)
    return name if name in ANSWERS else KNOWN_WRITER


@dataclasses.dataclass
class Distributions:
    """How often answers, warnings and values of signals were observed, of ``images`` instances.

    ``signals`` has a count for each bucket. An image may have several values of a signal, as a document has pages.
    """

    images: int = 0
    answers: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    warnings: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    signals: dict[str, list[int]] = dataclasses.field(default_factory=dict)

    def add(self, observation: Observation) -> None:
        """Count one observation."""
        self.images += 1
        self.answers[observation.answer] += 1
        self.warnings.update(observation.warnings)
        for name, value in observation.values:
            self.add_counts(name)[bisect.bisect_left(SIGNALS[name].edges, value)] += 1

    def merge(self, other: Distributions) -> None:
        """Add the counts of others."""
        self.images += other.images
        self.answers += other.answers
        self.warnings += other.warnings
        for name, counts in other.signals.items():
            total = self.add_counts(name)
            total[:] = [first + second for first, second in zip(total, counts, strict=True)]

    def add_counts(self, name: str) -> list[int]:
        """Return the counts of a signal, to add to; zeros if it has none yet."""
        return self.signals.setdefault(name, [0] * (len(SIGNALS[name].edges) + 1))

    def to_json(self) -> dict[str, Any]:
        """Return the form of the manifest, with the edges of the buckets."""
        return {
            "images": self.images,
            "answers": dict(sorted(self.answers.items())),
            "warnings": dict(sorted(self.warnings.items())),
            "signals": {
                name: {"edges": list(SIGNALS[name].edges), "counts": counts} for name, counts in self.signals.items()
            },
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Distributions:
        """Read the form of the manifest. Raises ``BadDistributions``."""
        try:
            signals = {
                name: list(_to_counts(dict(enumerate(row["counts"]))).values())
                for name, row in content["signals"].items()
            }
            for name, row in content["signals"].items():
                if name not in SIGNALS or tuple(row["edges"]) != SIGNALS[name].edges:
                    raise BadDistributions(f"the distribution of {name!r} has the buckets of another release")
                if len(signals[name]) != len(SIGNALS[name].edges) + 1:
                    raise BadDistributions(f"the distribution of {name!r} has {len(signals[name])} counts")
            answers, warnings = (collections.Counter(_to_counts(content[key])) for key in ("answers", "warnings"))
            return cls(int(content["images"]), answers, warnings, signals)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadDistributions(f"these are no distributions: {type(error).__name__} {error}") from None

    def to_line(self) -> dict[str, Any]:
        """Return a short form for the log: numbers of buckets that have counts, with these."""
        return {
            "images": self.images,
            "answers": dict(self.answers),
            **({"warnings": dict(self.warnings)} if self.warnings else {}),
            **{name: {str(i): count for i, count in enumerate(row) if count} for name, row in self.signals.items()},
        }

    @classmethod
    def from_line(cls, content: Mapping[str, Any]) -> Distributions:
        """Read the short form. Raises ``BadDistributions``."""
        try:
            read = cls(int(content["images"]))
            read.answers.update(_to_counts(content["answers"]))
            read.warnings.update(_to_counts(content.get("warnings", {})))
            for name in content.keys() & SIGNALS.keys():
                for bucket, count in _to_counts(content[name]).items():
                    if int(bucket) < 0:
                        raise IndexError(f"bucket {bucket} of {name!r}")
                    read.add_counts(name)[int(bucket)] += count
            return read
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise BadDistributions(f"a line with other observations: {type(error).__name__} {error}") from None


def _to_counts(content: Mapping[Any, Any]) -> dict[str, int]:
    """Convert numbers to whole ones; JSON of Cloud Logging has floats. Raises ``ValueError`` for negative ones."""
    counts = {str(name): int(count) for name, count in content.items()}
    if any(count < 0 for count in counts.values()):
        raise ValueError("a negative count")
    return counts
