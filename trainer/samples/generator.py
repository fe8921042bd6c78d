"""Generate one image file, or write the whole dataset in a layout. All content is determined by the seed.

Writer 7 of seed 3 is the same writer whether the dataset has 10 or 1,000 writers. Next: ``writer.py``.
"""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.samples import paper, pen, words
from trainer.samples.amount import DatasetSpec, SampleKind, label_of
from trainer.samples.letters import CURSIVE_FONT, CYRILLIC_FONT, GREEK_FONT, PRINT_FONT
from trainer.samples.writer import (
    generate_forgery,
    generate_genuine,
    generate_handwriting,
    generate_pen,
    generate_writer,
)
from trainer.settings import plugins

if TYPE_CHECKING:
    from trainer.corpora import Corpus


MODIFIED_TIME = 1_577_836_800  # of every generated file, in seconds since 1970: 1 January 2020


def generate_image(seed: int, writer: int, kind: str, number: int) -> tuple[bytes, str]:
    """Generate one image file; returns its bytes and its suffix.

    ``kind`` is ``genuine``, ``forged`` (an imitation of this writer) or ``text`` (a word, printed or handwritten).
    ``number`` distinguishes the images of one kind and writer.
    """
    rng = np.random.default_rng([seed, writer, list(SampleKind).index(SampleKind(kind)), number])
    capture = paper.generate_capture(rng)
    if kind == "text":
        ink, image_pen = _generate_word(rng)
    else:
        signer = generate_writer(np.random.default_rng([seed, writer]))
        image_pen = generate_pen(rng, signer.style.pen_width)
        sign = generate_genuine if kind == "genuine" else generate_forgery
        ink = pen.render_ink(sign(signer, rng), image_pen, rng.uniform(60, 130), rng)
    return paper.encode_file(paper.render_scan(ink, image_pen, capture, rng), capture)


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
    out: Path, corpus: Corpus, seed: int, writer: int, spec: DatasetSpec
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


def _generate_word(rng: np.random.Generator) -> tuple[np.ndarray, pen.Pen]:
    """Generate a word, printed or handwritten, in Latin, Greek or Cyrillic; returns its ink and the pen."""
    word_pen = generate_pen(rng)
    if rng.random() < 0.5:
        return words.render_word(rng), word_pen
    font = [CURSIVE_FONT, PRINT_FONT, GREEK_FONT, CYRILLIC_FONT][rng.choice(4, p=[0.5, 0.3, 0.1, 0.1])]
    strokes = generate_handwriting(words.generate_text(rng), font, rng)
    return pen.render_ink(strokes, word_pen, rng.uniform(40, 110), rng), word_pen
