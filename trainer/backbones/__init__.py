"""Networks, one file each: canonical ink to features.

A new network is one more file that defines ``BACKBONE``. It knows neither labels nor losses; heads are a problem's.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

CONSTANT = "BACKBONE"


@dataclasses.dataclass(frozen=True)
class Backbone:
    """``build(ink, dropout)`` maps ink ``float32 [N, H, W, 1]``, 0 paper to 1 ink, to features ``float32 [N, F]``."""

    build: Callable[[Any, float], Any]
