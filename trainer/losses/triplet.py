"""The triplet loss with batch-hard mining (Hermans, Beyer and Leibe 2017)."""

from keras import ops

from trainer.data.sampling import WRITERS
from trainer.losses import Loss
from trainer.losses._batch import over_anchors, relations

MARGIN = 0.3  # of cosine distances, which are 0 to 2


def triplet(targets, vectors):
    """Triplets mined inside the batch: each genuine signature with its farthest fellow and its nearest stranger.

    Batch-hard mining after Hermans, Beyer and Leibe 2017, sec. 2; forgeries of the writer are strangers.
    """
    same, genuine = relations(targets)
    distance = 1.0 - ops.matmul(vectors, ops.transpose(vectors))
    farthest = ops.max(ops.where(same > 0, distance, -1.0), axis=1)
    fellow = ops.maximum(same, ops.eye(ops.shape(same)[0]))  # and the image itself
    nearest = ops.min(ops.where(fellow > 0, 3.0, distance), axis=1)
    return over_anchors(ops.maximum(0.0, MARGIN + farthest - nearest), same, genuine)


LOSS = Loss(triplet, WRITERS)
