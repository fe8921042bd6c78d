"""The accuracy that is shown beside a loss during training: of classes, or of nearest neighbours in a batch.

Next: ``_batch.py`` has the relations between images.
"""

from keras import ops

from trainer.losses import Targets, Tensor
from trainer.losses._batch import average_over_anchors, compute_relations


def accuracy(targets: Targets, vectors: Tensor) -> Tensor:
    """Return 1 where the most probable class is the true one, else 0: ``float32 [N]``.

    ``targets`` has ``label``, ``int [N]``; ``vectors`` are class probabilities ``float32 [N, L]``.
    """
    return ops.cast(ops.equal(ops.argmax(vectors, axis=1), ops.cast(targets["label"], "int64")), "float32")


def recall_at_1(targets: Targets, vectors: Tensor) -> Tensor:
    """Return the recall at 1 of the batch: the share of genuine images whose nearest image is of the same writer.

    ``targets`` has ``label`` and ``writer``, ``int [N]``; ``vectors`` are ``float32 [N, D]`` of length 1. Returns
    ``float32 [N]``, whose mean is the share; rows that are no anchors are 0.
    """
    positive, genuine = compute_relations(targets)
    itself = 3.0 * ops.eye(ops.shape(positive)[0])  # more than any difference of two cosines
    nearest = ops.argmax(ops.matmul(vectors, ops.transpose(vectors)) - itself, axis=1)
    hits = ops.take_along_axis(positive, nearest[:, None], axis=1)[:, 0]
    return average_over_anchors(hits, positive, genuine)
