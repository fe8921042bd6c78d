"""People's reference embeddings in one ``.npz`` file: written by ``trainer.enrol``, read by offline use and requests.

An embedding means something only to the encoder that made it, so the file names it. Embeddings are biometric data:
keep the file as you keep the signatures.
"""

import dataclasses
import os
import zipfile
from pathlib import Path

import numpy as np

from trainer.artifact.verification import LENGTH
from trainer.console.errors import UserError

FIELDS = ("encoder", "writers", "files", "embeddings")


class NotEnrolled(UserError):
    """A file of embeddings that cannot be used, or a person who is not in it; the message says why."""


@dataclasses.dataclass(frozen=True)
class Enrolled:
    """``embeddings`` is ``float32 [N, D]``, row i from ``files[i]`` of ``writers[i]``; ``encoder`` names the model."""

    encoder: str
    writers: np.ndarray
    files: np.ndarray
    embeddings: np.ndarray

    def of(self, writer: str) -> np.ndarray:
        """``float32 [n, D]`` of one person. Raises ``NotEnrolled``."""
        rows = self.embeddings[self.writers == writer]
        if not len(rows):
            people = np.unique(self.writers)
            raise NotEnrolled(
                f"nobody called {writer!r} is enrolled; there are {len(people)} people, such as {', '.join(people[:3])}"
            )
        return rows


def write(found: Enrolled, path: Path) -> None:
    """In one step, so that a file that is there is whole."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, **{name: np.asarray(getattr(found, name)) for name in FIELDS})  # type: ignore[arg-type]
    os.replace(partial, path)


def read(path: Path, encoder: str | None = None) -> Enrolled:
    """Raises ``NotEnrolled`` when the file is none of ours, or made by another encoder than ``encoder``."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as values:
            found = Enrolled(str(values["encoder"]), *(values[name] for name in FIELDS[1:]))
    except (ValueError, KeyError, TypeError, OSError, NotImplementedError, zipfile.BadZipFile, EOFError) as error:
        raise NotEnrolled(f"{str(path)!r} is no file of enrolled people: {error}") from None
    vectors, rows = found.embeddings, len(found.writers)
    whole = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == rows == len(found.files)
    if not whole or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=LENGTH):
        raise NotEnrolled(f"{str(path)!r} is damaged: {vectors.dtype} {list(vectors.shape)} for {rows} signatures")
    if encoder is not None and found.encoder != encoder:
        raise NotEnrolled(f"{str(path)!r} was made by another model; enrol again with this one")
    return found
