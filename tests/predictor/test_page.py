"""The page as people use it, in a real browser. Skipped where there is none; continuous integration installs it."""

import csv
import shutil

import pytest

from tests.conftest import serving
from trainer.artifact import manifest
from trainer.pipeline import run_dir
from trainer.samples import generator

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
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """Opens the page of a server; any error in its scripts fails the test."""
    contexts, faults = [], []

    def open(address: str, ready: bool = True, **options):
        contexts.append(browser.new_context(accept_downloads=True, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address + "/")
        if ready:
            page.wait_for_selector(".lamp.ready")
            page.wait_for_selector("#model dd")
        return page

    yield open
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four signatures of one person and a text file, as paths."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(4):
        data, suffix = generator.image(31, 6, "genuine", number)
        (folder / f"{number}{suffix}").write_bytes(data)
    (folder / "note.txt").write_text("no image")
    return sorted(folder.iterdir())


def test_an_uploaded_image_is_answered_with_what_the_model_sees(opened, server, images):
    page = opened(server)
    page.set_input_files("#choose", images[0])
    page.wait_for_selector(f"{ANSWERED} div .verdict")
    assert page.inner_text(".verdict").split("\n")[0].split()[0] in ("signature", "text")
    page.wait_for_selector("#result figure:nth-child(2) img")
    assert page.evaluate("document.querySelectorAll('#result img')[1].naturalWidth") == 64, "the canvas' own width"


def test_a_signature_is_compared_with_three_references_and_explained(opened, hands_server, images):
    page = opened(hands_server)
    page.set_input_files("#add-references", images[:3])
    page.wait_for_selector("#known li:nth-child(3)")
    page.set_input_files("#choose", images[3])
    page.wait_for_selector(f"{ANSWERED} div .verdict")
    assert "threshold" in page.inner_text(".verdict")
    assert page.locator("#result tbody tr").count() == 3, "one row for each reference"
    assert page.locator("#result img").count() == 3, "given, seen, and what speaks against it"
    page.click("button[aria-label='Remove reference 2']")
    assert page.locator("#known li").count() == 2


def test_many_images_give_a_table_that_downloads_as_csv(opened, hands_server, images):
    page = opened(hands_server)
    page.set_input_files("#add-references", images[:2])
    page.wait_for_selector("#known li:nth-child(2)")
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


def test_a_text_file_is_refused_in_the_servers_own_words(opened, server, images):
    page = opened(server)
    page.set_input_files("#choose", images[-1])
    assert "not an image in a known format" in page.locator(f"{ANSWERED} .failure").inner_text()


def test_an_image_can_be_pasted(opened, server, images):
    page = opened(server)
    page.evaluate(
        """async (address) => {
            const bytes = await (await fetch(address)).arrayBuffer();
            const files = new DataTransfer();
            files.items.add(new File([bytes], "pasted.svg"));
            document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: files, bubbles: true}));
        }""",
        "/web/icon.svg",
    )
    assert "pasted.svg" in page.locator(f"{ANSWERED} .failure").inner_text(), "an SVG is asked about, and refused"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(opened, server, scheme):
    page = opened(server, color_scheme=scheme)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 20
    assert min(contrasts.values()) >= 4.5, f"WCAG 2.2, 1.4.3: {min(contrasts, key=contrasts.get)}"


@pytest.mark.parametrize("kind", ["server", "hands_server"])
def test_a_telephone_shows_the_whole_page_and_every_column_without_scrolling_sideways(opened, request, kind, images):
    page = opened(request.getfixturevalue(kind), viewport={"width": 360, "height": 740})
    page.set_input_files("#choose", images)
    page.wait_for_selector(f"{ANSWERED} div table")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    cut = "[...document.querySelectorAll('td')].filter(e => e.getBoundingClientRect().right > 360 || "
    cut += "e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    assert page.evaluate(cut) == []


def test_a_classifier_is_shown_no_settings_of_a_verifier(opened, server, hands_server):
    for address, visible in ((server, False), (hands_server, True)):
        page = opened(address)
        for control in ("#far", "#explain", "#add-references"):
            assert page.locator(control).evaluate("e => e.checkVisibility()") is visible, control


def test_a_table_of_several_images_shows_each(opened, server, images):
    page = opened(server)
    page.set_input_files("#choose", images)
    page.wait_for_selector(f"{ANSWERED} div table")
    page.wait_for_function("[...document.querySelectorAll('.thumbnail')].every(e => e.naturalWidth > 0)")
    assert page.locator(".thumbnail").count() == 4, "the text file has none"


def test_every_control_has_a_name_and_is_reached_by_the_keyboard(opened, hands_server):
    page = opened(hands_server)
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"add-references", "choose", "photograph", "far", "explain", "Counters"} <= reached
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, button')].filter(e => !e.hidden && e.offsetParent"
        " && !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert unnamed == []


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_inline_script(opened, server):
    asked = []
    page = opened(server)
    page.on("request", lambda request: asked.append(request.url))
    answer = page.reload()
    page.wait_for_selector(".lamp.ready")
    assert all(url.startswith(server) for url in asked)
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert page.locator("#train").is_hidden(), "training is for developers"
    assert page.request.get(server + "/train").status == 404
    assert page.request.get(server + "/docs").status == 404


@pytest.mark.slow
def test_a_development_server_without_a_model_trains_one_serves_it_and_predicts(opened, images, scans, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "scans"), "zip", scans)
    (tmp_path / "tmp").mkdir()
    places = {"COUNTERSIGN_RUNS": str(tmp_path), "TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path / "c")}
    with serving(ENV_MODE="dev", **places) as address:
        page = opened(address, ready=False)
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
        served = page.request.get(address + "/health").json()["version"]
        assert manifest.identity(run_dir.newest_model(tmp_path))[:12] == served, (
            "what `make serve` serves after a restart"
        )
        assert not list((tmp_path / "tmp").glob("countersign-*")), "people's images are not left behind"
        assert not (tmp_path / "c" / "countersign").exists()
        page.set_input_files("input[name=file]", [])
        page.fill("input[name=epochs]", "1000")
        page.click("#train-form button[type=submit]")
        page.wait_for_selector("#cancel:enabled")
        page.click("#cancel")
        page.wait_for_selector("#training:has-text('cancelled')", timeout=60_000)
        page.click("text=Try the contract")
        page.wait_for_selector("text=/predict", timeout=20_000)


CONTRASTS = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest("noscript")) continue;
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    found[element.tagName + " " + element.textContent.trim().slice(0, 30)] = (one + 0.05) / (other + 0.05);
  }
  return found;
}"""
