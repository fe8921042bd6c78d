"""One image of the generated data: what is written, with which pen, on which page, by which device.

Next: ``writer.py``, ``text.py`` and ``objects.py`` for what is written, ``trainer/generators`` for files and streams.
"""

import dataclasses

import numpy as np

from trainer.samples import capture, objects, page, text
from trainer.samples.capture import Capture, Scan
from trainer.samples.ink import Pen
from trainer.samples.writer import Writer, generate_writer, render_signature

LABELS = ("signature", "text", "other")
FORGED_SHARE = 0.2  # of signatures: a forged signature is a signature
RENDERED_SHARE = 0.1  # of signatures are names in a font of a hand, so that outlines do not name the class


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How images are taken, for every label alike, so that neither resolution nor thickness nor dirt names a label.

    ``devices`` are the shares of scanners, phones and bilevel devices; ``clutter`` the share of pages with
    surroundings; ``small`` the share of images whose writing is 45 to 200 pixels long.
    """

    devices: tuple[float, float, float]
    clutter: float
    small: float

    def draw_size(self, rng: np.random.Generator) -> tuple[float, float]:
        """Draw the longest side of the writing in pixels, and the width of a pen as a share of it."""
        is_small = rng.random() < self.small
        side = float(np.exp(rng.uniform(np.log(45), np.log(200)))) if is_small else rng.uniform(180, 520)
        return side, float(np.exp(rng.normal(np.log(0.0095), 0.65)))

    def photograph(self, ink: np.ndarray, pen: Pen, rng: np.random.Generator) -> Scan:
        """Put ink on a page and record it by a device, both drawn at random."""
        device = capture.generate_capture(rng, self.devices)
        return capture.scan(page.draw_page(ink, pen, rng, device.is_grey, self.clutter), device, rng)


ANY_SCAN = Conditions(capture.DEVICE_SHARES, clutter=1.0, small=0.4)
CLEAN_SCAN = Conditions((0.8, 0.12, 0.08), clutter=0.15, small=0.0)  # as of people who want to compare signatures


def generate_scan(label: str, conditions: Conditions, rng: np.random.Generator) -> Scan:
    """Generate the scan of one image with a label of ``LABELS``, determined by the state of ``rng``."""
    side, pen_share = conditions.draw_size(rng)
    if label == "signature" and rng.random() < RENDERED_SHARE:
        ink, pen = text.generate_written_name(side, pen_share, rng)
    elif label == "signature":
        ink, pen = render_signature(generate_writer(rng, pen_share), side, bool(rng.random() < FORGED_SHARE), rng)
    elif label == "text":
        ink, pen = text.generate_text(side, pen_share, rng)
    else:
        ink, pen = objects.generate_object(side, pen_share, rng)
    return conditions.photograph(ink, pen, rng)


def generate_signature_scan(writer: Writer, is_forged: bool, conditions: Conditions, rng: np.random.Generator) -> Scan:
    """Generate the scan of a signature of a writer, or of a forgery of one."""
    side, _ = conditions.draw_size(rng)
    return conditions.photograph(*render_signature(writer, side, is_forged, rng), rng)


def scan_signature(
    writer: Writer, side: float, device: Capture, rng: np.random.Generator, pen: Pen | None = None
) -> Scan:
    """Scan a genuine signature of about ``side`` pixels on plain paper, with a given device, and pen if it is given."""
    ink, usual_pen = render_signature(writer, side, False, rng, pen)
    return capture.scan(page.draw_page(ink, pen or usual_pen, rng, device.is_grey, clutter=0.0), device, rng)
