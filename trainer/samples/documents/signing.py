"""Who signs a document: signatures and initials, put about the places for them.

Next: ``parts.put_block`` draws such a place, ``kinds.py`` the documents.
"""

import dataclasses

import numpy as np

from trainer.samples import lexicon, text
from trainer.samples.documents import handwritten, parts
from trainer.samples.documents.sheet import Sheet
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
        side = length * sheet.scale
        if rng.random() < WRITTEN_SHARE:
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
