"""The supervised contrastive loss plus a pairwise ranking loss (Yan et al. 2003) over the pairs of a batch.

Next: ``supervised_contrastive.py``.
"""

from keras import ops

from trainer.data.sampling import Sampling
from trainer.losses import Loss, Targets, Tensor
from trainer.losses._batch import compute_relations, compute_same_writer, is_compared
from trainer.losses.supervised_contrastive import supervised_contrastive

RANKING_WEIGHT = 2.0  # of the ranking loss, relative to the contrastive loss
RANKING_SCALE = 0.15  # of the ranking loss, in similarity
MAX_RANKED_PAIRS = 256  # of genuine and of forged pairs each
NO_PAIR = -3.0  # less than any similarity, and than the negative of any


def ranked_contrastive(targets: Targets, similarities: Tensor) -> Tensor:
    """Return the supervised contrastive loss plus the ranking loss of genuine and forged pairs: ``float32 [N]``.

    One threshold for all writers needs the genuine pairs of every writer to be more similar than the forged pairs of
    any writer. The ranking loss is a smooth count of the violations, and so of 1 minus the area under the ROC curve
    (Yan et al. 2003), over the ``MAX_RANKED_PAIRS`` hardest pairs of each class. ``targets`` has ``label`` and
    ``writer``, ``int [N]``; ``similarities`` are ``float32 [N, N]``.
    """
    positive, genuine = compute_relations(targets, similarities)
    forged = compute_same_writer(targets) * is_compared(similarities) * genuine[:, None] * (1.0 - genuine[None, :])
    count = min(MAX_RANKED_PAIRS, similarities.shape[0] ** 2) if similarities.shape[0] else MAX_RANKED_PAIRS
    least_genuine = -ops.top_k(ops.reshape(ops.where(positive > 0, -similarities, NO_PAIR), (-1,)), count)[0]
    most_forged = ops.top_k(ops.reshape(ops.where(forged > 0, similarities, NO_PAIR), (-1,)), count)[0]
    exists = ops.cast(least_genuine < 2.0, "float32")[:, None] * ops.cast(most_forged > -2.0, "float32")[None, :]
    violation = ops.softplus((most_forged[None, :] - least_genuine[:, None]) / RANKING_SCALE + 1.0)
    ranking = ops.sum(exists * violation) / ops.maximum(1.0, ops.sum(exists))
    return supervised_contrastive(targets, similarities) + RANKING_WEIGHT * ranking


LOSS = Loss(ranked_contrastive, Sampling.WRITERS)
