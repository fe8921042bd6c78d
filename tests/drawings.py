"""Drawn signatures and words, for tests that need images but not realistic ones.

They depend on no font of the machine and on no change of ``trainer/samples``, and small networks learn to tell them
apart within seconds.
"""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from trainer.settings import plugins

PAPER, INK = 245, 30  # grey levels
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORD_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)


def draw_signature(writer: int, number: int) -> np.ndarray:
    """Draw a signature: an initial, a wave that fades, and a line below, ``uint8 [160, 360]``.

    Those of one writer have the same shape; no two are equal.
    """
    shape, rng = np.random.default_rng([1, writer]), np.random.default_rng([2, writer, number])
    frequency, slant, phase, fading = shape.uniform((3, -0.5, 0, 0.2), (8, 1.2, 6.28, 0.8))
    radius, height, turn, rise = shape.uniform((14, 22, 0, -18), (30, 40, 6.28, 18))
    frequency, radius, rise = (value * rng.uniform(0.93, 1.07) for value in (frequency, radius, rise))
    x = np.linspace(0, 1, 240)
    wave = np.sin(2 * np.pi * frequency * x + phase) + 0.35 * np.sin(5.3 * frequency * x + rng.uniform(0, 6.28))
    level = height * (1 - fading * x) * (1 + 0.2 * np.sin(6 * x + rng.uniform(0, 6.28)))
    name = np.stack([80 + 230 * x - slant * level * wave, 80 + rise * x + level * wave], axis=1)
    angle = np.linspace(0, 1.5 * np.pi, 60) + turn
    initial = np.stack([60 + radius * np.cos(angle), 75 + 1.8 * radius * np.sin(angle)], axis=1)
    flourish = np.stack([60 + 250 * x, 138 + 8 * np.sin(3 * x + phase) - rise * x], axis=1)
    page = _make_paper(160, 360, rng)
    lines = [np.round(line * 16).astype(np.int32) for line in (initial, name, flourish)]
    return cv2.polylines(page, lines, False, (INK,), int(rng.integers(2, 5)), cv2.LINE_AA, 4)


def draw_word(document: int, number: int) -> np.ndarray:
    """Draw a printed word of eight to twelve letters, ``uint8 [80, w]``."""
    rng = np.random.default_rng([3, document, number])
    word = "".join(rng.choice(list(LETTERS), rng.integers(8, 13)))
    font, thickness = int(rng.choice(WORD_FONTS)), int(rng.integers(2, 4))
    (width, _), _ = cv2.getTextSize(word, font, 1.4, thickness)
    page = _make_paper(80, width + 40, rng)
    return cv2.putText(page, word, (20, 50), font, 1.4, (INK,), thickness, cv2.LINE_AA)


def write_dataset(folder: Path, layout: str, num_writers: int, counts: Mapping[str, int]) -> None:
    """Write as many images of each label and writer as ``counts`` says: words as ``text``, signatures as the others.

    Every second image is a JPEG file, the first one a PNG file.
    """
    corpus = plugins.load("corpora", layout)
    for writer in range(1, num_writers + 1):
        for position, (label, count) in enumerate(counts.items()):
            for number in range(count):
                draw = draw_word if label == "text" else draw_signature
                path = folder / corpus.format_path(label, f"{writer:03d}", number)
                path.parent.mkdir(parents=True, exist_ok=True)
                suffix = ".jpg" if number % 2 else ".png"
                cv2.imwrite(str(path.with_name(path.name + suffix)), draw(writer, 100 * position + number))


def _make_paper(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return paper with the noise of a scanner, ``uint8 [h, w]``."""
    return (PAPER + rng.normal(0, 2, (height, width))).clip(0, 255).astype(np.uint8)
