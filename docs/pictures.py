"""``python docs/pictures.py CLASSIFIER VERIFIER FINDER``: draw the pictures of the docs, from generated images.

All are artefacts: CLASSIFIER of signature_vs_text (``make demo`` trains one), VERIFIER of same_writer, FINDER of
signature_on_page. Next: ``trainer/generators/pages.py``,
``trainer/generators/signatures.py``; ``desk_pictures.py`` draws those of the desk.
"""

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from trainer.artifact import explain
from trainer.artifact.artifact import Artifact
from trainer.artifact.finder import find
from trainer.generators import pages
from trainer.generators import signatures as generator

DOCS_DIR = Path(__file__).parent
SEED = 31  # not that of ``make demo``, so that no writer is in its training data
CLASSIFIED = [(3, "genuine"), (5, "text"), (6, "genuine"), (9, "text"), (8, "genuine"), (2, "other")]  # writer, kind
SAMPLE_WRITERS = range(1, 9)
SAMPLE_COLUMNS = [  # kind, number
    ("genuine", 0),
    ("genuine", 1),
    ("genuine", 2),
    ("forged", 0),
    ("forged", 1),
    ("text", 0),
    ("text", 1),
]
NUM_REFERENCES = 5
VERIFIED = [(17, "genuine"), (17, "forged"), (25, "forged"), (9, "forged")]  # writer, kind of the questioned image
DOCUMENTS = range(1, 19)
DOCUMENT_COLUMNS = 6
COLOURS = {"signature": "#c0392b", "initials": "#8e44ad", "stamp": "#2471a3", "handwriting": "#7d8a2e"}


def main(classifier: Artifact, verifier: Artifact, finder: Artifact) -> None:
    """Write ``answers.png``, ``samples.png``, ``hands.png`` and ``documents.png``."""
    _draw_classifications(classifier).savefig(DOCS_DIR / "answers.png")
    _draw_samples().savefig(DOCS_DIR / "samples.png")
    _draw_verifications(verifier).savefig(DOCS_DIR / "hands.png")
    _draw_documents(finder).savefig(DOCS_DIR / "documents.png")


def _draw_classifications(classifier: Artifact) -> Figure:
    """Draw each image above its canonical image, with the answer."""
    figure = _make_figure(12, 3.4)
    for column, (writer, kind) in enumerate(CLASSIFIED):
        data, _ = generator.generate_image(SEED, writer, kind, 0)
        answer = classifier.answer(data)
        _show(figure.add_subplot(2, len(CLASSIFIED), column + 1), Image.open(BytesIO(data)))
        axes = figure.add_subplot(2, len(CLASSIFIED), len(CLASSIFIED) + column + 1)
        _show(axes, 255 - classifier.canonicalise(data).image[:, :, 0])
        axes.set_xlabel(f"{answer['label']}  {answer['score']:.1%}")
    return figure


def _draw_samples() -> Figure:
    """Draw a row for each writer: three genuine signatures, two forgeries of them, two words."""
    rows, columns = len(SAMPLE_WRITERS), len(SAMPLE_COLUMNS)
    figure = _make_figure(14, 9)
    for row, writer in enumerate(SAMPLE_WRITERS):
        for column, (kind, number) in enumerate(SAMPLE_COLUMNS):
            axes = figure.add_subplot(rows, columns, row * columns + column + 1)
            _show(axes, Image.open(BytesIO(generator.generate_image(SEED, writer, kind, number)[0])))
            if row == 0:
                axes.set_title(kind)
    return figure


def _draw_verifications(verifier: Artifact) -> Figure:
    """Draw a column for each verification: the nearest reference, the questioned signature, and its explanation."""
    figure = _make_figure(12, 4.8)
    row_labels = ("reference", "questioned", "explanation")
    for column, (writer, kind) in enumerate(VERIFIED):
        files = [generator.generate_image(SEED, writer, "genuine", number)[0] for number in range(NUM_REFERENCES)]
        questioned_file = generator.generate_image(SEED, writer, kind, NUM_REFERENCES)[0]
        questioned, references = verifier.encode(questioned_file), [verifier.encode(file) for file in files]
        answer = verifier.decide(questioned, references)
        explanation = verifier.explain(questioned, references)
        images = (files[explanation.reference], questioned_file, explain.draw_overlay(explanation))
        for row, (label, data) in enumerate(zip(row_labels, images, strict=True)):
            axes = figure.add_subplot(len(row_labels), len(VERIFIED), row * len(VERIFIED) + column + 1)
            _show(axes, Image.open(BytesIO(data)))
            if column == 0:
                axes.set_ylabel(label)
        axes.set_xlabel(f"{kind}: {answer['decision']}  {answer['score']:.0%}")
    return figure


def _draw_documents(finder: Artifact) -> Figure:
    """Draw generated pages with the regions that were found on them."""
    figure = _make_figure(15, 11)
    rows = -(-len(DOCUMENTS) // DOCUMENT_COLUMNS)
    for position, document in enumerate(DOCUMENTS, start=1):
        data, _ = pages.generate_image(SEED, document, "signed" if document % 3 else "unsigned", 0)
        axes = figure.add_subplot(rows, DOCUMENT_COLUMNS, position)
        _show(axes, Image.open(BytesIO(data)))
        (page,) = find(finder, data)
        for region in page.regions:
            left, top, right, bottom = region.box
            box = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=COLOURS[region.label])
            axes.add_patch(box)
    return figure


def _make_figure(width: float, height: float) -> Figure:
    """Make an empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _show(axes: Axes, image: Image.Image | np.ndarray) -> None:
    axes.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])


if __name__ == "__main__":
    main(*(Artifact(Path(folder)) for folder in sys.argv[1:4]))
