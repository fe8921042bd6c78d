"""What training minimises, in ``keras.ops``: each maps (targets, vectors) to one number for each image.

``targets`` is a dict of ``int32 [N]``: ``label`` and ``writer``. Losses between images compare the rows of one batch,
which ``data/sampling.py`` draws for them. Knows no model and no loop.
"""

from keras import ops

GENUINE = 0  # the number of the label "genuine" where images are compared; see problems/same_writer.py
MARGIN = 1.0  # of the contrastive loss, between unit vectors that are 0 to 2 apart
TRIPLET_MARGIN = 0.3  # of cosine distances, which are 0 to 2
TEMPERATURE = 0.1  # of similarities in the supervised contrastive loss
RANKED, SOFTNESS, PAIRS = 2.0, 0.15, 256  # weight of the order of pairs, its scale in similarity, pairs of a kind
SKILLED = 4.0  # how much more a forgery of the writer counts than another negative


def cross_entropy(targets, vectors):
    """Negative log-probability of the true class, ``float32 [N]``; for two classes this is binary cross-entropy."""
    true = ops.take_along_axis(vectors, targets["label"][:, None], axis=1)[:, 0]
    return -ops.log(ops.clip(true, 1e-7, 1.0))


def accuracy(targets, vectors):
    """1 where the most probable class is the true one, ``float32 [N]``."""
    return ops.cast(ops.equal(ops.argmax(vectors, axis=1), ops.cast(targets["label"], "int64")), "float32")


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


def triplet(targets, vectors):
    """Triplets mined inside the batch: each genuine signature with its farthest fellow and its nearest stranger.

    Batch-hard mining after Hermans, Beyer and Leibe 2017, sec. 2; forgeries of the writer are strangers.
    """
    same, genuine = _relations(targets)
    distance = 1.0 - ops.matmul(vectors, ops.transpose(vectors))
    farthest = ops.max(ops.where(same > 0, distance, -1.0), axis=1)
    fellow = ops.maximum(same, ops.eye(ops.shape(same)[0]))  # and the image itself
    nearest = ops.min(ops.where(fellow > 0, 3.0, distance), axis=1)
    return _over_anchors(ops.maximum(0.0, TRIPLET_MARGIN + farthest - nearest), same, genuine)


def supervised_contrastive(targets, vectors):
    """Every genuine signature picks its fellows out of the batch (Khosla et al. 2020, eq. 2, "SupCon").

    Forgeries are in the crowd to pick from, those of the writer's own hand counted ``SKILLED`` times.
    """
    same, genuine = _relations(targets)
    similar = ops.matmul(vectors, ops.transpose(vectors)) / TEMPERATURE
    others = 1.0 - ops.eye(ops.shape(same)[0])
    own = ops.cast(targets["writer"][:, None] == targets["writer"][None, :], "float32")
    weight = others * (1.0 + (SKILLED - 1.0) * own * (1.0 - genuine[None, :]))
    top = ops.max(similar, axis=1, keepdims=True)
    crowd = ops.log(ops.sum(weight * ops.exp(similar - top), axis=1, keepdims=True)) + top
    each = ops.sum(same * (crowd - similar), axis=1) / ops.maximum(1.0, ops.sum(same, axis=1))
    return _over_anchors(each, same, genuine)


def ranked_contrastive(targets, vectors):
    """Supervised contrastive, and every genuine pair of the batch above every forged one, whoever wrote them.

    The second part is what one threshold for all people needs: a smooth count of the pairs of pairs that stand in the
    wrong order, that is of 1 minus the area under the ROC curve (Yan et al. 2003). The hardest ``PAIRS`` of each kind.
    """
    same, genuine = _relations(targets)
    own = ops.cast(targets["writer"][:, None] == targets["writer"][None, :], "float32")
    forged = own * genuine[:, None] * (1.0 - genuine[None, :])
    similar = ops.matmul(vectors, ops.transpose(vectors))
    count = min(PAIRS, similar.shape[0] ** 2) if similar.shape[0] else PAIRS
    low = -ops.top_k(ops.reshape(ops.where(same > 0, -similar, -3.0), (-1,)), count)[0]  # 3 where there are no more
    high = ops.top_k(ops.reshape(ops.where(forged > 0, similar, -3.0), (-1,)), count)[0]
    there = ops.cast(low < 2.0, "float32")[:, None] * ops.cast(high > -2.0, "float32")[None, :]
    wrong = ops.softplus((high[None, :] - low[:, None]) / SOFTNESS + 1.0)
    order = ops.sum(there * wrong) / ops.maximum(1.0, ops.sum(there))
    return supervised_contrastive(targets, vectors) + RANKED * order


def nearest_is_fellow(targets, vectors):
    """The share of genuine signatures whose nearest other image in the batch is by the same hand, as ``float32 [N]``.

    Every row holds its part of the mean, so that forgeries, which have no fellows, do not count.
    """
    same, genuine = _relations(targets)
    alone = 3.0 * ops.eye(ops.shape(same)[0])
    nearest = ops.argmax(ops.matmul(vectors, ops.transpose(vectors)) - alone, axis=1)
    hit = ops.take_along_axis(same, nearest[:, None], axis=1)[:, 0]
    return _over_anchors(hit, same, genuine)


def _relations(targets):
    """(1 where two different rows are genuine and of one writer ``[N, N]``, 1 where a row is genuine ``[N]``)."""
    genuine = ops.cast(targets["label"] == GENUINE, "float32")
    own = ops.cast(targets["writer"][:, None] == targets["writer"][None, :], "float32")
    return own * genuine[:, None] * genuine[None, :] * (1.0 - ops.eye(ops.shape(own)[0])), genuine


def _over_anchors(each, same, genuine):
    """Only genuine rows with a fellow count, scaled so that the mean over all rows is the mean over those."""
    anchor = genuine * ops.cast(ops.sum(same, axis=1) > 0, "float32")
    return each * anchor * ops.cast(ops.shape(anchor)[0], "float32") / ops.maximum(1.0, ops.sum(anchor))
