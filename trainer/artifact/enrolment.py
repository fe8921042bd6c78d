"""Store the reference embeddings of writers in a ``.npz`` file; ``trainer.enrol`` writes it, the predictor reads it.

Embeddings are comparable only if one encoder made them, so the file names the encoder. Embeddings are biometric data:
protect the file as you protect the signatures. Next: ``verification.py`` compares embeddings.
"""

import dataclasses
import os
import zipfile
from pathlib import Path

import numpy as np

from trainer.artifact.verification import NORM_TOLERANCE
from trainer.console.errors import UserError

FIELDS = ("encoder", "writers", "files", "embeddings")


class EnrolmentError(UserError):
    """A file of enrolments cannot be used, or a writer is not in it; the message says why."""


@dataclasses.dataclass(frozen=True)
class Enrolments:
    """``embeddings`` is ``float32 [N, D]``; row i is of the image ``files[i]`` by ``writers[i]``.

    ``encoder`` is the identifier of the encoder that made them, see ``Artifact.encoder``.
    """

    encoder: str
    writers: np.ndarray
    files: np.ndarray
    embeddings: np.ndarray

    def embeddings_of(self, writer: str) -> np.ndarray:
        """Return the embeddings ``float32 [n, D]`` of one writer. Raises ``EnrolmentError`` if there are none."""
        embeddings = self.embeddings[self.writers == writer]
        if not len(embeddings):
            names = np.unique(self.writers)
            raise EnrolmentError(
                f"no writer {writer!r} is enrolled; there are {len(names)} writers, such as {', '.join(names[:3])}"
            )
        return embeddings


def write(enrolments: Enrolments, path: Path) -> None:
    """Write the file under another name, then rename it, so that it is never incomplete."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, **{name: np.asarray(getattr(enrolments, name)) for name in FIELDS})  # type: ignore[arg-type]
    os.replace(partial, path)


def read(path: Path, encoder: str | None = None) -> Enrolments:
    """Read the file. Raises ``EnrolmentError`` if it is no such file, damaged, or made by another encoder."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as values:
            enrolments = Enrolments(str(values["encoder"]), *(values[name] for name in FIELDS[1:]))
    except (ValueError, KeyError, TypeError, OSError, NotImplementedError, zipfile.BadZipFile, EOFError) as error:
        raise EnrolmentError(f"{str(path)!r} is no file of enrolments: {error}") from None
    vectors, rows = enrolments.embeddings, len(enrolments.writers)
    has_shape = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == rows == len(enrolments.files)
    if not has_shape or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=NORM_TOLERANCE):
        raise EnrolmentError(f"{str(path)!r} is damaged: {vectors.dtype} {list(vectors.shape)} for {rows} signatures")
    if encoder is not None and enrolments.encoder != encoder:
        raise EnrolmentError(f"{str(path)!r} was made by another model; enrol again with this one")
    return enrolments
