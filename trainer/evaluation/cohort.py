"""Make the cohort that similarities are normalised with, from embeddings of training signatures.

Works on vectors and their writers, not images. Next: ``trainer/artifact/cohort.py`` defines the normalised similarity.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from trainer.artifact.cohort import CohortSimilarity, pool
from trainer.artifact.similarity import BaseSimilarity, Similarity

WRITERS_PER_MEMBER = 3  # whose signatures are averaged, so that the cohort has nobody's embedding
MAX_MEMBERS = 96
NEAREST_SHARE = 8  # one in so many members counts
WEIGHT = 0.95  # below 1, so that equal embeddings have a similarity of 1 whatever the cohort
POOLED = (3, 6)  # rows and columns: 288 numbers of the 4,608 of a default embedding


def fit_cohort(
    similarity: BaseSimilarity, encoded_batches: Iterable[tuple[np.ndarray, Mapping[str, np.ndarray]]]
) -> Similarity:
    """Normalise a similarity with the genuine signatures among ``encoded_batches``.

    These are embeddings ``float32 [N, D]`` with targets ``int [N]``: ``writer``, and ``label``, which is 0 for genuine.
    A member of the cohort is the mean of a writer and of the two most similar ones. Fewer than three writers leave the
    similarity as it is.
    """
    sums: dict[int, np.ndarray] = {}
    for vectors, targets in encoded_batches:
        genuine = targets["label"] == 0
        pooled = pool(vectors[genuine], similarity, POOLED)
        for writer, vector in zip(targets["writer"][genuine].tolist(), pooled, strict=True):
            sums[writer] = sums.get(writer, 0) + vector
    if len(sums) < WRITERS_PER_MEMBER:
        return similarity
    means = np.stack([sums[writer] for writer in sorted(sums)])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    centres = means[np.unique(np.linspace(0, len(means) - 1, MAX_MEMBERS).astype(int))]
    nearest = np.argsort(-centres @ means.T, axis=1, kind="stable")[:, :WRITERS_PER_MEMBER]
    members = means[nearest].mean(axis=1)
    return CohortSimilarity.from_members(similarity, POOLED, members, max(1, len(members) // NEAREST_SHARE), WEIGHT)
