"""The page in a real browser. Skipped where none is installed; continuous integration installs Chromium."""

import csv
import shutil

import pytest

from tests.conftest import serving
from trainer.artifact import manifest
from trainer.generators import signatures as generator
from trainer.pipeline.run_dir import find_newest_artifact

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
ANSWERED = "#result[aria-busy=false] >"

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine (Debian package: chromium)")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """Open the page of a server; an error in its scripts fails the test."""
    contexts, script_errors = [], []

    def open(address: str, ready: bool = True, **options):
        contexts.append(browser.new_context(accept_downloads=True, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: script_errors.append(str(error)))
        page.goto(address + "/")
        if ready:
            page.wait_for_selector(".lamp.ready")
            page.wait_for_selector("#model dd")
        return page

    yield open
    for context in contexts:
        context.close()
    assert script_errors == []


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four signatures of one writer and a text file, as paths."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(4):
        data, suffix = generator.generate_image(31, 6, "genuine", number)
        (folder / f"{number}{suffix}").write_bytes(data)
    (folder / "note.txt").write_text("no image")
    return sorted(folder.iterdir())


def test_an_uploaded_image_is_answered_with_its_canonical_image(open_page, server, images):
    page = open_page(server)
    page.set_input_files("#choose", images[0])
    page.wait_for_selector(f"{ANSWERED} div .verdict")
    assert page.inner_text(".verdict").split("\n")[0].split()[0] in ("signature", "text")
    page.wait_for_selector("#result figure:nth-child(2) img")
    assert page.evaluate("document.querySelectorAll('#result img')[1].naturalWidth") == 64, "the width of the canvas"


def test_the_model_card_is_folded_below_the_model(open_page, server):
    page = open_page(server)
    page.click("#model summary")
    card = page.inner_text("#model details")
    assert "What it learnt from" in card
    assert "accuracy" in card
    assert "Wilson" in card


def test_a_signature_is_compared_with_three_references_and_explained(open_page, verifier_server, images):
    page = open_page(verifier_server)
    page.set_input_files("#add-references", images[:3])
    page.wait_for_selector("#reference-list li:nth-child(3)")
    page.set_input_files("#choose", images[3])
    page.wait_for_selector(f"{ANSWERED} div .verdict")
    assert "threshold" in page.inner_text(".verdict")
    assert page.locator("#result tbody tr").count() == 3, "one row for each reference"
    assert page.locator("#result img").count() == 3, "the file, its canonical image, and the explanation"
    page.click("button[aria-label='Remove reference 2']")
    assert page.locator("#reference-list li").count() == 2


def test_many_images_give_a_table_that_downloads_as_csv(open_page, verifier_server, images):
    page = open_page(verifier_server)
    page.set_input_files("#add-references", images[:2])
    page.wait_for_selector("#reference-list li:nth-child(2)")
    page.set_input_files("#choose", images)
    page.wait_for_selector(f"{ANSWERED} div table")
    with page.expect_download() as download:
        page.click("text=Download CSV")
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert [row["file"] for row in rows] == [path.name for path in images]
    assert {row["answer"] for row in rows[:4]} <= {"accept", "inconclusive", "reject"}
    assert 0 <= float(rows[0]["score"]) <= 1
    assert rows[4]["answer"] == "error"
    assert "not an image" in rows[4]["remarks"]


def test_a_text_file_is_refused_with_the_message_of_the_server(open_page, server, images):
    page = open_page(server)
    page.set_input_files("#choose", images[-1])
    assert "not an image in a known format" in page.locator(f"{ANSWERED} .failure").inner_text()


def test_an_image_can_be_pasted(open_page, server, images):
    page = open_page(server)
    page.evaluate(
        """async (address) => {
            const bytes = await (await fetch(address)).arrayBuffer();
            const files = new DataTransfer();
            files.items.add(new File([bytes], "pasted.svg"));
            document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: files, bubbles: true}));
        }""",
        "/web/icon.svg",
    )
    assert "pasted.svg" in page.locator(f"{ANSWERED} .failure").inner_text(), "an SVG is sent, and refused"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_light_and_dark(open_page, server, scheme):
    page = open_page(server, color_scheme=scheme)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 20
    assert min(contrasts.values()) >= 4.5, f"WCAG 2.2, 1.4.3: {min(contrasts, key=contrasts.get)}"


def test_beside_a_verifier_images_are_classified_without_references_and_compared_with_them(
    open_page, two_model_server, images
):
    page = open_page(two_model_server)
    assert page.inner_text("#verifier-model").count("same_writer") == 1
    assert "same hand" in page.inner_text("#verifier-question")
    assert "same hand" not in page.inner_text("#question")
    page.set_input_files("#choose", images[3])
    page.wait_for_selector(f"{ANSWERED} div .verdict")
    assert page.inner_text(".verdict").split()[0] in ("signature", "text")
    page.set_input_files("#add-references", images[:2])
    page.wait_for_selector("#reference-list li:nth-child(2)")
    page.set_input_files("#choose", images[3])
    page.wait_for_selector("#result tbody tr:nth-child(2)")
    assert "threshold" in page.inner_text(".verdict")
    page.set_input_files("#choose", images[2:4])
    page.wait_for_selector(f"{ANSWERED} div table")
    answers = page.locator("#result td:nth-child(2)").all_inner_texts()
    assert len(answers) == 2
    assert set(answers) <= {"Accepted", "Inconclusive", "Rejected"}


@pytest.mark.parametrize("fixture", ["server", "verifier_server"])
def test_a_telephone_shows_every_column_without_horizontal_scrolling(open_page, request, fixture, images):
    page = open_page(request.getfixturevalue(fixture), viewport={"width": 360, "height": 740})
    page.set_input_files("#choose", images)
    page.wait_for_selector(f"{ANSWERED} div table")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    clipped_cells = "[...document.querySelectorAll('td')].filter(e => e.getBoundingClientRect().right > 360 || "
    clipped_cells += "e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    assert page.evaluate(clipped_cells) == []


def test_the_page_of_a_classifier_has_no_controls_of_a_verifier(open_page, server, verifier_server):
    for address, visible in ((server, False), (verifier_server, True)):
        page = open_page(address)
        for control in ("#far", "#explain", "#add-references"):
            assert page.locator(control).evaluate("e => e.checkVisibility()") is visible, control


def test_an_unknown_answer_names_the_most_probable_label(open_page, server):
    answer = "{label: 'unknown', score: 0.234, scores: {ann: 0.1, bob: 0.234}}"
    draw = f"import('/web/results.js').then((m) => m.renderAnswer('a', '/web/icon.svg', {answer}).innerText)"
    assert "most probable label: bob, 23.4" in open_page(server).evaluate(draw)


def test_a_table_of_several_images_has_a_thumbnail_of_each(open_page, server, images):
    page = open_page(server)
    page.set_input_files("#choose", images)
    page.wait_for_selector(f"{ANSWERED} div table")
    page.wait_for_function("[...document.querySelectorAll('.thumbnail')].every(e => e.naturalWidth > 0)")
    assert page.locator(".thumbnail").count() == 4, "the text file has none"


def test_every_control_has_a_name_and_can_be_reached_with_the_keyboard(open_page, verifier_server):
    page = open_page(verifier_server)
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"add-references", "choose", "photograph", "far", "explain", "Metrics"} <= reached
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, button')].filter(e => !e.hidden && e.offsetParent"
        " && !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert unnamed == []


def test_the_page_loads_nothing_from_other_hosts_and_runs_no_inline_script(open_page, server):
    urls = []
    page = open_page(server)
    page.on("request", lambda request: urls.append(request.url))
    response = page.reload()
    page.wait_for_selector(".lamp.ready")
    assert all(url.startswith(server) for url in urls)
    assert "script-src 'self'" in response.headers["content-security-policy"]
    assert page.locator("#train").is_hidden(), "training is for developers"
    assert page.request.get(server + "/train").status == 404
    assert page.request.get(server + "/docs").status == 404


@pytest.mark.slow
def test_a_development_server_without_a_model_trains_one_and_serves_it(
    open_page, images, scans, tmp_path, no_ready_artifact
):
    archive = shutil.make_archive(str(tmp_path / "scans"), "zip", scans)
    (tmp_path / "tmp").mkdir()
    folders = {
        "COUNTERSIGN_RUNS": str(tmp_path),
        "TMPDIR": str(tmp_path / "tmp"),
        "XDG_CACHE_HOME": str(tmp_path / "c"),
    }
    with serving(ENV_MODE="dev", **folders) as address:
        page = open_page(address, ready=False)
        page.wait_for_selector("#health:has-text('no model yet: train one')")
        assert page.locator("#ask").is_hidden()
        page.select_option("select[name=problem]", "signature_vs_text")
        page.set_input_files("input[name=file]", archive)
        page.fill("input[name=epochs]", "1")
        page.click("#train-form button[type=submit]")
        page.wait_for_selector("#training:has-text('done: version')", timeout=120_000)
        page.wait_for_selector(".lamp.ready")
        page.set_input_files("#choose", images[0])
        page.wait_for_selector(f"{ANSWERED} div .verdict")
        version = page.request.get(address + "/health").json()["version"]
        newest = manifest.identity(find_newest_artifact(tmp_path))[:12]
        assert newest == version, "which `make serve` serves after a restart"
        assert not list((tmp_path / "tmp").glob("countersign-*")), "uploaded images are deleted"
        assert not (tmp_path / "c" / "countersign").exists()
        page.set_input_files("input[name=file]", [])
        page.fill("input[name=epochs]", "1000")
        page.click("#train-form button[type=submit]")
        page.wait_for_selector("#cancel:enabled")
        page.click("#cancel")
        page.wait_for_selector("#training:has-text('cancelled')", timeout=60_000)
        page.click("text=API documentation")
        page.wait_for_selector("text=/predict", timeout=20_000)


CONTRASTS = """() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let ancestor = element; ancestor; ancestor = ancestor.parentElement) {
      const colour = getComputedStyle(ancestor).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const contrasts = {};
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || !element.checkVisibility() || element.closest("noscript")) continue;
    const colours = [getComputedStyle(element).color, background(element)];
    const [lighter, darker] = colours.map(luminance).sort((a, b) => b - a);
    contrasts[element.tagName + " " + element.textContent.trim().slice(0, 30)] = (lighter + 0.05) / (darker + 0.05);
  }
  return contrasts;
}"""


def test_a_pdf_shows_its_pages_with_boxes_and_a_chosen_region(open_page, chain_server, document, tmp_path):
    (tmp_path / "letter.pdf").write_bytes(document)
    page = open_page(chain_server)
    assert page.locator("#tasks label:visible").count() == 3
    page.set_input_files("#choose", tmp_path / "letter.pdf")
    page.wait_for_selector("#result[aria-busy=false] .sheet .box")
    assert page.locator(".sheet img").count() == 2
    assert "2 pages" in page.inner_text(".verdict")
    box = page.locator(".box").first
    box.focus()
    page.keyboard.press("Enter")
    assert box.get_attribute("aria-pressed") == "true"
    assert "page 1" in page.inner_text(".detail h3") or "page 2" in page.inner_text(".detail h3")


def test_the_tasks_of_a_finder_show_what_each_of_them_needs(open_page, chain_server, images):
    page = open_page(chain_server)
    page.check("[value=classify]")
    assert page.locator("#references").is_hidden()
    page.set_input_files("#choose", images[3])
    page.wait_for_selector(f"{ANSWERED} div .verdict")
    assert page.inner_text(".verdict").split()[0] in ("signature", "text")
    page.check("[value=verify]")
    page.set_input_files("#add-references", images[:2])
    page.wait_for_selector("#reference-list li:nth-child(2)")
    page.set_input_files("#choose", images[2])
    page.wait_for_selector("#result .scale, #result .not_a_signature")
