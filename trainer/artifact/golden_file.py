"""Golden answers as they are recorded: images of nobody, with what they must give. Standard library only.

``golden.py`` writes and replays them beside the model, ``deploy`` compares what a live endpoint answers.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from trainer.artifact.manifest import BadArtifact

FOLDER = "golden"
FILE = "golden.json"

# The largest difference accepted in any component of a vector, on another processor: sums in another order, and where
# activations are rounded to 8 bits as they come, one that falls on the other side.
TOLERANCE = {"float32": 1e-4, "int8": 0.02}


@dataclasses.dataclass(frozen=True)
class Answer:
    """One golden image's file, the sha256 of its canonical image, and its vector by variant."""

    file: str
    canonical_sha256: str
    vectors: dict[str, list[float]]


def write(answers: Sequence[Answer], folder: Path) -> None:
    """Keep the answers beside their images."""
    (folder / FOLDER / FILE).write_text(json.dumps([dataclasses.asdict(one) for one in answers], indent=1) + "\n")


def read(folder: Path) -> list[Answer]:
    """What an artefact's golden images must give; at least one. Raises ``BadArtifact``."""
    try:
        answers = [Answer(**one) for one in json.loads((folder / FOLDER / FILE).read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise unreadable(error) from None
    if not answers:
        raise BadArtifact("the artefact has no golden answers, so nothing proves what it should answer")
    return answers


def unreadable(error: Exception) -> BadArtifact:
    """Golden answers that are no golden answers."""
    return BadArtifact(f"the golden answers cannot be read: {type(error).__name__}: {error}")
