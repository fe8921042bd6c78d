"""Drift: the statistics are right, chance is not taken for a shift, and a shift is found and named."""

import numpy as np
import pytest
from scipy import stats

from deploy import drift
from trainer.artifact.monitoring import SIGNALS, Distributions

SHAPE = np.exp(-0.5 * ((np.arange(12) - 6) / 2.0) ** 2)


def draw(generator, images, shift=0.0, accepted=0.7):
    """Draw what so many images have: contrast around the middle bucket, moved by a shift in buckets."""
    shares = np.exp(-0.5 * ((np.arange(len(SIGNALS["contrast"].edges) + 1) - 7 - shift) / 2.0) ** 2)
    distributions = Distributions(images)
    accept = int(generator.binomial(images, accepted))
    distributions.answers.update(accept=accept, reject=images - accept)
    distributions.signals["contrast"] = generator.multinomial(images, shares / shares.sum()).tolist()
    return distributions


def test_the_psi_is_that_of_its_definition():
    baseline, seen = np.array([500.0, 300, 200]), np.array([400.0, 300, 300])
    expected = (0.4 - 0.5) * np.log(0.4 / 0.5) + (0.3 - 0.2) * np.log(0.3 / 0.2)
    assert drift.compute_psi(baseline * 1e4, seen * 1e4) == pytest.approx(expected, rel=1e-5)
    assert drift.compute_psi(baseline, baseline) == 0


def test_the_ks_distance_is_that_of_scipy_on_the_buckets():
    generator = np.random.default_rng(1)
    baseline, seen = generator.integers(0, 12, 500), generator.integers(2, 14, 400)
    counts = [np.bincount(values, minlength=14) for values in (baseline, seen)]
    assert drift.compute_ks(*counts) == pytest.approx(stats.ks_2samp(baseline, seen).statistic)


def test_each_merged_bucket_holds_a_share_of_the_baseline():
    baseline = np.array([1, 0, 3, 90, 200, 300, 2, 1, 0])
    numbers = drift.merge_buckets(baseline)
    merged = np.bincount(numbers, weights=baseline)
    assert (merged / merged.sum() >= drift.MIN_SHARE).all()
    assert (np.diff(numbers) >= 0).all()
    assert len(numbers) == len(baseline)


def test_the_interval_of_a_difference_of_shares_is_newcombes():
    shift = drift._compare_share("answer", "accept", 48, 80, 56, 70, 0.95)
    assert shift.difference.low == pytest.approx(0.0524, abs=1e-4)
    assert shift.difference.high == pytest.approx(0.3339, abs=1e-4)


def test_intervals_cover_the_true_distance_and_the_bias_of_few_images_is_taken_off():
    generator, level = np.random.default_rng(2), 0.95
    p = SHAPE / SHAPE.sum()
    q = np.roll(SHAPE, 1) / SHAPE.sum()
    true = drift.compute_psi(p * 1e9, q * 1e9)
    estimates = [
        drift._bootstrap(
            drift.compute_psi, generator.multinomial(400, p), generator.multinomial(500, q), level, generator
        )
        for _ in range(150)
    ]
    covered = np.mean([estimate.low <= true <= estimate.high for estimate in estimates])
    assert covered >= 0.88, "95 % but for the approximation"
    assert np.mean([estimate.value for estimate in estimates]) == pytest.approx(true, rel=0.1)


def test_chance_is_not_taken_for_a_shift():
    generator = np.random.default_rng(3)
    baseline = draw(generator, 400)
    moved = [drift.compare(baseline, draw(generator, 300)).list_moved() for _ in range(100)]
    assert sum(map(bool, moved)) <= 2


@pytest.mark.parametrize(("shift", "meaning"), [(2, "ink is darker"), (-2, "ink is fainter")])
def test_a_shift_is_found_and_its_direction_named(shift, meaning):
    generator = np.random.default_rng(4)
    (signal,) = drift.compare(draw(generator, 1000), draw(generator, 1000, shift)).signals
    assert signal.has_moved
    assert signal.meaning == meaning


def test_answers_that_change_are_found():
    generator = np.random.default_rng(5)
    comparison = drift.compare(draw(generator, 1000), draw(generator, 1000, accepted=0.5))
    assert [text.split(":")[0] for text in comparison.list_moved()] == ["answer accept", "answer reject"]


def test_with_few_images_nothing_is_said_to_have_moved():
    generator = np.random.default_rng(6)
    comparison = drift.compare(draw(generator, 1000), draw(generator, drift.MIN_IMAGES - 1, 5))
    assert not comparison.has_enough
    assert comparison.list_moved() == []
    assert "too few" in " ".join(drift.format_comparison(comparison))
