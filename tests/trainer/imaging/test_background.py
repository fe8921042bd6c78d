"""Security paper: the print behind the writing is not ink, and no other page is taken for security paper."""

import dataclasses
import functools

import numpy as np
import pytest

from trainer.imaging.background import find_pen_levels
from trainer.imaging.errors import ImageError
from trainer.imaging.ink import MIN_DARKNESS, find_ink, fit_to_canvas, relative_darkness
from trainer.samples.capture import Capture, scan
from trainer.samples.handwriting import WritingStyle, write
from trainer.samples.ink import Pen, render_ink
from trainer.samples.letters import CURSIVE_FONT
from trainer.samples.movement import Motion, compute_trajectories
from trainer.samples.page import draw_page
from trainer.samples.security_paper import FAMILIES
from trainer.samples.strokes import tilt

SIDE = 480
SEEDS = range(16)
MARGIN = 80  # pixels of paper around the writing, at least, so that a page is never a tight crop by chance
SCANNER = Capture(True, False, 0.05, 0.6, 0.008, 1.0, 0.0, 0.0, "PNG", 90)
INK = Pen(width=3.2, darkness=0.9)
STYLE = WritingStyle(CURSIVE_FONT, 0.1, 1.0, 0.0, 1.3, True, -0.06, 0.2, Motion(0.6, 0.28, 0.1))
LINES = ("waves", "crossing waves", "rings", "screen", "microtext")  # families that leave no part of a page empty


@functools.cache
def page_of(seed: int, ink: Pen = INK) -> np.ndarray:
    """Return the grey levels of a name that a writer writes on plain paper, ``uint8 [h, w]``.

    The letters are those of a stroke font, and the styles those of this file, whichever fonts the machine has.
    """
    rng = np.random.default_rng(seed)
    style = dataclasses.replace(STYLE, slant=rng.uniform(-0.2, 0.5), capital_size=rng.uniform(1.1, 1.7))
    written = tilt(write("E. Garcia", style, rng), style.slant, style.baseline_angle)
    drawn = np.pad(render_ink(compute_trajectories(written, style.motion, rng), ink, 90, rng), MARGIN)
    return scan(draw_page(drawn, ink, rng, True, clutter=0), SCANNER, rng).pixels


def printed(grey: np.ndarray, family: str, contrast: float, seed: int) -> np.ndarray:
    """Return a page with a pattern printed below the writing."""
    pattern = FAMILIES[family](*grey.shape, np.random.default_rng(seed))
    return (grey * (1 - contrast * pattern)).astype(np.uint8)


def has_print(grey: np.ndarray) -> bool:
    """Return whether a page is taken for security paper, at the least darkness of ink that its own darkness gives."""
    darkness = relative_darkness(grey)
    core = np.percentile(darkness[darkness >= MIN_DARKNESS], 90)
    return find_pen_levels(darkness, max(0.75 * MIN_DARKNESS, 0.35 * core)) is not None


def canonical(grey: np.ndarray) -> np.ndarray:
    """Return where a canonical image has ink, ``bool [96, 192, 1]``: nowhere if no writing is found."""
    try:
        return fit_to_canvas(find_ink(grey, SIDE).to_binary(), 96, 192, 0.04) > 127
    except ImageError:
        return np.zeros((96, 192, 1), bool)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize("family", LINES)
@pytest.mark.parametrize(("contrast", "least_overlap"), [(0.12, 0.8), (0.2, 0.7), (0.28, 0.6)])
def test_fine_print_behind_a_signature_hardly_changes_its_ink(family, contrast, least_overlap):
    overlaps = [
        overlap(canonical(grey), canonical(printed(grey, family, contrast, seed)))
        for seed, grey in ((seed, page_of(seed)) for seed in SEEDS)
    ]
    assert np.median(overlaps) > least_overlap


def test_ordinary_pages_are_not_taken_for_security_paper():
    for seed in SEEDS:
        for ink in (INK, dataclasses.replace(INK, darkness=0.35, unevenness=0.6), dataclasses.replace(INK, width=9)):
            assert not has_print(page_of(seed, ink))


def test_a_tight_crop_whose_strokes_are_partly_pale_is_not_taken_for_security_paper():
    """Pressure varies: half of the writing may be as pale as print, reach the borders and fill the page."""
    for seed in SEEDS:
        grey = page_of(seed)
        rows, columns = np.nonzero(grey < 160)
        crop = grey[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(int)
        half = crop.shape[1] // 2
        crop[:, :half] = 235 - (235 - crop[:, :half]) // 2
        assert not has_print(crop.clip(0, 255).astype(np.uint8))


def test_print_without_a_pen_has_no_pen_levels():
    for family in LINES:
        rng = np.random.default_rng(3)
        plain = scan(draw_page(np.zeros((240, 480), np.float32), INK, rng, True, clutter=0), SCANNER, rng).pixels
        assert not has_print(printed(plain, family, 0.3, 3))


def test_most_pages_with_print_behind_a_signature_are_taken_for_security_paper():
    taken = [has_print(printed(page_of(seed), family, 0.3, seed)) for family in LINES for seed in SEEDS]
    assert np.mean(taken) > 0.6


@pytest.mark.parametrize("shape", [(1, 1), (1, 480), (480, 1), (3, 480), (19, 19), (60, 480), (480, 480)])
def test_noise_of_any_shape_gives_levels_in_order_or_none(shape):
    rng = np.random.default_rng(0)
    for darkness in (rng.integers(0, 256, shape), rng.integers(0, 2, shape) * 255, np.full(shape, 255)):
        levels = find_pen_levels(darkness.astype(np.uint8), 18)
        assert levels is None or levels.edge <= levels.weak <= levels.strong <= levels.core
