"""Signatures, skilled forgeries, words and other marks of synthetic writers; all content is determined by the seed.

Writer 7 of seed 3 is the same writer whether the dataset has 10 or 1,000 writers. Next: ``trainer/samples/sample.py``,
which draws one image.
"""

import concurrent.futures
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trainer import imaging
from trainer.generators import MODIFIED_TIME, Generator
from trainer.imaging import Imaging
from trainer.samples import capture, fonts, sample
from trainer.samples.amount import DatasetSpec, SampleKind, label_of
from trainer.samples.capture import Scan
from trainer.samples.writer import generate_writer
from trainer.settings import plugins

if TYPE_CHECKING:
    from trainer.corpora import Corpus

WRITER_STREAM, ENDLESS_STREAM = 1, 2  # so that no two uses of a seed draw the same numbers
ATTEMPTS = 20  # to generate an image in which ink is found


def generate_image(seed: int, writer: int, kind: str, number: int) -> tuple[bytes, str]:
    """Generate one image file; returns its bytes and its suffix.

    ``kind`` is ``genuine``, ``forged`` (an imitation of this writer), ``text`` (words, printed or handwritten) or
    ``other``. ``number`` distinguishes the images of one kind and writer. The ink of every image is found by imaging.
    """
    key = [seed, writer, list(SampleKind).index(SampleKind(kind)), number]
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([*key, attempt] if attempt else key)
        if kind in (SampleKind.TEXT, SampleKind.OTHER):
            picture = sample.generate_scan(kind, sample.CLEAN_SCAN, rng)
        else:
            signer = generate_writer(np.random.default_rng([WRITER_STREAM, seed, writer]))
            picture = sample.generate_signature_scan(signer, kind == SampleKind.FORGED, sample.CLEAN_SCAN, rng)
        if _canonicalise(picture, Imaging()) is not None:
            return capture.encode_file(picture)
    raise RuntimeError(f"{ATTEMPTS} images of seed {seed}, writer {writer}, {kind} {number} have no ink")


def generate_canonical(label: str, seed: int, position: int, parameters: Imaging) -> np.ndarray:
    """Generate the canonical image ``uint8 [H, W, 1]`` at a position of the endless stream of a seed."""
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([ENDLESS_STREAM, seed, position, attempt])
        image = _canonicalise(sample.generate_scan(label, sample.ANY_SCAN, rng), parameters)
        if image is not None:
            return image
    raise RuntimeError(f"{ATTEMPTS} images of seed {seed} at position {position} have no ink")


def _canonicalise(picture: Scan, parameters: Imaging) -> np.ndarray | None:
    """Return the canonical image of the file of a picture; ``None`` if no ink is found.

    A PNG gives its pixels back, so that it need not be encoded for it.
    """
    try:
        if picture.capture.format == "PNG":
            grey = np.asarray(Image.fromarray(picture.pixels).convert("L"))
            return imaging.draw_ink(imaging.find_ink(grey, parameters.working_side), parameters)
        return imaging.canonicalise(capture.encode_file(picture)[0], parameters).image
    except imaging.ImageError:
        return None


def write_dataset(out: Path, spec: DatasetSpec, seed: int) -> Iterator[int]:
    """Write the dataset below ``out``; yields the number of files written, after each writer.

    Images whose label the layout cannot express are omitted: paired folders hold no words.
    """
    corpus = plugins.load("corpora", spec.layout)
    rows: list[tuple[str, str, str]] = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for written in pool.map(
            lambda writer: list(_write_writer(out, corpus, seed, writer, spec)), range(1, spec.writers + 1)
        ):
            rows += written
            yield len(rows)
    for name, text in (corpus.format_csv_files(rows) if corpus.format_csv_files else {}).items():
        (out / name).write_text(text)


def _write_writer(
    out: Path, corpus: "Corpus", seed: int, writer: int, spec: DatasetSpec
) -> Iterator[tuple[str, str, str]]:
    """Write the images of one writer; yields (path, label, writer) of each."""
    for kind in (kind.value for kind in SampleKind):
        label = label_of(corpus, kind)
        if label is None:
            continue
        for number in range(getattr(spec, kind)):
            data, suffix = generate_image(seed, writer, kind, number)
            # Forgeries are numbered after the genuine ones, for layouts that label both "signature".
            path = corpus.format_path(label, f"{writer:03d}", number + (spec.genuine if kind == "forged" else 0))
            path = path.with_name(path.name + suffix)
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(data)
            os.utime(
                out / path, (MODIFIED_TIME, MODIFIED_TIME)
            )  # a constant, because the data digest of records contains it
            yield str(path), label, f"{writer:03d}"


GENERATOR = Generator(write_dataset, fonts.describe_missing, generate_image, sample.LABELS, generate_canonical)
