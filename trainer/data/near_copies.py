"""Near duplicates among canonical images: look-alikes by a small descriptor, then proof by laying one on the other.

Two signatures of one person are alike, but not to the pixel; a copy is, however it was saved, resized or turned. The
descriptor normalises by moments (Hu 1962, "Visual pattern recognition by moment invariants"); the alignment is that of
Evangelidis and Psarakis 2008, "Parametric image alignment using enhanced correlation coefficient maximization". Knows
canonical images, not files.
"""

import cv2
import numpy as np

ROWS, COLUMNS = 12, 24  # of the descriptor: 288 bytes an image, whatever the canvas
RADIUS = 40.0  # the ink's root-mean-square radius in the descriptor's frame, in pixels of a 96 x 192 canvas
STEEP, SLACK = 1.2, 0.25  # radians, elongation: a tilt is undone where the ink is clearly longer one way
NEIGHBOURS, ALIKE = 4, 0.90  # look-alikes tried for each image: at most so many, of at least this cosine
GLIMPSE, ROUGH = 0.80, 0.965  # correlations at half size below which two images differ: before, after alignment
SAME = 0.970  # correlation at full size of one act of writing, on a 96 x 192 canvas; see docs/decisions/0002
BLOCK = 2048  # images compared with as many at a time: memory does not depend on their number

Moments = tuple[float, float, float, float, float]


