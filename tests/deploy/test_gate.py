"""The gate, the model card, the evaluation and the cost: what is said follows from what was measured."""

import dataclasses

import pytest

from deploy import card, cost, gate, observe
from deploy.live import Deployed, Endpoint, Identity, Serving
from trainer.artifact import manifest


@pytest.fixture(scope="module")
def classifier(artifact):
    return manifest.read(artifact)


@pytest.fixture(scope="module")
def verifier(hands):
    return manifest.read(hands)


def measured(described, audit=None, **errors):
    training = {**described.training, "audit": {} if audit is None else audit}
    return dataclasses.replace(described, training=training, metrics={**described.metrics, "errors": errors})


def test_a_candidate_within_the_tolerance_passes(classifier):
    assert gate.objections(measured(classifier, error=5.4), {"error": 5.0}, 0.5) == []
    assert gate.objections(measured(classifier, error=5.4), None, 0.5) == [], "nobody serves yet"


def test_a_candidate_that_errs_as_much_more_as_is_tolerated_passes(classifier):
    assert gate.objections(measured(classifier, error=5.5), {"error": 5.0}, 0.5) == []


def test_a_candidate_that_errs_more_is_refused_with_both_rates(classifier):
    with pytest.raises(gate.Refused, match=r"error is 5.60 %, 0.60 points above the version that serves; 0.5 are"):
        gate.check(measured(classifier, error=5.6), {"error": 5.0}, 0.5)


def test_what_was_measured_of_the_one_has_to_be_measured_of_the_other(classifier):
    found = gate.objections(measured(classifier, error=5.0), {"eer_skilled_10": 9.0}, 1)
    assert found == ["eer_skilled_10 was not measured; the version that serves has 9.00 %"]


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, 101.0])
@pytest.mark.parametrize("serving", [None, {"error": 1.0}])
def test_what_is_no_rate_does_not_pass(classifier, rate, serving):
    assert gate.objections(measured(classifier, error=rate), serving, 1)


def test_a_failed_audit_is_a_reason_of_its_own(classifier):
    found = gate.objections(measured(classifier, {"untrue": ["copies_across_parts"]}, error=1.0), None, 1)
    assert "its audit failed" in found[0]
    assert "copies_across_parts" in found[0]
    assert gate.objections(measured(classifier, {"doubtful": ["leak"]}, error=1.0), None, 1) == []


def test_a_version_that_serves_without_numbers_has_to_be_passed_over_knowingly(classifier):
    (found,) = gate.objections(measured(classifier, error=1.0), {}, 1)
    assert "no evaluation to compare with" in found
    assert gate.objections(measured(classifier, error=1.0), {}, 100) == []


def test_an_artefact_that_says_nothing_is_not_promoted(classifier):
    silent = dataclasses.replace(classifier, metrics={}, training={})
    assert len(gate.objections(silent, None, 1)) == 2


def test_a_trained_artefact_says_what_the_gate_asks(classifier, verifier):
    assert set(gate.errors(classifier)) == {"error"}
    assert gate.errors(classifier)["error"] == pytest.approx(100 - classifier.metrics["accuracy"])
    assert {name.rpartition("_")[0] for name in gate.errors(verifier)} == {"eer_skilled", "eer_random"}
    for described in (classifier, verifier):
        assert set(described.training["audit"]) <= {"untrue", "doubtful", "note"}


def test_the_card_tells_question_rates_thresholds_audit_and_identity(classifier, verifier):
    for described in (classifier, verifier):
        text = card.card(described, "ab" * 32, "image@sha256:" + "1" * 64)
        assert described.question in text
        assert "ab" * 32 in text
        for name, rate in gate.errors(described).items():
            assert f"{name} {rate:.2f} %" in text
    assert "1 ref." in card.card(verifier, "ab" * 32, "image")
    assert "signature 0.5" in card.card(classifier, "ab" * 32, "image")


def test_the_card_gives_identity_and_image_back(classifier):
    image = "host/image@sha256:" + "b" * 64
    assert card.told(card.card(classifier, "a" * 64, image)) == (Identity("a" * 32, "b" * 32), image)
    assert card.told("somebody else's model") is None


def test_the_evaluation_holds_curves_and_error_rates(classifier, verifier):
    told = card.evaluation(classifier)
    assert told["metrics"]["confusionMatrix"]["rows"] == classifier.metrics["confusion"]
    told = card.evaluation(verifier)
    assert told["metadata"]["errors"] == gate.errors(verifier)
    (*_, of) = verifier.metrics["references"].values()
    assert told["metrics"]["auRoc"] == of["auc_skilled"]


@pytest.mark.parametrize("metadata", ["text", 3, [1], {"errors": "none"}, {"errors": {"error": "x"}}, {}, None])
def test_an_evaluation_of_somebody_else_is_not_taken_for_ours(metadata):
    assert observe._errors(metadata) == {}


def endpoint(machine, least=1, most=1):
    one = Deployed("1", "1", None, Serving(machine, least, most, 60))
    return Endpoint(True, deployed=(one, one))


def test_a_months_cost_follows_from_the_table_and_says_of_when_it_is():
    price = cost.prices()["hour"]["us-central1"]["n1-standard-2"]
    found = cost.monthly(endpoint("n1-standard-2", 1, 3), "us-central1")
    assert found.least == pytest.approx(2 * price * 730)
    assert found.most == pytest.approx(6 * price * 730)
    assert cost.prices()["date"] in str(found)
    assert str(cost.monthly(None, "us-central1")).startswith("cost: about $0 a month")


@pytest.mark.parametrize(("machine", "region"), [("c9-mega-2", "us-central1"), ("n1-standard-2", "moon-north1")])
def test_a_price_that_is_not_in_the_table_is_unknown_and_not_guessed(machine, region):
    assert f"unknown; no price of {machine} in {region}" in str(cost.monthly(endpoint(machine), region))
