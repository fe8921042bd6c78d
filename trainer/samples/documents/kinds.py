"""The layouts of documents: letter, contract, form, cheque, receipt, list, card and crop. Each draws on a sheet.

A layout is told who signs; with nobody it is the same document, unsigned. To add one, write a function and add it to
``KINDS``. Next: ``recording.py`` scans the sheet.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from trainer.samples import lexicon, security_paper
from trainer.samples.documents import handwritten, parts, typesetting
from trainer.samples.documents.sheet import Sheet
from trainer.samples.documents.typesetting import choose_typeface

if TYPE_CHECKING:
    from trainer.samples.documents.signing import Signer

A4, LETTER = (210.0, 297.0), (216.0, 279.0)
POINT = typesetting.MM_PER_POINT


@dataclasses.dataclass(frozen=True)
class Order:
    """What a layout is to draw: the language, the signers, and how many of the places to sign they sign."""

    script: str
    signers: "tuple[Signer, ...]"
    signatures: int


Draw = Callable[[Sheet, Order, np.random.Generator], None]


def draw_letter(sheet: Sheet, order: Order, rng: np.random.Generator) -> None:
    """A letterhead, an address, paragraphs, a closing and a signature."""
    typeface = choose_typeface(order.script, rng.uniform(9, 12.5) * POINT, rng)
    margin = rng.uniform(15, 30)
    width = sheet.width - 2 * margin
    top = parts.print_letterhead(sheet, typeface, margin, rng) if rng.random() < 0.85 else rng.uniform(15, 35)
    if rng.random() < 0.8:
        typesetting.print_text(
            sheet, lexicon.generate_date(rng), rng.choice([margin, sheet.width - margin - 30]), top, typeface
        )
    for _ in range(int(rng.integers(0, 5))):
        top += typeface.size * 1.25
        typesetting.print_words(sheet, margin, top, rng.uniform(25, 55), typeface, rng)
    if rng.random() < 0.5:
        top += 2.5 * typeface.size
        typesetting.print_text(sheet, parts.pick(parts.PHRASES, rng), margin, top, typeface.resize(1.1))
    top += rng.uniform(2, 4) * typeface.size
    places = max(1, order.signatures)
    bottom = sheet.height - rng.uniform(15, 30) - 42
    limit = min(bottom, top + rng.uniform(0.25, 1.0) * (bottom - top))
    while top < limit:
        lines = int(np.clip((limit - top) / (1.4 * typeface.size), 1, rng.integers(2, 12)))
        top = typesetting.print_paragraph(sheet, margin, top, width, lines, typeface, rng)
        top += typeface.size * rng.uniform(0.3, 1.2)
    top += typeface.size
    for position in range(places):
        left = margin + (rng.choice([0, 0.5]) * width if places == 1 else (position % 2) * 0.52 * width)
        signer = order.signers[position % len(order.signers)]
        end = signer.put_block(sheet, left, top, 0.45 * width, typeface, position < order.signatures, rng)
        top = end if position % 2 else top
    if rng.random() < 0.35:
        handwritten.tick_names(sheet, margin, end + rng.uniform(1, 8), order.script, typeface, rng)
    if rng.random() < 0.4:
        y = sheet.height - rng.uniform(8, 16)
        typesetting.print_words(sheet, margin, y, width * rng.uniform(0.3, 0.9), typeface.resize(0.7), rng)


def draw_contract(sheet: Sheet, order: Order, rng: np.random.Generator) -> None:
    """Numbered clauses, initials on the margin, and places to sign in two columns or below each other."""
    typeface = choose_typeface(order.script, rng.uniform(8, 11) * POINT, rng)
    margin = rng.uniform(14, 26)
    width = sheet.width - 2 * margin
    top = rng.uniform(12, 25)
    title = typesetting.make_words(rng.uniform(25, 60), typeface.resize(1.5), rng).upper()
    top = typesetting.print_text(sheet, title, sheet.width / 2, top, typeface.resize(1.5), 0.5)[3] + rng.uniform(3, 8)
    places = max(order.signatures, int(rng.integers(1, 5)))
    rows = -(-places // 2)
    limit = sheet.height - 20 - rows * 36 - 6
    limit = top + rng.uniform(0.3, 1.0) * max(5.0, limit - top)
    clause = int(rng.integers(1, 20))
    while top < limit:
        typesetting.print_text(sheet, f"{clause}.", margin, top, typeface)
        lines = int(np.clip((limit - top) / (1.4 * typeface.size), 1, rng.integers(1, 8)))
        top = typesetting.print_paragraph(sheet, margin + 7, top, width - 7, lines, typeface, rng)
        if rng.random() < 0.08:
            box = (margin + 20, top - 2 * typeface.size, margin + rng.uniform(35, 90), top - typeface.size)
            handwritten.cross_out(sheet, box, rng)
            if order.signatures:
                order.signers[0].initial(sheet, sheet.width - margin + 1, box[1] - 2, 5, rng)
        top += typeface.size * rng.uniform(0.2, 0.9)
        clause += 1
    if order.signatures and rng.random() < 0.3:  # every page is initialled
        for number, signer in enumerate(order.signers[:2]):
            signer.initial(sheet, sheet.width - 22 + 9 * number, sheet.height - 14, rng.uniform(4, 8), rng)
    top += 4
    signed = rng.permutation(places)[: order.signatures]
    for row in range(rows):
        ends = []
        for column in range(2):
            position = 2 * row + column
            if position < places:
                left = margin + column * 0.54 * width
                signer = order.signers[position % len(order.signers)]
                ends.append(signer.put_block(sheet, left, top, 0.44 * width, typeface, position in signed, rng))
        top = max(ends) + rng.uniform(1, 5)


def draw_form(sheet: Sheet, order: Order, rng: np.random.Generator) -> None:
    """Fields with names, filled in by hand or by print, boxes to tick, and places to sign."""
    typeface = choose_typeface(order.script, rng.uniform(7, 10) * POINT, rng)
    margin = rng.uniform(8, 20)
    width = sheet.width - 2 * margin
    top = parts.print_letterhead(sheet, typeface, margin, rng) if rng.random() < 0.6 else rng.uniform(8, 18)
    pen = handwritten.choose_pen(sheet, rng)
    is_boxed, by_hand, filled = rng.random() < 0.5, rng.random() < 0.6, rng.uniform(0.3, 1.0)
    places = max(1, order.signatures)
    limit = sheet.height - 18 - 36 * (-(-places // 2))
    limit = top + rng.uniform(0.5, 1.0) * max(5.0, limit - top)
    pitch = rng.uniform(8, 14)
    while top < limit:
        kind = rng.random()
        if kind < 0.12:
            top = handwritten.tick_boxes(sheet, margin, top, typeface, rng) + 2
            continue
        if kind < 0.22:
            top = typesetting.print_paragraph(sheet, margin, top, width, int(rng.integers(1, 4)), typeface, rng) + 2
            continue
        fields = int(rng.integers(1, 4))
        for field in range(fields):
            left, right = margin + field * width / fields, margin + (field + 1) * width / fields - 3
            name = typesetting.make_words(min(25.0, 0.4 * (right - left)), typeface, rng)
            box = typesetting.print_text(sheet, name, left + 1, top + 1, typeface)
            start = left + 2 if is_boxed else box[2] + 1.5
            if is_boxed:
                sheet.frame(left, top, right, top + pitch - 1, 0.25)
            else:
                sheet.rule(start, top + 0.6 * pitch, right, top + 0.6 * pitch, 0.2)
            if rng.random() < filled:
                _fill_field(sheet, order.script, start, top, right - start, pitch, by_hand, pen, typeface, rng)
        top += pitch
    top += 2
    for position in range(places):
        left = margin + (position % 2) * 0.52 * width
        signer = order.signers[position % len(order.signers)]
        is_signed = position < order.signatures
        if rng.random() < 0.3:  # in a box
            sheet.frame(left, top, left + 0.46 * width, top + 22, 0.3)
            typesetting.print_text(sheet, parts.pick(parts.PROMPTS, rng), left + 1, top + 1, typeface.resize(0.8))
            if is_signed:
                signer.sign(sheet, left + 2, top + 19, 0.42 * width, rng)
            end = top + 24
        else:
            end = signer.put_block(sheet, left, top, 0.45 * width, typeface, is_signed, rng)
        top = end if position % 2 else top


def _fill_field(sheet, script, left, top, width, pitch, by_hand, pen, typeface, rng) -> None:
    if not by_hand:
        typesetting.print_words(sheet, left, top + 0.45 * pitch, max(4.0, width * rng.uniform(0.2, 0.9)), typeface, rng)
        return
    words = rng.choice([0, 1, 2], p=[0.4, 0.3, 0.3])
    text = (lexicon.spell_name(script, rng), lexicon.generate_number(script, rng), lexicon.generate_date(rng))[words]
    height = rng.uniform(0.16, 0.28) * pitch
    handwritten.write_words(sheet, text, script, left, top + 0.25 * pitch, height, rng, pen)


def draw_cheque(sheet: Sheet, order: Order, rng: np.random.Generator) -> None:
    """A bank's name, payee, amount in figures and words, and one or two signatures on the right."""
    if rng.random() < 0.6:
        sheet.get_layer((0.55, 0.65, 0.75))[:] = 0.35 * security_paper.draw_security_pattern(*sheet.shape, rng)
    typeface = choose_typeface(order.script, rng.uniform(2.2, 3.2), rng)
    pen, width = handwritten.choose_pen(sheet, rng), sheet.width
    parts.put_logo(sheet, 5, 4, rng.uniform(12, 28), rng)
    typesetting.print_words(sheet, 0.35 * width, 5, 40, typeface.resize(1.3), rng)
    by_hand = rng.random() < 0.7
    for y, right in ((0.33, 0.72), (0.47, 0.95)):
        sheet.rule(0.06 * width, y * sheet.height, right * width, y * sheet.height, 0.2)
        _fill_field(
            sheet, order.script, 0.1 * width, y * sheet.height - 6.5, 0.5 * width, 9.0, by_hand, pen, typeface, rng
        )
    sheet.frame(0.76 * width, 0.24 * sheet.height, 0.95 * width, 0.36 * sheet.height, 0.3)
    _fill_field(sheet, order.script, 0.78 * width, 0.24 * sheet.height, 0.15 * width, 9.0, by_hand, pen, typeface, rng)
    if rng.random() < 0.7:
        handwritten.write_date(sheet, 0.74 * width, 0.18 * sheet.height, rng, pen)
    places = max(1, min(2, order.signatures))
    for position in range(places):
        left, y = (0.56 - 0.42 * position) * width, sheet.height * rng.uniform(0.76, 0.84)
        sheet.rule(left, y, left + 0.38 * width, y, 0.2)
        if position < order.signatures:
            order.signers[position % len(order.signers)].sign(sheet, left, y, 0.38 * width, rng)
    code = "".join(str(digit) for digit in rng.integers(0, 10, 24))
    typesetting.print_text(sheet, code, 0.08 * width, 0.9 * sheet.height, typeface.resize(1.1))


