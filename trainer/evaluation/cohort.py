"""Make the cohort that similarities are normalised with: generated signatures, of people who do not exist.

A cohort of training writers lowers the error on sources like theirs a little more, but a source with another kind of
line is less similar to it, and its false acceptance rates are then many times too high; see docs/decisions/0010. Next:
``trainer/artifact/cohort.py`` defines the normalised similarity, ``trainer/generators/signatures.py`` draws.
"""

from collections.abc import Callable

import numpy as np

from trainer.artifact.cohort import CohortSimilarity, pool
from trainer.artifact.similarity import BaseSimilarity
from trainer.imaging import Imaging, canonicalise
from trainer.settings import plugins

SIZE = 96  # signatures, each of another person
NEAREST = 12
WEIGHT = 0.85
POOLED = (3, 6)  # rows and columns: 288 numbers of the 4,608 of a default embedding
GENERATOR, SEED = "signatures", 2**40 + 1  # greater than every --seed, so that no one of it is in any training data


def make_cohort(
    similarity: BaseSimilarity, encode: Callable[[np.ndarray], np.ndarray], imaging: Imaging
) -> CohortSimilarity:
    """Normalise a similarity with embeddings of generated signatures.

    ``encode`` computes ``uint8 [N, H, W, 1] -> float32 [N, D]`` from canonical images of ``imaging``.
    """
    generate = plugins.load("generators", GENERATOR).generate_image
    files = (generate(SEED, writer, "genuine", 0)[0] for writer in range(1, SIZE + 1))
    vectors = encode(np.stack([canonicalise(data, imaging).image for data in files]))
    return CohortSimilarity.from_members(similarity, POOLED, pool(vectors, similarity, POOLED), NEAREST, WEIGHT)
