"""Explain which regions of a questioned signature lower its score, by occlusion, with any engine.

A window moves over both canonical images, questioned and reference, and occludes the ink under it in both. If the two
are more similar without a region, this region lowers the score (Zeiler and Fergus 2014, sec. 4.2, applied to pairs).
Occluding only one of the images would show where ink is missing. Independent of files and HTTP. Next:
``verification.py``, ``imaging/registration.py``.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from trainer.imaging import encode_png
from trainer.imaging.registration import register

if TYPE_CHECKING:
    from trainer.artifact.artifact import EncodedImage
    from trainer.artifact.engine import Engine
    from trainer.artifact.similarity import Similarity


WINDOW, STRIDE = 4, 8  # side of the window, and its step: the height of the canvas divided by these
SCALE = 3  # pixels of the overlay for each pixel of the canvas, along a side
LOWERING, RAISING = (
    np.array([214.0, 40, 40]),
    np.array([40.0, 110, 214]),
)  # RGB of regions that lower or raise the score


@dataclasses.dataclass(frozen=True)
class Explanation:
    """``heatmap`` is ``float32 [H, W]``: the increase of the similarity when the ink there is occluded.

    Positive regions lower the score of the questioned image, negative ones raise it. ``reference`` is the index of the
    nearest reference. ``image`` is the questioned canonical image and ``reference_image`` that of the reference,
    ``uint8 [H, W]``; None for a stored embedding, which has no image.
    """

    heatmap: np.ndarray
    reference: int
    image: np.ndarray
    reference_image: np.ndarray | None

    @property
    def is_occluded_in_both(self) -> bool:
        """Whether ink was occluded in both images."""
        return self.reference_image is not None


def explain_nearest(
    engine: Engine,
    similarity: Similarity,
    questioned: EncodedImage,
    references: Sequence[EncodedImage | np.ndarray],
) -> Explanation:
    """Explain the similarity to the nearest of the references, encoded images or stored embeddings ``float32 [D]``.

    A stored embedding has no image, so ink is occluded in the questioned image alone. The result then shows which ink
    the similarity depends on, rather than which ink lowers it.
    """
    vectors = np.stack([image if isinstance(image, np.ndarray) else image.vector for image in references])
    similarities = similarity.compare(questioned.vector[None], vectors)[0]
    nearest = int(np.argmax(similarities))
    reference, image = references[nearest], questioned.canonical.image
    windows = _list_windows(*image.shape[:2])
    questioned_vectors = engine(_occlude(image, windows))
    reference_image = None
    if isinstance(reference, np.ndarray):
        occluded = similarity.compare(questioned_vectors, reference[None])[:, 0]
    else:
        reference_image = reference.canonical.image[:, :, 0]
        pairs = zip(questioned_vectors, engine(_occlude(reference.canonical.image, windows)), strict=True)
        occluded = np.array([similarity.compare(first[None], second[None])[0, 0] for first, second in pairs])
    heatmap = _draw_heatmap(image.shape[:2], windows, occluded - similarities[nearest])
    return Explanation(heatmap, nearest, image[:, :, 0], reference_image)


def _draw_heatmap(
    canvas: tuple[int, int], windows: list[tuple[int, int, int, int]], increases: np.ndarray
) -> np.ndarray:
    """Average the increases of overlapping windows, each weighted by a Hann window: ``float32 [H, W]``."""
    heat, total_weight = np.zeros(canvas, np.float32), np.full(canvas, 1e-6, np.float32)
    for (top, left, height, width), increase in zip(windows, increases, strict=True):
        weight = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
        weight = weight[: canvas[0] - top, : canvas[1] - left]
        heat[top : top + height, left : left + width] += increase * weight
        total_weight[top : top + height, left : left + width] += weight
    return heat / total_weight


def draw_overlay(explanation: Explanation) -> bytes:
    """Draw a PNG of the canonical ink in black, on red where ink lowers the score and on blue where it raises it."""
    strength = explanation.heatmap / max(float(np.abs(explanation.heatmap).max()), 1e-6)
    paper = np.full((*strength.shape, 3), 255.0)
    for colour, share in ((LOWERING, strength), (RAISING, -strength)):
        share = np.clip(share, 0, 1)[:, :, None] * 0.75
        paper = paper * (1 - share) + colour * share
    ink = explanation.image[:, :, None] / 255.0
    picture = Image.fromarray((paper * (1 - ink)).astype(np.uint8))
    buffer = io.BytesIO()
    picture.resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def to_json(explanation: Explanation) -> dict[str, Any]:
    """Return the JSON form: index of the reference, images in which ink was occluded, and pictures as base64.

    Where the reference has an image, ``registration`` has both inks, and that of the reference registered onto the
    questioned one, with their correlation.
    """
    answer = {
        "reference": explanation.reference,
        "occluded_in": "both" if explanation.is_occluded_in_both else "questioned",
        "overlay": _to_base64(draw_overlay(explanation)),
    }
    if explanation.reference_image is None:
        return answer
    registration = register(explanation.reference_image, explanation.image)
    inks = {
        "questioned": explanation.image,
        "reference": explanation.reference_image,
        "registered": registration.image,
    }
    pictures = {name: _to_base64(encode_png(ink[:, :, None])) for name, ink in inks.items()}
    return {**answer, "registration": {**pictures, "correlation": registration.correlation}}


def _to_base64(picture: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(picture).decode()}


def _list_windows(height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Return (top, left, height, width) of every window; together they cover the canvas."""
    side, step = max(1, height // WINDOW), max(1, height // STRIDE)
    tops, lefts = range(0, height - side + step, step), range(0, width - side + step, step)
    return [(top, left, side, side) for top in tops for left in lefts]


def _occlude(image: np.ndarray, windows: list[tuple[int, int, int, int]]) -> np.ndarray:
    """Return a copy of the image ``uint8 [H, W, 1]`` for each window, without the ink in it: ``uint8 [N, H, W, 1]``."""
    images = np.repeat(image[None], len(windows), axis=0)
    for occluded, (top, left, height, width) in zip(images, windows, strict=True):
        occluded[top : top + height, left : left + width] = 0
    return images
