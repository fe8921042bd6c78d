"""docs/calculator.html in a real browser: its numbers are Python's, and wrong input gets a message.

Skipped where no browser is installed; continuous integration installs Chromium. Next: ``test_scale.py`` has the rest.
"""

import dataclasses
import shutil

import pytest

from deploy import scale
from deploy.scale import Workload
from tests.conftest import ROOT
from tests.deploy.test_scale import UNKNOWN

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PAGE = ROOT / "docs" / "calculator.html"
WORKLOADS = [
    Workload(),  # 10^8 images and 10^4 requests a second
    Workload(images=1, epochs=1, requests_per_second=0.001, max_workers=1),
    Workload(images=10**12, epochs=10_000, requests_per_second=10**7, target_cpu=90),
    Workload(images=1234567, problem="signature_vs_text", epochs=15, training_machines=7, offline_machines=3),
    Workload(task="verify", references=37, requests_per_second=12.5, endpoint_machine_type="n1-standard-2"),
    Workload(worker_machine_type="n1-highmem-8", training_machine_type="e2-standard-4", target_cpu=55, task="embed"),
]
WRONG = [  # field, text, message
    ("images", "many", "'many' is not a whole number from 1 to 1,000,000,000,000"),
    ("images", "", "'' is not a whole number from 1 to 1,000,000,000,000"),
    ("images", "-3", "'-3' is not a whole number from 1 to 1,000,000,000,000"),
    ("images", "1,5", "'1,5' is not a whole number from 1 to 1,000,000,000,000"),
    ("max_workers", "1001", "'1001' is not a whole number from 1 to 1,000"),
    ("requests_per_second", "0", "'0' is not a number from 0.001 to 10,000,000"),
    ("target_cpu", "100", "'100' is not a whole number from 10 to 90"),
    ("region", "Iowa", "'Iowa' is not a region such as europe-west4"),
    ("training_machine_type", "big one", "'big one' is not a machine type such as n1-standard-2"),
]

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine (Debian package: chromium)")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """The page as it opens; an error in its script or a request to any host fails the test."""
    context = browser.new_context()
    errors, requests = [], []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(PAGE.as_uri())
    yield page
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    context.close()


def fill(page, workload: Workload) -> None:
    for name, value in dataclasses.asdict(workload).items():
        if name in scale.CHOICES:
            page.select_option(f"#{name}", value)
        else:
            page.fill(f"#{name}", str(value))


def read_rows(page) -> list[list[tuple[str, str | None]]]:
    """Read the cells of the result: the text of each, and the number that it was made of."""
    return page.eval_on_selector_all(
        "#result tbody tr",
        "rows => rows.map(row => [...row.cells].map(cell => "
        "[cell.textContent, cell.querySelector('data')?.getAttribute('value') ?? null]))",
    )


def test_the_page_says_what_python_says(page, calculator):
    """Texts are equal, and so are the numbers that they are made of, but for the last digits."""
    for workload in [*WORKLOADS, *(Workload(**changes) for changes, _, _ in UNKNOWN)]:
        fill(page, workload)
        for cells, row in zip(read_rows(page), scale.estimate(workload), strict=True):
            assert [text for text, _ in cells] == [*calculator.format_row(row)[:5], row.reason], workload
            numbers = [row.work, row.machines, row.hours, row.dollars]
            for (_, shown), number in zip(cells[1:5], numbers, strict=True):
                assert (shown is None) == (number is None), workload
                assert number is None or float(shown) == pytest.approx(number, rel=1e-12), workload


def test_the_page_opens_with_the_example(page, calculator):
    assert [cells[0][0] for cells in read_rows(page)] == [row.step for row in scale.estimate(Workload())]
    assert page.input_value("#images") == "100,000,000"
    example = "; ".join(f"{row.step}: {calculator.format_cost(row)}" for row in scale.estimate(Workload()))
    assert page.text_content("#summary") == f"{example}."
    page.fill("#images", "1")
    page.click("#reset")
    assert page.input_value("#images") == "100,000,000"
    assert page.text_content("#summary") == f"{example}."


def test_a_number_may_be_written_in_several_ways(page):
    for text in ["100000000", "1e8", "10^8", "100,000,000", " 100 000 000 ", "100_000_000"]:
        page.fill("#images", "5")
        page.fill("#images", text)
        assert page.text_content("#images-error") == ""
        assert float(read_rows(page)[0][1][1]) == pytest.approx(scale.estimate_preparation(Workload()).work)


def test_wrong_input_gets_a_message_beside_its_field_and_no_result(page):
    for name, text, message in WRONG:
        page.fill(f"#{name}", text)
        assert page.text_content(f"#{name}-error") == message
        assert page.get_attribute(f"#{name}", "aria-invalid") == "true"
        assert page.get_attribute(f"#{name}", "aria-describedby") == f"{name}-error"
        assert page.text_content("#summary").startswith("No result. Correct: ")
        assert page.is_visible("#summary")
        assert not page.is_visible("#result")
        page.click("#reset")
        assert page.is_visible("#result")
        assert page.get_attribute(f"#{name}", "aria-invalid") == "false"


def test_every_field_has_a_label_and_is_reached_by_the_keyboard(page):
    names = list(dataclasses.asdict(Workload()))
    for name in names:
        assert page.text_content(f"label[for={name}]")
    page.focus("#images")
    reached = []
    for _ in [*names, "reset"]:
        reached.append(page.evaluate("document.activeElement.id"))
        page.keyboard.press("Tab")
    assert sorted(reached) == sorted([*names, "reset"])


def test_the_page_fits_a_telephone(page):
    page.set_viewport_size({"width": 360, "height": 700})
    page.fill("#training_machine_type", "n1-standard-96")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
