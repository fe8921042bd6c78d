"""The supervised contrastive loss (Khosla et al. 2020), with skilled forgeries as hard negatives.

Next: ``_batch.py``.
"""

from keras import ops

from trainer.data.sampling import Sampling
from trainer.losses import Loss, Targets, Tensor
from trainer.losses._batch import (
    average_over_anchors,
    compute_relations,
    compute_same_writer,
    is_compared,
    weigh_others,
)

TEMPERATURE = 0.1  # of similarities
SKILLED_WEIGHT = 4.0  # of a forgery of the anchor's writer, relative to another negative


def supervised_contrastive(targets: Targets, similarities: Tensor) -> Tensor:
    """Return the negative log-probability of an anchor's positives in the batch: ``float32 [N]``.

    This is Khosla et al. 2020, eq. 2 ("SupCon"), with forgeries of the anchor's writer counted ``SKILLED_WEIGHT`` times
    in the denominator. Each compared image of another writer is weighted by the number of all such images over that of
    the compared ones.
    ``targets`` has ``label`` and ``writer``, ``int [N]``; ``similarities`` are ``float32 [N, N]``.
    """
    positive, genuine = compute_relations(targets, similarities)
    logits = similarities / TEMPERATURE
    forged = compute_same_writer(targets) * is_compared(similarities) * (1.0 - genuine[None, :])
    not_itself = 1.0 - ops.eye(ops.shape(positive)[0])
    weights = positive + not_itself * (SKILLED_WEIGHT * forged + weigh_others(targets, similarities))
    largest = ops.max(logits, axis=1, keepdims=True)  # subtracted for numerical stability
    log_sum = ops.log(ops.sum(weights * ops.exp(logits - largest), axis=1, keepdims=True)) + largest
    losses = ops.sum(positive * (log_sum - logits), axis=1) / ops.maximum(1.0, ops.sum(positive, axis=1))
    return average_over_anchors(losses, positive, genuine)


LOSS = Loss(supervised_contrastive, Sampling.WRITERS)
