"""What training minimises, one file each: a function in ``keras.ops`` and the kind of batch that it needs.

A new loss is one more file that defines ``LOSS``; a problem lists the names of those it can minimise. ``_batch.py`` has
the relations between the images of a batch, ``_accuracy.py`` the numbers shown beside a loss; neither is a plug-in.
Knows no model and no loop.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

CONSTANT = "LOSS"


@dataclasses.dataclass(frozen=True)
class Loss:
    """``function(targets, vectors) -> float32 [N]``, a value for each image of a batch.

    ``targets`` is a dict of ``int32 [N]``: ``label`` and ``writer``; ``vectors`` is ``float32 [N, D]``. ``sampling``
    says how batches are drawn: ``data.sampling.IMAGES``, ``WRITERS`` or ``PAIRS``.
    """

    function: Callable[[Mapping[str, Any], Any], Any]
    sampling: str
