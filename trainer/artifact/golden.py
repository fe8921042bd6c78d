"""Golden answers: stored images with the canonical image and the vector they must give, and the replay.

Closes the gap between the machine that exported and the one that answers: another image library that decodes
differently, a broken download, the wrong twin. All images are generated; no person's signature is stored.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trainer.artifact.engine import Engine
from trainer.artifact.manifest import BadArtifact
from trainer.imaging import Imaging, canonicalise

FOLDER = "golden"
FILE = "golden.json"

# The largest difference accepted in any component of a vector, on another processor: sums in another order, and where
# activations are rounded to 8 bits as they come, one that falls on the other side.
TOLERANCE = {"float32": 1e-4, "int8": 0.02}


class GoldenMismatch(BadArtifact):
    """This machine does not reproduce what the artefact recorded."""


def write(folder: Path, images: dict[str, bytes], imaging: Imaging, engines: Mapping[str, Engine]) -> None:
    """Store encoded images (name -> bytes) with what each of the ``engines``, by precision, answers to them."""
    place = folder / FOLDER
    place.mkdir()
    answers = []
    for name, data in images.items():
        (place / name).write_bytes(data)
        canonical = canonicalise(data, imaging).image
        vectors = {precision: engine(canonical[None])[0].tolist() for precision, engine in engines.items()}
        answers.append({"file": name, "canonical_sha256": _hash(canonical), "vectors": vectors})
    (place / FILE).write_text(json.dumps(answers, indent=1) + "\n")


def replay(folder: Path, imaging: Imaging, engine: Engine, precision: str) -> int:
    """Answer every golden image again; returns how many. Raises ``GoldenMismatch`` at the first that differs."""
    place = folder / FOLDER
    try:
        answers = json.loads((place / FILE).read_text())
        if not answers:
            raise BadArtifact("the artefact has no golden answers, so nothing proves what it should answer")
        for answer in answers:
            _replay_one(place, answer, imaging, engine, precision)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadArtifact):
            raise
        raise BadArtifact(f"the golden answers cannot be read: {type(error).__name__}: {error}") from None
    return len(answers)


def _replay_one(place, answer, imaging, engine, precision):
    canonical = canonicalise((place / answer["file"]).read_bytes(), imaging).image
    if _hash(canonical) != answer["canonical_sha256"]:
        raise GoldenMismatch(
            f"golden image {answer['file']!r} gives another canonical image here than where the model was exported: "
            "Pillow, OpenCV or NumPy differ; compare with 'versions' in the manifest"
        )
    recorded, tolerance = np.asarray(answer["vectors"][precision], np.float32), TOLERANCE[precision]
    difference = float(np.max(np.abs(engine(canonical[None])[0] - recorded)))
    if not difference <= tolerance:
        raise GoldenMismatch(
            f"golden image {answer['file']!r} is answered {difference:.2g} away from what was recorded; "
            f"{tolerance:.2g} is accepted"
        )


def _hash(canonical: np.ndarray) -> str:
    return hashlib.sha256(canonical.tobytes()).hexdigest()
