"""Golden answers: stored images with the canonical image and the vector they must give, and the replay.

Closes the gap between the machine that exported and the one that answers: another image library that decodes
differently, a broken download, the wrong variant. All images are generated; no person's signature is stored.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trainer.artifact import golden_file
from trainer.artifact.engine import Engine
from trainer.artifact.golden_file import FOLDER, TOLERANCE, Answer
from trainer.artifact.manifest import BadArtifact
from trainer.imaging import Imaging, canonicalise


class GoldenMismatch(BadArtifact):
    """This machine does not reproduce what the artefact recorded."""


def write(folder: Path, images: dict[str, bytes], imaging: Imaging, engines: Mapping[str, Engine]) -> None:
    """Store encoded images (name -> bytes) with what each of the ``engines``, by variant, answers to them."""
    place = folder / FOLDER
    place.mkdir()
    answers = []
    for name, data in images.items():
        (place / name).write_bytes(data)
        canonical = canonicalise(data, imaging).image
        vectors = {variant: engine(canonical[None])[0].tolist() for variant, engine in engines.items()}
        answers.append(Answer(name, _hash(canonical), vectors))
    golden_file.write(answers, folder)


@dataclasses.dataclass(frozen=True)
class Golden:
    """One golden image as the engine takes it, ``uint8 [1, H, W, 1]``, and the ``float32 [D]`` that it must give."""

    file: str
    image: np.ndarray
    vector: np.ndarray
    tolerance: float

    def replay(self, engine: Engine) -> None:
        """Raises ``GoldenMismatch`` when the engine answers something else."""
        difference = float(np.max(np.abs(engine(self.image)[0] - self.vector)))
        if not difference <= self.tolerance:
            raise GoldenMismatch(
                f"golden image {self.file!r} is answered {difference:.2g} away from what was recorded; "
                f"{self.tolerance:.2g} is accepted"
            )


def read(folder: Path, imaging: Imaging, variant: str) -> list[Golden]:
    """The golden images of an artefact, made canonical here.

    Raises ``GoldenMismatch`` when this machine makes other canonical images of them, ``BadArtifact`` when they are
    damaged.
    """
    try:
        return [_read_one(folder / FOLDER, answer, imaging, variant) for answer in golden_file.read(folder)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadArtifact):
            raise
        raise golden_file.unreadable(error) from None


def _read_one(place: Path, answer: Answer, imaging: Imaging, variant: str) -> Golden:
    canonical = canonicalise((place / answer.file).read_bytes(), imaging).image
    if _hash(canonical) != answer.canonical_sha256:
        raise GoldenMismatch(
            f"golden image {answer.file!r} gives another canonical image here than where the model was exported: "
            "Pillow, OpenCV or NumPy differ; compare with 'versions' in the manifest"
        )
    vector = np.asarray(answer.vectors[variant], np.float32)
    return Golden(answer.file, canonical[None], vector, TOLERANCE[variant])


def _hash(canonical: np.ndarray) -> str:
    return hashlib.sha256(canonical.tobytes()).hexdigest()
