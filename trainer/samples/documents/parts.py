"""What is printed on a page beside running text: letterheads, stamps, codes, tables.

Next: ``handwritten.py``, ``signing.py``.
"""

import itertools

import cv2
import numpy as np

from trainer.samples import fonts, lexicon, objects
from trainer.samples.documents import typesetting
from trainer.samples.documents.sheet import BLACK, Colour, Sheet, turn
from trainer.samples.documents.typesetting import Typeface
from trainer.samples.fonts import FontStyle

STAMP_COLOURS: tuple[Colour, ...] = (BLACK, (0.15, 0.2, 0.6), (0.7, 0.1, 0.15), (0.1, 0.4, 0.25), (0.4, 0.15, 0.5))
PHRASES = (
    "Attn:,Re:,Subject:,Dear Sir or Madam,To whom it may concern,Enclosures,cc:,Ref.,Invoice No.,Account,Date:,Page,"
    "CONFIDENTIAL,COPY,ORIGINAL,DRAFT,Total,Balance,Terms and conditions,Department,Telephone,Fax"
).split(",")
PROMPTS = (
    "Signature,Signed,Signed by,Authorised signature,X,Unterschrift,Signature du client,Firma,Approved,Witness,"
    "Director,For the company,Employee,Tenant,Landlord,Buyer,Seller,Customer signature,By,Assinatura,Podpis,"
    "Handtekening"
).split(",")
CLOSINGS = "Sincerely,Yours faithfully,Best regards,Very truly yours,Kind regards,Respectfully,Cordially".split(",")
TITLES = "Director,Manager,President,Secretary,Attorney,Partner,Chairman,Vice President,Accountant".split(",")


def put_stamp(sheet: Sheet, left: float, top: float, size: float, rng: np.random.Generator) -> None:
    """Stamp a ring or a frame with words, ``size`` mm wide, turned a little."""
    width = sheet.to_pixels(size)
    height = width if rng.random() < 0.5 else max(8, int(width * rng.uniform(0.3, 0.7)))
    ink = objects.draw_stamp(max(16, height), max(16, width), rng) * np.float32(rng.uniform(0.5, 1.0))
    sheet.put(turn(ink, rng.normal(0, 12)), left, top, pick(STAMP_COLOURS, rng), "stamp")


def pick(items, rng: np.random.Generator):
    """Pick one of some items."""
    return items[int(rng.integers(len(items)))]


def put_logo(sheet: Sheet, left: float, top: float, size: float, rng: np.random.Generator) -> None:
    """Print a logo: shapes, or a name in a font of a hand, as on letterheads."""
    colour = pick(STAMP_COLOURS, rng)
    if rng.random() < 0.5:  # a name in a script typeface is no signature
        _print_script_logo(sheet, left, top, size, colour, rng)
        return
    height, width = sheet.to_pixels(size * rng.uniform(0.4, 1.0)), sheet.to_pixels(size)
    sheet.put(objects.draw_logo(max(16, height), max(16, width), rng), left, top, colour)


def _print_script_logo(
    sheet: Sheet, left: float, top: float, size: float, colour: Colour, rng: np.random.Generator
) -> None:
    """Print a name in a font of a hand, often bolder than a pen writes, with an underline or small print beside it."""
    faces = fonts.load_catalogue().select("latin", FontStyle.HAND, FontStyle.BRUSH, FontStyle.BLACKLETTER)
    typeface = Typeface(
        pick(faces or fonts.load_catalogue().select("latin"), rng), size * rng.uniform(0.25, 0.5), "latin"
    )
    ink = typesetting.render(lexicon.generate_name("latin", rng)[1], typeface, sheet.scale)
    if ink is None:
        return
    if rng.random() < 0.5:
        ink = cv2.dilate(ink, np.ones((1 + max(1, int(rng.uniform(0.02, 0.1) * len(ink))),) * 2, np.uint8))
    box = sheet.put(ink, left, top, colour)
    if rng.random() < 0.25:
        sheet.rule(box[0] + rng.uniform(0, 5), box[3], box[2] + rng.uniform(-5, 5), box[3], rng.uniform(0.3, 1.2))
    if rng.random() < 0.4:
        small = typesetting.choose_typeface("latin", rng.uniform(1.5, 2.6), rng)
        x = rng.choice([box[0], 0.5 * (box[0] + box[2]), box[2]])
        typesetting.print_words(sheet, x, box[3] - rng.uniform(-1, 2), rng.uniform(20, 90), small, rng)


