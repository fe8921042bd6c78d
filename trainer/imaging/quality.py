"""What a person should be told about an image that was answered all the same: named warnings with a measured value.

Judges measurements of ``ink.py``; never looks at pixels itself and never refuses (errors do that).
"""

import dataclasses

from trainer.imaging.ink import Ink

LOW_RESOLUTION = 40  # pixels of the file along the writing's longest side, below which strokes merge
LOW_CONTRAST = 48  # of 255, ink against paper
CUT_OFF = 0.002  # share of the image's outermost pixels that is ink


@dataclasses.dataclass(frozen=True)
class Warning_:
    """``code`` for machines, ``value`` measured, ``limit`` it missed."""

    code: str
    value: float
    limit: float


def warnings_of(ink: Ink) -> tuple[Warning_, ...]:
    """Everything doubtful about the writing that was found."""
    longest = max(ink.mask.shape) / ink.scale
    found = []
    if longest < LOW_RESOLUTION:
        found.append(Warning_("low_resolution", longest, LOW_RESOLUTION))
    if ink.darkness < LOW_CONTRAST:
        found.append(Warning_("low_contrast", ink.darkness, LOW_CONTRAST))
    if ink.at_border > CUT_OFF:
        found.append(Warning_("cut_off", ink.at_border, CUT_OFF))
    return tuple(found)
