"""How similar two embeddings are, by any of the similarities that a manifest can describe.

The manifest's ``verify`` decision names the similarity, as data: the cosine of two vectors, the match of two grids of
local descriptors (``local_similarity.py``), or one of these relative to a cohort (``cohort.py``). NumPy only: the
predictor computes with it. Next: ``verification.py`` decides with similarities.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from trainer.artifact.cohort import CohortSimilarity
from trainer.artifact.local_similarity import BadSimilarity, LocalSimilarity

COPY_DISTANCE = 2e-3  # of the embeddings of one image, one of them stored as float16; other images are much farther

__all__ = [
    "SIMILARITIES",
    "BadSimilarity",
    "BaseSimilarity",
    "CohortSimilarity",
    "Cosine",
    "LocalSimilarity",
    "Similarity",
    "make_similarity",
]


@dataclasses.dataclass(frozen=True)
class Cosine:
    """The cosine of two vectors of length 1."""

    kind: ClassVar[str] = "cosine"

    def check_dim(self, embedding_dim: int) -> None:
        """Accept embeddings of any dimension."""

    def compare(self, questioned: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Compute ``float32 [M, D]`` and ``float32 [n, D]`` to similarities ``float32 [M, n]``."""
        return questioned @ references.T

    def compare_all(self, vectors: np.ndarray) -> np.ndarray:
        """Compute the similarities of vectors ``float32 [n, D]`` to each other, ``float32 [n, n]``."""
        return self.compare(vectors, vectors)

    def to_manifest(self) -> dict[str, Any]:
        """Return the JSON form that the manifest keeps."""
        return {"kind": self.kind}


BaseSimilarity = Cosine | LocalSimilarity  # of two embeddings alone
Similarity = BaseSimilarity | CohortSimilarity
SIMILARITIES: dict[str, type[Similarity]] = {each.kind: each for each in (Cosine, LocalSimilarity, CohortSimilarity)}


def make_similarity(described: Mapping[str, Any]) -> Similarity:
    """Make the similarity that a manifest's decision describes in ``similarity``. Raises ``BadSimilarity``."""
    try:
        values = dict(described)
    except (TypeError, ValueError):
        raise BadSimilarity(
            f"the manifest's similarity is {described!r}; it has to be an object with the key 'kind'"
        ) from None
    kind = values.pop("kind", None)
    if kind not in SIMILARITIES:
        raise BadSimilarity(
            f"the manifest's similarity is of kind {kind!r}; this version knows {', '.join(SIMILARITIES)}"
        )
    if "similarity" in values:
        values["similarity"] = make_similarity(values["similarity"])
    similarity: Any = SIMILARITIES[kind]
    try:
        return similarity(**values)
    except (TypeError, ValueError) as error:
        raise BadSimilarity(
            f"the manifest's {kind} similarity lacks or adds a field, or has a wrong value: {error}"
        ) from None


def find_distinct(vectors: np.ndarray) -> list[int]:
    """Return the positions of embeddings ``float32 [n, D]`` of length 1 without copies of an earlier one."""
    distinct: list[int] = []
    for position, vector in enumerate(vectors):
        if not distinct or np.linalg.norm(vectors[distinct] - vector, axis=1).min() > COPY_DISTANCE:
            distinct.append(position)
    return distinct
