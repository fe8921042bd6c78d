"""Backbones, one file each: networks from canonical ink to features.

A new backbone is one more file that defines ``BACKBONE``. It is independent of labels and losses; heads belong to
problems. Next: ``trainer/training/network.py`` puts a problem's head on a backbone.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras import KerasTensor

    from trainer.settings.sections import ModelSettings

PLUGIN_ATTRIBUTE = "BACKBONE"


@dataclasses.dataclass(frozen=True)
class Backbone:
    """``build(ink, settings)`` maps ink ``float32 [N, H, W, 1]``, 0 paper to 1 ink, to features ``float32 [N, F]``.

    A backbone that keeps places returns a grid ``float32 [N, h, w, F]``. It drops ``settings.dropout`` of the
    features in training, and starts from ``settings.preset`` if ``has_presets``. Its layers have names, because a warm
    start finds weights by name. ``embedding_dim`` is the dimension of the embedding in problems that compare vectors,
    or of the descriptor of a place.
    """

    build: Callable[["KerasTensor", "ModelSettings"], "KerasTensor"]
    embedding_dim: int = 128
    has_presets: bool = False  # whether ``build`` can load a preset
