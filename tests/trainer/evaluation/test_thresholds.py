"""Thresholds of false acceptance rates and their intervals, on scores whose distribution is known."""

import numpy as np
import pytest
from scipy.stats import norm

from trainer.evaluation import thresholds
from trainer.evaluation.protocol import ComparisonKind, Comparisons

SPREAD = np.hypot(0.5, 1.0)  # of a forgery's score: that of the writers and that of one writer's forgeries


def make_forgeries(writers: int, forgeries: int, seed: int) -> Comparisons:
    """Draw normal scores of forgeries around a normal mean of each writer."""
    rng = np.random.default_rng(seed)
    score = 0.5 * rng.normal(size=(writers, 1)) + rng.normal(size=(writers, forgeries))
    writer = np.repeat(np.arange(writers), forgeries)
    return Comparisons(score.ravel(), np.full(score.size, ComparisonKind.SKILLED), writer)


def fit(forgeries: Comparisons, floor: float = -np.inf):
    fitted, intervals = thresholds.fit_rates({1: forgeries}, {1: floor})
    return {name: (by_count["1"], intervals[name]["1"]) for name, by_count in fitted.items()}


@pytest.mark.parametrize("writers", [12, 60])
def test_the_intervals_contain_the_rate_of_all_writers(writers):
    """Nominally in 95 % of the sets; over 150 sets in 89 to 100 %: thresholds are fitted to the same data."""
    contained: dict[str, list[bool]] = {}
    for seed in range(40):
        for name, (threshold, (low, high)) in fit(make_forgeries(writers, 50, seed)).items():
            contained.setdefault(name, []).append(low <= norm.sf(threshold / SPREAD) <= high)
    assert list(contained) == ["0.1", "0.05", "0.02", "0.01", "0.005", "0.002", "0.001"]
    assert min(map(np.mean, contained.values())) >= 0.85


def test_a_threshold_has_its_rate_where_forgeries_are_many():
    fitted = fit(make_forgeries(600, 50, 0))
    for name in ("0.1", "0.05", "0.02", "0.01"):
        threshold, (low, high) = fitted[name]
        assert norm.sf(threshold / SPREAD) == pytest.approx(float(name), rel=0.2)
        assert float(name) / 2 < low < float(name) < high < 2 * float(name)


@pytest.mark.parametrize(
    ("writers", "forgeries", "smallest"), [(10, 50, 0.001), (9, 50, 0.00111), (10, 400, 0.001), (2, 15, 0.0167)]
)
def test_the_smallest_rate_is_that_of_half_a_forgery_with_at_most_fifty_of_a_writer(writers, forgeries, smallest):
    rate = thresholds.compute_smallest_rate(make_forgeries(writers, forgeries, 0).writer)
    assert rate == pytest.approx(smallest, rel=0.01)


def test_rates_below_the_smallest_are_not_stored():
    assert list(fit(make_forgeries(2, 15, 0))) == ["0.1", "0.05", "0.02"]
    assert fit(make_forgeries(1, 3, 0)) == {}


def test_a_number_of_references_with_too_few_forgeries_has_the_thresholds_of_the_number_before():
    many, few = make_forgeries(20, 50, 0), make_forgeries(2, 15, 1)
    fitted, intervals = thresholds.fit_rates({1: many, 5: few}, {1: -9.0, 5: -9.0})
    assert fitted["0.001"]["5"] >= fitted["0.001"]["1"]
    assert intervals["0.001"]["5"] == intervals["0.001"]["1"]
    assert intervals["0.02"]["5"] != intervals["0.02"]["1"]
    for count in ("1", "5"):
        values = [by_count[count] for by_count in fitted.values()]
        assert values == sorted(values)


def test_no_threshold_is_below_the_floor_and_the_interval_is_that_of_the_rate_there():
    threshold, (low, high) = fit(make_forgeries(60, 50, 0), floor=2.0)["0.1"]
    assert threshold == 2.0
    assert low < norm.sf(2.0 / SPREAD) < high < 0.1


def test_one_writer_says_nothing_about_the_rate_of_others():
    assert thresholds.compute_interval(make_forgeries(1, 50, 0), 1.0) == [0.0, 1.0]
