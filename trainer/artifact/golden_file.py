"""Read, write and compare golden answers: vectors of generated images, and regions of pages. Standard library only.

``deploy`` compares them with the answers of a live endpoint. Next: ``golden.py`` replays vectors on an engine,
``golden_regions.py`` whole pages on a finder and the verifier beside it.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.artifact.manifest import BadArtifact

GOLDEN_DIR = "golden"
FILE = "golden.json"

# The largest accepted difference in any component of a vector, as a share of its largest component: those of an
# embedding of many places are small. Another processor adds in another order; where activations are quantised to 8
# bits, a small difference may move one of them to the next level.
VECTOR_TOLERANCE = {"float32": 1e-4, "int8": 0.04}
SCORE_TOLERANCE = {"float32": 1e-3, "int8": 0.04}  # of a region
MIN_OVERLAP = 0.9  # intersection over union of a region with the recorded one
MAX_COMPONENTS = 1024  # of a vector, up to which all are recorded; the grid of a page has tens of thousands
CHOSEN_COMPONENTS = 256  # of a longer vector that are recorded


@dataclasses.dataclass(frozen=True)
class GoldenAnswer:
    """The file name of a golden image, the sha256 of its canonical image, and its vectors by variant.

    Of long vectors only some ``components`` are recorded. ``regions`` are those that a finder answers, by variant;
    ``encodings``, by variant and encoder, are of what a verifier makes of each of their signatures: ``components`` and
    their ``values``.
    """

    file: str
    canonical_sha256: str
    vectors: dict[str, list[float]]
    components: list[int] = dataclasses.field(default_factory=list)
    regions: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    encodings: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)


def choose_components(vector: Sequence[float]) -> list[int]:
    """Choose the components of a vector to record: all, or half the largest ones and half evenly spaced."""
    size, half = len(vector), CHOSEN_COMPONENTS // 2
    if size <= MAX_COMPONENTS:
        return list(range(size))
    largest = sorted(range(size), key=lambda index: -abs(vector[index]))[:half]
    return sorted({*largest, *range(0, size, -(-size // half))})


def round_numbers(values: Sequence[float]) -> list[float]:
    """Round numbers of single precision to the seven digits that they have."""
    return [float(f"{value:.7g}") for value in values]


def keep_variants(folder: Path, variants: Sequence[str]) -> None:
    """Leave out what other variants answer. Raises ``BadArtifact``."""
    answers = []
    for answer in read(folder):
        vectors = {name: values for name, values in answer.vectors.items() if name in variants}
        regions = {name: rows for name, rows in answer.regions.items() if name in variants}
        encodings = {key: value for key, value in answer.encodings.items() if key.partition(" ")[0] in variants}
        answers.append(dataclasses.replace(answer, vectors=vectors, regions=regions, encodings=encodings))
    write(answers, folder)


def list_differences(
    recorded: Sequence[Mapping[str, Any]],
    answered: Sequence[Mapping[str, Any]],
    thresholds: Mapping[str, float],
    variant: str,
) -> Iterator[str]:
    """List what differs between regions that were recorded and answered, each with page, label, score and box.

    One whose score is within the tolerance of its threshold may be missing.
    """
    for name, regions, others in (("recorded", recorded, answered), ("answered", answered, recorded)):
        for region in regions:
            is_near = region["score"] < thresholds[region["label"]] + SCORE_TOLERANCE[variant]
            if not is_near and not any(_is_same(region, other, variant) for other in others):
                box = ", ".join(f"{edge:g}" for edge in region["box"])
                yield f"{name} alone: {region['label']} {region['score']:.3f} on page {region['page']} at {box}"


def _is_same(first: Mapping[str, Any], second: Mapping[str, Any], variant: str) -> bool:
    if (first["page"], first["label"]) != (second["page"], second["label"]):
        return False
    if not abs(first["score"] - second["score"]) <= SCORE_TOLERANCE[variant]:
        return False
    a, b = first["box"], second["box"]
    common = [min(a[edge + 2], b[edge + 2]) - max(a[edge], b[edge]) for edge in (0, 1)]
    intersection = max(0.0, common[0]) * max(0.0, common[1])
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - intersection
    return intersection >= MIN_OVERLAP * union


def compute_tolerance(vector: Sequence[float], variant: str) -> float:
    """Return the largest accepted difference from any component of a golden vector."""
    return VECTOR_TOLERANCE[variant] * max(map(abs, vector))


def write(answers: Sequence[GoldenAnswer], folder: Path) -> None:
    """Write the answers beside their images."""
    (folder / GOLDEN_DIR / FILE).write_text(
        json.dumps([dataclasses.asdict(answer) for answer in answers], indent=1) + "\n"
    )


def read(folder: Path) -> list[GoldenAnswer]:
    """Read the golden answers of an artefact. Raises ``BadArtifact`` if there are none, or the file is damaged."""
    try:
        answers = [GoldenAnswer(**values) for values in json.loads((folder / GOLDEN_DIR / FILE).read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise make_unreadable_error(error) from None
    if not answers:
        raise BadArtifact("the artefact has no golden answers, so nothing proves what it should answer")
    return answers


def make_unreadable_error(error: Exception) -> BadArtifact:
    """Return the error to raise for golden answers that cannot be read."""
    return BadArtifact(f"the golden answers cannot be read: {type(error).__name__}: {error}")
