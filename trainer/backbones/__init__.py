"""Networks, one file each: canonical ink to features.

A new network is one more file that defines ``BACKBONE``. It knows neither labels nor losses; heads are a problem's.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

CONSTANT = "BACKBONE"


@dataclasses.dataclass(frozen=True)
class Backbone:
    """``build(ink, chosen)`` maps ink ``float32 [N, H, W, 1]``, 0 paper to 1 ink, to features ``float32 [N, F]``.

    ``chosen`` are the settings of ``trainer.settings.config.Model``: ``dropout``, ``preset``. ``embedding`` is the
    size of the vector for a problem that compares vectors.
    """

    build: Callable[[Any, Any], Any]
    embedding: int = 128
    presets: bool = False  # whether ``build`` knows what to do with a preset
    mirrored: bool = False  # whether the exported encoder looks at the image and at its mirror image