def describe(image: np.ndarray) -> np.ndarray:
    """Where the ink lies, free of shift, scale and small turns, band-passed: ``uint8 [h, w] -> int8 [288]``."""
    height, width = image.shape
    size = width / 192
    ink = moments(image)
    tilt = ink[3] * min(1.0, ink[4] / SLACK) if abs(ink[3]) < STEEP else 0.0
    middle = (width / 4 - 0.5, height / 4 - 0.5, RADIUS * min(height / 96, size) / 2)
    frame = _turned(ink[:3], middle, -tilt)
    laid = cv2.warpAffine(cv2.blur(image, (3, 3)), frame, (width // 2, height // 2)).astype(np.float32)
    laid = np.sqrt(cv2.GaussianBlur(laid, (0, 0), 2.0 * size))
    laid = laid - cv2.GaussianBlur(laid, (0, 0), 5.0 * size)
    cells = cv2.resize(laid, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA).ravel()
    return np.round(cells * (127 / max(float(np.abs(cells).max()), 1e-6))).astype(np.int8)


def look_alikes(descriptors: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, worth a closer look, of ``int8 [n, 288]``."""
    best = np.full((len(descriptors), NEIGHBOURS), -1, np.int64)
    score = np.full((len(descriptors), NEIGHBOURS), ALIKE, np.float32)
    for start in range(0, len(descriptors), BLOCK):
        rows = slice(start, start + BLOCK)
        for other in range(0, len(descriptors), BLOCK):
            near = _unit(descriptors[rows]) @ _unit(descriptors[other : other + BLOCK]).T
            if start == other:
                np.fill_diagonal(near, -1)
            hit = np.flatnonzero((near >= ALIKE).any(axis=1))  # few rows have any
            take = min(NEIGHBOURS, near.shape[1])
            columns = np.argpartition(-near[hit], take - 1, axis=1)[:, :take]
            together = np.hstack([score[start + hit], np.take_along_axis(near[hit], columns, axis=1)])
            candidates = np.hstack([best[start + hit], columns + other])
            order = np.argsort(-together, axis=1, kind="stable")[:, :NEIGHBOURS]
            score[start + hit] = np.take_along_axis(together, order, axis=1)
            best[start + hit] = np.take_along_axis(candidates, order, axis=1)
    at, place = np.nonzero(best >= 0)
    return sorted({(min(i, j), max(i, j)) for i, j in zip(at.tolist(), best[at, place].tolist(), strict=True)})


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation, up to 1, of two canonical images with the second laid on the first by shift, turn and scale.

    ``uint8 [h, w]`` both. What differs at a glance is not aligned, and scored lower.
    """
    height, width = one.shape
    a, b, ink_a, ink_b = _soft(one, 1.2), _soft(other, 1.2), moments(one), moments(other)
    half = (width // 2, height // 2)
    half_a, half_b = (cv2.resize(cv2.GaussianBlur(x, (0, 0), 1.6), half, interpolation=cv2.INTER_AREA) for x in (a, b))
    lean = (ink_b[3] - ink_a[3] + np.pi / 2) % np.pi - np.pi / 2
    turns = [_scaled(_turned(ink_a[:3], ink_b[:3], t), 0.5) for t in (0.0, 0.05, -0.05, lean) if abs(t) < 0.11]
    rough, start = max((_correlation(half_a, _laid(half_b, turn)), number) for number, turn in enumerate(turns))
    if rough < GLIMPSE:
        return rough * 0.5
    try:
        first, everywhere = turns[start].astype(np.float32), np.full_like(half_a, 255, np.uint8)
        rough, turn = cv2.findTransformECC(half_a, half_b, first, cv2.MOTION_AFFINE, (3, 30, 1e-4), everywhere, 1)
        if rough < ROUGH:
            return rough * 0.9
        second = _scaled(turn, 2.0).astype(np.float32)
        _, turn = cv2.findTransformECC(
            a, b, second, cv2.MOTION_AFFINE, (3, 15, 1e-4), np.full_like(a, 255, np.uint8), 1
        )
    except cv2.error:  # no overlap to climb on
        return rough * 0.5
    return _correlation(_soft(one, 0.8), _laid(_soft(other, 0.8), _similarity(a, b, turn)))


def moments(image: np.ndarray) -> Moments:
    """Centre x, y, root-mean-square radius, tilt in radians and elongation (0 to 1) of the ink."""
    found = cv2.moments(image)
    mass = max(found["m00"], 1e-9)
    xx, yy, xy = (found[name] / mass for name in ("mu20", "mu02", "mu11"))
    size = max(xx + yy, 0.25)
    tilt, elongation = 0.5 * np.arctan2(2 * xy, xx - yy), np.hypot(xx - yy, 2 * xy) / size
    return found["m10"] / mass, found["m01"] / mass, size**0.5, float(tilt), float(elongation)


def _unit(descriptors: np.ndarray) -> np.ndarray:
    values = descriptors.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def _turned(a, b, angle: float) -> np.ndarray:
    """The similarity from (x, y, radius) ``a`` to ``b``, ``float64 [2, 3]``."""
    scale = b[2] / a[2]
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    return np.array([[c, -s, b[0] - c * a[0] + s * a[1]], [s, c, b[1] - s * a[0] - c * a[1]]])


def _similarity(a: np.ndarray, b: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The shift, turn and scale nearest to ``affine``, refined by Gauss-Newton on |a - gain * b(transform)|."""
    height, width = a.shape
    c, s = (affine[0, 0] + affine[1, 1]) / 2, (affine[1, 0] - affine[0, 1]) / 2
    middle, turn = np.array([width / 2, height / 2]), np.array([[c, -s], [s, c]])
    found = np.hstack([turn, (affine[:, :2] @ middle + affine[:, 2] - turn @ middle)[:, None]])
    for _ in range(6):
        laid = _laid(b, found)
        y, x = np.nonzero((a > 0.02) | (laid > 0.02))
        down = cv2.Sobel(laid, cv2.CV_32F, 0, 1, scale=1 / 8)[y, x]
        across = cv2.Sobel(laid, cv2.CV_32F, 1, 0, scale=1 / 8)[y, x]
        left, gain, dx, dy = (a - laid)[y, x], laid[y, x], x - width / 2, y - height / 2
        columns = [across * dx + down * dy, down * dx - across * dy, across, down, gain]
        jacobian = np.stack(columns, 1).astype(np.float64)
        d = np.linalg.solve(jacobian.T @ jacobian + 1e-6 * np.eye(5), jacobian.T @ left)
        step = np.array([[1 + d[0], -d[1]], [d[1], 1 + d[0]]])
        moved = found[:, :2] @ (d[2:4] + middle - step @ middle) + found[:, 2]
        found = np.hstack([found[:, :2] @ step, moved[:, None]])
        if max(abs(d[2]), abs(d[3])) < 0.01 and max(abs(d[0]), abs(d[1])) < 2e-4:
            break
    return found


def _scaled(transform: np.ndarray, scale: float) -> np.ndarray:
    """The same map between images resized by ``scale``, pixel centres kept."""
    shift = 0.5 * (scale - 1)
    moved = scale * transform[:, 2] + shift - shift * transform[:, :2].sum(1)
    return np.hstack([transform[:, :2], moved[:, None]])


def _soft(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image.astype(np.float32) / 255, (0, 0), sigma)


def _laid(image: np.ndarray, transform: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, transform, image.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / np.sqrt((one * one).sum() * (other * other).sum() + 1e-12))