def print_upright(sheet: Sheet, words: str, left: float, top: float, typeface: Typeface) -> None:
    """Print a line that reads downwards, as the numbers of archives on the margin of a page."""
    ink = typesetting.render(words, typeface, sheet.scale)
    if ink is not None:
        sheet.put(np.rot90(ink, 3), left, top)


def put_barcode(sheet: Sheet, left: float, top: float, size: float, rng: np.random.Generator) -> None:
    """Print a barcode or a matrix code, ``size`` mm wide."""
    width = sheet.to_pixels(size)
    sheet.put(objects.draw_barcode(max(12, int(width * rng.uniform(0.15, 0.4))), max(24, width), rng), left, top)


def print_letterhead(sheet: Sheet, typeface: Typeface, margin: float, rng: np.random.Generator) -> float:
    """Print a sender with logo, name and address at the top; returns the y of its end in mm."""
    top = rng.uniform(6, 18)
    align = rng.choice([0.0, 0.5, 1.0])
    left = margin + align * (sheet.width - 2 * margin)
    if rng.random() < 0.55:
        size = rng.uniform(14, 45)
        put_logo(sheet, min(max(2.0, left - align * size), sheet.width - size), top, size, rng)
        top += rng.uniform(0.3, 0.8) * size
    name = " ".join(lexicon.generate_name("latin", rng)[1] for _ in range(int(rng.integers(1, 4))))
    name = name.upper() if rng.random() < 0.5 else name
    box = typesetting.print_text(sheet, name, left, top, typeface.resize(rng.uniform(1.2, 2.6)), align)
    top = max(box[3], top + 3) + rng.uniform(0.5, 2)
    for _ in range(int(rng.integers(0, 4))):
        words = typesetting.make_words(rng.uniform(25, 60), typeface.resize(0.8), rng)
        box = typesetting.print_text(sheet, words, left, top, typeface.resize(0.8), align)
        top = max(box[3], top + 2) + 0.6
    if rng.random() < 0.3:
        sheet.rule(margin, top + 1.5, sheet.width - margin, top + 1.5, rng.uniform(0.2, 1.2))
    return top + rng.uniform(3, 12)


def print_table(
    sheet: Sheet, box: tuple[float, float, float, float], rows: int, typeface: Typeface, rng: np.random.Generator
) -> list[float]:
    """Print a table with words and figures into a box in mm; returns the x of its columns, with the right edge."""
    left, top, right, bottom = box
    shares = np.sort(rng.uniform(0.1, 0.9, int(rng.integers(1, 6))))
    columns = [left, *(left + shares * (right - left)).tolist(), right]
    pitch = (bottom - top) / rows
    has_rules, has_columns, is_filled = rng.random() < 0.6, rng.random() < 0.5, rng.uniform(0.3, 1.0)
    for row in range(rows + 1):
        if has_rules or row in (0, 1, rows):
            sheet.rule(left, top + row * pitch, right, top + row * pitch, 0.25)
    if has_columns:
        for x in columns:
            sheet.rule(x, top, x, bottom, 0.25)
    face = typeface.resize(min(1.0, 0.6 * pitch / typeface.size))
    for row in range(rows):
        for x, end in itertools.pairwise(columns):
            if rng.random() > is_filled:
                continue
            y = top + (row + 0.3) * pitch
            if rng.random() < 0.5:
                figures = lexicon.generate_number(typeface.script, rng)
                typesetting.print_text(sheet, figures, end - 1, y, face, 1.0)
            else:
                typesetting.print_words(sheet, x + 1, y, max(4.0, (end - x - 2) * rng.uniform(0.3, 0.9)), face, rng)
    return columns


def put_photograph(sheet: Sheet, left: float, top: float, width: float, rng: np.random.Generator) -> None:
    """Print a portrait in the proportions of a passport, as patches of light and dark."""
    size = (sheet.to_pixels(1.25 * width), sheet.to_pixels(width))
    sheet.put(objects.draw_photograph(*size, rng) * np.float32(0.9), left, top)
