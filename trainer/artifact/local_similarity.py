"""How similar two grids of local descriptors are, compared place by place.

NumPy only: the predictor computes with it. Next: ``similarity.py`` reads it from a manifest, ``cohort.py`` normalises
it; ``trainer/training/batch_similarity.py`` computes the same for a loss.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

BEYOND_REACH = 3.0  # subtracted from a cosine, leaves less than 0
Grid = tuple[np.ndarray, np.ndarray]  # places with ink, int [k]; their descriptors of length 1, float32 [k, d]


class BadSimilarity(ValueError):
    """The description of a similarity is incomplete, or of a kind that this version does not know."""


@dataclasses.dataclass(frozen=True)
class LocalSimilarity:
    """The mean cosine of local descriptors, each compared with the most similar one near its place in the other image.

    A vector ``float32 [D]`` is a grid of ``rows * columns`` descriptors, row by row. A place without ink has zeros; the
    others have equal lengths, so that the vector has length 1. The similarity of grid a to grid b is the mean, over the
    places of a with ink, of the largest cosine with a descriptor of b that is at most ``row_reach`` rows and
    ``column_reach`` columns away, less ``step_cost`` for each row and column of distance; it is 0 where nothing near is
    similar. The answer is the mean of both directions. Two signatures of one writer differ in where their strokes are;
    this allows for it without a network that forgets the place. Measurements: docs/decisions/0010.
    """

    kind: ClassVar[str] = "local"
    rows: int
    columns: int
    row_reach: int
    column_reach: int
    step_cost: float

    def __post_init__(self):
        if min(self.rows, self.columns) < 1 or min(self.row_reach, self.column_reach, self.step_cost) < 0:
            raise BadSimilarity(f"a local similarity needs a grid of 1 x 1 places or more, and reaches from 0: {self}")

    def check_dim(self, embedding_dim: int) -> None:
        """Check that embeddings of this dimension are grids of these places. Raises ``BadSimilarity``."""
        if embedding_dim < 1 or embedding_dim % (self.rows * self.columns):
            raise BadSimilarity(
                f"embeddings of {embedding_dim} numbers are no grid of {self.rows} x {self.columns} places; a multiple "
                f"of {self.rows * self.columns} is"
            )

    def compare(self, questioned: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Compute ``float32 [M, D]`` and ``float32 [n, D]`` to similarities ``float32 [M, n]``.

        An image without any ink has similarity 0 to all.
        """
        compare_grid = self._make_comparison(self._read_grids(references))
        rows = [compare_grid(grid) for grid in self._read_grids(questioned)]
        return np.array(rows, np.float32).reshape(len(questioned), len(references))

    def compare_all(self, vectors: np.ndarray) -> np.ndarray:
        """Compute the similarities of vectors ``float32 [n, D]`` to each other, ``float32 [n, n]``."""
        grids, similarities = self._read_grids(vectors), np.zeros((len(vectors), len(vectors)), np.float32)
        for row, grid in enumerate(grids):
            similarities[row, row:] = similarities[row:, row] = self._make_comparison(grids[row:])(grid)
        return similarities

    def _make_comparison(self, references: list[Grid]) -> Callable[[Grid], np.ndarray]:
        """Make a function from a grid to its similarities to the references, ``float32 [n]``."""
        inked = [index for index, (places, _) in enumerate(references) if len(places)]
        zeros = np.zeros(len(references), np.float32)
        if not inked:
            return lambda questioned: zeros
        places, descriptors = map(np.concatenate, zip(*(references[index] for index in inked), strict=True))
        counts = np.array([len(references[index][0]) for index in inked])
        starts = np.cumsum(counts) - counts

        def compare_grid(questioned: Grid) -> np.ndarray:
            if not len(questioned[0]):
                return zeros
            cosines = questioned[1] @ descriptors.T
            cosines -= _make_costs(self)[questioned[0]].take(places, axis=1)
            np.maximum(cosines, 0, out=cosines)
            to_references = np.maximum.reduceat(cosines, starts, axis=1).mean(axis=0)
            from_references = np.add.reduceat(cosines.max(axis=0), starts) / counts
            similarities = zeros.copy()
            similarities[inked] = (to_references + from_references) / 2
            return similarities

        return compare_grid

    def _read_grids(self, vectors: np.ndarray) -> list[Grid]:
        """Read the places with ink and their descriptors from vectors ``float32 [n, D]``."""
        grids, place_count = [], self.rows * self.columns
        for grid in vectors.reshape(len(vectors), place_count, vectors.shape[1] // place_count):
            places = np.flatnonzero(grid.any(axis=1))
            descriptors = grid[places]
            grids.append((places, descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)))
        return grids

    def to_manifest(self) -> dict[str, Any]:
        """Return the JSON form that the manifest keeps."""
        return {"kind": self.kind, **dataclasses.asdict(self)}


@functools.lru_cache(maxsize=8)
def _make_costs(similarity: LocalSimilarity) -> np.ndarray:
    """Make the cost of every pair of places, ``float32 [rows * columns, rows * columns]``."""
    row, column = np.divmod(np.arange(similarity.rows * similarity.columns), similarity.columns)
    row_steps, column_steps = (np.abs(values[:, None] - values[None, :]) for values in (row, column))
    within = (row_steps <= similarity.row_reach) & (column_steps <= similarity.column_reach)
    costs = np.where(within, similarity.step_cost * (row_steps + column_steps), BEYOND_REACH)
    return costs.astype(np.float32)
