"""The cross-entropy of class probabilities.

Next: ``trainer/problems/_classification.py`` uses it.
"""

from keras import ops

from trainer.data.sampling import Sampling
from trainer.losses import Loss, Targets, Tensor


def cross_entropy(targets: Targets, vectors: Tensor) -> Tensor:
    """Return the negative log-probability of the true class, ``float32 [N]``; for two classes, binary cross-entropy.

    ``targets`` has ``label``, ``int [N]``; ``vectors`` are class probabilities ``float32 [N, L]``.
    """
    true = ops.take_along_axis(vectors, targets["label"][:, None], axis=1)[:, 0]
    return -ops.log(ops.clip(true, 1e-7, 1.0))


LOSS = Loss(cross_entropy, Sampling.IMAGES)
