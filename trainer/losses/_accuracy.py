"""The accuracy that is shown beside a loss while training: of classes, or of nearest neighbours in a batch."""

from keras import ops

from trainer.losses._batch import over_anchors, relations


def accuracy(targets, vectors):
    """1 where the most probable class is the true one, ``float32 [N]``."""
    return ops.cast(ops.equal(ops.argmax(vectors, axis=1), ops.cast(targets["label"], "int64")), "float32")


def nearest_is_fellow(targets, vectors):
    """The share of genuine signatures whose nearest other image in the batch is by the same hand, as ``float32 [N]``.

    Every row holds its part of the mean, so that forgeries, which have no fellows, do not count.
    """
    same, genuine = relations(targets)
    alone = 3.0 * ops.eye(ops.shape(same)[0])
    nearest = ops.argmax(ops.matmul(vectors, ops.transpose(vectors)) - alone, axis=1)
    hit = ops.take_along_axis(same, nearest[:, None], axis=1)[:, 0]
    return over_anchors(hit, same, genuine)
