"""Similarities relative to those with strangers: score normalisation with a cohort.

Some signatures resemble everybody's: plain ones, and those of a script or a scanner that training saw little of. Their
forgeries are more similar to them than other writers' genuine signatures are to each other, so one threshold does not
serve both. The remedy is that of speaker verification (Auckenthaler et al. 2000, "Score normalization for
text-independent speaker verification systems"; with the nearest of the cohort, Cumani et al. 2011). NumPy only: the
predictor computes with it. Next: ``trainer/evaluation/cohort.py`` makes one, docs/decisions/0010 measures it.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trainer.artifact.local_similarity import BadSimilarity, LocalSimilarity

if TYPE_CHECKING:
    from trainer.artifact.similarity import BaseSimilarity

SCALE = 127  # the largest number of a member as int8
MIN_LENGTH = 1e-6  # of a pooled embedding that is not 0


@dataclasses.dataclass(frozen=True)
class CohortSimilarity:
    """The similarity of two embeddings relative to how similar both are to a cohort of strangers.

    t(x) is the mean of the ``nearest`` largest cosines of x, pooled, to the members of the cohort. With
    m = ``weight`` (t(a) + t(b)) / 2, the similarity s of a and b by ``similarity`` becomes (s - m) / (1 - m), which is
    1 for equal embeddings. ``pooled`` are the rows and columns that a grid of local descriptors is reduced to; a vector
    stays as it is. ``members`` is base64 of int8 ``[count, numbers]``, directions of pooled embeddings.
    """

    kind: ClassVar[str] = "cohort"
    similarity: BaseSimilarity
    pooled: tuple[int, int]
    nearest: int
    weight: float
    count: int
    members: str

    def __post_init__(self):
        rows, columns = self.pooled
        object.__setattr__(self, "pooled", (int(rows), int(columns)))  # a list in JSON
        if isinstance(self.similarity, CohortSimilarity):
            raise BadSimilarity("a similarity is relative to one cohort, not to two")
        is_whole = isinstance(self.nearest, int) and isinstance(self.count, int)
        if not (is_whole and 0 <= self.weight < 1 and 1 <= self.nearest <= self.count and min(self.pooled) >= 1):
            raise BadSimilarity(
                f"a cohort needs a weight from 0 to less than 1, and 1 to count nearest of its members: weight "
                f"{self.weight}, nearest {self.nearest}, count {self.count}, pooled {self.pooled}"
            )

    @classmethod
    def from_members(
        cls,
        similarity: BaseSimilarity,
        pooled: tuple[int, int],
        members: np.ndarray,
        nearest: int,
        weight: float,
    ) -> CohortSimilarity:
        """Make it from members ``float [count, numbers]`` of pooled embeddings."""
        largest = np.maximum(np.abs(members).max(axis=1, keepdims=True), MIN_LENGTH)
        rounded = np.rint(members / largest * SCALE).astype(np.int8)
        text = base64.b64encode(rounded.tobytes()).decode()
        return cls(similarity, pooled, nearest, weight, len(members), text)

    @functools.cached_property
    def directions(self) -> np.ndarray:
        """The members, ``float32 [count, numbers]``, with length 1."""
        values = np.frombuffer(base64.b64decode(self.members, validate=True), np.int8).astype(np.float32)
        return _normalise(values.reshape(self.count, -1))

    def check_dim(self, embedding_dim: int) -> None:
        """Check that embeddings of this dimension fit. Raises ``BadSimilarity``."""
        self.similarity.check_dim(embedding_dim)
        expected = pool(np.zeros((1, embedding_dim), np.float32), self.similarity, self.pooled).shape[1]
        try:
            numbers = self.directions.shape[1]
        except (ValueError, TypeError) as error:
            raise BadSimilarity(f"the members of the cohort are not {self.count} rows of int8: {error}") from None
        if numbers != expected:
            raise BadSimilarity(
                f"the members of the cohort have {numbers} numbers each; pooled embeddings have {expected}"
            )

    def compare(self, questioned: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Compute ``float32 [M, D]`` and ``float32 [n, D]`` to similarities ``float32 [M, n]``."""
        similarities = self.similarity.compare(questioned, references)
        return self._normalise_scores(similarities, self.compare_cohort(questioned), self.compare_cohort(references))

    def compare_all(self, vectors: np.ndarray) -> np.ndarray:
        """Compute the similarities of vectors ``float32 [n, D]`` to each other, ``float32 [n, n]``."""
        to_cohort = self.compare_cohort(vectors)
        return self._normalise_scores(self.similarity.compare_all(vectors), to_cohort, to_cohort)

    def compare_cohort(self, vectors: np.ndarray) -> np.ndarray:
        """Compute t of vectors, ``float32 [n, D]`` to ``float32 [n]``."""
        cosines = pool(vectors, self.similarity, self.pooled) @ self.directions.T
        return np.partition(cosines, self.count - self.nearest, axis=1)[:, -self.nearest :].mean(axis=1)

    def _normalise_scores(self, similarities: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Normalise similarities ``float32 [M, n]`` by the t of their sides, ``float32 [M]`` and ``float32 [n]``."""
        means = self.weight * (first[:, None] + second[None, :]) / 2
        return ((similarities - means) / (1 - means)).astype(np.float32)

    def to_manifest(self) -> dict[str, Any]:
        """Return the JSON form that the manifest keeps."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        similarity, pooled = self.similarity.to_manifest(), list(self.pooled)
        return {"kind": self.kind, **fields, "similarity": similarity, "pooled": pooled}


def pool(vectors: np.ndarray, similarity: BaseSimilarity, pooled: tuple[int, int]) -> np.ndarray:
    """Add up the descriptors of embeddings in ``pooled`` rows and columns: ``float32 [n, D] -> float32 [n, P]``.

    The results have length 1. Vectors without places are returned as they are.
    """
    if not isinstance(similarity, LocalSimilarity):
        return vectors
    dim = vectors.shape[1] // (similarity.rows * similarity.columns)
    grids = vectors.reshape(len(vectors), similarity.rows, similarity.columns, dim)
    for axis, (size, parts) in enumerate(zip((similarity.rows, similarity.columns), pooled, strict=True), start=1):
        grids = np.add.reduceat(grids, np.arange(parts) * size // parts, axis=axis)
    return _normalise(grids.reshape(len(vectors), pooled[0] * pooled[1] * dim))


def _normalise(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(MIN_LENGTH, np.linalg.norm(vectors, axis=1, keepdims=True))
