"""Relations between the images of one batch, for losses that compare them."""

from keras import ops

GENUINE = 0  # the number of the label "genuine" where images are compared; see problems/same_writer.py


def relations(targets):
    """(1 where two different rows are genuine and of one writer ``[N, N]``, 1 where a row is genuine ``[N]``)."""
    genuine = ops.cast(targets["label"] == GENUINE, "float32")
    own = ops.cast(targets["writer"][:, None] == targets["writer"][None, :], "float32")
    return own * genuine[:, None] * genuine[None, :] * (1.0 - ops.eye(ops.shape(own)[0])), genuine


def over_anchors(each, same, genuine):
    """Only genuine rows with a fellow count, scaled so that the mean over all rows is the mean over those."""
    anchor = genuine * ops.cast(ops.sum(same, axis=1) > 0, "float32")
    return each * anchor * ops.cast(ops.shape(anchor)[0], "float32") / ops.maximum(1.0, ops.sum(anchor))
