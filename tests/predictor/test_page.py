"""The page in a real browser. Skipped where none is installed; continuous integration installs Chromium."""

import base64
import csv
import json
import shutil
from pathlib import Path

import httpx
import pytest
from PIL import Image

from predictor.request import build_body
from tests.conftest import serving
from trainer.artifact import manifest
from trainer.generators import signatures as generator
from trainer.pipeline.run_dir import find_newest_artifact

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
ANSWERED = "#detail[aria-busy=false] >"
ITEMS = "#queue [role=option]"

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

    def open(address: str, ready: bool = True, tab: str = "", script: str = "", **options):
        contexts.append(browser.new_context(accept_downloads=True, **options))
        contexts[-1].add_init_script(script)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: script_errors.append(str(error)))
        page.goto(f"{address}/#{tab}")
        if ready:
            page.wait_for_selector(".lamp.ready")
            page.wait_for_selector("[role=tabpanel]:visible")
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


@pytest.fixture(scope="module")
def people_server(verifier_artifact, tmp_path_factory):
    """A server of mode dev, whose page manages the people on file."""
    file = tmp_path_factory.mktemp("people") / "people.sqlite"
    with serving("--artifact", str(verifier_artifact), "--people", str(file), ENV_MODE="dev") as address:
        yield address


def compare(page, references: list[Path], questioned: list[Path]) -> None:
    """Choose references and questioned files, and wait until the chosen one is shown in full."""
    page.set_input_files("#add-references", references)
    page.wait_for_selector(f"#reference-list li:nth-child({len(references)})")
    page.set_input_files("#choose", questioned)
    page.wait_for_selector(f"{ANSWERED} *")
    wait_until(page, f"document.querySelectorAll('{ITEMS} .answer').length == {len(questioned)}")


def wait_until(page, expression: str) -> None:
    """Wait until a JavaScript expression is true; the page's policy forbids Playwright's own way."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


def hold(page, condition=lambda body: True) -> list:
    """Hold back the requests for predictions whose body meets a condition; ``let_go`` sends them on."""
    held: list = []

    def handle(route):
        if condition(route.request.post_data_json):
            held.append(route)
        else:
            route.continue_()

    page.route("**/predict", handle)
    return held


def wait_for_held(page, held: list, number: int) -> None:
    for _ in range(200):
        if len(held) >= number:
            return
        page.wait_for_timeout(50)
    raise AssertionError("requests that were never sent")


def let_go(page, held: list, number: int) -> list[dict]:
    """Wait for a number of held requests, send them on, and return their instances."""
    wait_for_held(page, held, number)
    routes = [held.pop(0) for _ in range(number)]
    for route in routes:
        route.continue_()
    return [route.request.post_data_json["instances"][0] for route in routes]


def has_pictures(body: dict) -> bool:
    return bool(body["parameters"].get("return_ink"))


def sign_in(page, name: str = "A. Examiner") -> None:
    page.fill("#reviewer", name)
    page.keyboard.press("Tab")


def is_embedding(body: dict) -> bool:
    return bool(body["parameters"].get("return_embedding"))


def decide(page, name: str, label: str) -> None:
    """Choose a file and decide it with the mouse."""
    find_item(page, name).click()
    page.click(f"#detail .decision:text-is('{label}')")


def read_decisions(page) -> list[tuple[str, str]]:
    """The decisions that the browser keeps, as file and decision."""
    kept = page.evaluate("JSON.parse(localStorage.getItem('countersign.decisions') ?? '{}')")
    return sorted((decision["file"], decision["decision"]) for decision in kept.values())


def export(page, form: str) -> str:
    with page.expect_download() as download:
        page.click(f"text=Export {form}")
    return download.value.path().read_text()


def find_item(page, name: str):
    return page.locator(ITEMS, has_text=name)


def test_an_uploaded_image_is_answered_with_its_canonical_image(open_page, server, images):
    page = open_page(server)
    page.set_input_files("#choose", images[0])
    page.wait_for_selector(f"{ANSWERED} .comparison")
    assert page.inner_text(".verdict").split("\n")[0].split()[0] in ("Signature", "Text")
    page.check("[name=view][value=ink]")
    wait_until(page, "document.querySelector('.view img').naturalWidth == 64")


def test_the_tabs_are_those_of_what_the_models_can_do(open_page, server, verifier_server, chain_server, people_server):
    def list_tabs(address):
        return open_page(address).locator("[role=tab]:visible").evaluate_all("tabs => tabs.map(t => t.dataset.tab)")

    assert list_tabs(server) == ["classify", "model"]
    assert list_tabs(verifier_server) == ["verify", "model"]
    assert list_tabs(chain_server) == ["find", "classify", "verify", "model"]
    assert list_tabs(people_server) == ["verify", "people", "model", "train"]


def test_one_panel_is_shown_at_a_time_whatever_arrives_first(open_page, people_server):
    page = open_page(people_server)
    for tab in ("train", "model", "people", "verify"):
        page.click(f"[data-tab={tab}]")
        page.wait_for_timeout(300)
        assert page.locator("[role=tabpanel]:visible").count() == 1


def test_tabs_follow_arrow_keys_and_the_address(open_page, chain_server):
    page = open_page(chain_server, tab="verify")
    assert page.locator("[role=tab][aria-selected=true]").get_attribute("data-tab") == "verify"
    page.focus("[data-tab=verify]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#model:visible")
    assert page.evaluate("document.activeElement.dataset.tab") == "model"
    assert page.url.endswith("#model")
    page.go_back()
    page.wait_for_selector("#desk:visible")


def test_the_model_card_is_folded_below_the_model(open_page, server):
    page = open_page(server, tab="model")
    page.click("#model summary")
    card = page.inner_text("#model details")
    assert "What it learnt from" in card
    assert "accuracy" in card
    assert "Wilson" in card


def test_a_signature_is_shown_beside_and_over_its_references(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, images[:3], images[3:4])
    page.wait_for_selector("[name=view][value=over]")
    assert "threshold" in page.inner_text(".verdict")
    assert page.locator("#detail tbody tr").count() == 3, "one row for each reference"
    assert page.locator(".pane img").count() == 2
    page.select_option("[aria-label='Reference to show']", "0")
    assert page.locator(".pane img").nth(1).get_attribute("alt") == f"reference 1: {images[0].name}"
    page.locator(".pane").first.focus()
    page.keyboard.press("+")
    transforms = page.locator(".pane img").evaluate_all("images => images.map(i => i.style.transform)")
    assert transforms[0] == transforms[1], "both zoom together"
    assert "scale(1.25)" in transforms[0]
    page.check("[name=view][value=heat]")
    assert "lowers the score" in page.inner_text(".view")
    page.click("button[aria-label='Remove reference 2']")
    wait_until(page, "document.querySelectorAll('#detail tbody tr').length == 2")


def test_the_overlay_lays_the_registered_reference_over_the_questioned_ink(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, images[:2], images[3:4])
    page.check("[name=view][value=over]")
    common = f"({COUNT_DARK})(document.querySelector('canvas.overlay'))"
    wait_until(page, f"{common} > 0")
    registered = page.evaluate(common)
    page.uncheck(".view input[type=checkbox]")
    wait_until(page, f"{common} != {registered}")
    assert registered > page.evaluate(common), "more ink of both lies in the same place"
    assert "correlation 0." in page.locator("canvas.overlay").get_attribute("aria-label")


COUNT_DARK = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let index = 0; index < data.length; index += 4) {
    if (data[index] + data[index + 1] + data[index + 2] < 200) count += 1;
  }
  return count;
}"""


