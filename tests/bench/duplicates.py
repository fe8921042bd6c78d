"""``python -m tests.bench.duplicates [SEED...]``: count the planted near duplicates that the audit detects.

For each seed, a folder has 1,000 generated genuine signatures of different writers and 20 copies of some of them:
exact, saved again as JPEG, resized by 10 %, or rotated by 1 to 3 degrees. Goal: at least 19 detected, no false pair.
``--data FOLDER`` plants 2,000 copies of images of a large folder instead, and compares the search in blocks with that
among all pairs: candidates, confirmed pairs, seconds. Next: ``trainer/data/near_duplicates.py`` and ``blocking.py``,
the measured code.
"""

import argparse
import concurrent.futures
import io
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from trainer import corpora
from trainer.audit import duplicates
from trainer.audit.audit import run_audit
from trainer.data import blocking, image_index
from trainer.data.blocking import Neighbours
from trainer.generators import signatures as generator

WRITERS, COPIES = 1000, 20
MANY_COPIES = 2000
STEP = 512  # images that are compared with all others at a time


def main() -> None:
    """Print the counts for each seed, or for a folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.duplicates", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("seeds", nargs="*", type=int, default=[1])
    options = parser.parse_args()
    if options.data:
        _compare_searches(options.data, options.seeds[0])
        return
    for seed in options.seeds:
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


def _compare_searches(data: Path, seed: int) -> None:
    """Compare the search in blocks with that among all pairs, on the images of a folder and copies of them."""
    rng = np.random.default_rng(seed)
    samples = corpora.read(data).samples
    with tempfile.TemporaryDirectory(dir=data.resolve().parent) as folder:
        for number, original in enumerate(rng.choice(len(samples), MANY_COPIES, replace=False).tolist()):
            path = samples[original].path
            copied, suffix = _copy(path.read_bytes(), path.suffix, number % 4, rng)
            _save(Path(folder) / "copies" / f"{number}-{original}{suffix}", copied)
        copies = corpora.read(Path(folder) / "copies", label="genuine", layout="flat").samples
        imaging = image_index.COMPARISON_IMAGING
        index = image_index.build_image_index([*samples, *copies], imaging, Path(folder) / "index")
        originals = [int(Path(copy.name).stem.split("-")[1]) for copy in copies]
        planted = {(original, len(samples) + number) for number, original in enumerate(originals)}
        descriptors = index.read_descriptors(np.arange(len(index.samples)))
        found, confirmed = {}, {}
        for name, search in (("all pairs", _find_among_all), ("blocks", blocking.find_candidates)):
            started_at = time.perf_counter()
            found[name] = set(search(descriptors))
            seconds = time.perf_counter() - started_at
            print(f"{name}: {len(found[name]):,} candidates of {len(index.samples):,} images in {seconds:.0f} s")
        correlations = duplicates.confirm(index, sorted(found["all pairs"] | found["blocks"]))
    for name, candidates in found.items():
        confirmed[name] = {(i, j) for i, j, _ in correlations if (i, j) in candidates}
        hits = len(confirmed[name] & planted)
        print(f"{name}: {hits} of {len(planted)} copies, {len(confirmed[name] - planted)} other pairs are duplicates")
    only = [len(confirmed[a] - confirmed[b]) for a, b in (("all pairs", "blocks"), ("blocks", "all pairs"))]
    print(f"duplicates that only all pairs have: {only[0]}, only blocks: {only[1]}")


def _find_among_all(descriptors: np.ndarray) -> list[tuple[int, int]]:
    """Return the candidates that the search in blocks approximates: the nearest of each image among all others."""
    nearest = Neighbours.concatenate([])
    numbers = np.arange(len(descriptors))
    values = descriptors.astype(np.float32)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    for start in range(0, len(values), STEP):
        cosines = values[start : start + STEP] @ values.T
        cosines[np.arange(len(cosines)), numbers[start : start + STEP]] = -1
        columns = np.argpartition(-cosines, blocking.MAX_CANDIDATES, axis=1)[:, : blocking.MAX_CANDIDATES]
        best = np.take_along_axis(cosines, columns, axis=1)
        row, rank = np.nonzero(best >= blocking.MIN_COSINE)
        part = Neighbours(numbers[start + row], columns[row, rank], best[row, rank].astype(float))
        nearest = Neighbours.concatenate([nearest, part])
    return nearest.list_pairs()


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
    main()
