"""What is stored about a writer, and its form in bytes: a header in JSON, then numbers.

Next: ``store.py``, which keeps these bytes.
"""

import dataclasses
import json
import struct
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.enrolment.errors import EnrolmentError

MAX_NAME = 200  # characters of a writer's name
HEADER_SIZE = struct.Struct("<I")
STORED_TYPE = np.float16  # of references: half the bytes; a similarity changes by less than 0.001


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The embedding ``float32 [D]`` of a genuine signature; ``label`` tells people which one, such as a file name.

    ``id`` is unique among the references of the writer.
    """

    id: str
    label: str
    vector: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class WriterSummary:
    """What identification needs of every writer: ``prototype`` is ``float32 [P]``, of length 1.

    ``references`` is their number, ``cohesion`` how similar they are to each other; see
    ``Verifier.reference_cohesion``.
    """

    name: str
    references: int
    cohesion: float
    prototype: np.ndarray


def normalize_name(name: str) -> str:
    """Return a name with composed characters (Unicode's form NFC): keyboards and file systems differ in that."""
    return unicodedata.normalize("NFC", name)


def check_name(name: str) -> str:
    """Return the normalized name of a writer. Raises ``EnrolmentError`` for one that people cannot read or repeat."""
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        raise EnrolmentError(
            f"the name of a writer has {len(name)} characters; it has to be 1 to {MAX_NAME} printable characters "
            "without spaces at its ends"
        )
    return normalize_name(name)


def pack_references(references: Sequence[Reference]) -> bytes:
    """Write the references of a writer as bytes."""
    header = [[reference.id, reference.label] for reference in references]
    return _pack(header, np.stack([reference.vector for reference in references]).astype(STORED_TYPE))


def unpack_references(data: bytes, dim: int) -> list[Reference]:
    """Read references with embeddings ``float32 [dim]``. Raises ``EnrolmentError`` if they are damaged."""
    header, numbers = _unpack(data, STORED_TYPE)
    try:
        vectors = restore(numbers.reshape(len(header), dim))
        return [Reference(id, label, vector) for (id, label), vector in zip(header, vectors, strict=True)]
    except (TypeError, ValueError):
        raise EnrolmentError("the record of a writer's references is damaged") from None


def restore(vectors: np.ndarray) -> np.ndarray:
    """Return vectors ``[n, D]`` as they are read after they were stored: ``float32``, rounded, of length 1."""
    rounded = vectors.astype(STORED_TYPE).astype(np.float32)
    return rounded / np.linalg.norm(rounded, axis=1, keepdims=True)


def pack_summary(summary: WriterSummary) -> bytes:
    """Write the summary of a writer as bytes."""
    return _pack([summary.name, summary.references, summary.cohesion], summary.prototype.astype(np.float32))


def unpack_summary(data: bytes) -> WriterSummary:
    """Read a summary. Raises ``EnrolmentError`` if it is damaged."""
    header, prototype = _unpack(data, np.float32)
    try:
        name, references, cohesion = header
        return WriterSummary(str(name), int(references), float(cohesion), prototype)
    except (TypeError, ValueError):
        raise EnrolmentError("the record of a writer is damaged") from None


def _pack(header: Any, numbers: np.ndarray) -> bytes:
    text = json.dumps(header).encode()
    return HEADER_SIZE.pack(len(text)) + text + np.ascontiguousarray(numbers).tobytes()


def _unpack(data: bytes, dtype: type) -> tuple[Any, np.ndarray]:
    try:
        (size,) = HEADER_SIZE.unpack_from(data)
        start = HEADER_SIZE.size + size
        return json.loads(data[HEADER_SIZE.size : start]), np.frombuffer(data[start:], dtype)
    except (struct.error, ValueError):
        raise EnrolmentError("a record of the writers on file is damaged") from None
