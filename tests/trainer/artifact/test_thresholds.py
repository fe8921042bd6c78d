"""Thresholds and intervals between the stored rates and numbers of references, against ``numpy.interp``."""

import dataclasses

import numpy as np
import pytest

from tests.trainer.artifact.test_verifier import DECISION, REFERENCES, unit
from trainer.artifact import thresholds
from trainer.artifact.decision import DecisionParameters, UnsupportedRequest
from trainer.artifact.manifest import BadArtifact

STORED = {
    "eer": {"1": 0.0, "5": 0.5},
    "0.1": {"1": 1.0, "5": 0.8},
    "0.02": {"1": 2.5, "5": 2.0},
    "0.001": {"1": 6.0, "5": 4.0},
}
INTERVALS = {
    "0.1": {"1": [0.06, 0.15], "5": [0.05, 0.14]},
    "0.02": {"1": [0.01, 0.03], "5": [0.008, 0.04]},
    "0.001": {"1": [0.0, 0.004], "5": [0.0, 0.003]},
}
LOG_RATES = np.log([0.001, 0.02, 0.1])
VERIFIER = dataclasses.replace(DECISION, thresholds=STORED, far_intervals=INTERVALS)


def interpolate(values, far, references):
    """Interpolate values ``[rates, counts]`` in the logarithm of the count, then in that of the rate."""
    by_rate = [np.interp(np.log(references), np.log([1, 5]), row) for row in values]
    return np.interp(np.log(far), LOG_RATES, by_rate)


@pytest.mark.parametrize("references", [1, 3, 5, 9])
@pytest.mark.parametrize("far", [0.001, 0.0017, 0.02, 0.05, 0.1])
def test_any_rate_between_the_stored_ones_has_a_threshold_and_an_interval(far, references):
    _, accepted = VERIFIER.decision_bounds(references, far)
    assert accepted == pytest.approx(interpolate([[6.0, 4.0], [2.5, 2.0], [1.0, 0.8]], far, references))
    low = interpolate([[0.0, 0.0], [0.01, 0.008], [0.06, 0.05]], far, references)
    high = interpolate([[0.004, 0.003], [0.03, 0.04], [0.15, 0.14]], far, references)
    interval = thresholds.interpolate_interval(INTERVALS, far, references)
    assert interval == pytest.approx([low, high])


def test_the_answer_to_a_rate_has_its_interval_and_that_to_no_rate_has_none():
    answer = VERIFIER.answer(unit(1, 0.1, 0, 0), REFERENCES[:1], DecisionParameters(far=0.02))
    assert answer["far_interval"] == [0.01, 0.03]
    assert answer["threshold"] == pytest.approx(1 / (1 + np.exp(-2.5)))
    for parameters in (DecisionParameters(), DecisionParameters(threshold=0.9)):
        assert "far_interval" not in VERIFIER.answer(unit(1, 0.1, 0, 0), REFERENCES, parameters)


def test_a_lower_rate_never_has_a_lower_threshold():
    stored = {**STORED, "0.001": {"1": 2.0}}
    bounds = [dataclasses.replace(DECISION, thresholds=stored).decision_bounds(1, far)[1] for far in (0.1, 0.02, 0.001)]
    assert bounds == [1.0, 2.5, 2.5]


@pytest.mark.parametrize("far", [0.0009, 0.11, 0.0, -1.0, 1.0, float("nan"), float("inf")])
def test_a_rate_outside_the_stored_ones_is_refused_with_their_range(far):
    with pytest.raises(UnsupportedRequest, match=r"0\.001 to 0\.1 are possible"):
        VERIFIER.decision_bounds(3, far)


def test_a_decision_with_two_rates_and_no_intervals_answers_rates_between_them_without_an_interval():
    """As an artefact of the release before has it."""
    answer = DECISION.answer(unit(1, 0.1, 0, 0), REFERENCES, DecisionParameters(far=0.003))
    share = np.log(0.01 / 0.003) / np.log(10)
    assert answer["threshold"] == pytest.approx(1 / (1 + np.exp(-(3.0 + share * 2.0))))
    assert "far_interval" not in answer
    with pytest.raises(UnsupportedRequest, match="none is stored"):
        dataclasses.replace(DECISION, thresholds={"eer": {"1": 0.0}}).decision_bounds(1, 0.01)


@pytest.mark.parametrize("intervals", [{"0.1": {"1": [0.0, 1.0]}}, [0.1], {**INTERVALS, "0.001": {}}])
def test_intervals_of_other_rates_than_the_thresholds_are_refused(intervals):
    with pytest.raises(BadArtifact, match="far_intervals"):
        dataclasses.replace(VERIFIER, far_intervals=intervals)


def test_a_signature_is_accepted_from_the_requested_score_upwards():
    questioned, references = unit(1, 0.4, 0, 0), REFERENCES[:2]
    score = DECISION.answer(questioned, references)["score"]
    low = DECISION.decision_bounds(2)[0]

    def decide(threshold):
        return DECISION.answer(questioned, references, DecisionParameters(threshold=threshold))

    assert decide(score)["decision"] == "accept"
    assert decide(score)["threshold"] == score
    stricter = decide(score + 1e-6)
    assert stricter["decision"] == "inconclusive"
    assert stricter["inconclusive"] == pytest.approx([1 / (1 + np.exp(-low)), score + 1e-6])
    lax = decide(0.01)
    assert lax["inconclusive"] == pytest.approx([0.01, 0.01]), "nothing is inconclusive below the range of eer"


@pytest.mark.parametrize("score", [1e-9, 0.2, 0.5, 0.93, 1 - 1e-12])
def test_log_odds_are_the_inverse_of_the_probability(score):
    assert DECISION.to_probability(DECISION.to_log_odds(score)) == pytest.approx(score, rel=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, 1.5, float("nan"), float("inf")])
def test_a_threshold_that_is_no_score_is_refused(threshold):
    with pytest.raises(UnsupportedRequest, match="above 0 and below 1"):
        DECISION.decision_bounds(1, threshold=threshold)


def test_a_rate_and_a_threshold_together_are_refused():
    with pytest.raises(UnsupportedRequest, match="give one of them"):
        DECISION.decision_bounds(1, far=0.01, threshold=0.9)
