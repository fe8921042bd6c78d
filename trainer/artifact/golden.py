"""Write golden answers at export, stored images with their canonical images and vectors, and replay them.

The replay finds differences between the machine that exported and this one: an image library that decodes differently,
a broken download, the wrong variant. All images are generated; no person's signature is stored. Next:
``golden_file.py``, the file format.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trainer.artifact import golden_file
from trainer.artifact.engine import Engine
from trainer.artifact.golden_file import GOLDEN_DIR, GoldenAnswer
from trainer.artifact.manifest import BadArtifact
from trainer.imaging import Imaging, canonicalise


class GoldenMismatch(BadArtifact):
    """This machine does not reproduce the golden answers of the artefact."""


def write(folder: Path, images: dict[str, bytes], imaging: Imaging, engines: Mapping[str, Engine]) -> None:
    """Store image files, by name, with the vectors that the ``engines``, by variant, compute of them."""
    golden_dir = folder / GOLDEN_DIR
    golden_dir.mkdir()
    answers = []
    for name, data in images.items():
        (golden_dir / name).write_bytes(data)
        canonical = canonicalise(data, imaging).image
        vectors = {variant: engine(canonical[None])[0] for variant, engine in engines.items()}
        components = golden_file.choose_components(next(iter(vectors.values())).tolist())
        recorded = {name: golden_file.round_numbers(vector[components].tolist()) for name, vector in vectors.items()}
        is_part = len(components) < len(next(iter(vectors.values())))
        answers.append(GoldenAnswer(name, _hash(canonical), recorded, components if is_part else []))
    golden_file.write(answers, folder)


@dataclasses.dataclass(frozen=True)
class GoldenCase:
    """A golden image, canonical ``uint8 [1, H, W, 1]``, and its vector ``float32 [D]``.

    ``tolerance`` is the largest accepted difference in any component; ``components`` are those that were recorded, if
    not all.
    """

    file: str
    image: np.ndarray
    vector: np.ndarray
    tolerance: float
    components: list[int]

    def replay(self, engine: Engine) -> None:
        """Compute the vector again. Raises ``GoldenMismatch`` if it differs by more than the tolerance."""
        vector = engine(self.image)[0]
        recorded = vector[self.components] if self.components else vector
        difference = float(np.max(np.abs(recorded - self.vector)))
        if not difference <= self.tolerance:
            raise GoldenMismatch(
                f"golden image {self.file!r} is answered {difference:.2g} away from what was recorded; "
                f"{self.tolerance:.2g} is accepted"
            )


def read(folder: Path, imaging: Imaging, variant: str) -> list[GoldenCase]:
    """Read the golden images of an artefact and make their canonical images.

    Raises ``GoldenMismatch`` if a canonical image differs from that of the export, ``BadArtifact`` for a damaged file.
    """
    try:
        return [_read_case(folder / GOLDEN_DIR, answer, imaging, variant) for answer in golden_file.read(folder)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadArtifact):
            raise
        raise golden_file.make_unreadable_error(error) from None


def _read_case(golden_dir: Path, answer: GoldenAnswer, imaging: Imaging, variant: str) -> GoldenCase:
    canonical = canonicalise((golden_dir / answer.file).read_bytes(), imaging).image
    if _hash(canonical) != answer.canonical_sha256:
        raise GoldenMismatch(
            f"golden image {answer.file!r} gives another canonical image here than on the machine of the export: "
            "Pillow, OpenCV or NumPy differ; compare with 'versions' in the manifest"
        )
    vector = np.asarray(answer.vectors[variant], np.float32)
    tolerance = golden_file.compute_tolerance(answer.vectors[variant], variant)
    return GoldenCase(answer.file, canonical[None], vector, tolerance, answer.components)


def _hash(canonical: np.ndarray) -> str:
    return hashlib.sha256(canonical.tobytes()).hexdigest()
