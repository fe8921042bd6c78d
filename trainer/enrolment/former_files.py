"""Read the ``.npz`` files that ``trainer.enrol`` wrote before it wrote SQLite files, to enrol their writers again.

Next: ``trainer/enrol.py``.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainer.artifact.verification import NORM_TOLERANCE
from trainer.enrolment.errors import EnrolmentError

SUFFIX = ".npz"
FIELDS = ("encoder", "writers", "files", "embeddings")


def read(path: Path, encoder: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield writer, file name and embedding ``float32 [D]`` of each reference.

    Raises ``EnrolmentError`` if it is no such file, damaged, or made by another encoder.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as values:
            made_by, writers, files, vectors = (values[name] for name in FIELDS)
    except (ValueError, KeyError, TypeError, OSError, NotImplementedError, zipfile.BadZipFile, EOFError) as error:
        raise EnrolmentError(f"{str(path)!r} is no file of enrolments: {error}") from None
    has_shape = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == len(writers) == len(files)
    if not has_shape or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=NORM_TOLERANCE):
        raise EnrolmentError(
            f"{str(path)!r} is damaged: {vectors.dtype} {list(vectors.shape)} for {len(writers)} signatures"
        )
    if str(made_by) != encoder:
        raise EnrolmentError(f"{str(path)!r} was made by another model; enrol again with this one")
    yield from zip(map(str, writers), map(str, files), vectors, strict=True)
