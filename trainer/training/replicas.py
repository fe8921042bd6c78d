"""What the devices that share a batch tell each other, so that a loss compares the images of all of them.

On one device nothing is sent. Next: ``batch_similarity.py`` and ``steps.py``, which gather.
"""

import tensorflow as tf


def count_replicas() -> int:
    """Return the number of devices, on all machines, that share a batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def gather(tensor: tf.Tensor) -> tf.Tensor:
    """Concatenate the tensors ``[n, ...]`` of all devices in their order: ``[N, ...]``, the same on each of them.

    Called on each device, in ``strategy.run``, with equal shapes. The gradient of a device's tensor is the sum of what
    all devices derive from it, so each has to count its share of a loss that is computed on all of them.
    """
    replicas = count_replicas()
    if replicas == 1:
        return tensor
    # A sum of tensors that are 0 elsewhere: all_gather needs their devices, which a loop on several machines hides.
    size = tf.shape(tensor)[0]
    before = get_replica_number() * size
    padding = [[before, (replicas - 1) * size - before], *[[0, 0]] * (len(tensor.shape) - 1)]
    gathered = _get_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.pad(tensor, padding))
    return tf.ensure_shape(gathered, [tensor.shape[0] and tensor.shape[0] * replicas, *tensor.shape[1:]])


def get_replica_number() -> tf.Tensor | int:
    """Return the number of this device, from 0, in the order of ``gather``."""
    return 0 if count_replicas() == 1 else _get_context().replica_id_in_sync_group


def _get_context() -> tf.distribute.ReplicaContext:
    context = tf.distribute.get_replica_context()
    assert context is not None  # noqa: S101 - only code outside of strategy.run has none
    return context
