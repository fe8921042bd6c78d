"""``python -m tests.bench.duplicates [SEED...]``: count the planted near duplicates that the audit detects.

For each seed, a folder has 1,000 generated genuine signatures of different writers and 20 copies of some of them:
exact, saved again as JPEG, resized by 10 %, or rotated by 1 to 3 degrees. Goal: at least 19 detected, no false pair.
Next: ``trainer/data/near_duplicates.py``, the measured code.
"""

import concurrent.futures
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from trainer import corpora
from trainer.audit.audit import run_audit
from trainer.data import image_index
from trainer.generators import signatures as generator

WRITERS, COPIES = 1000, 20


def main(seeds: list[int]) -> None:
    """Print the counts for each seed."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            planted = _write_images(Path(folder) / "images", seed)
            listing = corpora.read(Path(folder) / "images")
            index = image_index.build_image_index(
                listing.samples, image_index.COMPARISON_IMAGING, Path(folder) / "index"
            )
            pairs = run_audit(index, [listing]).content["duplicates"]["pairs"]
        detected = {frozenset(name.removeprefix("images/") for name in pair["images"]) for pair in pairs}
        hits, false_pairs = len(detected & planted), len(detected - planted)
        print(f"seed {seed}: {hits} of {len(planted)} copies detected, {false_pairs} false pairs")


def _write_images(folder: Path, seed: int) -> set[frozenset[str]]:
    """Write the images and the copies; return the pairs of names that are copies."""
    rng = np.random.default_rng(seed)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda writer: generator.generate_image(seed, writer, "genuine", 0), range(WRITERS)))
    planted = set()
    for writer, (data, suffix) in enumerate(images):
        _save(folder / f"{writer:04d}" / f"0{suffix}", data)
    for number, writer in enumerate(rng.choice(WRITERS, COPIES, replace=False).tolist()):
        data, suffix = _copy(*images[writer], number % 4, rng)
        name = f"{(writer + 1) % WRITERS:04d}/copy{suffix}"
        _save(folder / name, data)
        planted.add(frozenset((f"{writer:04d}/0{images[writer][1]}", name)))
    return planted


def _copy(data: bytes, suffix: str, change: int, rng: np.random.Generator) -> tuple[bytes, str]:
    """Copy an image file: exactly (0), as JPEG (1), resized (2) or rotated (3); return its bytes and suffix."""
    if change == 0:
        return data, suffix
    picture, buffer = Image.open(io.BytesIO(data)), io.BytesIO()
    if change == 1:
        picture.save(buffer, "JPEG", quality=int(rng.integers(60, 86)))
        return buffer.getvalue(), ".jpg"
    if change == 2:
        scale = rng.choice([0.9, 1.1])
        size = (round(picture.width * scale), round(picture.height * scale))
        picture.resize(size, Image.Resampling.BICUBIC).save(buffer, "PNG")
    else:
        paper = tuple(int(v) for v in np.atleast_1d(np.median(np.asarray(picture), axis=(0, 1))))
        angle = rng.uniform(1, 3) * rng.choice([-1, 1])
        fill = paper if len(paper) > 1 else paper[0]
        picture.rotate(angle, resample=Image.Resampling.BICUBIC, fillcolor=fill).save(buffer, "PNG")
    return buffer.getvalue(), ".png"


def _save(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [1])
