"""The image index: canonical images, warnings and trivial features of all files, computed once and in parallel.

The index is stored in chunks on disk, so memory does not grow with the number of images and an interrupted indexing
can continue. Next: ``audit/`` checks the properties, ``records.py`` stores the canonical images.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainer.console.progress import Progress
from trainer.corpora import Sample
from trainer.data import image_features, near_duplicates
from trainer.data.files import compute_files_digest
from trainer.imaging import ImageError, Imaging, canonicalise, compute_quality, decode
from trainer.storage.listing import RemoteFile

# Near duplicates are compared on this canvas, whatever the model's is: thresholds depend on it.
COMPARISON_IMAGING = Imaging(96, 192)
IMAGES_PER_CHUNK = 1024  # also the most that is lost when a process is killed
MAX_AHEAD = 256  # images that threads may be ahead of the writer
INDEX_FILE = "index.json"
FORMAT = 2  # of the files; an interrupted index of another format starts again

Inspected = tuple[np.ndarray | None, dict[str, Any]]  # canonical image ``uint8 [h, w]``, properties by name


@dataclasses.dataclass(frozen=True)
class ImageProperties:
    """Properties of all images, in the order of the samples; rows of rejected images are zero.

    ``rejection_reasons`` are empty for usable images, ``file_formats`` are format and mode, ``warnings`` the codes of
    quality warnings. ``file_digests`` (``uint64 [n]``) are equal for equal files, ``sizes`` (``int32 [n, 2]``) are
    height and width in pixels, ``quality`` (``float32 [n]``) is 1 without warnings. ``raw_features`` and
    ``canonical_features`` (``float32 [n, f]``) are those of the file and of the canonical image.
    """

    rejection_reasons: list[str]
    file_formats: list[str]
    warnings: list[str]
    file_digests: np.ndarray
    sizes: np.ndarray
    quality: np.ndarray
    raw_features: np.ndarray
    canonical_features: np.ndarray


ARRAYS = {  # shape of an image's row, and dtype
    "file_digests": ((), np.uint64),
    "sizes": ((2,), np.int32),
    "quality": ((), np.float32),
    "raw_features": ((len(image_features.RAW_FEATURE_NAMES),), np.float32),
    "canonical_features": ((len(image_features.FEATURE_NAMES),), np.float32),
}
TEXTS = ("rejection_reasons", "file_formats", "warnings")


@dataclasses.dataclass(frozen=True)
class ImageIndex:
    """A complete index on disk."""

    folder: Path
    samples: list[Sample]
    imaging: Imaging
    properties: ImageProperties

    def read_comparison_image(self, number: int) -> np.ndarray:
        """Read an image on the canvas of ``COMPARISON_IMAGING``, ``uint8 [96, 192]``."""
        height, width = COMPARISON_IMAGING.height, COMPARISON_IMAGING.width
        name = comparison_images_name(number // IMAGES_PER_CHUNK, self.imaging)
        with (self.folder / name).open("rb", buffering=0) as file:
            file.seek(number % IMAGES_PER_CHUNK * height * width)
            return np.frombuffer(file.read(height * width), np.uint8).reshape(height, width)

    def read_descriptors(self, numbers: np.ndarray) -> np.ndarray:
        """Read the descriptors for ``blocking.py`` of images, ``int64 [n]`` in ascending order, ``int8 [n, 288]``."""
        descriptors = np.zeros((len(numbers), near_duplicates.DESCRIPTOR_SIZE), np.int8)
        chunk_numbers = numbers // IMAGES_PER_CHUNK
        for chunk_number in np.unique(chunk_numbers).tolist():
            rows = slice(*np.searchsorted(chunk_numbers, (chunk_number, chunk_number + 1)))
            chunk = parse_descriptors((self.folder / descriptors_name(chunk_number)).read_bytes())
            descriptors[rows] = chunk[numbers[rows] % IMAGES_PER_CHUNK]
        return descriptors

    def iter_images(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (number, ``uint8 [h, w, 1]``) of every image that was not rejected, in order."""
        for start in range(0, len(self.samples), IMAGES_PER_CHUNK):
            chunk = parse_images((self.folder / images_name(start // IMAGES_PER_CHUNK)).read_bytes(), self.imaging)
            for offset, image in enumerate(chunk):
                if not self.properties.rejection_reasons[start + offset]:
                    yield start + offset, image

    def list_rejected(self) -> list[tuple[int, str]]:
        """Return (number, reason) of the images that cannot be used."""
        return [(number, reason) for number, reason in enumerate(self.properties.rejection_reasons) if reason]

    def delete(self) -> None:
        """Delete the index from disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def build_image_index(samples: list[Sample], imaging: Imaging, folder: Path) -> ImageIndex:
    """Inspect every image, or continue an interrupted index of the same samples and imaging in the folder."""
    missing = start_image_index(samples, imaging, folder)
    chunks = {number: select_chunk(samples, number) for number in missing}
    with Progress("preparing", len(samples)) as progress:
        progress.update(len(samples) - sum(map(len, chunks.values())))
        files = (sample.path for chunk in chunks.values() for sample in chunk)
        inspected = progress.track(inspect_in_order(files, imaging))
        for number, chunk in chunks.items():
            write_chunk(folder, number, [next(inspected) for _ in chunk], imaging)
    return read_image_index(samples, imaging, folder)


def start_image_index(samples: list[Sample], imaging: Imaging, folder: Path) -> list[int]:
    """Start an index in a folder, or continue that of the same samples and imaging; return the missing chunks."""
    identity = {
        "format": FORMAT,
        "samples": compute_files_digest(samples),
        "imaging": imaging.fingerprint(),
        "chunk": IMAGES_PER_CHUNK,
    }
    if not _has_identity(folder, identity):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / INDEX_FILE).write_text(json.dumps(identity) + "\n")
    chunks = range(-(-len(samples) // IMAGES_PER_CHUNK))
    return [number for number in chunks if not (folder / properties_name(number)).is_file()]


def select_chunk(samples: list[Sample], chunk_number: int) -> list[Sample]:
    """Return the samples of a chunk."""
    return samples[chunk_number * IMAGES_PER_CHUNK : (chunk_number + 1) * IMAGES_PER_CHUNK]


def read_image_index(samples: list[Sample], imaging: Imaging, folder: Path) -> ImageIndex:
    """Read a complete index."""
    return ImageIndex(folder, samples, imaging, _read_properties(folder, len(samples)))


def _has_identity(folder: Path, identity: dict[str, Any]) -> bool:
    try:
        return json.loads((folder / INDEX_FILE).read_text()) == identity
    except (OSError, ValueError):
        return False


def images_name(chunk_number: int) -> str:
    return f"{chunk_number:05d}.images"


def comparison_images_name(chunk_number: int, imaging: Imaging) -> str:
    """The file of the images that are compared, which are the images themselves where these have the same canvas."""
    return images_name(chunk_number) if imaging == COMPARISON_IMAGING else f"{chunk_number:05d}.compared"


def descriptors_name(chunk_number: int) -> str:
    return f"{chunk_number:05d}.descriptors"


def properties_name(chunk_number: int) -> str:
    return f"{chunk_number:05d}.npz"


def inspect_in_order(files: Iterable[Path | RemoteFile], imaging: Imaging) -> Iterator[Inspected]:
    """Inspect in threads (the decoders release the GIL), at most ``MAX_AHEAD`` images ahead of the consumer."""
    pending: collections.deque[concurrent.futures.Future[Inspected]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file in files:
            pending.append(pool.submit(_inspect_image, file, imaging))
            if len(pending) >= MAX_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _inspect_image(file: Path | RemoteFile, imaging: Imaging) -> Inspected:
    """Return the canonical image of a file and its properties, or ``None`` and the reason for the rejection."""
    try:
        data = file.read_bytes()
        canonical = canonicalise(data, imaging)
        # The features need the file's full-size levels: a JPEG that was decoded smaller is decoded again.
        page = canonical.page if canonical.page.downscale == 1 else decode(data)
    except (ImageError, OSError) as error:
        return None, {"rejection_reasons": str(error)}
    image = canonical.image[:, :, 0]
    comparison_image = image if imaging == COMPARISON_IMAGING else _canonicalise_for_comparison(data)
    height, width = (length * page.downscale for length in page.grey.shape)
    return image, {
        "comparison_image": comparison_image,
        "file_formats": page.format_and_mode,
        "warnings": " ".join(warning.code for warning in canonical.warnings),
        "file_digests": int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little"),
        "sizes": (height, width),
        "quality": compute_quality(canonical.warnings),
        "raw_features": (*image_features.compute_features(page.grey), np.log(height), np.log(width)),
        "canonical_features": image_features.compute_features(255 - image),
        "descriptor": near_duplicates.compute_descriptor(comparison_image),
    }


def _canonicalise_for_comparison(data: bytes) -> np.ndarray:
    """The image on the canvas for comparison; one without ink there is empty, and equal to none."""
    try:
        return canonicalise(data, COMPARISON_IMAGING).image[:, :, 0]
    except ImageError:
        return np.zeros((COMPARISON_IMAGING.height, COMPARISON_IMAGING.width), np.uint8)


def write_chunk(folder: Path, chunk_number: int, inspected: list[Inspected], imaging: Imaging) -> None:
    """Write a chunk's images and descriptors, then its properties in one step: a chunk with properties is complete."""
    images = np.zeros((len(inspected), imaging.height, imaging.width), np.uint8)
    descriptors = np.zeros((len(inspected), near_duplicates.DESCRIPTOR_SIZE), np.int8)
    arrays = {name: np.zeros((len(inspected), *shape), dtype) for name, (shape, dtype) in ARRAYS.items()}
    for number, (image, properties) in enumerate(inspected):
        if image is not None:
            images[number] = image
            descriptors[number] = properties["descriptor"]
            for name, values in arrays.items():
                values[number] = properties[name]
    images.tofile(folder / images_name(chunk_number))
    descriptors.tofile(folder / descriptors_name(chunk_number))
    if imaging != COMPARISON_IMAGING:
        empty = np.zeros((COMPARISON_IMAGING.height, COMPARISON_IMAGING.width), np.uint8)
        comparison_images = np.stack([properties.get("comparison_image", empty) for _, properties in inspected])
        comparison_images.tofile(folder / comparison_images_name(chunk_number, imaging))
    texts = {name: [properties.get(name, "") for _, properties in inspected] for name in TEXTS}
    partial = folder / f"{properties_name(chunk_number)}.partial"
    with partial.open("wb") as file:
        np.savez(file, texts=np.array(json.dumps(texts)), **arrays)  # type: ignore[arg-type]
    os.replace(partial, folder / properties_name(chunk_number))


def parse_images(data: bytes, imaging: Imaging) -> np.ndarray:
    """Return the images of a chunk, ``uint8 [n, h, w, 1]``; those of rejected files are empty."""
    return np.frombuffer(data, np.uint8).reshape(-1, imaging.height, imaging.width, 1)


def parse_descriptors(data: bytes) -> np.ndarray:
    """Return the descriptors of a chunk, ``int8 [n, 288]``; those of rejected files are 0."""
    return np.frombuffer(data, np.int8).reshape(-1, near_duplicates.DESCRIPTOR_SIZE)


def _read_properties(folder: Path, count: int) -> ImageProperties:
    """Read all properties, a few hundred bytes an image."""
    arrays: dict[str, np.ndarray] = {name: np.zeros((count, *shape), dtype) for name, (shape, dtype) in ARRAYS.items()}
    texts: dict[str, list[str]] = {name: [] for name in TEXTS}
    interned: dict[str, str] = {}  # the same few texts occur again and again
    for start in range(0, count, IMAGES_PER_CHUNK):
        with np.load(folder / properties_name(start // IMAGES_PER_CHUNK)) as chunk:
            for name, values in arrays.items():
                values[start : start + IMAGES_PER_CHUNK] = chunk[name]
            for name, chunk_texts in json.loads(str(chunk["texts"])).items():
                texts[name] += [interned.setdefault(text, text) for text in chunk_texts]
    return ImageProperties(**texts, **arrays)  # type: ignore[arg-type]
