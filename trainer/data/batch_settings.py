"""How training batches are made, for the files that make them: ``batches.py`` and ``writer_batches.py``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from trainer.data.sampling import Sampling

if TYPE_CHECKING:
    from trainer.data.examples import Canvas
    from trainer.data.records import Records
    from trainer.data.stream import StreamSpec


@dataclasses.dataclass(frozen=True)
class BatchSettings:
    """How training batches are made; ``sampling`` decides whether a batch holds any images or comparable ones."""

    canvas: Canvas
    batch_size: int
    seed: int
    augment: bool
    sampling: Sampling = Sampling.IMAGES
    stream: StreamSpec | None = None  # generated images that join those of the records
    copies: Records | None = None  # of training images, drawn by writer
    copies_share: float = 0.0  # of the batches that are drawn from copies
    workers: int = 0  # processes that augment, or none
