"""The decision ``verify``: its answers, and the references and parameters that it refuses."""

import dataclasses

import numpy as np
import pytest

from trainer.artifact.decision import DecisionParameters, UnsupportedRequest, Verifier
from trainer.artifact.manifest import BadArtifact

DECISION = Verifier(
    embedding_dim=4,
    fusion="both",
    prior_cohesion=0.6,
    a0=6.0,
    a1=4.0,
    b0=0.5,
    b1=0.2,
    max_references=15,
    thresholds={name: {"1": value} for name, value in (("eer", 0.1), ("0.01", 3.0), ("0.001", 5.0))},
    inconclusive_margin=0.5,
    calibrated_on="skilled",
)


def unit(*values) -> np.ndarray:
    """Return a vector of this direction and length 1, ``float32 [D]``."""
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


REFERENCES = [unit(1, 0, 0, 0.1), unit(1, 0.2, 0, 0), unit(1, 0, 0.3, 0)]


def compute_log_odds(questioned, references):
    """Compute the formula in the docstring of ``Verifier`` with Python numbers."""

    def fused_similarity(vector, compared):
        similarities = [float(vector @ row) for row in compared]
        return 0.5 * max(similarities) + 0.5 * sum(similarities) / len(similarities)

    n, cohesion = len(references), 0.0
    if n > 1:
        remaining = [references[:i] + references[i + 1 :] for i in range(n)]
        cohesion = sum(map(fused_similarity, references, remaining)) / n
    excess = fused_similarity(questioned, references) - (1 - 1 / n) * cohesion - DECISION.prior_cohesion / n
    log_count = np.log(min(n, DECISION.max_references))
    return DECISION.b0 + DECISION.b1 * log_count + (DECISION.a0 + DECISION.a1 * log_count) * excess


@pytest.mark.parametrize("count", [1, 2, 3])
def test_log_odds_of_a_batch_are_those_of_the_formula_for_each_vector(count):
    questioned = np.stack([unit(1, 0, 0, 0), unit(0, 1, 0, 0), unit(-1, 0.5, 0, 0)])
    references = np.stack(REFERENCES[:count])
    expected = [compute_log_odds(vector, REFERENCES[:count]) for vector in questioned]
    log_odds = DECISION.log_odds(questioned @ references.T, references @ references.T)
    np.testing.assert_allclose(log_odds, expected, atol=1e-5)


def test_a_similar_signature_is_accepted_a_different_one_rejected_and_one_between_is_inconclusive():
    answers = [DECISION.answer(unit(1, x, 0, 0), REFERENCES) for x in (0, 1.0, 4)]
    assert [answer["decision"] for answer in answers] == ["accept", "inconclusive", "reject"]
    scores = [answer["score"] for answer in answers]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert answers[0]["threshold"] == pytest.approx(1 / (1 + np.exp(-0.1)))
    assert answers[0]["inconclusive"] == pytest.approx([1 / (1 + np.exp(0.4)), 1 / (1 + np.exp(-0.6))])


def test_distance_is_the_euclidean_distance_to_the_nearest_reference_and_is_answered_for_each():
    questioned = unit(1, 0.1, 0, 0)
    answer = DECISION.answer(questioned, REFERENCES)
    distances = [float(np.linalg.norm(questioned - reference)) for reference in REFERENCES]
    assert [row["distance"] for row in answer["per_reference"]] == pytest.approx(distances, abs=1e-5)
    assert answer["distance"] == pytest.approx(min(distances), abs=1e-5)


def test_a_stored_rate_selects_its_threshold_and_the_error_for_a_rate_outside_names_the_range():
    questioned = unit(1, 0.4, 0, 0)
    assert DECISION.answer(questioned, REFERENCES)["decision"] == "accept"
    strict = DECISION.answer(questioned, REFERENCES, DecisionParameters(far=0.001))
    assert strict["decision"] == "inconclusive"
    assert strict["threshold"] == pytest.approx(1 / (1 + np.exp(-5.0)))
    with pytest.raises(UnsupportedRequest, match=r"0\.001 to 0\.01 are possible"):
        DECISION.answer(questioned, REFERENCES, DecisionParameters(far=0.05))


def test_copies_of_a_reference_are_answered_for_but_count_once():
    decision = dataclasses.replace(DECISION, thresholds={"eer": {"1": 0.1, "3": 0.3, "6": 0.9}})
    questioned, rounded = unit(1, 0.1, 0.2, 0), REFERENCES[0].astype(np.float16).astype(np.float32)
    answer = decision.answer(questioned, REFERENCES)
    repeated = decision.answer(questioned, [*REFERENCES, rounded, REFERENCES[1], REFERENCES[1]])
    assert len(repeated["per_reference"]) == 6
    for name in ("decision", "score", "threshold", "inconclusive"):
        assert repeated[name] == pytest.approx(answer[name]) if name != "decision" else repeated[name] == answer[name]


