"""Pages of documents with boxes of what is on them; all content is determined by the seed.

Page 7 of seed 3 is the same page whether the dataset has 10 or 1,000 pages. Next:
``trainer/samples/documents/kinds.py``, the documents.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainer.corpora import LabelledBox
from trainer.generators import MODIFIED_TIME, Generator
from trainer.parallel.processes import run_in_order
from trainer.samples import capture, fonts, lexicon
from trainer.samples.amount import DatasetSpec
from trainer.samples.documents import handwritten, parts, typesetting
from trainer.samples.documents.kinds import KINDS, Order
from trainer.samples.documents.recording import GeneratedPage, record
from trainer.samples.documents.sheet import LABELS, Sheet
from trainer.samples.documents.signing import Signer
from trainer.samples.documents.typesetting import choose_typeface
from trainer.samples.scripts import choose_script
from trainer.settings import plugins

UNSIGNED_SHARE = 0.4
LONG_SIDES = (900, 1700)  # pixels of a picture
LATIN_SHARE = 0.6
PAGE_STREAM = 3  # so that no two uses of a seed draw the same numbers


def generate_page(rng: np.random.Generator, kind: str | None = None, is_signed: bool | None = None) -> GeneratedPage:
    """Generate a page, determined by the state of ``rng``.

    A kind of ``KINDS`` and whether the page is signed may be given.
    """
    if kind is None:
        shares = np.array([share for share, *_ in KINDS.values()])
        kind = list(KINDS)[rng.choice(len(KINDS), p=shares / shares.sum())]
    _, sizes, most, draw = KINDS[kind]
    width, height = parts.pick(sizes, rng)
    sheet = Sheet(width, height, rng.uniform(*LONG_SIDES) / max(width, height))
    script = choose_script(rng, LATIN_SHARE)
    signed = rng.random() >= UNSIGNED_SHARE if is_signed is None else is_signed
    signatures = (
        int(np.clip(rng.choice([1, 2, 3, 4, 5, 6], p=[0.5, 0.24, 0.1, 0.08, 0.04, 0.04]), 1, most)) if signed else 0
    )
    signers = tuple(Signer.generate(sheet, script, rng) for _ in range(max(1, min(3, signatures))))
    draw(sheet, Order(script, signers, signatures), rng)
    _add_marks(sheet, script, rng)
    return record(sheet, kind, rng)


def _add_marks(sheet: Sheet, script: str, rng: np.random.Generator) -> None:
    """Add what happens to any document: received stamps, notes, figures, codes, archive numbers, pen strokes."""
    draws = rng.random(9)
    room = min(60.0, 0.5 * sheet.width)
    if draws[0] < 0.14:
        size = rng.uniform(0.4, 1) * room
        parts.put_stamp(sheet, rng.uniform(0, sheet.width - size), rng.uniform(0, 0.9) * sheet.height, size, rng)
    if draws[1] < 0.2:
        size = rng.uniform(0.2, 1) * room
        left = rng.choice([rng.uniform(1, 8), rng.uniform(0, sheet.width - size)])
        lines = int(rng.choice([1, 1, 2, 3, 4]))
        handwritten.write_note(sheet, script, left, rng.uniform(0, 0.95) * sheet.height, size, rng, lines)
    if draws[2] < 0.1:
        size = rng.uniform(0.3, 0.8) * room
        parts.put_barcode(sheet, rng.uniform(0, sheet.width - size), rng.uniform(0, 0.92) * sheet.height, size, rng)
    if draws[3] < 0.15:
        x, y = rng.uniform(0, 0.95) * sheet.width, rng.uniform(0, 0.95) * sheet.height
        handwritten.draw_doodle(sheet, x, y, rng.uniform(4, 14), rng)
    if draws[4] < 0.12:
        handwritten.write_date(sheet, rng.uniform(0, 0.8) * sheet.width, rng.uniform(0.05, 0.95) * sheet.height, rng)
    if draws[5] < 0.2:
        typeface = choose_typeface("latin", rng.uniform(2, 3.2), rng)
        words = f"{lexicon.generate_date(rng)}  {lexicon.generate_number('latin', rng)}  P.{rng.integers(1, 20):03d}"
        y = 1.5 if rng.random() < 0.5 else sheet.height - 5
        typesetting.print_text(sheet, words, rng.uniform(3, 0.5 * sheet.width), y, typeface)
    if draws[6] < 0.18:
        typeface = choose_typeface("latin", rng.uniform(2.5, 4.5), rng)
        words = str(rng.integers(10**5, 10**9))
        if rng.random() < 0.7:
            left = rng.choice([rng.uniform(1, 6), sheet.width - rng.uniform(6, 14)])
            parts.print_upright(sheet, words, left, rng.uniform(0.05, 0.85) * sheet.height, typeface)
        else:
            y = rng.choice([rng.uniform(1, 10), sheet.height - rng.uniform(6, 18)])
            typesetting.print_text(sheet, words, rng.uniform(0.05, 0.8) * sheet.width, y, typeface)
    if draws[7] < 0.1:
        x, y = rng.uniform(0, 0.6) * sheet.width, rng.uniform(0, 0.7) * sheet.height
        width, height = rng.uniform(0.1, 0.6, 2) * (sheet.width, sheet.height)
        handwritten.draw_line(sheet, (x, y, x + width, y + height), rng)
    if draws[8] < 0.2:
        x, y = rng.uniform(0, 0.85) * sheet.width, rng.uniform(0, 0.92) * sheet.height
        handwritten.write_figures(sheet, x, y, rng)


def generate_image(seed: int, document: int, kind: str, number: int) -> tuple[bytes, str]:
    """Generate one page, ``signed`` or ``unsigned``; returns the bytes of its file and its suffix."""
    page = generate_page(np.random.default_rng([PAGE_STREAM, seed, document, number]), is_signed=kind == "signed")
    return capture.encode_file(page.scan)


def generate_page_file(seed: int, number: int) -> tuple[bytes, str, tuple[int, int], tuple[LabelledBox, ...]]:
    """Generate a page: its file, the suffix, (width, height) in pixels, and what is on it."""
    page = generate_page(np.random.default_rng([PAGE_STREAM, seed, number]))
    height, width = page.scan.pixels.shape[:2]
    boxes = tuple(LabelledBox(region.label, *region.get_box()) for region in page.regions)
    return *capture.encode_file(page.scan), (width, height), boxes


def write_dataset(out: Path, spec: DatasetSpec, seed: int) -> Iterator[int]:
    """Write the pages below ``out``, and the files of their boxes; yields the number of pages written."""
    corpus = plugins.load("corpora", spec.layout)
    rows = []
    arguments = ((seed, number) for number in range(1, spec.pages + 1))
    for number, (data, suffix, size, boxes) in enumerate(run_in_order(generate_page_file, arguments), start=1):
        label = corpus.labels[0] if any(box.label == LABELS[0] for box in boxes) else corpus.labels[1]
        path = corpus.format_path(label, "page", number)
        path = path.with_name(path.name + suffix)
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(data)
        os.utime(out / path, (MODIFIED_TIME, MODIFIED_TIME))  # a constant, because the data digest contains it
        rows.append((str(path), size, boxes))
        yield number
    for name, text in corpus.format_boxes(rows).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)


GENERATOR = Generator(write_dataset, fonts.describe_missing, generate_image)