def test_many_files_are_sorted_by_doubt_and_decided_with_the_keyboard(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, images[:2], images)
    items = page.locator(ITEMS)
    assert items.first.inner_text().count("note.txt") == 1, "an error needs a person most"
    doubts = page.evaluate(
        "import('/web/tasks.js').then(({summarize}) => [0.2, 0.45, 0.51, 0.99].map((score) =>"
        " summarize({decision: 'accept', score, threshold: 0.5, warnings: []}).doubt))"
    )
    assert sorted(doubts, reverse=True) == [doubts[2], doubts[1], doubts[0], doubts[3]]
    items.nth(1).click()
    page.keyboard.press("a")
    assert page.evaluate("document.activeElement.id") == "reviewer", "nobody decides without a name"
    page.fill("#reviewer", "A. Examiner")
    page.keyboard.press("Tab")
    for key in ("a", "r", "u"):
        page.locator(f"{ITEMS}[aria-selected=true]").focus()
        page.keyboard.press(key)
    page.wait_for_selector(".queue-state:has-text('3 decided')")
    page.keyboard.press("z")
    page.wait_for_selector(".queue-state:has-text('2 decided')")
    assert "not decided any more" in page.inner_text("#announcement")
    rows = list(csv.DictReader(export(page, "CSV").splitlines()))
    assert {row["file"] for row in rows} == {path.name for path in images}
    decided = [row for row in rows if row["decision"]]
    assert [row["decision"] for row in decided] == ["genuine", "not_genuine"]
    assert all(row["decided_by"] == "A. Examiner" and row["decided_at"] and len(row["sha256"]) == 64 for row in decided)
    assert all(0 <= float(row["score"]) <= 1 for row in decided)
    assert "not an image" in next(row["remarks"] for row in rows if row["answer"] == "error")
    exported = json.loads(export(page, "JSON"))
    assert [row.get("decision") for row in exported["rows"]].count("genuine") == 1
    assert exported["models"][0]["version"] == httpx.get(f"{verifier_server}/health").json()["version"]


