"""Random changes to signatures, for encoders that compare writers: within a writer, by pen and scan, across writers.

Each image gets a small warp and a change of strokes. Before that, all images of a writer in a batch, genuine and
forged, get one strong warp in common: a synthetic writer, with forgeries. A network memorises a hundred writers soon,
but not writers that never occur twice. NumPy and OpenCV, for processes of their own. Next: ``writer_batches.py``
calls it.
"""

import dataclasses
import math

import cv2
import numpy as np

# Within a writer, in either direction.
MAX_ROTATION = math.radians(5)
MAX_ZOOM, MAX_STRETCH, MAX_SHEAR, MAX_SHIFT = 0.10, 0.05, 0.10, 0.03
MAX_STROKE_CHANGE = 1.0  # share of a 3 x 3 dilation or erosion
# Synthetic writers: their share of a batch, and how strong the warp is.
SYNTHETIC_SHARE = 0.8
SYNTHETIC_ROTATION = math.radians(8.4)
SYNTHETIC_ZOOM, SYNTHETIC_STRETCH, SYNTHETIC_SHEAR = (-0.035, 0.14), 0.18, 0.25
SYNTHETIC_DISPLACEMENT = 2.0  # pixels, standard deviation at the knots
FLIP_SHARE, CROP_SHARE = 0.5, 0.2  # mirrored, in each direction; stretched beyond the canvas, so that ink is cut off
KNOTS = (3, 5)  # of a displacement: rows and columns


@dataclasses.dataclass(frozen=True)
class Warp:
    """A map from output to input pixels.

    ``matrix`` is ``float [2, 2]`` about the centre, ``translation`` ``float [2]`` in pixels and ``displacement``
    ``float [2, H, W]`` in pixels of the output, so a second, small warp does not move it.
    """

    matrix: np.ndarray
    translation: np.ndarray
    displacement: np.ndarray | None = None

    def after(self, first: "Warp") -> "Warp":
        """Return the warp that applies ``first`` and then this one."""
        displacement = first.displacement if self.displacement is None else self.displacement
        translation = first.matrix @ self.translation + first.translation
        return Warp(first.matrix @ self.matrix, translation, displacement)


def augment_batch(
    images: np.ndarray, targets: dict[str, np.ndarray], seed: list[int]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Augment a batch by the target ``writer``; the same from the same seed, in whichever process."""
    return augment_by_writer(images, targets["writer"], np.random.default_rng(seed)), targets


def augment_by_writer(images: np.ndarray, writers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Augment a batch ``uint8 [N, H, W, 1]`` by ``writers``, ``int [N]``; the same from the same generator."""
    canvas = images.shape[1:3]
    writer_warps = {writer: _draw_writer_warp(canvas, rng) for writer in np.unique(writers).tolist()}
    augmented = np.empty_like(images)
    for row, (image, writer) in enumerate(zip(images[..., 0], writers.tolist(), strict=True)):
        warp = _draw_image_warp(canvas, rng)
        if writer_warp := writer_warps[writer]:
            warp = warp.after(writer_warp)
        augmented[row, :, :, 0] = augment_strokes(apply_warp(image, warp), rng)
    return augmented


def apply_warp(image: np.ndarray, warp: Warp) -> np.ndarray:
    """Warp an image ``uint8 [H, W]``; bilinear, paper (0) outside."""
    height, width = image.shape
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    translation = centre - warp.matrix @ centre + warp.translation
    affine = np.column_stack([warp.matrix, translation]).astype(np.float32)
    if warp.displacement is None:
        return cv2.warpAffine(image, affine, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    map_x, map_y = (
        displacement + (axis[0] * x + axis[2]) + axis[1] * y
        for axis, displacement in zip(affine, warp.displacement, strict=True)
    )
    return cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderValue=0)


def augment_strokes(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make strokes thicker or thinner and edges softer, as by another pen and scanner. ``uint8 [H, W]`` to the same."""
    amount = rng.uniform(-MAX_STROKE_CHANGE, MAX_STROKE_CHANGE)
    if amount > 0:
        changed, share = cv2.dilate(image, np.ones((3, 3), np.uint8)), amount
    else:
        # half a pixel is much of a thin stroke: less than the full erosion
        changed, share = cv2.erode(image, np.ones((2, 2), np.uint8)), -0.6 * amount
    image = cv2.addWeighted(image, 1 - share, changed, share, 0)
    return cv2.GaussianBlur(image, (3, 3), rng.uniform(0.3, 1.0)) if rng.random() < 0.5 else image


def _draw_image_warp(canvas: tuple[int, int], rng: np.random.Generator) -> Warp:
    """A small warp, as two signatures of one writer differ."""
    angle, zoom, stretch, shear = rng.uniform(-1, 1, 4) * (MAX_ROTATION, MAX_ZOOM, MAX_STRETCH, MAX_SHEAR)
    translation = rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * (canvas[1], canvas[0])
    return Warp(_make_matrix(angle, zoom, stretch, shear), translation)


def _draw_writer_warp(canvas: tuple[int, int], rng: np.random.Generator) -> Warp | None:
    """A strong warp that makes a synthetic writer of a real one; ``None`` for writers that stay real."""
    if rng.random() > SYNTHETIC_SHARE:
        return None
    angle, stretch, shear = rng.uniform(-1, 1, 3) * (SYNTHETIC_ROTATION, SYNTHETIC_STRETCH, SYNTHETIC_SHEAR)
    zoom, translation = rng.uniform(*SYNTHETIC_ZOOM), np.zeros(2)
    if rng.random() < CROP_SHARE:
        zoom, stretch = zoom + 0.25, stretch + 0.25
        translation = np.array([rng.uniform(-0.2, 0.2) * canvas[1], 0.0])
    mirror = np.where(rng.random(2) < FLIP_SHARE, -1.0, 1.0)
    return Warp(_make_matrix(angle, zoom, stretch, shear) * mirror, translation, _draw_displacement(canvas, rng))


def _make_matrix(angle: float, zoom: float, stretch: float, shear: float) -> np.ndarray:
    """The matrix ``[2, 2]`` from output to input pixels: a zoom above 0 enlarges the image."""
    scale = np.exp([-zoom - stretch, -zoom + stretch])
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return rotation * scale + np.array([[0.0, shear], [0.0, 0.0]])


def _draw_displacement(canvas: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A smooth displacement ``float32 [2, H, W]`` through random knots (Simard et al. 2003, sec. 2)."""
    knots = rng.normal(0, SYNTHETIC_DISPLACEMENT, (2, *KNOTS)).astype(np.float32)
    return np.stack([cv2.resize(axis, canvas[::-1], interpolation=cv2.INTER_CUBIC) for axis in knots])
