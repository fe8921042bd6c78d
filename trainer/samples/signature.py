"""What a signature consists of: a name, legible or not, initials or no letter at all, with flourishes, in any script.

Gives the targets of one writer's signature. Next: ``writer.py``, which repeats and forges them.
"""

import dataclasses

import numpy as np

from trainer.samples import flourish, fonts, lexicon, strokes
from trainer.samples.handwriting import WritingStyle, generate_style, write
from trainer.samples.scripts import RARELY_LEGIBLE, choose_script
from trainer.samples.strokes import Strokes

LATIN_SHARE = 0.6  # of signatures
# A name, a name that becomes a wave, initials, an initial with a wave, no letter.
FORMS = (0.5, 0.2, 0.08, 0.11, 0.11)
IDEOGRAPHIC_FORMS = (0.75, 0.12, 0.03, 0.04, 0.06)  # written with the characters of the name, more or less joined
ILLEGIBLE_FORMS = (0.05, 0.5, 0.0, 0.15, 0.3)
ATTEMPTS = 8  # to find a name that the font has


def generate_signature(rng: np.random.Generator) -> tuple[WritingStyle, Strokes]:
    """Generate the style of a writer and the targets of the signature, on its base line."""
    script = choose_script(rng, LATIN_SHARE)
    style = generate_style(script, rng)
    form = rng.choice(5, p=_get_forms(script))
    if form == 4:
        targets = flourish.generate_paraph(rng)
        mean = 0.35
    elif form == 3:
        targets = _write_initial_and_wave(script, style, rng)
        mean = 0.6
    elif form == 2:
        targets = _write_initials(script, style, rng)
        mean = 1.2
    else:
        targets = _write_name(script, style, rng)
        mean = 0.55
        if form == 1:
            targets = _make_illegible(targets, rng)
        elif rng.random() < 0.35:
            targets = strokes.flatten(targets, rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5))
    targets = [*targets, *flourish.generate_flourishes(targets, rng, mean)]
    targets = strokes.tilt(targets, rng.normal(0.25, 0.4), rng.normal(-0.08, 0.15))
    return style, targets


def generate_initials(rng: np.random.Generator) -> Strokes:
    """Generate the targets of someone's initials, on their base line."""
    script = choose_script(rng, LATIN_SHARE)
    return _write_initials(script, generate_style(script, rng), rng)


def _get_forms(script: str) -> tuple[float, ...]:
    if script in RARELY_LEGIBLE:
        return ILLEGIBLE_FORMS
    return IDEOGRAPHIC_FORMS if script in lexicon.IDEOGRAPHIC else FORMS


def write_known(text_of, style: WritingStyle, rng: np.random.Generator) -> Strokes:
    """Write the first of several generated texts that the font of a style has: ``text_of(rng)`` generates one."""
    for _ in range(ATTEMPTS):
        try:
            return write(text_of(rng), style, rng)
        except fonts.MissingGlyph:
            continue
    return flourish.generate_paraph(rng)


def _write_name(script: str, style: WritingStyle, rng: np.random.Generator) -> Strokes:
    if rng.random() < 0.35:
        style = dataclasses.replace(style, letter_spacing=style.letter_spacing - rng.uniform(0.02, 0.15))
    if script not in lexicon.UNSPACED and rng.random() < 0.09:  # on two lines
        first = write_known(lambda r: lexicon.generate_name(script, r)[0], style, rng)
        second = write_known(lambda r: lexicon.generate_name(script, r)[1], style, rng)
        shift = np.array([rng.uniform(-0.2, 1.2), rng.uniform(0.75, 1.3)])
        return [*first, *(stroke + shift for stroke in second)]
    return write_known(lambda r: lexicon.spell_name(script, r), style, rng)


def _make_illegible(targets: Strokes, rng: np.random.Generator) -> Strokes:
    """Leave out and flatten what a hurried writer leaves out."""
    amount = rng.uniform(0.3, 1.0)
    targets = strokes.simplify(targets, 0.06 + 0.22 * amount * rng.random(), 0.15 * rng.random())
    if rng.random() < 0.7:
        targets = strokes.flatten(targets, rng.uniform(0.3, 0.95), rng.uniform(0.05, 0.45))
    if rng.random() < 0.7:
        targets = strokes.join(strokes.order_left_to_right(targets), rng.uniform(0.2, 1.0))
    squeeze = np.array([np.exp(rng.normal(-0.15, 0.3)), 1.0])
    return [stroke * squeeze for stroke in targets]


def _write_initials(script: str, style: WritingStyle, rng: np.random.Generator) -> Strokes:
    """Write one to three large letters, side by side or over each other."""
    count = int(rng.choice([1, 2, 3], p=[0.25, 0.5, 0.25]))
    x, written = 0.0, []
    for _ in range(count):
        letter = write_known(lambda r: lexicon.generate_name(script, r)[int(r.integers(2))][0], style, rng)
        letter = strokes.scale_to_height(letter, np.exp(rng.normal(0.3, 0.25)), x, rng.normal(0, 0.15))
        left, _, right, _ = strokes.extent(letter)
        written += letter
        x = right + (right - left) * rng.uniform(-0.7, 0.15)
    if rng.random() < 0.4:
        written = strokes.join(written, rng.uniform(0.3, 1.2))
    return written


def _write_initial_and_wave(script: str, style: WritingStyle, rng: np.random.Generator) -> Strokes:
    """Write a large first letter and a wave for the rest of the name, once or twice."""
    written: Strokes = []
    x = 0.0
    for _ in range(int(rng.choice([1, 2], p=[0.7, 0.3]))):
        letter = write_known(lambda r: lexicon.generate_name(script, r)[0][0], style, rng)
        letter = strokes.scale_to_height(letter, np.exp(rng.normal(0.4, 0.3)), x, rng.normal(0, 0.1))
        right = strokes.extent(letter)[2]
        wave = flourish.generate_wave(rng.uniform(0.5, 3.2), rng, rng.uniform(0.2, 0.6))
        wave = wave * (style.letter_width, 1) + (right + rng.uniform(-0.4, 0.15), rng.normal(0, 0.08))
        pieces = [*letter, wave]
        if rng.random() < 0.5:
            pieces = [*letter[:-1], np.concatenate([letter[-1], wave])]
        written += pieces
        x = strokes.extent(written)[2] + rng.uniform(-0.2, 0.4)
    return written