def test_decisions_are_kept_in_the_browser_without_images_and_return_with_the_files(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, images[:2], images[2:4])
    page.fill("#reviewer", "A. Examiner")
    page.fill("#note", "=the line below")
    page.click("#detail button >> text=Not genuine")
    page.wait_for_selector(".queue-state:has-text('1 decided')")
    stored = page.evaluate("JSON.stringify(localStorage)")
    assert "A. Examiner" in stored
    assert len(stored) < 3000, "no image"
    assert "'=the line below" in export(page, "CSV"), "a spreadsheet takes it for text"
    page.reload()
    page.wait_for_selector(".lamp.ready")
    compare(page, images[:2], images[2:4])
    page.wait_for_selector(".queue-state:has-text('1 decided')")
    page.click("button[aria-label='Remove reference 1']")
    page.wait_for_selector(".queue-state:has-text('0 decided')")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("text=Forget decisions")
    assert page.evaluate("localStorage.getItem('countersign.decisions')") == "{}"


def test_a_moved_threshold_decides_as_the_server_does_and_says_what_it_costs(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, images[:2], images[3:4])
    page.click("#rates summary")
    assert "that the model had not seen" in page.inner_text(".costs")
    files = [path.read_bytes() for path in images]
    far = page.locator("#far option").nth(2).get_attribute("value")
    page.select_option("#far", far)
    asked = httpx.post(f"{verifier_server}/predict", content=build_body(files[3:4], files[:2], far=float(far))).json()
    (expected,) = asked["predictions"]
    assert f"threshold {100 * expected['threshold']:.1f} %" in page.inner_text(".verdict")
    for position in (0.1, 0.9):
        page.evaluate(f"({MOVE})({position})")
        threshold = page.evaluate("Number(document.getElementById('threshold').value)")
        body = build_body(files[3:4], files[:2], threshold=threshold)
        (expected,) = httpx.post(f"{verifier_server}/predict", content=body).json()["predictions"]
        label = {"accept": "Accepted", "inconclusive": "Inconclusive", "reject": "Rejected"}[expected["decision"]]
        assert page.inner_text(".verdict").startswith(label)
        assert f"Accepting from a score of {100 * threshold:.1f} %" in page.inner_text(".costs")
    assert page.locator("#rates tbody tr").count() == len(
        httpx.get(f"{verifier_server}/model").json()["metrics"]["references"]["1"]["thresholds"]
    )


MOVE = """(share) => {
  const slider = document.getElementById("threshold");
  slider.value = Number(slider.min) + share * (slider.max - slider.min);
  slider.dispatchEvent(new Event("input"));
}"""


def test_people_are_put_on_file_and_removed_from_the_page(open_page, people_server, images, tmp_path):
    stranger, suffix = generator.generate_image(31, 12, "genuine", 0)
    (tmp_path / f"stranger{suffix}").write_bytes(stranger)
    page = open_page(people_server, tab="people")
    page.fill("#person", "Ann Example")
    page.set_input_files("#person-files", images[:3])
    page.click("text=Add person")
    page.wait_for_selector("section[aria-label='Ann Example']")
    assert page.locator("#people tbody tr").count() == 3
    page.set_input_files("#person-add", [images[0], tmp_path / f"stranger{suffix}"])
    page.wait_for_selector(f"#people-message:has-text('left out, because they are copies: {images[0].name}')")
    page.click("button[aria-label='Remove reference 4 of Ann Example']")
    page.wait_for_selector("#people-message:has-text('one reference removed')")
    page.set_input_files("#person-replace", images[1:4])
    page.wait_for_selector("#people-message:has-text('replaced the earlier ones')")
    page.set_input_files("#person-add", images[4])
    page.wait_for_selector("#people-message.failure:has-text('not an image')")
    with page.expect_download() as download:
        page.click("text=Export the file")
    assert download.value.path().read_bytes().startswith(b"SQLite format 3")
    page.click("[data-tab=verify]")
    page.check("[name=compare][value=writer]")
    assert page.locator("#writers option").evaluate_all("all => all.map(o => o.value)") == ["Ann Example"]
    page.set_input_files("#choose", images[0])
    page.wait_for_selector("#detail .hint:has-text('Name a person on file')")
    page.fill("#writer", "Ann Example")
    page.keyboard.press("Tab")
    page.wait_for_selector("#detail tbody tr:nth-child(3)")
    page.check("[name=compare][value=identify]")
    page.wait_for_selector("#detail td:has-text('Ann Example')")
    page.click("[data-tab=people]")
    page.click(".person >> text=Ann Example")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("text=Remove person")
    page.wait_for_selector("#people-content:has-text('Nobody is on file yet')")


