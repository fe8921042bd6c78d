"""The supervised contrastive loss plus a pairwise ranking loss (Yan et al. 2003) over the pairs of a batch."""

from keras import ops

from trainer.data.sampling import WRITERS
from trainer.losses import Loss
from trainer.losses._batch import relations
from trainer.losses.supervised_contrastive import supervised_contrastive

WEIGHT, SOFTNESS, PAIRS = 2.0, 0.15, 256  # of the ranking loss, its scale in similarity, pairs of a kind


def ranked_contrastive(targets, vectors):
    """Supervised contrastive, and every genuine pair of the batch above every forged one, whoever wrote them.

    The second part is what one threshold for all people needs: a smooth count of the pairs of pairs that stand in the
    wrong order, that is of 1 minus the area under the ROC curve (Yan et al. 2003). The hardest ``PAIRS`` of each kind.
    """
    same, genuine = relations(targets)
    own = ops.cast(targets["writer"][:, None] == targets["writer"][None, :], "float32")
    forged = own * genuine[:, None] * (1.0 - genuine[None, :])
    similar = ops.matmul(vectors, ops.transpose(vectors))
    count = min(PAIRS, similar.shape[0] ** 2) if similar.shape[0] else PAIRS
    low = -ops.top_k(ops.reshape(ops.where(same > 0, -similar, -3.0), (-1,)), count)[0]  # 3 where there are no more
    high = ops.top_k(ops.reshape(ops.where(forged > 0, similar, -3.0), (-1,)), count)[0]
    there = ops.cast(low < 2.0, "float32")[:, None] * ops.cast(high > -2.0, "float32")[None, :]
    wrong = ops.softplus((high[None, :] - low[:, None]) / SOFTNESS + 1.0)
    order = ops.sum(there * wrong) / ops.maximum(1.0, ops.sum(there))
    return supervised_contrastive(targets, vectors) + WEIGHT * order


LOSS = Loss(ranked_contrastive, WRITERS)
