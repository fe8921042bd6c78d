"""``python -m tests.bench.imaging``: compare the time of canonical images with OpenCV's decoding of the same files.

In turns within one run, on a generated scan of 1000 x 600 pixels with paper grain and sensor noise. Goal: at most 1.5
times OpenCV's decoding of the same PNG. Next: ``trainer/imaging``, the measured code.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np

from trainer.imaging import Imaging, canonicalise
from trainer.samples.capture import Scan, encode_file, generate_capture
from trainer.samples.sample import scan_signature
from trainer.samples.writer import generate_writer

ROUNDS = 60


def main() -> None:
    """Print medians and ratios for each file format and canvas."""
    print("1000 x 600 scan, one thread       OpenCV decodes  canonical image    ratio")
    for name, format, grey in (("PNG grey", "PNG", True), ("PNG colour", "PNG", False), ("JPEG colour", "JPEG", False)):
        for canvas in (Imaging(64, 128), Imaging(96, 192)):
            _compare(name, _make_scan(format, grey), canvas)


def _compare(name: str, data: bytes, canvas: Imaging) -> None:
    encoded = np.frombuffer(data, np.uint8)
    pairs = [
        (
            _measure_seconds(lambda: cv2.imdecode(encoded, cv2.IMREAD_COLOR)),
            _measure_seconds(lambda: canonicalise(data, canvas)),
        )
        for _ in range(ROUNDS)
    ]
    decoding, canonical = (statistics.median(seconds) * 1000 for seconds in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    title = f"{name} {len(data) // 1000} kB to {canvas.height} x {canvas.width}"
    print(f"{title:33} {decoding:11.2f} ms {canonical:13.2f} ms {ratio:8.2f}")


def _make_scan(format: str, grey: bool) -> bytes:
    """Make a file of a generated signature as a flat-bed scanner saves it, 1000 x 600 pixels."""
    rng = np.random.default_rng(3)
    writer = generate_writer(rng)
    device = dataclasses.replace(
        generate_capture(rng), is_bilevel=False, is_grey=grey, noise=0.006, shadow=0.03, format=format, quality=85
    )
    picture = scan_signature(writer, 1200, device, rng).pixels
    picture = cv2.resize(picture, (1000, 600), interpolation=cv2.INTER_AREA).astype(float)
    noisy = np.clip(picture + rng.normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8)
    return encode_file(Scan(noisy, device))[0]


def _measure_seconds(work: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    work()
    return time.perf_counter() - started_at


if __name__ == "__main__":
    main()
