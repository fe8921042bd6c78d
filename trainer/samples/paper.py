"""Paper: its tint and grain, the light on it, and what shows through or is printed all over it.

Drawn from the same distributions for every kind of image, so that a model cannot tell the kinds apart by anything but
the writing. Next: ``page.py`` puts ink on it, ``capture.py`` scans it.
"""

import functools

import cv2
import numpy as np

TINTS = ((1, 1, 1), (1, 0.985, 0.94), (0.96, 0.98, 1), (0.95, 0.94, 0.91), (0.93, 0.86, 0.72), (1, 0.9, 0.88),
         (0.86, 0.95, 0.88), (0.84, 0.9, 0.97), (1, 0.97, 0.75))  # fmt: skip
TINT_SHARES = (0.5, 0.16, 0.1, 0.08, 0.05, 0.03, 0.03, 0.03, 0.02)
NOISE_SIDES = (768, 1536)  # of the noise that is generated once


def draw_paper(shape: tuple[int, int], is_grey: bool, rng: np.random.Generator) -> np.ndarray:
    """Draw a sheet of paper: reflectance ``float32 [h, w, 3]``, or ``[h, w, 1]`` in grey, 0 to 1."""
    tint = np.array(TINTS[rng.choice(len(TINTS), p=TINT_SHARES)], np.float32)
    sheet = draw_noise(shape, rng, "fibres") * np.float32(rng.uniform(0.004, 0.025))
    sheet += np.float32(rng.uniform(0.84, 0.99))
    if rng.random() < 0.5:
        clouds = cv2.resize(rng.standard_normal((4, 6), np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
        sheet += clouds * np.float32(rng.uniform(0.002, 0.02))
    return sheet[..., None] * (to_grey(tint) if is_grey else tint)


def to_grey(colour: np.ndarray) -> np.ndarray:
    """Convert a colour ``float32 [3]`` to grey as image files do (ITU-R BT.601), ``float32 [1]``."""
    return colour @ np.array([[0.299], [0.587], [0.114]], np.float32)


def draw_light(shape: tuple[int, int], depth: float, rng: np.random.Generator) -> np.ndarray:
    """Draw uneven light: a ramp across the sheet, a soft spot, sometimes the edge of a shadow, ``float32 [h, w]``."""
    y = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(0, 1, shape[1], dtype=np.float32)[None, :]
    angle = rng.uniform(0, 2 * np.pi)
    across, down = np.float32(np.cos(angle) * 0.5), np.float32(np.sin(angle) * 0.5)
    ramp = np.clip(across * x + down * y + np.float32(0.5), 0, 1)
    centre_x, centre_y = rng.random(2, np.float32)
    spot = np.exp(-3 * (x - centre_x) ** 2) * np.exp(-3 * (y - centre_y) ** 2)
    light = 1 - np.float32(depth) * (0.6 * ramp + 0.4 * spot)
    if depth > 0.15 and rng.random() < 0.4:  # a hand or a phone in front of the lamp
        distance = (across * (x - centre_x) + down * (y - centre_y)) * np.float32(rng.uniform(10, 60))
        light = light * (1 - np.float32(depth) / (1 + np.exp(-distance)))
    return light


def draw_noise(shape: tuple[int, int], rng: np.random.Generator, kind: str = "sensor") -> np.ndarray:
    """Take a window of noise of unit variance at random, ``float32 [h, w]``: ``sensor`` is white, ``fibres`` is not."""
    noise = _make_noise(kind)
    top = int(rng.integers(max(1, noise.shape[0] - shape[0])))
    left = int(rng.integers(max(1, noise.shape[1] - shape[1])))
    window = noise[top : top + shape[0], left : left + shape[1]]
    if window.shape != shape:  # a larger image than usual
        window = np.tile(window, (shape[0] // window.shape[0] + 1, shape[1] // window.shape[1] + 1))
        window = window[: shape[0], : shape[1]]
    return window[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]


@functools.lru_cache(maxsize=2)
def _make_noise(kind: str) -> np.ndarray:
    """Generating noise for every image would take more time than all the rest of it."""
    noise = np.random.default_rng(0).standard_normal(NOISE_SIDES, np.float32)
    if kind == "fibres":
        fibres = cv2.GaussianBlur(noise, (0, 0), 0.8)
        return fibres / fibres.std()
    return noise
