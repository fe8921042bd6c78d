"""What training minimises, in ``keras.ops``: each maps (targets, vectors) to one number for each image.

``targets`` is a dict of ``int32 [N]``. Knows no model and no loop.
"""

from keras import ops


def cross_entropy(targets, vectors):
    """Negative log-probability of the true class, ``float32 [N]``; for two classes this is binary cross-entropy."""
    true = ops.take_along_axis(vectors, targets["label"][:, None], axis=1)[:, 0]
    return -ops.log(ops.clip(true, 1e-7, 1.0))


def accuracy(targets, vectors):
    """1 where the most probable class is the true one, ``float32 [N]``."""
    return ops.cast(ops.equal(ops.argmax(vectors, axis=1), ops.cast(targets["label"], "int64")), "float32")
