"""``python docs/pictures.py MODEL VERIFIER``: make the pictures of the documentation, from generated images only.

MODEL tells signatures from text (``make demo`` leaves one), VERIFIER compares hands.
"""

import contextlib
import shutil
import sys
import tempfile
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from trainer.artifact import explain
from trainer.artifact.artifact import Model
from trainer.samples import generator

HERE = Path(__file__).parent
SEED = 31  # people the demo's model has never seen
SHOWN = [(3, "genuine"), (5, "text"), (6, "genuine"), (9, "text"), (8, "genuine"), (12, "text")]
PAGE = (12, "genuine")  # who is asked about in the picture of the page
REFERENCES, COMPARED = 5, [(9, "genuine"), (9, "forged"), (4, "forged"), (6, "forged")]


def main(model: Model, verifier: Model) -> None:
    """Write ``answers.png``, ``samples.png``, ``hands.png`` and ``page.png``."""
    _answers(model).savefig(HERE / "answers.png")
    _samples().savefig(HERE / "samples.png")
    _hands(verifier).savefig(HERE / "hands.png")
    (HERE / "page.png").write_bytes(_page(verifier.folder))


def _answers(model: Model) -> Figure:
    figure = _figure(12, 3.4)
    for column, (writer, kind) in enumerate(SHOWN):
        data, _ = generator.image(SEED, writer, kind, 0)
        answer = model.answer(data)
        _show(figure.add_subplot(2, len(SHOWN), column + 1), Image.open(BytesIO(data)))
        seen = figure.add_subplot(2, len(SHOWN), len(SHOWN) + column + 1)
        _show(seen, 255 - model.see(data).image[:, :, 0])
        seen.set_xlabel(f"{answer['label']}  {answer['score']:.1%}")
    return figure


def _samples() -> Figure:
    """Each row a person: three genuine signatures, two forgeries of them, two words."""
    rows, columns = (
        8,
        [("genuine", 0), ("genuine", 1), ("genuine", 2), ("forged", 0), ("forged", 1), ("text", 0), ("text", 1)],
    )
    figure = _figure(14, 9)
    for row in range(rows):
        for column, (kind, number) in enumerate(columns):
            axes = figure.add_subplot(rows, len(columns), row * len(columns) + column + 1)
            _show(axes, Image.open(BytesIO(generator.image(SEED, row + 1, kind, number)[0])))
            if row == 0:
                axes.set_title(kind)
    return figure


def _hands(verifier: Model) -> Figure:
    """Each column a question: the nearest of the references, the questioned signature, and what speaks against it."""
    figure = _figure(12, 4.8)
    rows = 3
    for column, (writer, kind) in enumerate(COMPARED):
        references = [generator.image(SEED, writer, "genuine", number)[0] for number in range(REFERENCES)]
        questioned = generator.image(SEED, writer, kind, REFERENCES)[0]
        look, known = verifier.look(questioned), [verifier.look(reference) for reference in references]
        answer = verifier.decide(look, known)
        found = explain.against_nearest(verifier.engine, look, known)
        for row, data in enumerate((references[found.reference], questioned, explain.overlay(found))):
            axes = figure.add_subplot(rows, len(COMPARED), row * len(COMPARED) + column + 1)
            _show(axes, Image.open(BytesIO(data)))
            if column == 0:
                axes.set_ylabel(("reference", "questioned", "what speaks")[row])
        axes.set_xlabel(f"{kind}: {answer['decision']}  {answer['score']:.0%}")
    return figure


def _page(verifier: Path) -> bytes:
    """The server's page in a browser, after a question with three references."""
    from playwright.sync_api import sync_playwright

    from tests.conftest import serving

    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(StringIO()),
        serving("--model", str(verifier)) as address,
        sync_playwright() as playwright,
    ):
        files = [Path(folder) / f"reference-{number}.png" for number in range(3)] + [Path(folder) / "questioned.png"]
        for number, file in enumerate(files):
            file.write_bytes(generator.image(SEED, *PAGE, number)[0])
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1080, "height": 700})
        page.goto(address + "/")
        page.wait_for_selector(".lamp.ready")
        page.set_input_files("#add-references", files[:3])
        page.wait_for_selector("#known li:nth-child(3)")
        page.set_input_files("#choose", files[3])
        page.wait_for_selector("#result[aria-busy=false] figure:nth-child(3) img")
        picture = page.screenshot(full_page=True)
        browser.close()
    return picture


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _show(axes, picture) -> None:
    axes.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])


if __name__ == "__main__":
    main(*(Model(Path(folder)) for folder in sys.argv[1:3]))
