"""The supervised contrastive loss (Khosla et al. 2020), with skilled forgeries as hard negatives.

Next: ``_batch.py``.
"""

from keras import ops

from trainer.data.sampling import Sampling
from trainer.losses import Loss, Targets, Tensor
from trainer.losses._batch import average_over_anchors, compute_relations, compute_same_writer

TEMPERATURE = 0.1  # of similarities
SKILLED_WEIGHT = 4.0  # of a forgery of the anchor's writer, relative to another negative


def supervised_contrastive(targets: Targets, vectors: Tensor) -> Tensor:
    """Return the negative log-probability of an anchor's positives in the batch: ``float32 [N]``.

    This is Khosla et al. 2020, eq. 2 ("SupCon"), with forgeries of the anchor's writer counted ``SKILLED_WEIGHT`` times
    in the denominator. ``targets`` has ``label`` and ``writer``, ``int [N]``; ``vectors`` are ``float32 [N, D]`` of
    length 1.
    """
    positive, genuine = compute_relations(targets)
    logits = ops.matmul(vectors, ops.transpose(vectors)) / TEMPERATURE
    not_itself = 1.0 - ops.eye(ops.shape(positive)[0])
    forged = compute_same_writer(targets) * (1.0 - genuine[None, :])
    weights = not_itself * (1.0 + (SKILLED_WEIGHT - 1.0) * forged)
    largest = ops.max(logits, axis=1, keepdims=True)  # subtracted for numerical stability
    log_sum = ops.log(ops.sum(weights * ops.exp(logits - largest), axis=1, keepdims=True)) + largest
    losses = ops.sum(positive * (log_sum - logits), axis=1) / ops.maximum(1.0, ops.sum(positive, axis=1))
    return average_over_anchors(losses, positive, genuine)


LOSS = Loss(supervised_contrastive, Sampling.WRITERS)
