"""Cross-entropy of class probabilities."""

from keras import ops

from trainer.data.sampling import IMAGES
from trainer.losses import Loss


def cross_entropy(targets, vectors):
    """Negative log-probability of the true class, ``float32 [N]``; for two classes this is binary cross-entropy."""
    true = ops.take_along_axis(vectors, targets["label"][:, None], axis=1)[:, 0]
    return -ops.log(ops.clip(true, 1e-7, 1.0))


LOSS = Loss(cross_entropy, IMAGES)
