"""Register the ink of two signatures: lay one over the other by rotation, scale, shear and translation.

People compare signatures best when they lie over each other. Only the pictures of an explanation use it: no decision
depends on it. Next: ``trainer/artifact/explain.py``.
"""

import dataclasses

import cv2
import numpy as np

BLUR = 9  # sigma of the first blur: side of the canvas divided by this; strokes that are near then attract each other
REFINEMENTS = 3  # the blur is halved for each
ITERATIONS, TOLERANCE = 60, 1e-4  # of each maximisation
MAX_STRETCH = 1.6  # a fit that stretches or shrinks by more has folded the signature, not registered it


@dataclasses.dataclass(frozen=True)
class Registration:
    """``image`` is the moved ink, ``uint8 [H, W]``; ``correlation`` is that of the two blurred inks, at most 1.

    ``is_moved`` is False where no movement makes them more alike; ``image`` is then the ink as it was.
    """

    image: np.ndarray
    correlation: float
    is_moved: bool


def register(moving: np.ndarray, fixed: np.ndarray) -> Registration:
    """Move the ink ``uint8 [H, W]`` onto the ``fixed`` ink of the same shape, 255 ink and 0 paper.

    Maximises the enhanced correlation coefficient of the blurred inks over affine transforms, from coarse to fine
    (Evangelidis and Psarakis 2008, doi:10.1109/TPAMI.2008.113).
    """
    height, width = fixed.shape
    unmoved = np.eye(2, 3, dtype=np.float32)
    transform = unmoved
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ITERATIONS, TOLERANCE)
    for refinement in range(REFINEMENTS):
        sigma = height / BLUR / 2**refinement
        fixed_blurred, moving_blurred = _blur(fixed, sigma), _blur(moving, sigma)
        try:
            _, refined = cv2.findTransformECC(
                fixed_blurred, moving_blurred, transform.copy(), cv2.MOTION_AFFINE, criteria
            )
        except cv2.error:  # it did not converge: inks that have nothing in common
            continue
        stretches = np.linalg.svd(refined[:, :2], compute_uv=False)
        if stretches.max() <= MAX_STRETCH and stretches.min() >= 1 / MAX_STRETCH:
            transform = refined.astype(np.float32)
    sigma = height / BLUR / 2 ** (REFINEMENTS - 1)
    moved = _move(moving, transform, (width, height))
    before, after = (_correlate(_blur(image, sigma), _blur(fixed, sigma)) for image in (moving, moved))
    if after <= before:
        return Registration(moving, before, is_moved=False)
    return Registration(moved, after, is_moved=True)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image.astype(np.float32) / 255, (0, 0), sigma)


def _move(image: np.ndarray, transform: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.warpAffine(image, transform, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def _correlate(first: np.ndarray, second: np.ndarray) -> float:
    """Return Pearson's correlation of two images; 0 for one without any contrast."""
    deviations = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((deviations[0] ** 2).sum() * (deviations[1] ** 2).sum()))
    return float((deviations[0] * deviations[1]).sum()) / norm if norm > 0 else 0.0
