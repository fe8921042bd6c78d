"""Printed backgrounds: shares of light that follow from the random state alone."""

import numpy as np
import pytest

from trainer.samples.security_paper import FAMILIES, draw_security_pattern


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(300, 600), (40, 90), (7, 500)])
def test_a_family_draws_shares_of_light_on_a_page_of_any_shape(family, shape):
    for seed in range(5):
        pattern = FAMILIES[family](*shape, np.random.default_rng(seed))
        assert pattern.dtype == np.float32
        assert pattern.shape == shape
        assert pattern.min() >= 0
        assert pattern.max() <= 1.0001


def test_a_pattern_is_determined_by_the_random_state():
    first, again, other = (draw_security_pattern(60, 90, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_pattern_takes_less_light_than_a_pen():
    patterns = [draw_security_pattern(60, 120, np.random.default_rng(seed)) for seed in range(60)]
    assert all(pattern.dtype == np.float32 and pattern.shape == (60, 120) for pattern in patterns)
    assert 0.3 < max(pattern.max() for pattern in patterns) < 0.6
    assert sum(pattern.max() > 0.05 for pattern in patterns) > 50
