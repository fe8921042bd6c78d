"""Read and write the file of golden answers, the vectors of generated images. Standard library only.

``deploy`` compares them with the answers of a live endpoint. Next: ``golden.py`` replays them on an engine.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from trainer.artifact.manifest import BadArtifact

GOLDEN_DIR = "golden"
FILE = "golden.json"

# The largest accepted difference in any component of a vector, as a share of its largest component: those of an
# embedding of many places are small. Another processor adds in another order; where activations are quantised to 8
# bits, a small difference may move one of them to the next level.
VECTOR_TOLERANCE = {"float32": 1e-4, "int8": 0.04}


@dataclasses.dataclass(frozen=True)
class GoldenAnswer:
    """The file name of a golden image, the sha256 of its canonical image, and its vectors by variant."""

    file: str
    canonical_sha256: str
    vectors: dict[str, list[float]]


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