def draw_receipt(sheet: Sheet, order: Order, rng: np.random.Generator) -> None:
    """A narrow list of goods and sums, with a place to sign at the end or without."""
    typeface = choose_typeface("latin" if rng.random() < 0.7 else order.script, rng.uniform(2.4, 3.6), rng)
    margin, top = rng.uniform(3, 7), rng.uniform(4, 10)
    if rng.random() < 0.5:
        size = rng.uniform(15, 40)
        parts.put_logo(sheet, (sheet.width - size) / 2, top, size, rng)
        top += 0.7 * size
    for _ in range(int(rng.integers(2, 6))):
        words = typesetting.make_words(rng.uniform(20, sheet.width - 2 * margin), typeface, rng)
        top = typesetting.print_text(sheet, words, sheet.width / 2, top, typeface, 0.5)[3] + 0.8
    has_place = order.signatures > 0 or rng.random() < 0.2
    limit = sheet.height - (38 if has_place else 12)
    while top < limit:
        if rng.random() < 0.1:
            sheet.rule(margin, top, sheet.width - margin, top, 0.25)
        typesetting.print_words(sheet, margin, top, rng.uniform(0.3, 0.65) * sheet.width, typeface, rng)
        sums = lexicon.generate_number("latin", rng)
        typesetting.print_text(sheet, sums, sheet.width - margin, top, typeface, 1.0)
        top += typeface.size * rng.uniform(1.2, 1.9)
    if has_place:
        room = sheet.width - 2 * margin
        order.signers[0].put_block(sheet, margin, top, room, typeface, order.signatures > 0, rng)
    elif rng.random() < 0.4:
        parts.put_barcode(sheet, 0.2 * sheet.width, sheet.height - 11, 0.6 * sheet.width, rng)


