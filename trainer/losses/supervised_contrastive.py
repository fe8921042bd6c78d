"""The supervised contrastive loss (Khosla et al. 2020), with skilled forgeries as hard negatives."""

from keras import ops

from trainer.data.sampling import WRITERS
from trainer.losses import Loss
from trainer.losses._batch import over_anchors, relations

TEMPERATURE = 0.1  # of similarities
SKILLED = 4.0  # how much more a forgery of the writer counts than another negative


def supervised_contrastive(targets, vectors):
    """Every genuine signature picks its fellows out of the batch (Khosla et al. 2020, eq. 2, "SupCon").

    Forgeries are in the crowd to pick from, those of the writer's own hand counted ``SKILLED`` times.
    """
    same, genuine = relations(targets)
    similar = ops.matmul(vectors, ops.transpose(vectors)) / TEMPERATURE
    others = 1.0 - ops.eye(ops.shape(same)[0])
    own = ops.cast(targets["writer"][:, None] == targets["writer"][None, :], "float32")
    weight = others * (1.0 + (SKILLED - 1.0) * own * (1.0 - genuine[None, :]))
    top = ops.max(similar, axis=1, keepdims=True)
    crowd = ops.log(ops.sum(weight * ops.exp(similar - top), axis=1, keepdims=True)) + top
    each = ops.sum(same * (crowd - similar), axis=1) / ops.maximum(1.0, ops.sum(same, axis=1))
    return over_anchors(each, same, genuine)


LOSS = Loss(supervised_contrastive, WRITERS)
