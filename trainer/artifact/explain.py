"""Which regions of a questioned signature speak against it: occlusion, batched, with any engine.

A window is moved over both canonical images, questioned and reference, and the ink under it hidden in both: where the
two become more alike without a region, that region lowers the score (Zeiler and Fergus 2014, sec. 4.2, for pairs).
Hiding it in one alone would only show where ink is missing. Knows no files and no HTTP.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from trainer.artifact.artifact import Look
    from trainer.artifact.engine import Engine


WINDOW, STRIDE = 4, 8  # the window is a fourth of the canvas' height, moved by an eighth
SCALE = 3  # pixels of the picture for each of the canvas
AGAINST, FOR = np.array([214.0, 40, 40]), np.array([40.0, 110, 214])  # colours on paper


@dataclasses.dataclass(frozen=True)
class Explanation:
    """``heat`` is ``float32 [H, W]``: by how much the distance falls when what is there is hidden.

    Positive regions speak against the questioned image, negative ones for it. ``reference`` is the number of the
    nearest reference, ``both`` whether it has an image to hide ink in, ``image`` the questioned canonical image
    ``uint8 [H, W]``.
    """

    heat: np.ndarray
    reference: int
    both: bool
    image: np.ndarray


def against_nearest(engine: Engine, look: Look, references: Sequence[Look | np.ndarray]) -> Explanation:
    """Compare with the nearest reference.

    A stored vector has no image: then ink is hidden in the questioned one alone, which shows what the likeness rests on
    better than what speaks against it.
    """
    vectors = [seen if isinstance(seen, np.ndarray) else seen.vector for seen in references]
    nearest = int(np.argmin([np.linalg.norm(look.vector - vector) for vector in vectors]))
    chosen = references[nearest]
    image = look.canonical.image
    windows = _windows(*image.shape[:2])
    mine = engine(_hidden(image, windows))
    if not isinstance(chosen, np.ndarray):
        theirs = engine(_hidden(chosen.canonical.image, windows))
    else:
        theirs = np.broadcast_to(chosen, mine.shape)
    whole = np.linalg.norm(look.vector - vectors[nearest])
    falls = whole - np.linalg.norm(mine - theirs, axis=1)
    return Explanation(
        _heat(image.shape[:2], windows, falls), nearest, not isinstance(chosen, np.ndarray), image[:, :, 0]
    )


def _heat(canvas: tuple[int, int], windows: list[tuple[int, int, int, int]], falls: np.ndarray) -> np.ndarray:
    """What each window says, most at its middle: ``float32 [H, W]``, smooth because windows overlap."""
    heat, weight = np.zeros(canvas, np.float32), np.full(canvas, 1e-6, np.float32)
    for (top, left, height, width), fall in zip(windows, falls, strict=True):
        bell = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
        bell = bell[: canvas[0] - top, : canvas[1] - left]
        heat[top : top + height, left : left + width] += fall * bell
        weight[top : top + height, left : left + width] += bell
    return heat / weight


def overlay(found: Explanation) -> bytes:
    """A PNG: the canonical ink in black, red behind what speaks against it and blue behind what speaks for it."""
    strength = found.heat / max(float(np.abs(found.heat).max()), 1e-6)
    paper = np.full((*strength.shape, 3), 255.0)
    for colour, share in ((AGAINST, strength), (FOR, -strength)):
        share = np.clip(share, 0, 1)[:, :, None] * 0.75
        paper = paper * (1 - share) + colour * share
    ink = found.image[:, :, None] / 255.0
    picture = Image.fromarray((paper * (1 - ink)).astype(np.uint8))
    written = io.BytesIO()
    picture.resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.BICUBIC).save(written, "PNG")
    return written.getvalue()


def describe(found: Explanation) -> dict[str, Any]:
    """As it is answered: the number of the reference, where ink was hidden, and the picture."""
    hidden = "both" if found.both else "questioned"
    picture = base64.b64encode(overlay(found)).decode()
    return {"reference": found.reference, "hidden_in": hidden, "overlay": {"b64": picture}}


def _windows(height: int, width: int) -> list[tuple[int, int, int, int]]:
    """(top, left, height, width) of every window; together they cover the canvas evenly."""
    side, step = max(1, height // WINDOW), max(1, height // STRIDE)
    tops, lefts = range(0, height - side + step, step), range(0, width - side + step, step)
    return [(top, left, side, side) for top in tops for left in lefts]


def _hidden(image: np.ndarray, windows: list[tuple[int, int, int, int]]) -> np.ndarray:
    """The image once for each window, without the ink in it: ``uint8 [N, H, W, 1]``."""
    images = np.repeat(image[None], len(windows), axis=0)
    for hidden, (top, left, height, width) in zip(images, windows, strict=True):
        hidden[top : top + height, left : left + width] = 0
    return images
