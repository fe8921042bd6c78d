"""The decision ``verify``: what it answers, and what it refuses."""

import dataclasses

import numpy as np
import pytest

from trainer.artifact.decision import BadQuestion, Parameters, Verify
from trainer.artifact.manifest import BadArtifact

DECISION = Verify(
    size=4, fusion="both", cohesion=0.6, a0=6.0, a1=4.0, b0=0.5, b1=0.2, most=15,
    thresholds={name: {"1": value} for name, value in (("eer", 0.1), ("0.01", 3.0), ("0.001", 5.0))},
    band=0.5, against="skilled",
)  # fmt: skip


def unit(*values) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


REFERENCES = [unit(1, 0, 0, 0.1), unit(1, 0.2, 0, 0), unit(1, 0, 0.3, 0)]


def by_hand(q, references, d=DECISION):
    """The formula of the docstring, one number at a time."""

    def closeness(one, others):
        similar = [float(one @ other) for other in others]
        return 0.5 * max(similar) + 0.5 * sum(similar) / len(similar)

    n = len(references)
    others = [[r for j, r in enumerate(references) if j != i] for i in range(n)]
    own = sum(closeness(r, rest) for r, rest in zip(references, others, strict=True)) / n if n > 1 else 0.0
    excess = closeness(q, references) - (1 - 1 / n) * own - d.cohesion / n
    more = np.log(min(n, d.most))
    return d.b0 + d.b1 * more + (d.a0 + d.a1 * more) * excess


@pytest.mark.parametrize("count", [1, 2, 3])
def test_evidence_is_the_formula_and_a_batch_is_its_vectors_one_by_one(count):
    asked = np.stack([unit(1, 0, 0, 0), unit(0, 1, 0, 0), unit(-1, 0.5, 0, 0)])
    given = np.stack(REFERENCES[:count])
    expected = [by_hand(q, REFERENCES[:count]) for q in asked]
    np.testing.assert_allclose(DECISION.evidence(asked, given), expected, atol=1e-5)


def test_like_is_accepted_unlike_rejected_and_between_is_inconclusive():
    answers = [DECISION.answer(unit(1, x, 0, 0), REFERENCES) for x in (0, 1.0, 4)]
    assert [answer["decision"] for answer in answers] == ["accept", "inconclusive", "reject"]
    scores = [answer["score"] for answer in answers]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert answers[0]["threshold"] == pytest.approx(1 / (1 + np.exp(-0.1)))
    assert answers[0]["inconclusive"] == pytest.approx([1 / (1 + np.exp(0.4)), 1 / (1 + np.exp(-0.6))])


def test_distance_is_euclidean_to_the_nearest_reference_and_each_is_told():
    asked = unit(1, 0.1, 0, 0)
    answer = DECISION.answer(asked, REFERENCES)
    each = [float(np.linalg.norm(asked - reference)) for reference in REFERENCES]
    assert [of["distance"] for of in answer["per_reference"]] == pytest.approx(each, abs=1e-5)
    assert answer["distance"] == pytest.approx(min(each), abs=1e-5)


def test_a_stored_rate_decides_and_another_is_refused_with_those_there_are():
    asked = unit(1, 0.4, 0, 0)
    assert DECISION.answer(asked, REFERENCES)["decision"] == "accept"
    strict = DECISION.answer(asked, REFERENCES, Parameters(far=0.001))
    assert strict["decision"] == "inconclusive"
    assert strict["threshold"] == pytest.approx(1 / (1 + np.exp(-5.0)))
    with pytest.raises(BadQuestion, match=r"0\.01, 0\.001"):
        DECISION.answer(asked, REFERENCES, Parameters(far=0.05))


def test_thresholds_go_by_the_number_of_references_and_straight_between_in_its_logarithm():
    rising = dataclasses.replace(DECISION, thresholds={**DECISION.thresholds, "0.01": {"10": 4.0, "1": 2.0, "2": 2.5}})
    asked = unit(1, 0.1, 0, 0)
    for count, expected in ((1, 2.0), (2, 2.5), (3, 2.5 + 1.5 * np.log(3 / 2) / np.log(10 / 2))):
        answer = rising.answer(asked, REFERENCES[:count], Parameters(far=0.01))
        assert answer["threshold"] == pytest.approx(1 / (1 + np.exp(-expected)))
    assert rising.threshold("0.01", 40) == 4.0


def test_without_references_the_answer_is_the_embedding():
    asked = unit(1, 2, 3, 4)
    assert list(DECISION.answer(asked)) == ["embedding"]
    assert "embedding" not in DECISION.answer(asked, REFERENCES)
    assert DECISION.answer(asked, REFERENCES, Parameters(return_embedding=True))["embedding"] is asked


@pytest.mark.parametrize("vector", [np.ones(4, np.float32), np.ones(3, np.float32) / 3**0.5])
def test_a_reference_of_another_model_is_refused(vector):
    with pytest.raises(BadQuestion, match="4 numbers of length 1"):
        DECISION.answer(unit(1, 0, 0, 0), [vector])


def test_probabilities_are_finite_however_large_the_evidence():
    sure = dataclasses.replace(DECISION, a0=1e6)
    assert sure.answer(unit(-1, 0, 0, 0), REFERENCES)["score"] == pytest.approx(0)
    assert sure.answer(REFERENCES[0], REFERENCES)["score"] == pytest.approx(1)


@pytest.mark.parametrize(
    "change", [{"fusion": "median"}, {"thresholds": {}}, {"thresholds": [1, 2]}, {"thresholds": {"eer": 0.1}}]
)
def test_a_damaged_description_is_no_decision(change):
    with pytest.raises(BadArtifact, match="fusion"):
        dataclasses.replace(DECISION, **change)


def test_evidence_on_a_threshold_belongs_to_the_better_answer():
    asked, given = unit(1, 1, 0, 0), [unit(1, 0, 0, 0)]
    evidence = float(DECISION.evidence(asked[None], np.stack(given))[0])

    def thresholds(equal, rate):
        return dataclasses.replace(DECISION, band=0.0, thresholds={"eer": {"1": equal}, "0.01": {"1": rate}})

    assert thresholds(evidence, 9.0).answer(asked, given)["decision"] == "accept"
    strict = thresholds(evidence, evidence + 1)
    assert strict.answer(asked, given, Parameters(far=0.01))["decision"] == "inconclusive"
    low, high = dataclasses.replace(DECISION, band=0.25).edges(1)
    on_the_edges = dataclasses.replace(DECISION, band=0.25).is_inconclusive(np.array([low, high]), 1)
    assert on_the_edges.tolist() == [True, False]


def test_a_rate_laxer_than_the_inconclusive_band_leaves_nothing_inconclusive():
    lax = dataclasses.replace(DECISION, thresholds={"eer": {"1": 0.1}, "0.01": {"1": -2.0}})
    assert lax.edges(3, 0.01) == (-2.0, -2.0)


def test_a_stored_vector_of_nearly_length_1_is_normalised_and_another_length_is_refused():
    asked, stored = unit(1, 0.5, 0, 0), unit(1, 0, 0, 0)
    near, exact = (DECISION.answer(asked, [scale * stored]) for scale in (np.float32(1.015), np.float32(1)))
    assert [near[name] for name in ("score", "distance")] == pytest.approx([exact["score"], exact["distance"]])
    for scale in (0.97, 1.03):
        with pytest.raises(BadQuestion, match="of length 1"):
            DECISION.answer(asked, [np.float32(scale) * stored])
