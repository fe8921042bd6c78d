"""Losses, one file each: a function in ``keras.ops`` and the kind of batch that it needs.

A new loss is one more file that defines ``LOSS``; a problem lists the names of the losses it can minimise.
``_batch.py`` computes relations between the images of a batch and ``_accuracy.py`` the metrics shown beside a loss;
neither is a plug-in. Independent of models and the training loop. Next: ``trainer/data/sampling.py`` draws the batches.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from trainer.data.sampling import Sampling

PLUGIN_ATTRIBUTE = "LOSS"
NOT_COMPARED = -3.0  # the similarity of two images of a batch that are not compared; less than any other
Tensor = Any  # of TensorFlow, or an array of NumPy: the functions of keras.ops take both
Targets = Mapping[str, Tensor]  # int32 [N] each: label, writer


@dataclasses.dataclass(frozen=True)
class Loss:
    """``function(targets, outputs) -> float32 [N]``, a value for each image of a batch.

    ``sampling`` is how the images of a batch are drawn. If it draws any images, ``outputs`` are the model's vectors
    ``float32 [N, D]``; if it draws comparable ones, their similarities ``float32 [N, N]``, of which pairs that are not
    compared are ``NOT_COMPARED``.
    """

    function: Callable[[Targets, Tensor], Tensor]
    sampling: Sampling
