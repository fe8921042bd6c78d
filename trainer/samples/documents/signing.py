"""Who signs a document: places to sign, signed or not, with signatures put about them, and initials.

Next: ``kinds.py`` lays documents out.
"""

import dataclasses

import numpy as np

from trainer.samples import lexicon, text
from trainer.samples.documents import handwritten, parts
from trainer.samples.documents.sheet import Sheet
from trainer.samples.documents.typesetting import Typeface, print_text
from trainer.samples.ink import Pen
from trainer.samples.signature import generate_initials
from trainer.samples.strokes import tilt
from trainer.samples.text import fit_height
from trainer.samples.writer import Writer, generate_writer, render_signature

WRITTEN_SHARE = 0.2  # of signatures are names in a font of a hand
LENGTH = (3.74, 0.35)  # of a signature: logarithm of mm, mean and standard deviation
MAX_HEIGHT = 32.0  # mm, of a signature
STAMPED_SHARE = 0.08  # of signatures have a stamp over them


@dataclasses.dataclass(frozen=True)
class Signer:
    """Someone who signs: the signature, the pen with the width of the sheet's pixels, and the name as it is typed."""

    writer: Writer
    pen: Pen
    name: str

    @classmethod
    def generate(cls, sheet: Sheet, script: str, rng: np.random.Generator) -> "Signer":
        """Generate someone who signs on a sheet."""
        return cls(generate_writer(rng), handwritten.choose_pen(sheet, rng), lexicon.spell_name(script, rng))

    def draw_signature(self, sheet: Sheet, length: float, rng: np.random.Generator) -> np.ndarray:
        """Draw a signature about ``length`` mm long, ``float32 [h, w]``."""
        side = min(length * sheet.scale, 0.95 * max(sheet.shape))  # a small sheet may be drawn at a fine scale
        if rng.random() < WRITTEN_SHARE and text.has_written_names():  # else it would be print
            return text.generate_written_name(side, self.pen.width / side, rng)[0]
        return render_signature(self.writer, side, False, rng, self.pen)[0]

    def sign(self, sheet: Sheet, left: float, baseline: float, room: float, rng: np.random.Generator) -> None:
        """Sign about a place: from ``left`` mm, on a base line, with about ``room`` mm until something else."""
        length = max(8.0, min(float(rng.lognormal(*LENGTH)), 1.3 * room))
        ink = self.draw_signature(sheet, length, rng)
        height = ink.shape[0] / sheet.scale
        if height > MAX_HEIGHT:
            ink = self.draw_signature(sheet, max(8.0, length * MAX_HEIGHT / height), rng)
            height = ink.shape[0] / sheet.scale
        width = ink.shape[1] / sheet.scale
        left += rng.uniform(-0.1, 0.6) * max(0.0, room - width)
        top = baseline - height * rng.uniform(0.55, 1.05)
        left = float(np.clip(left, 1.0, max(1.0, sheet.width - width - 1)))
        top = float(np.clip(top, 1.0, max(1.0, sheet.height - height - 1)))
        sheet.put(ink, left, top, self.pen.colour, "signature")
        if rng.random() < STAMPED_SHARE:
            parts.put_stamp(sheet, left + rng.uniform(-15, 15), top + rng.uniform(-10, 6), rng.uniform(18, 45), rng)

    def initial(self, sheet: Sheet, left: float, top: float, height: float, rng: np.random.Generator) -> None:
        """Put initials ``height`` mm high, as on the pages and changes of a contract."""
        strokes = generate_initials(rng)
        paths = handwritten.move(tilt(strokes, rng.normal(0.2, 0.3), rng.normal(0, 0.1)), rng)
        letter = height * sheet.scale / 1.5
        letter = max(3.0, min(letter, fit_height(paths, 3 * height * sheet.scale)))
        sheet.put(handwritten.draw_paths(paths, self.pen, letter, rng), left, top, self.pen.colour, "initials")

    def put_block(
        self,
        sheet: Sheet,
        left: float,
        top: float,
        room: float,
        typeface: Typeface,
        is_signed: bool,
        rng: np.random.Generator,
    ) -> float:
        """Put a place to sign, ``room`` mm wide, and the signature if it is signed; returns the y of its end in mm.

        It has a closing above, or a prompt beside or below, mostly a line, and often name, title and date.
        """
        gap = rng.uniform(7, 20)
        kind = rng.choice(4, p=[0.42, 0.2, 0.22, 0.16])
        start = left
        if kind == 0:  # a closing above, no line
            box = print_text(sheet, parts.pick(parts.CLOSINGS, rng) + ",", left, top, typeface)
            top = max(box[3], top)
        elif kind == 1:  # a prompt before the line
            prompt = parts.pick(parts.PROMPTS, rng) + rng.choice(["", ":", " :"])
            box = print_text(sheet, prompt, left, top + gap - 0.8 * typeface.size, typeface)
            start = min(box[2] + 1.5, left + 0.7 * room)
        baseline = top + gap
        if kind != 0:
            style = rng.random()
            if style < 0.75:
                sheet.rule(start, baseline, left + room, baseline + rng.normal(0, 0.15), rng.uniform(0.15, 0.5))
            elif style < 0.9:
                for x in np.arange(start, left + room, rng.uniform(1.0, 1.8)):
                    sheet.rule(x, baseline, x + 0.3, baseline, 0.3)
        if is_signed:
            self.sign(sheet, start, baseline + rng.uniform(-1.5, 1.5), left + room - start, rng)
        end = baseline + rng.uniform(0.6, 2)
        if kind == 2:  # a prompt below the line
            end = print_text(sheet, parts.pick(parts.PROMPTS, rng), left, end, typeface.resize(0.8))[3] + 0.8
        if rng.random() < 0.6:
            name = self.name.upper() if rng.random() < 0.2 else self.name
            end = max(end, print_text(sheet, name, left, end, typeface)[3]) + 0.8
        if rng.random() < 0.35:
            end = max(end, print_text(sheet, parts.pick(parts.TITLES, rng), left, end, typeface)[3]) + 0.8
        if rng.random() < 0.25:
            box = print_text(sheet, "Date:", left, end + 3, typeface)
            if is_signed and rng.random() < 0.8:
                handwritten.write_date(sheet, box[2] + 2, box[3] + 0.5, rng, self.pen)
            end = max(box[3], end + 3)
        return end
