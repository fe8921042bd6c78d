"""Generated pages: every kind can be drawn signed and unsigned, the boxes hold the ink, and a seed gives one page."""

import numpy as np
import pytest

from trainer.generators.pages import generate_page
from trainer.samples import text
from trainer.samples.documents import handwritten, parts, recording
from trainer.samples.documents.kinds import KINDS
from trainer.samples.documents.sheet import LABELS, Sheet
from trainer.samples.documents.signing import Signer


def draw(*seed: int, kind: str | None = None, is_signed: bool | None = None) -> recording.GeneratedPage:
    return generate_page(np.random.default_rng(seed), kind, is_signed)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_with_a_signature_if_and_only_if_it_is_signed(kind):
    for seed in range(3):
        labels = [region.label for region in draw(seed, kind=kind, is_signed=True).regions]
        assert 1 <= labels.count("signature") <= KINDS[kind][2]
        assert "signature" not in [region.label for region in draw(seed, kind=kind, is_signed=False).regions]


def test_the_same_seed_gives_the_same_page():
    first, second = draw(1, 2), draw(1, 2)
    np.testing.assert_array_equal(first.scan.pixels, second.scan.pixels)
    assert [region.get_box() for region in first.regions] == [region.get_box() for region in second.regions]


def test_boxes_lie_on_the_page_and_have_known_labels():
    pages = [draw(3, number) for number in range(12)]
    assert {page.scan.pixels.ndim for page in pages} <= {2, 3}
    for page in pages:
        height, width = page.scan.pixels.shape[:2]
        for region in page.regions:
            left, top, right, bottom = region.get_box()
            assert region.label in LABELS
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height


def test_a_box_follows_its_ink_when_the_page_is_turned_and_squashed(monkeypatch):
    """Only one thing is on the sheet, so the dark pixels are its box."""
    monkeypatch.setattr(recording, "_damage", lambda *_: None)
    monkeypatch.setattr(recording, "SQUASHED_SHARE", 1.0)
    monkeypatch.setattr(recording, "DEVICES", (1.0, 0.0, 0.0))  # no shadows
    for seed in range(6):
        sheet = Sheet(210.0, 297.0, 4.0)
        sheet.put(np.ones((40, 120), np.float32), 0.3 * sheet.width, 0.4 * sheet.height, label="signature")
        page = recording.record(sheet, "letter", np.random.default_rng(seed))
        pixels = page.scan.pixels if page.scan.pixels.ndim == 2 else page.scan.pixels.mean(axis=2)
        dark = pixels < 0.6 * np.median(pixels)
        y, x = np.nonzero(dark)
        (region,) = page.regions
        (left, right), (top, bottom) = np.quantile(x, (0.002, 0.998)), np.quantile(y, (0.002, 0.998))
        np.testing.assert_allclose(region.get_box(), (left, top, right, bottom), atol=6)


def test_a_part_that_is_cut_by_the_edge_keeps_what_is_on_the_sheet():
    sheet = Sheet(100.0, 100.0, 1.0)
    sheet.put(np.ones((20, 20), np.float32), -10.0, 90.0, label="stamp")
    sheet.put(np.ones((20, 20), np.float32), 200.0, 0.0, label="stamp")
    assert [region.get_box() for region in sheet.regions] == [(0, 90, 10, 100)]
    assert sheet.get_layer().sum() == 100


def test_figures_are_handwriting_and_a_logo_in_a_script_typeface_is_print():
    for seed in range(4):
        rng, sheet = np.random.default_rng(seed), Sheet(100.0, 60.0, 4.0)
        parts.put_logo(sheet, 10, 10, 40, rng)
        parts._print_script_logo(sheet, 10, 10, 40, (0.0, 0.0, 0.0), rng)
        assert not sheet.regions
        assert sheet.get_layer().any()
        handwritten.write_figures(sheet, 10, 30, rng)
        assert {region.label for region in sheet.regions} == {"handwriting"}


def test_large_figures_do_not_become_longer_than_the_sheet():
    rng, sheet = np.random.default_rng(1), Sheet(50.0, 30.0, 34.0)
    box = handwritten.write_words(sheet, 4 * "1234567890", "latin", 0, 0, 8, rng, handwritten.choose_pen(sheet, rng))
    assert box is not None
    assert 20 < box[2] < 50


@pytest.mark.parametrize("seed", range(4))
def test_a_folded_corner_shows_what_is_behind_the_page_and_leaves_the_rest(seed):
    page = np.full((200, 100, 1), 0.5, np.float32)
    recording._fold_corner(page, np.float32(0.1), np.random.default_rng(seed))
    corners = page[[0, 0, -1, -1], [0, -1, 0, -1], 0]
    assert sorted(corners.tolist()) == pytest.approx([0.1, 0.5, 0.5, 0.5])
    changed = page[:, :, 0] != 0.5
    assert 0 < changed.mean() < 0.15
    assert page.max() > 0.8, "the back of the paper"


def test_about_two_in_five_pages_are_unsigned():
    is_signed = [any(region.label == "signature" for region in draw(7, number).regions) for number in range(20)]
    assert 0.3 <= np.mean(is_signed) <= 0.9


@pytest.mark.parametrize("has_fonts", [True, False])
def test_a_name_is_a_signature_only_in_a_font_of_a_hand(has_fonts, monkeypatch):
    """The bundled fonts are print: a printed name that is labelled a signature would teach the wrong thing."""
    written = []

    def generate(side, pen_share, rng):
        written.append(side)
        return np.ones((8, 24), np.float32), None

    monkeypatch.setattr(text, "generate_written_name", generate)
    if has_fonts:
        monkeypatch.setattr(text, "has_written_names", lambda: True)
    rng = np.random.default_rng(1)
    sheet = Sheet(100, 100, 3)
    signer = Signer.generate(sheet, "latin", rng)
    for _ in range(30):
        signer.draw_signature(sheet, 40, rng)
    assert bool(written) == has_fonts
