"""``python docs/desk_pictures.py``: pictures of the states of the desk, in ``docs/desk``, from generated people.

A server of mode dev answers with the ready artefacts, and Chromium draws the page. Next: ``desk.md`` shows them,
``predictor/web`` is the page.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import serving
from trainer.generators import pages
from trainer.generators import signatures as generator

FOLDER = Path(__file__).parent / "desk"
SEED = 31
WRITER, OTHER_WRITER, NUM_REFERENCES = 6, 12, 5
DESKTOP = {"viewport": {"width": 1180, "height": 700}}
TELEPHONE = {"viewport": {"width": 390, "height": 700}, "color_scheme": "dark"}
COLOURS = 256  # of a picture: half of the bytes of a full one
ANSWERED = "#detail[aria-busy=false] >"
PEOPLE = {"Ann Example": WRITER, "Ben Beispiel": OTHER_WRITER}


def main() -> None:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.environ["COUNTERSIGN_RUNS"] = folder  # nothing is trained, and no run of this machine is served
        _write_images(Path(folder))
        people = str(Path(folder) / "people.sqlite")
        with contextlib.redirect_stdout(StringIO()), serving("--people", people, ENV_MODE="dev") as address:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for name, page in _visit(browser, address, Path(folder)):
                screenshot = Image.open(BytesIO(page.screenshot(full_page=True))).convert("RGB")
                screenshot.quantize(COLOURS, kmeans=2, dither=Image.Dither.NONE).save(
                    FOLDER / f"{name}.png", optimize=True
                )
            browser.close()


def _write_images(folder: Path) -> None:
    for name, writer, kind, number in [
        *((f"reference-{number + 1}", WRITER, "genuine", number) for number in range(NUM_REFERENCES)),
        *((f"cheque-{number}", WRITER, "genuine", number) for number in (5, 6, 7)),
        *((f"cheque-{8 + number}", WRITER, "forged", number) for number in (0, 1)),
        ("cheque-10", OTHER_WRITER, "genuine", 0),
        ("cheque-11", WRITER, "text", 0),
        *((f"other-{number + 1}", OTHER_WRITER, "genuine", number) for number in range(1, NUM_REFERENCES)),
    ]:
        data, _ = generator.generate_image(SEED, writer, kind, number)
        Image.open(BytesIO(data)).save(folder / f"{name}.png")
    with Image.open(folder / "cheque-5.png") as scan:
        scan.resize((36, 36 * scan.height // scan.width)).save(folder / "cheque-12.png")  # with a quality warning
    for number in (1, 2):
        data, suffix = pages.generate_image(SEED, number, "signed", 0)
        (folder / f"letter-{number}{suffix}").write_bytes(data)
    (folder / "letter-3.txt").write_text("no image")


def _visit(browser: Browser, address: str, folder: Path) -> Iterator[tuple[str, Page]]:
    """Go through the states of the desk; yield the name of each with the page."""
    references = sorted(folder.glob("reference-*"))
    cheques = sorted(folder.glob("cheque-*"))
    page = _open(browser, address, "find", **DESKTOP)
    yield "start", page
    page.set_input_files("#choose", sorted(folder.glob("letter-*")))
    page.click("#queue [role=option]:has-text('letter-1')")
    page.click(f"{ANSWERED} * .sheet .box.signature >> nth=0")
    yield "find", page
    page.click("#queue [role=option]:has-text('letter-3')")
    yield "error", page
    page.click("[data-tab=classify]")
    page.set_input_files("#choose", [cheque for cheque in cheques if cheque.stem in ("cheque-5", "cheque-11")])
    page.wait_for_selector(f"{ANSWERED} .comparison")
    yield "classify", page
    page.click("[data-tab=verify]")
    _compare(page, references, cheques)
    page.fill("#reviewer", "A. Examiner")
    for name, key in (("cheque-9", "r"), ("cheque-6", "a")):
        page.click(f"#queue [role=option]:has-text('{name}')")
        page.wait_for_selector(f"{ANSWERED} .comparison")
        page.keyboard.press(key)
    _show(page, "cheque-8", "beside")
    yield "verify", page
    _show(page, "cheque-8", "over")
    yield "overlay", page
    _show(page, "cheque-8", "heat")
    yield "heat-map", page
    _show(page, "cheque-12", "beside")
    yield "quality", page
    page.click("#rates summary")
    page.select_option("#far", "0.02")
    yield "threshold", page
    page.click("#rates summary")
    page.click("[data-tab=people]")
    for name, writer in PEOPLE.items():
        page.fill("#person", name)
        files = references if writer == WRITER else [*sorted(folder.glob("other-*")), references[0]]
        page.set_input_files("#person-files", files)
        page.click("text=Add person")
        page.wait_for_selector(f"section[aria-label='{name}']")
    yield "people", page
    page.click("[data-tab=verify]")
    page.check("[name=compare][value=writer]")
    page.fill("#writer", "Ann Example")
    page.keyboard.press("Tab")
    page.wait_for_selector(".pane p")
    _show(page, "cheque-5", "heat")
    yield "person-on-file", page
    page.check("[name=compare][value=identify]")
    page.wait_for_selector("#detail td:has-text('Ann Example')")
    _show(page, "cheque-5", "beside")
    yield "identify", page
    page.click("[data-tab=model]")
    page.click("#model summary >> nth=1")
    yield "model", page
    page.click("[data-tab=train]")
    yield "train", page
    telephone = _open(browser, address, "verify", **TELEPHONE)
    _compare(telephone, references[:3], cheques[-3:])
    _show(telephone, cheques[-1].stem, "over")
    yield "telephone-dark", telephone


def _open(browser: Browser, address: str, tab: str, **options: object) -> Page:
    page = browser.new_page(**options)  # type: ignore[arg-type]
    page.goto(f"{address}/#{tab}")
    page.wait_for_selector(".lamp.ready")
    return page


def _compare(page: Page, references: list[Path], questioned: list[Path]) -> None:
    page.set_input_files("#add-references", references)
    page.wait_for_selector(f"#reference-list li:nth-child({len(references)})")
    page.set_input_files("#choose", questioned)
    page.wait_for_selector(".queue-state:has-text('decided')")
    page.wait_for_selector(f"{ANSWERED} .comparison")


def _show(page: Page, name: str, view: str) -> None:
    """Choose a file of the queue, and a view of it."""
    page.click(f"#queue [role=option]:has-text('{name}')")
    page.wait_for_selector(f"#detail h3:has-text('{name}')")
    page.check(f"{ANSWERED} .comparison [name=view][value={view}]")
    page.wait_for_timeout(300)  # until the canvas is drawn


if __name__ == "__main__":
    main()
