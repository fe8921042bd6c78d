"""Request bodies of the serving benchmarks: images of generated signatures. Next: ``serving.py``, which sends them."""

import base64
import dataclasses
import io
import json
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from trainer.samples.capture import generate_capture
from trainer.samples.sample import scan_signature
from trainer.samples.writer import generate_writer

WRITERS = 16  # different images, so that no server answers from a cache


def make_png(seed: int) -> bytes:
    """Make a scan of a generated signature on whitened paper, in colour, about 30 kB."""
    rng = np.random.default_rng(seed)
    scan = _render_scan(seed, 700, 400)
    pixels = np.where(scan > 185, 255, scan).astype(float)
    ink = (pixels < 255).any(axis=2, keepdims=True)
    return _encode(np.clip(pixels + ink * rng.normal(0, 8, pixels.shape), 0, 255), "PNG")


def make_jpeg(seed: int) -> bytes:
    """Make a photograph of a generated signature, 1600 x 1200 pixels."""
    pixels = _render_scan(seed, 1600, 1200).astype(float)
    return _encode(np.clip(pixels + np.random.default_rng(seed).normal(0, 1, pixels.shape), 0, 255), "JPEG")


def make_images(make_image: Callable[[int], bytes]) -> list[bytes]:
    """Make an image of each writer."""
    return [make_image(seed) for seed in range(1, WRITERS + 1)]


def make_bodies(make_image: Callable[[int], bytes], instance_count: int) -> list[bytes]:
    """Make request bodies of so many instances each, of different writers."""
    instances = [{"image": {"b64": base64.b64encode(image).decode()}} for image in make_images(make_image)]
    return [
        json.dumps({"instances": [instances[(first + n) % WRITERS] for n in range(instance_count)]}).encode()
        for first in range(WRITERS)
    ]


def _render_scan(seed: int, width: int, height: int) -> np.ndarray:
    """Render a signature as a scan: ``uint8 [height, width, 3]``."""
    rng = np.random.default_rng(seed)
    writer = generate_writer(rng)
    device = dataclasses.replace(generate_capture(rng), is_bilevel=False)
    scan = scan_signature(writer, 1200, device, rng).pixels
    scan = cv2.resize(scan, (width, height), interpolation=cv2.INTER_AREA)
    return scan if scan.ndim == 3 else np.repeat(scan[:, :, None], 3, axis=2)


def _encode(pixels: np.ndarray, format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format, quality=85)
    return buffer.getvalue()