def test_a_text_file_is_refused_with_the_message_of_the_server(open_page, server, images):
    page = open_page(server)
    page.set_input_files("#choose", images[-1])
    assert "not an image in a known format" in page.locator(f"{ANSWERED} .failure").inner_text()
    page.click("#detail >> text=Remove")
    assert page.locator("#work").is_hidden()


def test_a_quality_warning_is_a_sentence_that_says_what_to_do(open_page, server, images, tmp_path):
    with Image.open(images[0]) as scan:
        scan.convert("L").resize((36, 18)).save(tmp_path / "small.png")
    page = open_page(server)
    page.set_input_files("#choose", tmp_path / "small.png")
    page.wait_for_selector(f"{ANSWERED} .comparison")
    assert "Scan at 300 dpi." in " ".join(page.locator(".warning").all_inner_texts())


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
def test_text_has_enough_contrast_in_light_and_dark(open_page, verifier_server, images, scheme):
    page = open_page(verifier_server, color_scheme=scheme)
    compare(page, images[:2], images)
    page.click("#rates summary")
    for tab in ("model", "verify"):
        page.click(f"[data-tab={tab}]")
        page.wait_for_timeout(100)
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 20
        assert min(contrasts.values()) >= 4.5, f"WCAG 2.2, 1.4.3: {min(contrasts, key=contrasts.get)}"


def test_beside_a_classifier_a_verifier_has_a_tab_of_its_own(open_page, two_model_server, images):
    page = open_page(two_model_server)
    assert "same hand" not in page.inner_text("#question")
    page.set_input_files("#choose", images[3])
    page.wait_for_selector(f"{ANSWERED} .comparison")
    assert page.inner_text(".verdict").split()[0] in ("Signature", "Text")
    page.click("[data-tab=model]")
    page.wait_for_selector("#model", state="visible")
    assert page.inner_text("#model").count("same_writer") == 1
    page.click("[data-tab=verify]")
    wait_until(page, "document.getElementById('question').textContent.includes('same hand')")
    compare(page, images[:2], images[2:4])
    answers = page.locator(f"{ITEMS} .answer").all_inner_texts()
    assert set(answers) <= {"Accepted", "Inconclusive", "Rejected"}
    page.click("[data-tab=classify]")
    wait_until(page, f"document.querySelectorAll('{ITEMS}').length == 1")  # each task keeps its queue


@pytest.mark.parametrize("fixture", ["server", "verifier_server"])
def test_a_telephone_shows_everything_without_horizontal_scrolling(open_page, request, fixture, images):
    page = open_page(request.getfixturevalue(fixture), viewport={"width": 360, "height": 740})
    if fixture == "verifier_server":
        compare(page, images[:2], images)
        page.click("#rates summary")
    else:
        page.set_input_files("#choose", images)
    wait_until(page, f"document.querySelectorAll('{ITEMS} .answer').length == 5")
    page.locator(ITEMS).nth(2).click()
    page.wait_for_selector(f"{ANSWERED} .comparison")
    for tab in page.locator("[role=tab]:visible").all():
        tab.click()
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        clipped_cells = "[...document.querySelectorAll('td')].filter(e => e.getBoundingClientRect().right > 360 || "
        clipped_cells += "e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
        assert page.evaluate(clipped_cells) == []


def test_an_unknown_answer_names_the_most_probable_label(open_page, server):
    answer = "{label: 'unknown', score: 0.234, scores: {ann: 0.1, bob: 0.234}}"
    draw = f"import('/web/results.js').then((m) => m.renderVerdict({answer}).innerText)"
    assert "most probable label: bob, 23.4" in open_page(server).evaluate(draw)


def test_every_file_of_a_queue_has_a_thumbnail(open_page, server, images):
    page = open_page(server)
    page.set_input_files("#choose", images)
    wait_until(page, f"document.querySelectorAll('{ITEMS} .answer').length == 5")
    wait_until(page, "[...document.querySelectorAll('.thumbnail')].every(e => e.naturalWidth > 0)")
    assert page.locator(".thumbnail").count() == 4, "the text file has none"


