"""``python -m tests.bench.copies [SEED...]``: are planted copies found, and nothing else?

For each seed a folder of 1,000 generated genuine signatures of different people and 20 copies of some of them: exact,
saved again as JPEG, resized by 10 %, turned by 1 to 3 degrees. Wanted: at least 19 found, no false pair.
"""

import concurrent.futures
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from trainer import corpora
from trainer.audit.examine import examine
from trainer.data import image_index
from trainer.samples import generator

PEOPLE, COPIES = 1000, 20


def main(seeds: list[int]) -> None:
    """Print what was found for each seed."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            planted = _plant(Path(folder) / "people", seed)
            reading = corpora.read(Path(folder) / "people")
            look = image_index.survey(reading.samples, image_index.COMPARED, Path(folder) / "survey")
            pairs = examine(look, [reading]).content["duplicates"]["pairs"]
        found = {frozenset(name.removeprefix("people/") for name in pair["images"]) for pair in pairs}
        print(f"seed {seed}: {len(found & planted)} of {len(planted)} copies found, {len(found - planted)} false pairs")


def _plant(folder: Path, seed: int) -> set[frozenset[str]]:
    """Write the images and the copies; the pairs of names that are one image."""
    rng = np.random.default_rng(seed)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda writer: generator.image(seed, writer, "genuine", 0), range(PEOPLE)))
    planted = set()
    for writer, (data, suffix) in enumerate(made):
        _save(folder / f"{writer:04d}" / f"0{suffix}", data)
    for number, writer in enumerate(rng.choice(PEOPLE, COPIES, replace=False).tolist()):
        data, suffix = _copied(*made[writer], number % 4, rng)
        name = f"{(writer + 1) % PEOPLE:04d}/copy{suffix}"
        _save(folder / name, data)
        planted.add(frozenset((f"{writer:04d}/0{made[writer][1]}", name)))
    return planted


def _copied(data: bytes, suffix: str, kind: int, rng: np.random.Generator) -> tuple[bytes, str]:
    if kind == 0:
        return data, suffix
    picture, buffer = Image.open(io.BytesIO(data)), io.BytesIO()
    if kind == 1:
        picture.save(buffer, "JPEG", quality=int(rng.integers(60, 86)))
        return buffer.getvalue(), ".jpg"
    if kind == 2:
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