def draw_list(sheet: Sheet, order: Order, rng: np.random.Generator) -> None:
    """A table, such as a list of people who sign in its last column."""
    typeface = choose_typeface(order.script, rng.uniform(7, 10) * POINT, rng)
    margin = rng.uniform(10, 22)
    top = parts.print_letterhead(sheet, typeface, margin, rng) if rng.random() < 0.5 else rng.uniform(12, 30)
    rows = int(rng.integers(5, 24))
    bottom = sheet.height - rng.uniform(15, 60)
    pitch = max(7.0, (bottom - top) / rows)
    rows = max(3, int((bottom - top) / pitch))
    columns = parts.print_table(sheet, (margin, top, sheet.width - margin, top + rows * pitch), rows, typeface, rng)
    if not order.signatures:
        return
    in_table = columns[-1] - columns[-2] > 25 and pitch > 9 and rng.random() < 0.7
    if in_table:
        for number, row in enumerate(rng.permutation(rows - 1)[: order.signatures] + 1):
            signer = order.signers[number % len(order.signers)]
            baseline = top + (row + 0.85) * pitch
            signer.sign(sheet, columns[-2] + 1, baseline, min(45.0, columns[-1] - columns[-2] - 2), rng)
        return
    end = top + rows * pitch + 3
    for position in range(min(2, order.signatures)):
        left = margin + position * 0.5 * sheet.width
        order.signers[position].put_block(sheet, left, end, 0.38 * sheet.width, typeface, True, rng)