def test_every_control_has_a_name_and_can_be_reached_with_the_keyboard(open_page, people_server, images):
    page = open_page(people_server)
    compare(page, images[:2], images[2:4])
    page.click("#rates summary")
    page.wait_for_selector(f"{ANSWERED} .comparison")
    page.focus("[data-tab=verify]")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    expected = {"add-references", "choose", "photograph", "reviewer", "order", "far", "threshold", "note", "Metrics"}
    assert expected | {"Genuine", "Not genuine", "Unsure", "Export CSV", "Zoom in"} <= reached
    for tab in ("verify", "people", "model", "train"):
        page.click(f"[data-tab={tab}]")
        unnamed = page.evaluate(
            "[...document.querySelectorAll('input, select, button, [role=option], [role=group], canvas, svg')]"
            ".filter(e => e.checkVisibility() && !(e.labels?.length || e.ariaLabel || e.textContent.trim()))"
            ".map(e => e.outerHTML)"
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
    assert page.locator("[data-tab=train]").is_hidden(), "training is for developers"
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
        assert page.locator("#desk").is_hidden()
        page.select_option("select[name=problem]", "signature_vs_text")
        page.set_input_files("input[name=file]", archive)
        page.fill("input[name=epochs]", "1")
        page.click("#train-form button[type=submit]")
        page.wait_for_selector("#training:has-text('done: version')", timeout=120_000)
        page.wait_for_selector(".lamp.ready")
        page.click("[data-tab=classify]")
        page.set_input_files("#choose", images[0])
        page.wait_for_selector(f"{ANSWERED} .comparison")
        page.click("[data-tab=train]")
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
    page.set_input_files("#choose", tmp_path / "letter.pdf")
    page.wait_for_selector(f"{ANSWERED} * .sheet .box")
    assert page.locator(".sheet img").count() == 2
    assert "2 pages" in page.inner_text(".verdict")
    box = page.locator(".box").first
    box.focus()
    page.keyboard.press("Enter")
    assert box.get_attribute("aria-pressed") == "true"
    assert "page 1" in page.inner_text(".region h3") or "page 2" in page.inner_text(".region h3")


def test_many_documents_are_listed_and_the_chosen_one_is_shown(open_page, chain_server, document, tmp_path):
    for number, name in enumerate(("first.pdf", "second.pdf")):
        (tmp_path / name).write_bytes(document + b"\n" * number)
    page = open_page(chain_server)
    page.set_input_files("#choose", [tmp_path / "first.pdf", tmp_path / "second.pdf"])
    page.wait_for_selector(f"{ITEMS}:nth-child(2) .answer")
    find_item(page, "second.pdf").click()
    page.wait_for_selector(f"{ANSWERED} * .sheet img[alt*='second.pdf']")
    page.fill("#reviewer", "A. Examiner")
    page.click("#detail button >> text=Not signed")
    page.wait_for_selector(".queue-state:has-text('1 decided')")


def test_a_signature_on_a_page_becomes_a_reference_for_others(open_page, chain_server, document, tmp_path):
    (tmp_path / "letter.pdf").write_bytes(document)
    page = open_page(chain_server)
    page.set_input_files("#choose", tmp_path / "letter.pdf")
    page.wait_for_selector(f"{ANSWERED} * .sheet .box.signature")
    page.locator(".box.signature").first.click()
    page.click("text=Use as reference")
    page.wait_for_selector("#reference-list li")
    page.wait_for_selector(".box.accept, .box.reject, .box.inconclusive, .box.not_a_signature")


def test_answers_are_of_the_references_that_are_shown_whatever_arrives_last(open_page, verifier_server, images):
    page = open_page(verifier_server)
    page.set_input_files("#add-references", images[:2])
    page.wait_for_selector("#reference-list li:nth-child(2)")
    held = hold(page)
    page.set_input_files("#choose", images)
    wait_for_held(page, held, 2)
    earlier = [held.pop(0), held.pop(0)]  # the embeddings of both references
    page.click("button[aria-label='Remove reference 2']")
    let_go(page, held, 1)  # the embedding of the reference that is left
    wait_for_held(page, held, 4)  # the first files
    for route in earlier:
        with page.expect_response("**/predict"):
            route.continue_()
    page.wait_for_timeout(200)
    instances = let_go(page, held, 4) + let_go(page, held, 1)
    assert [len(instance["reference_embeddings"]) for instance in instances] == [1] * len(images)


def test_an_old_answer_goes_with_its_references_and_the_new_one_is_shown_as_it_comes(
    open_page, verifier_server, images
):
    page = open_page(verifier_server)
    compare(page, images[:2], images)
    find_item(page, images[2].name).click()
    page.wait_for_selector(f"{ANSWERED} .comparison")
    chosen = {"b64": base64.b64encode(images[2].read_bytes()).decode()}
    held = hold(page, lambda body: not has_pictures(body) and body["instances"][0]["image"] != chosen)
    page.click("button[aria-label='Remove reference 2']")
    page.wait_for_selector("#detail .hint:text-is('Working…')", timeout=3000)
    assert page.locator("#detail .decision").count() == 0, "nobody decides by an answer about other references"
    let_go(page, held, 1)  # the embedding of the reference that is left
    page.wait_for_selector(f"{ANSWERED} .comparison", timeout=5000)
    assert "of 5 answered" in page.inner_text(".queue-state"), "others are still waited for"


def test_an_answer_stays_when_its_pictures_do_not_come(open_page, verifier_server, images):
    page = open_page(verifier_server)
    page.route(
        "**/predict", lambda route: route.abort() if has_pictures(route.request.post_data_json) else route.continue_()
    )
    compare(page, images[:2], images[2:4])
    page.wait_for_selector("#detail .failure:has-text('cannot be reached')")
    assert page.inner_text(".verdict").split()[0] in ("Accepted", "Inconclusive", "Rejected")
    name = page.inner_text(f"{ITEMS}[aria-selected=true] .name")
    sign_in(page)
    page.click("#detail .decision:text-is('Genuine')")
    row = next(row for row in csv.DictReader(export(page, "CSV").splitlines()) if row["file"] == name)
    assert row["answer"] in ("accept", "inconclusive", "reject")
    page.unroute("**/predict")
    find_item(page, name).click()
    page.wait_for_selector("#detail [name=view][value=over]")


def test_a_file_that_cannot_be_read_any_more_is_an_error_and_does_not_stop_the_others(
    open_page, verifier_server, images, tmp_path
):
    gone = tmp_path / "gone.png"
    shutil.copy(images[2], gone)
    page = open_page(verifier_server)
    page.set_input_files("#choose", [gone, *images[:4]])
    page.wait_for_selector(f"{ITEMS}:nth-child(5)")
    gone.unlink()
    page.set_input_files("#add-references", images[:2])
    wait_until(page, f"document.querySelectorAll('{ITEMS} .answer').length == 5")
    assert "cannot be read" in find_item(page, "gone.png").inner_text()


def test_an_unusable_reference_is_named_in_the_error(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, [images[0], images[4]], images[2:3])
    assert "reference 2, note.txt: " in page.inner_text("#detail .failure")


def test_trying_again_answers_all_files_that_the_server_left_out(open_page, verifier_server, images):
    page = open_page(verifier_server)
    page.set_input_files("#add-references", images[:2])
    page.wait_for_selector("#reference-list li:nth-child(2)")
    page.route(
        "**/predict", lambda route: route.continue_() if is_embedding(route.request.post_data_json) else route.abort()
    )
    page.set_input_files("#choose", images)
    wait_until(page, f"document.querySelectorAll('{ITEMS} .answer.error').length == 5")
    page.unroute("**/predict")
    page.click("#detail >> text=Try again")
    wait_until(page, f"document.querySelectorAll('{ITEMS} .answer.error').length == 1")
    assert "not an image" in find_item(page, "note.txt").inner_text()


@pytest.mark.parametrize("kept", ["[1]", '"text"', "5", "null", "{bad", '{"a|b|c": 5, "d": {"decision": 5}}'])
def test_what_is_no_decision_in_the_storage_of_the_browser_is_left_out(open_page, verifier_server, images, kept):
    entries = {"countersign.decisions": kept, "countersign.reviewer": '{"name": 1}'}
    page = open_page(verifier_server, script=f"Object.assign(localStorage, {json.dumps(entries)})")
    compare(page, images[:2], images[2:4])
    assert page.input_value("#reviewer") == ""
    assert page.locator("text=Forget decisions").count() == 0
    sign_in(page)
    decide(page, images[2].name, "Genuine")
    assert read_decisions(page) == [(images[2].name, "genuine")]


NO_STORAGE = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
FULL_STORAGE = "localStorage.other = 'x'.repeat(5 * 1024 * 1024 - 5)"


@pytest.mark.parametrize("script", [NO_STORAGE, FULL_STORAGE])
def test_a_browser_that_keeps_nothing_lets_people_decide_and_says_so(open_page, verifier_server, images, script):
    page = open_page(verifier_server, script=script)
    compare(page, images[:2], images[2:4])
    sign_in(page)
    decide(page, images[2].name, "Genuine")
    page.wait_for_selector(".queue-state:has-text('1 decided')", timeout=3000)
    assert "export them before you close" in page.inner_text("#queue")
    assert "A. Examiner" in export(page, "CSV")


def test_two_windows_keep_the_newest_decision_and_their_examiners(open_page, verifier_server, images):
    first = open_page(verifier_server)
    second = first.context.new_page()
    second.goto(first.url)
    second.wait_for_selector(".lamp.ready")
    for page, name in ((first, "Ann"), (second, "Bob")):
        compare(page, images[:2], images[1:4])
        sign_in(page, name)
    decide(first, images[1].name, "Unsure")
    second.wait_for_selector(".queue-state:has-text('1 decided')", timeout=3000)
    decide(first, images[1].name, "Genuine")
    decide(second, images[2].name, "Genuine")
    assert read_decisions(first) == [(images[1].name, "genuine"), (images[2].name, "genuine")]
    decide(first, images[3].name, "Genuine")
    examiners = first.evaluate(
        "Object.values(JSON.parse(localStorage['countersign.decisions'])).map(d => d.decided_by)"
    )
    assert sorted(examiners) == ["Ann", "Ann", "Bob"]
    first.on("dialog", lambda dialog: dialog.accept())
    first.click("text=Forget decisions")
    second.wait_for_selector(".queue-state:has-text('0 decided')", timeout=3000)
    decide(second, images[2].name, "Unsure")
    assert read_decisions(first) == [(images[2].name, "unsure")], "what was forgotten stays forgotten"


def test_taking_back_restores_the_decision_before_and_touches_no_other_comparison(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, images[:2], images[2:4])
    sign_in(page)
    decide(page, images[2].name, "Genuine")
    decide(page, images[2].name, "Unsure")
    find_item(page, images[2].name).click()
    page.keyboard.press("z")
    assert read_decisions(page) == [(images[2].name, "genuine")]
    page.click("button[aria-label='Remove reference 2']")
    page.wait_for_selector(f"{ANSWERED} .comparison")
    find_item(page, images[2].name).click()
    page.keyboard.press("z")
    assert read_decisions(page) == [(images[2].name, "genuine")], "that was decided by other references"
    assert page.locator("button:text-is('Take back')").is_disabled()


def test_a_key_that_is_held_down_and_a_double_click_decide_one_file(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, images[:2], images[:4])
    sign_in(page)
    page.locator(ITEMS).first.click()
    for _ in range(4):
        page.keyboard.down("a")  # all but the first are repeated
    page.keyboard.up("a")
    page.wait_for_selector(".queue-state:has-text('1 decided')", timeout=2000)
    page.dblclick("#detail .decision:text-is('Genuine')")
    page.wait_for_selector(".queue-state:has-text('2 decided')", timeout=2000)


def test_copies_of_a_file_are_exported_under_their_names(open_page, verifier_server, images, tmp_path):
    copy = tmp_path / f"copy{images[2].suffix}"
    shutil.copy(images[2], copy)
    page = open_page(verifier_server)
    compare(page, images[:2], [images[2], copy])
    sign_in(page)
    decide(page, copy.name, "Genuine")
    rows = list(csv.DictReader(export(page, "CSV").splitlines()))
    assert sorted((row["file"], row["decision"]) for row in rows) == sorted(
        [(images[2].name, "genuine"), (copy.name, "genuine")]
    )


def test_files_without_an_answer_are_not_next_to_decide(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, images[:2], [images[2], images[4], images[3]])
    page.select_option("#order", "file")
    sign_in(page)
    decide(page, images[2].name, "Genuine")
    assert page.inner_text(f"{ITEMS}[aria-selected=true] .name") == images[3].name
    page.click("#detail .decision:text-is('Genuine')")
    assert "All but 1 file without an answer are decided." in page.inner_text("#announcement")
    find_item(page, "note.txt").click()
    page.keyboard.press("a")
    assert "note.txt: there is no answer to decide" in page.inner_text("#announcement")


def test_what_is_typed_and_where_the_focus_is_survive_answers_that_arrive(open_page, verifier_server, images):
    page = open_page(verifier_server)
    page.set_input_files("#add-references", images[:2])
    page.wait_for_selector("#reference-list li:nth-child(2)")
    held = hold(page, lambda body: not is_embedding(body))
    page.set_input_files("#choose", images)
    page.click("#reviewer")
    for letter in "Ann ":
        page.keyboard.type(letter)
        let_go(page, held, 1)
        page.wait_for_timeout(400)  # more than the interval of rendering
    page.keyboard.type("Example")
    assert page.input_value("#reviewer") == "Ann Example"
    page.locator(ITEMS).nth(1).focus()
    focused = page.evaluate("document.activeElement.querySelector('.name').textContent")
    let_go(page, held, 1)
    page.wait_for_selector(".queue-state:has-text('5 signatures')")
    assert page.evaluate("document.activeElement.querySelector('.name')?.textContent") == focused


def test_a_note_survives_pictures_that_arrive_and_a_look_at_another_file(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, images[:2], images[1:4])
    page.wait_for_selector(f"{ANSWERED} .comparison")
    held = hold(page, has_pictures)
    page.locator(ITEMS).nth(1).click()
    page.fill("#note", "retouched")
    page.keyboard.press("Tab")
    let_go(page, held, 1)
    page.wait_for_selector(f"{ANSWERED} .comparison")
    assert page.input_value("#note") == "retouched"
    page.locator(ITEMS).nth(0).click()
    assert page.input_value("#note") == ""
    page.locator(ITEMS).nth(1).click()
    assert page.input_value("#note") == "retouched"


def test_the_focus_stays_on_a_button_that_was_pressed(open_page, verifier_server, images):
    page = open_page(verifier_server)
    compare(page, images[:3], images[1:4])
    page.wait_for_selector(f"{ANSWERED} .comparison")
    sign_in(page)
    focused = "document.activeElement.ariaLabel ?? document.activeElement.textContent"
    page.focus("#detail .decision:text-is('Unsure')")
    page.keyboard.press("Enter")
    assert page.evaluate(focused) == "Unsure"
    page.wait_for_selector(f"{ANSWERED} .comparison")
    assert page.evaluate(focused) == "Unsure", "also when the pictures have come"
    page.keyboard.press("r")
    page.wait_for_selector(".queue-state:has-text('2 decided')", timeout=2000)
    page.focus("button[aria-label='Remove reference 2']")
    page.keyboard.press("Enter")
    assert page.evaluate(focused) == "Remove reference 2"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "add-references"
    page.wait_for_selector(f"{ANSWERED} .comparison")
    page.focus("text=Clear")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "choose"


def test_answers_that_arrive_scroll_neither_the_list_nor_the_page(open_page, verifier_server, images, tmp_path):
    copies = [tmp_path / f"{number}{images[2].suffix}" for number in range(12)]
    for copy in copies:
        shutil.copy(images[2], copy)
    page = open_page(verifier_server, viewport={"width": 390, "height": 700})
    page.set_input_files("#add-references", images[:2])
    page.wait_for_selector("#reference-list li:nth-child(2)")
    held = hold(page, lambda body: not is_embedding(body) and not has_pictures(body))
    page.set_input_files("#choose", copies)
    page.locator(ITEMS).first.click()
    let_go(page, held, 1)
    page.wait_for_selector(f"{ANSWERED} .comparison")  # its pictures have come: the page has its height
    page.evaluate("document.querySelector('.items').scrollTop = 300")
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    before = page.evaluate("[document.querySelector('.items').scrollTop, window.scrollY]")
    assert min(before) > 100
    let_go(page, held, 3)
    wait_until(page, f"document.querySelectorAll('{ITEMS} .answer').length == 4")
    assert page.evaluate("[document.querySelector('.items').scrollTop, window.scrollY]") == before


def test_files_are_let_go_of_when_the_queue_is_cleared(open_page, verifier_server, images):
    page = open_page(verifier_server, script=COUNT_URLS)
    compare(page, images[:2], images[1:4])
    for number in range(3):
        page.locator(ITEMS).nth(number).click()
        page.wait_for_selector(f"{ANSWERED} .comparison")
    assert page.evaluate("urls.size") > 2
    page.click("text=Clear")
    assert page.evaluate("urls.size") == 2, "those of the references are left"


COUNT_URLS = """
  window.urls = new Set();
  const { createObjectURL, revokeObjectURL } = URL;
  URL.createObjectURL = (file) => { const url = createObjectURL(file); urls.add(url); return url; };
  URL.revokeObjectURL = (url) => { urls.delete(url); revokeObjectURL(url); };
"""


def test_files_are_compared_again_when_the_people_on_file_change(open_page, people_server, images):
    page = open_page(people_server, tab="people")
    page.fill("#person", "Eve Example")
    page.set_input_files("#person-files", images[:2])
    page.click("text=Add person")
    page.wait_for_selector("section[aria-label='Eve Example']")
    page.click("[data-tab=verify]")
    page.check("[name=compare][value=writer]")
    page.set_input_files("#choose", images[3])
    page.fill("#writer", "Eve Example")
    page.keyboard.press("Tab")
    page.wait_for_selector("#detail tbody tr:nth-child(2)")
    page.click("[data-tab=people]")
    page.set_input_files("#person-add", images[2])
    page.wait_for_selector("#people-message:has-text('1 reference added')")
    page.click("[data-tab=verify]")
    page.wait_for_selector("#detail tbody tr:nth-child(3)", timeout=5000)
    page.request.delete(page.url.split("/#")[0] + "/people", data={"writer": "Eve Example"})


def test_the_chosen_file_and_the_scale_are_seen_in_the_colours_of_the_system(open_page, verifier_server, images):
    page = open_page(verifier_server, forced_colors="active")
    compare(page, images[:2], images[2:4])
    page.wait_for_selector(f"{ANSWERED} .comparison")
    background = "(selector) => getComputedStyle(document.querySelector(selector)).backgroundColor"
    for mark, beside in (
        (f"{ITEMS}[aria-selected=true]", f"{ITEMS}[aria-selected=false]"),
        ("[role=tab][aria-selected=true]", "[role=tab][aria-selected=false]"),
        (".scale .filled", ".scale"),
        (".lamp.ready", "body"),
    ):
        assert page.evaluate(background, mark) != page.evaluate(background, beside), mark


def test_a_printed_list_is_not_cut_off(open_page, verifier_server, images, tmp_path):
    copies = [tmp_path / f"{number}{images[2].suffix}" for number in range(12)]
    for copy in copies:
        shutil.copy(images[2], copy)
    page = open_page(verifier_server)
    compare(page, images[:2], copies)
    page.emulate_media(media="print")
    cut_off = page.evaluate("[...document.querySelectorAll('.items')].map(e => e.scrollHeight - e.clientHeight)")
    assert max(cut_off) <= 1
