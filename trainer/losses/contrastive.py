"""The contrastive loss of explicit pairs (Hadsell, Chopra and LeCun 2006).

Next: ``_batch.py``.
"""

from keras import ops

from trainer.data.sampling import Sampling
from trainer.losses import Loss, Targets, Tensor
from trainer.losses._batch import GENUINE_LABEL

MARGIN = 1.0  # between unit vectors, which are 0 to 2 apart


def contrastive(targets: Targets, similarities: Tensor) -> Tensor:
    """Return the loss of pairs, rows 2i and 2i + 1, for each row: ``float32 [N]`` (Hadsell et al. 2006, eq. 4).

    It pulls two genuine signatures of one writer together, and pushes any other two up to ``MARGIN`` apart. The
    distance is the root of 2 - 2 s, where s is the similarity: of cosines, the Euclidean distance. ``targets`` has
    ``label`` and ``writer``, ``int [N]``; ``similarities`` are ``float32 [N, N]``.
    """
    squared = ops.maximum(0.0, 2.0 - 2.0 * ops.diagonal(similarities, offset=1)[::2])
    writer, label = (ops.reshape(targets[name], (-1, 2)) for name in ("writer", "label"))
    positive = ops.logical_and(writer[:, 0] == writer[:, 1], ops.all(label == GENUINE_LABEL, axis=1))
    missing = ops.maximum(0.0, MARGIN - ops.sqrt(squared + 1e-12))  # the gradient of the root is infinite at 0
    return ops.repeat(ops.where(positive, squared, ops.square(missing)), 2)


LOSS = Loss(contrastive, Sampling.PAIRS)
