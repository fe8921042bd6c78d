"""The contrastive loss on explicit pairs (Hadsell, Chopra and LeCun 2006)."""

from keras import ops

from trainer.data.sampling import PAIRS
from trainer.losses import Loss
from trainer.losses._batch import GENUINE

MARGIN = 1.0  # between unit vectors, which are 0 to 2 apart


def contrastive(targets, vectors):
    """The classical Siamese loss on explicit pairs, rows 2i and 2i + 1 (Hadsell, Chopra and LeCun 2006, eq. 4).

    Genuine signatures of one writer are drawn together, any other two pushed apart up to ``MARGIN`` (Euclidean).
    """
    pairs = ops.reshape(vectors, (-1, 2, vectors.shape[-1]))
    squared = ops.sum(ops.square(pairs[:, 0] - pairs[:, 1]), axis=1)
    writer, label = (ops.reshape(targets[name], (-1, 2)) for name in ("writer", "label"))
    same = ops.logical_and(writer[:, 0] == writer[:, 1], ops.all(label == GENUINE, axis=1))
    short = ops.maximum(0.0, MARGIN - ops.sqrt(squared + 1e-12))  # the root has no slope at 0
    return ops.repeat(ops.where(same, squared, ops.square(short)), 2)


LOSS = Loss(contrastive, PAIRS)