def test_thresholds_are_interpolated_linearly_in_the_logarithm_of_the_number_of_references():
    rising = dataclasses.replace(DECISION, thresholds={**DECISION.thresholds, "0.01": {"10": 4.0, "1": 2.0, "2": 2.5}})
    questioned = unit(1, 0.1, 0, 0)
    for count, expected in ((1, 2.0), (2, 2.5), (3, 2.5 + 1.5 * np.log(3 / 2) / np.log(10 / 2))):
        answer = rising.answer(questioned, REFERENCES[:count], DecisionParameters(far=0.01))
        assert answer["threshold"] == pytest.approx(1 / (1 + np.exp(-expected)))
    assert rising.threshold_for("0.01", 40) == 4.0


def test_without_references_the_answer_is_the_embedding():
    questioned = unit(1, 2, 3, 4)
    assert list(DECISION.answer(questioned)) == ["embedding"]
    assert "embedding" not in DECISION.answer(questioned, REFERENCES)
    assert DECISION.answer(questioned, REFERENCES, DecisionParameters(return_embedding=True))["embedding"] is questioned


@pytest.mark.parametrize("vector", [np.ones(4, np.float32), np.ones(3, np.float32) / 3**0.5])
def test_a_reference_of_another_model_is_refused(vector):
    with pytest.raises(UnsupportedRequest, match="4 numbers of length 1"):
        DECISION.answer(unit(1, 0, 0, 0), [vector])


def test_probabilities_of_extreme_log_odds_are_finite():
    steep = dataclasses.replace(DECISION, a0=1e6)
    assert steep.answer(unit(-1, 0, 0, 0), REFERENCES)["score"] == pytest.approx(0)
    assert steep.answer(REFERENCES[0], REFERENCES)["score"] == pytest.approx(1)


@pytest.mark.parametrize(
    "change", [{"fusion": "median"}, {"thresholds": {}}, {"thresholds": [1, 2]}, {"thresholds": {"eer": 0.1}}]
)
def test_a_decision_with_wrong_fusion_or_thresholds_is_refused(change):
    with pytest.raises(BadArtifact, match="fusion"):
        dataclasses.replace(DECISION, **change)


@pytest.mark.parametrize(
    ("similarity", "message"),
    [
        ({"kind": "local", "rows": 1, "columns": 3, "row_reach": 0, "column_reach": 0, "step_cost": 0}, "of 4 numbers"),
        ("x", "it has to be an object"),
    ],
)
def test_a_decision_with_a_similarity_that_cannot_compare_its_embeddings_is_refused(similarity, message):
    with pytest.raises(BadArtifact, match=message):
        dataclasses.replace(DECISION, similarity=similarity)


def test_scores_above_eer_are_accepted_for_a_rate_above_the_equal_error_rate_and_inconclusive_without_it():
    decision = dataclasses.replace(DECISION, thresholds={**DECISION.thresholds, "0.1": DECISION.thresholds["eer"]})
    assert decision.decision_bounds(1, 0.1) == pytest.approx((-0.4, 0.1))
    assert decision.decision_bounds(1) == pytest.approx((-0.4, 0.6))
    questioned, references = unit(1, 1.5, 0, 0), [unit(1, 0, 0, 0)]
    assert 0.1 < compute_log_odds(questioned, references) < 0.6
    assert decision.answer(questioned, references)["decision"] == "inconclusive"
    assert decision.answer(questioned, references, DecisionParameters(far=0.1))["decision"] == "accept"


def test_log_odds_equal_to_a_threshold_give_the_answer_above_it():
    questioned, references = unit(1, 1, 0, 0), [unit(1, 0, 0, 0)]
    similarities, itself = questioned[None] @ np.stack(references).T, np.ones((1, 1))
    log_odds = float(DECISION.log_odds(similarities, itself)[0])

    def with_thresholds(eer, rate):
        by_name = {"eer": {"1": eer}, "0.01": {"1": rate}}
        return dataclasses.replace(DECISION, inconclusive_margin=0.0, thresholds=by_name)

    assert with_thresholds(log_odds, 9.0).answer(questioned, references)["decision"] == "accept"
    strict = with_thresholds(log_odds, log_odds + 1)
    assert strict.answer(questioned, references, DecisionParameters(far=0.01))["decision"] == "inconclusive"
    with_margin = dataclasses.replace(DECISION, inconclusive_margin=0.25)
    low, high = with_margin.decision_bounds(1)
    assert with_margin.is_inconclusive(np.array([low, high]), 1).tolist() == [True, False]


def test_with_a_threshold_below_the_inconclusive_range_no_answer_is_inconclusive():
    lax = dataclasses.replace(DECISION, thresholds={"eer": {"1": 0.1}, "0.01": {"1": -2.0}})
    assert lax.decision_bounds(3, 0.01) == (-2.0, -2.0)


def test_a_stored_vector_of_nearly_length_1_is_normalised_and_another_length_is_refused():
    questioned, stored = unit(1, 0.5, 0, 0), unit(1, 0, 0, 0)
    near, exact = (DECISION.answer(questioned, [scale * stored]) for scale in (np.float32(1.015), np.float32(1)))
    assert [near[name] for name in ("score", "distance")] == pytest.approx([exact["score"], exact["distance"]])
    for scale in (0.97, 1.03):
        with pytest.raises(UnsupportedRequest, match="of length 1"):
            DECISION.answer(questioned, [np.float32(scale) * stored])
