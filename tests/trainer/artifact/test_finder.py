"""Signatures on pages: boxes are in the unit of the page, crops hold the signature alone, documents are decided."""

import dataclasses
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from trainer.artifact import finder
from trainer.artifact.location import EDGES, Locator
from trainer.imaging import Imaging, Limits, QualityLimits, read_ink

SIDE, STRIDE = 256, 8
LOCATOR = Locator(("signature", "stamp"), (SIDE // STRIDE,) * 2, STRIDE, {"signature": 0.5, "stamp": 0.5})
IMAGING = Imaging(SIDE, SIDE, framing="page")
SIGNATURE = (300, 700, 500, 780)  # on the page that ``draw_page`` draws


def draw_page(boxes: tuple = (SIGNATURE,), size: tuple[int, int] = (800, 1000), has_print: bool = True) -> Image.Image:
    """Draw a page with zigzags in boxes, and with lines of print that touch none of them."""
    page = Image.new("L", size, 255)
    pen = ImageDraw.Draw(page)
    for left, top, right, bottom in boxes:
        x = np.linspace(left + 2, right - 2, 9)
        pen.line([(each, bottom - 2 if n % 2 else top + 2) for n, each in enumerate(x)], 0, 4)
    if has_print:
        for y in range(80, 400, 40):
            for x in range(80, 700, 30):
                pen.rectangle((x, y, x + 15, y + 12), fill=0)
    return page


def to_file(page: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    page.save(file, format, **options)
    return file.getvalue()


def make_finder(scores: tuple[tuple[str, float, tuple[float, float, float, float]], ...]) -> SimpleNamespace:
    """Make a finder that finds regions, whose boxes are in pixels of the canvas, on every page."""

    def compute_vector(_: np.ndarray) -> np.ndarray:
        grid = np.zeros((*LOCATOR.grid, len(LOCATOR.labels) + EDGES), np.float32)
        for label, score, box in scores:
            left, top, right, bottom = box
            x, y = (left + right) / 2, (top + bottom) / 2
            column, row = int(x // STRIDE), int(y // STRIDE)
            centre = np.array([column, row, column, row]) * STRIDE + STRIDE / 2
            grid[row, column, LOCATOR.labels.index(label)] = score
            grid[row, column, 2:] = (np.array(box) - centre) * (-1, -1, 1, 1) / SIDE
        return grid.ravel()

    return SimpleNamespace(
        imaging=IMAGING,
        limits=Limits(),
        quality=QualityLimits(),
        decision=LOCATOR,
        compute_vector=compute_vector,
        signature_check=None,
    )


def to_canvas(box: tuple[float, ...], longest: float = 1000) -> tuple[float, ...]:
    return tuple(edge * SIDE / longest for edge in box)


FINDER = make_finder((("signature", 0.9, to_canvas(SIGNATURE)), ("stamp", 0.6, to_canvas((60, 60, 200, 200)))))


@dataclasses.dataclass
class StubVerifier:
    """A verifier whose decisions are given, in the order of the regions."""

    decisions: list[str]
    encoded: list[np.ndarray] = dataclasses.field(default_factory=list)

    def encode_ink(self, ink, page):
        self.encoded.append(ink.mask)
        return ink

    def decide(self, questioned, references, *_):
        return {"decision": self.decisions.pop(0), "score": 0.5}


def test_a_region_is_in_pixels_of_the_file_and_fitted_to_its_ink():
    (page,) = finder.find(FINDER, to_file(draw_page()))
    answer = finder.answer([page], FINDER)
    assert answer["signed"]
    signature, stamp = answer["regions"]
    np.testing.assert_allclose(signature["box"], SIGNATURE, atol=8)
    assert (signature["label"], stamp["label"]) == ("signature", "stamp")
    assert answer["pages"] == [{"page": 1, "width": 800, "height": 1000, "unit": "pixel"}]
    assert (answer["warnings"], "decision" in answer) == ([], False)


def test_an_image_that_is_stored_turned_has_boxes_as_it_is_seen():
    exif = Image.Exif()
    exif[274] = 6  # turn it right to see it upright
    stored = draw_page().transpose(Image.Transpose.ROTATE_90)
    (page,) = finder.find(FINDER, to_file(stored, exif=exif))
    assert page.size == (1000, 800)
    np.testing.assert_allclose(page.regions[0].box, SIGNATURE, atol=8)


def make_noise() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray((rng.random((500, 400)) > 0.5).astype(np.uint8) * 255)


@pytest.mark.parametrize(
    ("page", "code"),
    [(Image.new("L", (400, 500), 255), "blank"), (make_noise(), "too_much_ink")],
    ids=["blank", "dark"],
)
def test_a_page_without_ink_or_full_of_it_is_answered_with_a_warning(page, code):
    empty = make_finder(())
    (found,) = finder.find(empty, to_file(page))
    answer = finder.answer([found], empty)
    assert (answer["signed"], answer["regions"]) == (False, [])
    assert [warning["code"] for warning in answer["warnings"]] == [code]


def test_a_crop_is_the_signature_without_what_touches_its_box():
    page = draw_page()
    pen = ImageDraw.Draw(page)
    pen.rectangle((350, 790, 450, 900), fill=0)  # most of it is outside
    wide = make_finder((("signature", 0.9, to_canvas((290, 690, 510, 810))), ("stamp", 0.6, (15, 15, 50, 50))))
    (found,) = finder.find(wide, to_file(page), has_crops=True)
    crop = np.asarray(Image.open(io.BytesIO(found.regions[0].crop)))
    assert crop.shape[2] == 4
    assert crop[..., :3].max() == 0
    height, width = crop.shape[:2]
    assert (width, height) == (pytest.approx(200, abs=12), pytest.approx(80, abs=8))
    assert 0.05 < np.mean(crop[..., 3] > 128) < 0.5
    assert found.regions[1].crop is None


def test_a_crop_leaves_out_the_line_on_which_someone_signed():
    page = draw_page()
    ImageDraw.Draw(page).line([(120, 772), (700, 772)], 0, 3)
    (found,) = finder.find(FINDER, to_file(page), has_crops=True)
    crop = np.asarray(Image.open(io.BytesIO(found.regions[0].crop)))[..., 3] > 128
    assert crop.shape[1] == pytest.approx(200, abs=12)
    line = crop[-16:].mean(axis=1)
    assert line.max() < 0.5, "the strokes of the signature cross the line, which is gone between them"
    assert crop.any(axis=0).mean() > 0.9


@pytest.mark.parametrize(("probability", "is_kept"), [(0.99, True), (0.0, False)])
@pytest.mark.parametrize("is_part", [True, False])
def test_a_signature_check_judges_what_was_found(probability, is_kept, is_part):
    doubtful = make_finder((("signature", 0.55, to_canvas(SIGNATURE)), ("stamp", 0.6, to_canvas((60, 60, 200, 200)))))
    judged = []

    def rate_signature(ink):
        judged.append(ink.mask.shape[1] / ink.scale)
        return probability

    check = SimpleNamespace(rate_signature=rate_signature)
    if is_part:
        doubtful.signature_check, check = check, None
    pages = list(finder.find(doubtful, to_file(draw_page()), check=check))
    answer = finder.answer(pages, doubtful)
    assert judged == [pytest.approx(200, abs=16)], "the stamp is not judged"
    assert answer["signed"] == is_kept
    assert [region["label"] for region in answer["regions"]] == (["stamp", "signature"] if is_kept else ["stamp"])
    assert answer["score"] == pytest.approx(0.55 * (0.99**0.1 if is_kept else 1e-4**0.1))


@pytest.mark.parametrize(("probability", "expected"), [(0.99, "signature"), (0.0, "stamp")])
def test_what_is_no_signature_after_all_keeps_its_other_label(probability, expected):
    box = to_canvas(SIGNATURE)
    beside = (box[0] + 8, box[1], box[2] + 8, box[3])  # a cell further
    both = make_finder((("signature", 0.55, box), ("stamp", 0.6, beside)))
    both.signature_check = SimpleNamespace(rate_signature=lambda _: probability)
    (page,) = finder.find(both, to_file(draw_page()))
    assert [region.label for region in page.regions] == [expected]


def test_a_verifier_gets_the_ink_of_signatures_alone():
    verifier = StubVerifier([])
    (found,) = finder.find(FINDER, to_file(draw_page()), verifier)
    assert found.regions[1].encoded is None
    (mask,) = verifier.encoded
    _, ink = read_ink(to_file(draw_page()), IMAGING)
    assert mask.shape[1] / ink.scale == pytest.approx(200, abs=16)


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        (["reject", "accept"], "match"),
        (["reject", "inconclusive"], "inconclusive"),
        (["reject", "reject"], "mismatch"),
        (["not_a_signature", "reject"], "mismatch"),
        (["not_a_signature", "not_a_signature"], "missing"),
        ([], "missing"),
    ],
)
def test_a_document_is_what_the_best_of_its_signatures_is(decisions, expected):
    boxes = (SIGNATURE, (300, 850, 500, 930))[: len(decisions)]
    found = make_finder(tuple(("signature", 0.9, to_canvas(box)) for box in boxes))
    verifier = StubVerifier(decisions)
    pages = list(finder.find(found, to_file(draw_page(boxes)), verifier))
    answer = finder.answer(pages, found, verifier, [np.ones(4, np.float32)])
    assert answer["decision"] == expected
    assert all("verification" in region for region in answer["regions"])


def test_a_picture_of_a_page_is_a_jpeg_of_at_most_its_size():
    (page,) = finder.find(FINDER, to_file(draw_page()), has_pictures=True)
    picture = Image.open(io.BytesIO(page.picture))
    assert (picture.format, picture.size) == ("JPEG", (800, 1000))


def test_nothing_is_read_once_nobody_waits():
    assert list(finder.find(FINDER, to_file(draw_page()), is_wanted=lambda: False)) == []
