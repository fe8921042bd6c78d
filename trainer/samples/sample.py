"""One image of the generated data: what is written, with which pen, on which page, by which device.

Next: ``writer.py``, ``text.py`` and ``objects.py`` for what is written, ``generator.py`` for files, ``stream.py`` for
images without end.
"""

import numpy as np

from trainer.samples import capture, objects, page, text
from trainer.samples.capture import Capture, Scan
from trainer.samples.ink import Pen, limit_width, render_ink
from trainer.samples.writer import Writer, generate_forgery, generate_genuine, generate_writer

LABELS = ("signature", "text", "other")
RENDERED_SHARE = 0.1  # of signatures are names in a font of a hand, so that outlines do not name the class
FORGED_SHARE = 0.2  # of signatures: a forged signature is a signature


def generate_picture(label: str, rng: np.random.Generator) -> Scan:
    """Generate the picture of one image with a label of ``LABELS``, determined by the state of ``rng``."""
    side, pen_share = draw_size(rng)
    if label == "signature" and rng.random() < RENDERED_SHARE:
        ink, pen = text.generate_written_name(side, pen_share, rng)
    elif label == "signature":
        ink, pen = render_signature(generate_writer(rng, pen_share), side, bool(rng.random() < FORGED_SHARE), rng)
    elif label == "text":
        ink, pen = text.generate_text(side, pen_share, rng)
    else:
        ink, pen = objects.generate_object(side, pen_share, rng)
    return photograph(ink, pen, rng)


def draw_size(rng: np.random.Generator) -> tuple[float, float]:
    """Draw the longest side of the writing in pixels, and the width of a pen as a share of it.

    The same for every label, so that neither resolution nor thickness tells labels apart.
    """
    side = float(np.exp(rng.uniform(np.log(60), np.log(200)))) if rng.random() < 0.3 else rng.uniform(180, 520)
    return side, float(np.exp(rng.normal(np.log(0.0095), 0.65)))


def render_signature(
    writer: Writer, side: float, is_forged: bool, rng: np.random.Generator, pen: Pen | None = None
) -> tuple[np.ndarray, Pen]:
    """Render a signature of a writer, or a forgery of one, as ink ``float32 [h, w]``; returns its pen, too.

    Without ``pen`` it is the writer's.
    """
    paths = (generate_forgery if is_forged else generate_genuine)(writer, rng)
    height = text.fit_height(paths, side)
    pen = limit_width(pen or writer.take_pen(side, rng), height)
    return render_ink(paths, pen, height, rng), pen


def photograph(ink: np.ndarray, pen: Pen, rng: np.random.Generator, clutter: float = 1.0) -> Scan:
    """Put ink on a page and record it by a device, both drawn at random; ``clutter`` is that of ``draw_page``."""
    device = capture.generate_capture(rng)
    return capture.scan(page.draw_page(ink, pen, rng, device.is_grey, clutter), device, rng)


def scan_signature(
    writer: Writer, side: float, device: Capture, rng: np.random.Generator, pen: Pen | None = None
) -> Scan:
    """Scan a genuine signature of about ``side`` pixels on plain paper, with a given device, and pen if it is given."""
    ink, usual_pen = render_signature(writer, side, False, rng, pen)
    return capture.scan(page.draw_page(ink, pen or usual_pen, rng, device.is_grey, clutter=0.0), device, rng)
