"""``python -m tests.bench.imaging``: what does canonical ink cost, beside decoding the file with OpenCV?

In turns within one run, on a generated scan of 1000 x 600 pixels with paper grain and sensor noise. Wanted: at most 1.5
times OpenCV's decoding of the same PNG.
"""

import dataclasses
import statistics
import time

import cv2
import numpy as np

from trainer.imaging import Imaging, canonicalise
from trainer.samples import hand, paper, pen

ROUNDS = 60


def main() -> None:
    """Print medians and ratios for each kind of file."""
    print("1000 x 600 scan, one thread       OpenCV decodes    canonical ink    ratio")
    for name, format, grey in (("PNG grey", "PNG", True), ("PNG colour", "PNG", False), ("JPEG colour", "JPEG", False)):
        for canvas in (Imaging(64, 128), Imaging(96, 192)):
            _compare(name, _scan(format, grey), canvas)


def _compare(name: str, data: bytes, canvas: Imaging) -> None:
    encoded = np.frombuffer(data, np.uint8)
    pairs = [
        (_seconds(lambda: cv2.imdecode(encoded, cv2.IMREAD_COLOR)), _seconds(lambda: canonicalise(data, canvas)))
        for _ in range(ROUNDS)
    ]
    decoding, whole = (statistics.median(side) * 1000 for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    kind = f"{name} {len(data) // 1000} kB to {canvas.height} x {canvas.width}"
    print(f"{kind:33} {decoding:11.2f} ms {whole:13.2f} ms {ratio:8.2f}")


def _scan(format: str, grey: bool) -> bytes:
    """A generated signature as a flat-bed scanner saves it, 1000 x 600 pixels."""
    rng = np.random.default_rng(3)
    person = hand.new_person(rng)
    tool = hand.a_pen(rng, person.habits.pen_width)
    capture = paper.a_capture(rng)
    capture = dataclasses.replace(capture, grey=grey, noise=0.006, shadow=0.03, format=format, quality=85)
    picture = paper.scan(pen.draw(hand.genuine(person, rng), tool, 260, rng), tool, capture, rng)
    picture = cv2.resize(picture, (1000, 600), interpolation=cv2.INTER_AREA).astype(float)
    noisy = np.clip(picture + rng.normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8)
    return paper.encode(noisy, capture)[0]


def _seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
