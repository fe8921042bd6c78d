"""The triplet loss with batch-hard mining (Hermans, Beyer and Leibe 2017).

Next: ``_batch.py``.
"""

from keras import ops

from trainer.data.sampling import Sampling
from trainer.losses import Loss, Targets, Tensor
from trainer.losses._batch import average_over_anchors, compute_relations

MARGIN = 0.3  # of cosine distances, which are 0 to 2
MAX_DISTANCE = 5.0  # more than any distance, also than the 4.0 of pairs that are not compared


def triplet(targets: Targets, similarities: Tensor) -> Tensor:
    """Return the loss of each anchor with its farthest positive and its nearest negative: ``float32 [N]``.

    Triplets are mined in the batch (Hermans, Beyer and Leibe 2017, sec. 2, "batch hard"); forgeries of the anchor's
    writer are negatives. ``targets`` has ``label`` and ``writer``, ``int [N]``; ``similarities`` are
    ``float32 [N, N]``.
    """
    positive, genuine = compute_relations(targets, similarities)
    distance = 1.0 - similarities
    farthest_positive = ops.max(ops.where(positive > 0, distance, -1.0), axis=1)
    not_negative = ops.maximum(positive, ops.eye(ops.shape(positive)[0]))
    nearest_negative = ops.min(ops.where(not_negative > 0, MAX_DISTANCE, distance), axis=1)
    losses = ops.maximum(0.0, MARGIN + farthest_positive - nearest_negative)
    return average_over_anchors(losses, positive, genuine)


LOSS = Loss(triplet, Sampling.WRITERS)
