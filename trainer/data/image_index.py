"""Every image looked at once, in parallel: its canonical ink, what is doubtful about it, and trivial facts of its file.

What is found lies in chunks on disk, so memory does not grow with the number of images and an interrupted survey goes
on. Next: ``audit/`` judges the facts, ``records.py`` takes the canonical images.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainer.console.progress import Progress
from trainer.corpora import Sample
from trainer.data import image_features, near_copies
from trainer.imaging import ImageError, Imaging, canonicalise, decode, score

COMPARED = Imaging(96, 192)  # copies are looked for on this canvas, whatever the model's is: thresholds depend on it
CHUNK = 1024  # images; what is lost at most by a kill
AHEAD = 256  # images that threads may be ahead of the writer
FILE = "survey.json"


@dataclasses.dataclass(frozen=True)
class Facts:
    """About every sample, in the order of the samples; rows of refused images are zero.

    ``refused`` is the reason or empty, ``digest`` tells exact copies apart, ``kind`` is format and mode, ``quality`` 1
    without warnings, ``warnings`` their codes, ``raw`` and ``canonical`` are features before and after imaging
    (``float32 [n, f]``), ``descriptor`` is ``int8 [n, 288]``.
    """

    refused: list[str]
    kind: list[str]
    warnings: list[str]
    digest: np.ndarray
    size: np.ndarray
    quality: np.ndarray
    raw: np.ndarray
    canonical: np.ndarray
    descriptor: np.ndarray


ARRAYS = {
    "digest": ((), np.uint64),
    "size": ((2,), np.int32),
    "quality": ((), np.float32),
    "raw": ((len(image_features.RAW_NAMES),), np.float32),
    "canonical": ((len(image_features.NAMES),), np.float32),
    "descriptor": ((near_copies.ROWS * near_copies.COLUMNS,), np.int8),
}
TEXTS = ("refused", "kind", "warnings")


@dataclasses.dataclass(frozen=True)
class Survey:
    """A finished survey on disk."""

    folder: Path
    samples: list[Sample]
    imaging: Imaging
    facts: Facts

    def compared(self, number: int) -> np.ndarray:
        """One image on the canvas on which copies are looked for, ``uint8 [h, w]``, read from disk."""
        height, width = COMPARED.height, COMPARED.width
        name = _images if self.imaging == COMPARED else _compared
        with (self.folder / name(number // CHUNK)).open("rb", buffering=0) as file:
            file.seek(number % CHUNK * height * width)
            return np.frombuffer(file.read(height * width), np.uint8).reshape(height, width)

    def images(self) -> Iterator[tuple[int, np.ndarray]]:
        """(number, ``uint8 [h, w, 1]``) of every image that was not refused, in order."""
        shape = (-1, self.imaging.height, self.imaging.width, 1)
        for start in range(0, len(self.samples), CHUNK):
            chunk = np.fromfile(self.folder / _images(start // CHUNK), np.uint8).reshape(shape)
            for place, image in enumerate(chunk):
                if not self.facts.refused[start + place]:
                    yield start + place, image

    def refused(self) -> list[tuple[int, str]]:
        """(number, reason) of the images that cannot be used."""
        return [(number, reason) for number, reason in enumerate(self.facts.refused) if reason]

    def forget(self) -> None:
        """Delete it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def survey(samples: list[Sample], imaging: Imaging, folder: Path) -> Survey:
    """Look at every sample, or go on where an earlier survey of the same samples was interrupted."""
    mine = {"samples": identity(samples), "imaging": imaging.fingerprint(), "chunk": CHUNK}
    if not _is(folder, mine):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / FILE).write_text(json.dumps(mine) + "\n")
    chunks = range(0, len(samples), CHUNK)
    missing = [start for start in chunks if not (folder / _facts(start // CHUNK)).is_file()]
    with Progress("preparing", len(samples)) as progress:
        done = sum(len(samples[start : start + CHUNK]) for start in chunks) - sum(
            len(samples[start : start + CHUNK]) for start in missing
        )
        progress.show(done)
        wanted = (sample for start in missing for sample in samples[start : start + CHUNK])
        seen = progress.counted(_in_order(wanted, imaging))
        for start in missing:
            _write(folder, start // CHUNK, [next(seen) for _ in samples[start : start + CHUNK]], imaging)
    return Survey(folder, samples, imaging, _read(folder, len(samples)))


def identity(samples: list[Sample]) -> str:
    """Changes when a file does, by size or date, and when one comes or goes."""
    digest = hashlib.sha256()
    for sample in samples:
        known = sample.path.stat()
        digest.update(json.dumps([sample.origin, sample.name, known.st_size, known.st_mtime_ns]).encode())
    return digest.hexdigest()[:16]


def _is(folder: Path, mine: dict) -> bool:
    try:
        return json.loads((folder / FILE).read_text()) == mine
    except (OSError, ValueError):
        return False


def _images(chunk: int) -> str:
    return f"{chunk:05d}.images"


def _compared(chunk: int) -> str:
    return f"{chunk:05d}.compared"


def _facts(chunk: int) -> str:
    return f"{chunk:05d}.npz"


def _in_order(samples, imaging: Imaging):
    """Look in threads (the decoders release the interpreter), a little before the reader."""
    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for sample in samples:
            waiting.append(pool.submit(_look, sample, imaging))
            if len(waiting) >= AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _look(sample: Sample, imaging: Imaging) -> tuple[np.ndarray | None, dict]:
    """One image's canonical form and facts, or no image and the reason."""
    try:
        data = sample.path.read_bytes()
        seen = canonicalise(data, imaging)
        # The probe wants the file's own levels: a JPEG that was decoded smaller is decoded once more.
        page = seen.page if seen.page.shrink == 1 else decode(data)
    except (ImageError, OSError) as error:
        return None, {"refused": str(error)}
    image = seen.image[:, :, 0]
    compared = image if imaging == COMPARED else _to_compare(data)
    height, width = page.grey.shape
    return image, {
        "compared": compared,
        "kind": page.kind,
        "warnings": " ".join(warning.code for warning in seen.warnings),
        "digest": int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little"),
        "size": (height * page.shrink, width * page.shrink),
        "quality": score(seen.warnings),
        "raw": (*image_features.features(page.grey), np.log(height * page.shrink), np.log(width * page.shrink)),
        "canonical": image_features.features(255 - image),
        "descriptor": near_copies.describe(compared),
    }


def _to_compare(data: bytes) -> np.ndarray:
    """The image on the canvas for comparison; what has no ink there is like nothing."""
    try:
        return canonicalise(data, COMPARED).image[:, :, 0]
    except ImageError:
        return np.zeros((COMPARED.height, COMPARED.width), np.uint8)


def _write(folder: Path, chunk: int, looks: list[tuple[np.ndarray | None, dict]], imaging: Imaging) -> None:
    """A chunk's images, then its facts in one step: the facts say that it is there."""
    images = np.zeros((len(looks), imaging.height, imaging.width), np.uint8)
    arrays = {name: np.zeros((len(looks), *shape), kind) for name, (shape, kind) in ARRAYS.items()}
    for number, (image, facts) in enumerate(looks):
        if image is not None:
            images[number] = image
            for name, values in arrays.items():
                values[number] = facts[name]
    images.tofile(folder / _images(chunk))
    if imaging != COMPARED:
        nothing = np.zeros((COMPARED.height, COMPARED.width), np.uint8)
        np.stack([facts.get("compared", nothing) for _, facts in looks]).tofile(folder / _compared(chunk))
    texts = {name: [facts.get(name, "") for _, facts in looks] for name in TEXTS}
    partial = folder / f"{_facts(chunk)}.partial"
    with partial.open("wb") as file:
        np.savez(file, texts=np.array(json.dumps(texts)), **arrays)  # type: ignore[arg-type]
    os.replace(partial, folder / _facts(chunk))


def _read(folder: Path, count: int) -> Facts:
    """All facts, a few hundred bytes an image."""
    arrays: dict[str, np.ndarray] = {name: np.zeros((count, *shape), kind) for name, (shape, kind) in ARRAYS.items()}
    texts: dict[str, list[str]] = {name: [] for name in TEXTS}
    known: dict[str, str] = {}  # the same few texts again and again
    for start in range(0, count, CHUNK):
        with np.load(folder / _facts(start // CHUNK)) as chunk:
            for name, values in arrays.items():
                values[start : start + CHUNK] = chunk[name]
            for name, found in json.loads(str(chunk["texts"])).items():
                texts[name] += [known.setdefault(text, text) for text in found]
    return Facts(**texts, **arrays)  # type: ignore[arg-type]
