"""Relations between the images of a batch, for losses that compare images.

An anchor is a genuine image whose writer has another genuine image in the batch, a positive of this anchor. All other
images are its negatives. Next: ``supervised_contrastive.py``, a loss that uses them.
"""

from keras import ops

from trainer.losses import NOT_COMPARED, Targets, Tensor

GENUINE_LABEL = 0  # the number of the label "genuine" where images are compared; see problems/same_writer.py


def compute_relations(targets: Targets, similarities: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``positive``, ``float32 [N, N]``, and ``genuine``, ``float32 [N]``, both of 0 and 1.

    ``positive[i, j]`` is 1 where i and j are two genuine images of one writer that are compared. ``targets`` has
    ``label`` and ``writer``, ``int [N]``; ``similarities`` are ``float32 [N, N]``.
    """
    genuine = ops.cast(targets["label"] == GENUINE_LABEL, "float32")
    same_writer = compute_same_writer(targets) * is_compared(similarities)
    itself = ops.eye(ops.shape(same_writer)[0])
    return same_writer * genuine[:, None] * genuine[None, :] * (1.0 - itself), genuine


def compute_same_writer(targets: Targets) -> Tensor:
    """Return ``float32 [N, N]``: 1 where two images bear the name of one writer, genuine or forged, else 0."""
    return ops.cast(targets["writer"][:, None] == targets["writer"][None, :], "float32")


def is_compared(similarities: Tensor) -> Tensor:
    """Return ``float32 [N, N]``: 1 where two images are compared, else 0."""
    return ops.cast(similarities > NOT_COMPARED, "float32")


def weigh_others(targets: Targets, similarities: Tensor) -> Tensor:
    """Return weights ``float32 [N, N]`` of images of other writers: those that are compared stand for all of them.

    A row sums to the number of images of other writers. 0 for images of the same writer, and for pairs that are not
    compared.
    """
    others = 1.0 - compute_same_writer(targets)
    compared = others * is_compared(similarities)
    counts = (ops.sum(each, axis=1, keepdims=True) for each in (others, compared))
    total, compared_count = counts
    return compared * total / ops.maximum(1.0, compared_count)


def average_over_anchors(values: Tensor, positive: Tensor, genuine: Tensor) -> Tensor:
    """Set ``values``, ``float32 [N]``, to 0 outside the anchors, and scale them: the mean of all is that of anchors."""
    anchor = genuine * ops.cast(ops.sum(positive, axis=1) > 0, "float32")
    return values * anchor * ops.cast(ops.shape(anchor)[0], "float32") / ops.maximum(1.0, ops.sum(anchor))