def draw_card(sheet: Sheet, order: Order, rng: np.random.Generator) -> None:
    """A card with a portrait, names, numbers, and the signature of its holder below."""
    if rng.random() < 0.5:
        sheet.get_layer((0.7, 0.8, 0.75))[:] = 0.3 * security_paper.draw_security_pattern(*sheet.shape, rng)
    typeface = choose_typeface(order.script, rng.uniform(2.0, 2.8), rng)
    parts.put_photograph(sheet, 4, 12, rng.uniform(20, 26), rng)
    typesetting.print_words(sheet, 4, 3, 60, typeface.resize(1.4), rng)
    top = 12.0
    while top < 36:
        typesetting.print_words(sheet, 33, top, rng.uniform(8, 18), typeface.resize(0.7), rng)
        typesetting.print_words(sheet, 33, top + 2.2, rng.uniform(12, 45), typeface, rng)
        top += rng.uniform(5, 8)
    if order.signatures:
        order.signers[0].sign(sheet, 34, 49, 42, rng)
    if rng.random() < 0.4:
        sheet.rule(33, 49.5, 80, 49.5, 0.15)


def draw_crop(sheet: Sheet, order: Order, rng: np.random.Generator) -> None:
    """What people cut out of documents: a signature alone, or one word or line by hand or in print."""
    middle = 0.72 * sheet.height
    if rng.random() < 0.3:
        sheet.rule(2, middle, sheet.width - 2, middle, rng.uniform(0.15, 0.5))
    if order.signatures:
        order.signers[0].sign(sheet, rng.uniform(1, 6), middle, 0.9 * sheet.width, rng)
        return
    typeface = choose_typeface(order.script, rng.uniform(3, 8), rng)
    if rng.random() < 0.6:
        handwritten.write_note(sheet, order.script, 3, 0.3 * middle, 0.85 * sheet.width, rng)
    else:
        typesetting.print_words(sheet, 3, 0.4 * middle, 0.85 * sheet.width, typeface, rng)


# How often each kind is, its sizes in mm, the most signatures it holds, and its layout.
KINDS: dict[str, tuple[float, tuple[tuple[float, float], ...], int, Draw]] = {
    "letter": (0.31, (A4, A4, LETTER), 2, draw_letter),
    "contract": (0.18, (A4, LETTER), 4, draw_contract),
    "form": (0.18, (A4, LETTER, (148.0, 210.0), (210.0, 148.0)), 3, draw_form),
    "list": (0.1, (A4, LETTER, (297.0, 210.0)), 6, draw_list),
    "cheque": (0.06, ((178.0, 76.0), (203.0, 89.0), (152.0, 70.0)), 2, draw_cheque),
    "receipt": (0.08, ((80.0, 140.0), (80.0, 210.0), (58.0, 120.0), (110.0, 180.0)), 1, draw_receipt),
    "crop": (0.05, ((60.0, 25.0), (80.0, 40.0), (50.0, 30.0)), 1, draw_crop),
    "card": (0.04, ((86.0, 54.0),), 1, draw_card),
}
