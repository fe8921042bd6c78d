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


def recall_at_1(targets: Targets, similarities: Tensor) -> Tensor:
    """Return the recall at 1 of the batch: the share of genuine images whose nearest image is of the same writer.

    Only compared images count. ``targets`` has ``label`` and ``writer``, ``int [N]``; ``similarities`` are
    ``float32 [N, N]``. Returns ``float32 [N]``, whose mean is the share; rows that are no anchors are 0.
    """
    positive, genuine = compute_relations(targets, similarities)
    itself = 5.0 * ops.eye(ops.shape(positive)[0])  # more than any difference of two similarities
    nearest = ops.argmax(similarities - itself, axis=1)
    hits = ops.take_along_axis(positive, nearest[:, None], axis=1)[:, 0]
    return average_over_anchors(hits, positive, genuine)
