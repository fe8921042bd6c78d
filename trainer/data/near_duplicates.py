"""Near duplicates among canonical images: candidates by a small descriptor, confirmed by aligning the two images.

Two signatures of one writer are similar; two images of one act of writing agree to the pixel, however they were saved,
resized or turned. The descriptor is normalised by moments (Hu 1962, "Visual pattern recognition by moment invariants");
the alignment is that of Evangelidis and Psarakis 2008, "Parametric image alignment using enhanced correlation
coefficient maximization". Works on canonical images, not files. Next: ``blocking.py`` finds candidates by their
descriptors, ``audit/duplicates.py`` compares an image index.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

DESCRIPTOR_ROWS, DESCRIPTOR_COLUMNS = 12, 24
DESCRIPTOR_SIZE = DESCRIPTOR_ROWS * DESCRIPTOR_COLUMNS  # bytes of an image, whatever the canvas
DESCRIPTOR_RADIUS = 40.0  # root-mean-square radius of the ink in the descriptor's frame, pixels of a 96 x 192 canvas
MAX_TILT = 1.2  # radians; a larger tilt is not undone
MIN_ELONGATION = 0.25  # a tilt is undone wholly from this elongation, and in proportion below
MIN_UNALIGNED = 0.80  # correlation at half size before alignment; images below it differ
MIN_ROUGHLY_ALIGNED = 0.965  # correlation at half size after alignment; images below it differ
MIN_CORRELATION = 0.970  # correlation at full size of one act of writing, on a 96 x 192 canvas; see docs/decisions/0002


class Moments(NamedTuple):
    """Centre and root-mean-square radius of the ink in pixels, tilt in radians, elongation from 0 to 1."""

    x: float
    y: float
    radius: float
    tilt: float
    elongation: float


def compute_descriptor(image: np.ndarray) -> np.ndarray:
    """Describe where the ink is, free of shift, scale and small turns, band-passed: ``uint8 [h, w] -> int8 [288]``."""
    height, width = image.shape
    size = width / 192
    ink = compute_moments(image)
    tilt = ink.tilt * min(1.0, ink.elongation / MIN_ELONGATION) if abs(ink.tilt) < MAX_TILT else 0.0
    target = (width / 4 - 0.5, height / 4 - 0.5, DESCRIPTOR_RADIUS * min(height / 96, size) / 2)
    frame = _make_similarity(ink[:3], target, -tilt)
    warped = cv2.warpAffine(cv2.blur(image, (3, 3)), frame, (width // 2, height // 2)).astype(np.float32)
    warped = np.sqrt(cv2.GaussianBlur(warped, (0, 0), 2.0 * size))
    warped = warped - cv2.GaussianBlur(warped, (0, 0), 5.0 * size)
    cells = cv2.resize(warped, (DESCRIPTOR_COLUMNS, DESCRIPTOR_ROWS), interpolation=cv2.INTER_AREA).ravel()
    return np.round(cells * (127 / max(float(np.abs(cells).max()), 1e-6))).astype(np.int8)


def align_and_correlate(image_a: np.ndarray, image_b: np.ndarray) -> float:
    """Correlation, up to 1, of two canonical images after aligning the second to the first by shift, turn and scale.

    Both are ``uint8 [h, w]``. Images that differ clearly are not aligned, and get a lower value.
    """
    height, width = image_a.shape
    a, b, ink_a, ink_b = _blur(image_a, 1.2), _blur(image_b, 1.2), compute_moments(image_a), compute_moments(image_b)
    half = (width // 2, height // 2)
    half_a, half_b = (cv2.resize(cv2.GaussianBlur(x, (0, 0), 1.6), half, interpolation=cv2.INTER_AREA) for x in (a, b))
    tilt = (ink_b.tilt - ink_a.tilt + np.pi / 2) % np.pi - np.pi / 2
    starts = [
        _rescale(_make_similarity(ink_a[:3], ink_b[:3], angle), 0.5)
        for angle in (0.0, 0.05, -0.05, tilt)
        if abs(angle) < 0.11
    ]
    rough, best = max((_correlate(half_a, _warp(half_b, start)), number) for number, start in enumerate(starts))
    if rough < MIN_UNALIGNED:
        return rough * 0.5
    try:
        start, mask = starts[best].astype(np.float32), np.full_like(half_a, 255, np.uint8)
        rough, affine = cv2.findTransformECC(half_a, half_b, start, cv2.MOTION_AFFINE, (3, 30, 1e-4), mask, 1)
        if rough < MIN_ROUGHLY_ALIGNED:
            return rough * 0.9
        start, mask = _rescale(affine, 2.0).astype(np.float32), np.full_like(a, 255, np.uint8)
        _, affine = cv2.findTransformECC(a, b, start, cv2.MOTION_AFFINE, (3, 15, 1e-4), mask, 1)
    except cv2.error:  # the images do not overlap, so there is no gradient
        return rough * 0.5
    return _correlate(_blur(image_a, 0.8), _warp(_blur(image_b, 0.8), _refine_similarity(a, b, affine)))


def compute_moments(image: np.ndarray) -> Moments:
    """Compute the moments of the ink of a canonical image, ``uint8 [h, w]``."""
    raw = cv2.moments(image)
    mass = max(raw["m00"], 1e-9)
    xx, yy, xy = (raw[name] / mass for name in ("mu20", "mu02", "mu11"))
    size = max(xx + yy, 0.25)
    tilt, elongation = 0.5 * np.arctan2(2 * xy, xx - yy), np.hypot(xx - yy, 2 * xy) / size
    return Moments(raw["m10"] / mass, raw["m01"] / mass, size**0.5, float(tilt), float(elongation))


def _make_similarity(a: Sequence[float], b: Sequence[float], angle: float) -> np.ndarray:
    """The similarity transform from (x, y, radius) ``a`` to ``b``, ``float64 [2, 3]``."""
    scale = b[2] / a[2]
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    return np.array([[c, -s, b[0] - c * a[0] + s * a[1]], [s, c, b[1] - s * a[0] - c * a[1]]])


def _refine_similarity(a: np.ndarray, b: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The similarity transform nearest to ``affine``, refined by Gauss-Newton on |a - gain * b(transform)|."""
    height, width = a.shape
    c, s = (affine[0, 0] + affine[1, 1]) / 2, (affine[1, 0] - affine[0, 1]) / 2
    centre, linear = np.array([width / 2, height / 2]), np.array([[c, -s], [s, c]])
    transform = np.hstack([linear, (affine[:, :2] @ centre + affine[:, 2] - linear @ centre)[:, None]])
    for _ in range(6):
        warped = _warp(b, transform)
        y, x = np.nonzero((a > 0.02) | (warped > 0.02))
        slope_y = cv2.Sobel(warped, cv2.CV_32F, 0, 1, scale=1 / 8)[y, x]
        slope_x = cv2.Sobel(warped, cv2.CV_32F, 1, 0, scale=1 / 8)[y, x]
        residual, gain, dx, dy = (a - warped)[y, x], warped[y, x], x - width / 2, y - height / 2
        columns = [slope_x * dx + slope_y * dy, slope_y * dx - slope_x * dy, slope_x, slope_y, gain]
        jacobian = np.stack(columns, 1).astype(np.float64)
        d = np.linalg.solve(jacobian.T @ jacobian + 1e-6 * np.eye(5), jacobian.T @ residual)
        step = np.array([[1 + d[0], -d[1]], [d[1], 1 + d[0]]])
        translation = transform[:, :2] @ (d[2:4] + centre - step @ centre) + transform[:, 2]
        transform = np.hstack([transform[:, :2] @ step, translation[:, None]])
        if max(abs(d[2]), abs(d[3])) < 0.01 and max(abs(d[0]), abs(d[1])) < 2e-4:
            break
    return transform


def _rescale(transform: np.ndarray, scale: float) -> np.ndarray:
    """The same map between images resized by ``scale``, with pixel centres kept."""
    shift = 0.5 * (scale - 1)
    translation = scale * transform[:, 2] + shift - shift * transform[:, :2].sum(1)
    return np.hstack([transform[:, :2], translation[:, None]])


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Scale ``uint8`` to 0 to 1 and blur it, ``float32 [h, w]``."""
    return cv2.GaussianBlur(image.astype(np.float32) / 255, (0, 0), sigma)


def _warp(image: np.ndarray, transform: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, transform, image.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def _correlate(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two images."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-12))
