"""Write the generated dataset: one file, or all of them in a layout. Everything follows from the seed.

Person 7 of seed 3 is the same person whether 10 or 1,000 people are asked for.
"""

import concurrent.futures
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainer.samples import hand, paper, pen, words
from trainer.samples.amount import KINDS, Amount, label_of
from trainer.samples.letters import CURSIVE, CYRILLIC, GREEK, PRINT
from trainer.settings import plugins

DATE = 1_577_836_800  # of every generated file: 1 January 2020


def image(seed: int, writer: int, kind: str, number: int) -> tuple[bytes, str]:
    """One generated file: its bytes and its suffix.

    ``kind`` is ``genuine``, ``forged`` (an imitation of this writer) or ``text`` (a word, printed or handwritten).
    """
    rng = np.random.default_rng([seed, writer, KINDS.index(kind), number])
    capture = paper.a_capture(rng)
    if kind == "text":
        ink, tool = _word(rng)
    else:
        person = hand.new_person(np.random.default_rng([seed, writer]))
        tool = hand.a_pen(rng, person.habits.pen_width)
        sign = hand.genuine if kind == "genuine" else hand.forged
        ink = pen.draw(sign(person, rng), tool, rng.uniform(60, 130), rng)
    return paper.encode(paper.scan(ink, tool, capture, rng), capture)


def write(out: Path, amount: Amount, seed: int) -> Iterator[int]:
    """Write the dataset below ``out``; yields the number of files done after each writer.

    A layout that cannot name a label (paired folders hold no words) leaves those images out.
    """
    corpus = plugins.load("corpora", amount.layout)
    rows: list[tuple[str, str, str]] = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for written in pool.map(
            lambda writer: list(_write_one(out, corpus, seed, writer, amount)), range(1, amount.writers + 1)
        ):
            rows += written
            yield len(rows)
    for name, text in (corpus.index(rows) if corpus.index else {}).items():
        (out / name).write_text(text)


def _write_one(out, corpus, seed, writer, amount) -> Iterator[tuple[str, str, str]]:
    """The images of one person; yields (path, label, writer) of each."""
    for kind in KINDS:
        label = label_of(corpus, kind)
        for number in range(getattr(amount, kind) if label else 0):
            data, suffix = image(seed, writer, kind, number)
            # Forgeries stand behind the genuine ones in layouts that call both "signature".
            place = corpus.place(label, f"{writer:03d}", number + (amount.genuine if kind == "forged" else 0))
            place = place.with_name(place.name + suffix)
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            (out / place).write_bytes(data)
            os.utime(out / place, (DATE, DATE))  # records know files by their date: these are the same wherever written
            yield str(place), label, f"{writer:03d}"


def _word(rng):
    """Half printed, half in somebody's everyday hand; four alphabets."""
    tool = hand.a_pen(rng)
    if rng.random() < 0.5:
        return words.print_word(rng), tool
    font = [CURSIVE, PRINT, GREEK, CYRILLIC][rng.choice(4, p=[0.5, 0.3, 0.1, 0.1])]
    return pen.draw(hand.handwriting(words.a_text(rng), font, rng), tool, rng.uniform(40, 110), rng), tool
